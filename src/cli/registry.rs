//! `wippy registry`: the loaded entries, as a list and one by one. Starts nothing.

use serde_json::{Value as Json, json};

use super::args::{Globals, RegistryCommand};
use super::columns::columns;
use super::console::Console;
use super::failure::{Failure, code};
use super::{open, target};
use crate::error::Error;
use crate::id::EntryId;
use crate::json;
use crate::project::diagnostic::to_text;
use crate::project::{Entry, Query};
use crate::system::terminal::Stream;
use crate::value::{Table, Value};

/// # Errors
/// Exit 2 for what is no id, 3 without a project, 4 for an entry that does not exist.
pub fn run(what: &RegistryCommand, globals: &Globals, console: &Console) -> Result<u8, Failure> {
    match what {
        RegistryCommand::List { kind, ns, json } => {
            let query = query(kind.as_deref(), ns.as_deref())?;
            list(&query, *json, globals, console)
        }
        RegistryCommand::Show { id, json } => show(id, *json, globals, console),
    }
}

/// What `registry.find` finds by the same patterns.
fn query(kind: Option<&str>, namespace: Option<&str>) -> Result<Query, Failure> {
    let wanted = [(".kind", kind), (".ns", namespace)];
    let pairs = wanted
        .into_iter()
        .filter_map(|(field, pattern)| Some((field.into(), pattern?.into())));
    let table = Table {
        pairs: pairs.collect(),
        ..Table::default()
    };
    Query::new(&table).map_err(|error| Failure::usage(error.message()))
}

fn list(query: &Query, as_json: bool, globals: &Globals, console: &Console) -> Result<u8, Failure> {
    let project = open::to_show(globals, console)?;
    let found: Vec<&Entry> = project
        .registry
        .iter()
        .map(AsRef::as_ref)
        .filter(|entry| query.matches(entry))
        .collect();
    if as_json {
        let all = Json::Array(found.into_iter().map(head).collect());
        console.answer(&format!("{all}\n"));
        return Ok(code::SUCCESS);
    }
    let places: Vec<String> = found.iter().map(|entry| place(entry)).collect();
    let rows: Vec<[&str; 3]> = found
        .iter()
        .zip(&places)
        .map(|(entry, place)| [entry.id.as_str(), entry.kind.as_str(), place])
        .collect();
    console.answer(&columns(["ENTRY", "KIND", "FILE"], &rows, console.paint(Stream::Out)));
    Ok(code::SUCCESS)
}

/// The entry as it is written; what is wrong with it goes to stderr.
fn show(id: &str, as_json: bool, globals: &Globals, console: &Console) -> Result<u8, Failure> {
    let id = EntryId::parse(id).map_err(|error| Failure::usage(error.message()))?;
    let project = open::project(globals)?;
    let entry = target::any(&project, &id)?;
    let text = match as_json {
        true => format!("{}\n", whole(&entry)),
        false => text(&entry).map_err(|error| Failure::new(code::FAILED, error))?,
    };
    console.answer(&text);
    let style = console.paint(Stream::Err).style();
    entry
        .problems
        .iter()
        .for_each(|found| console.say(&to_text(found, style)));
    Ok(code::SUCCESS)
}

/// An entry as YAML.
///
/// # Errors
/// Internal for one that YAML has no way to write.
pub fn text(entry: &Entry) -> crate::error::Result<String> {
    serde_yaml::to_string(&whole(entry))
        .map_err(|error| Error::internal(format!("cannot write the entry as YAML: {error}")))
}

fn head(entry: &Entry) -> Json {
    json!({ "id": entry.id.as_str(), "kind": entry.kind, "file": place(entry), "broken": entry.is_broken() })
}

/// The head, `meta` and `data`, as `registry.get` gives them.
fn whole(entry: &Entry) -> Json {
    let mut whole = head(entry);
    whole["meta"] = fields(&entry.meta);
    whole["data"] = fields(&entry.data());
    whole
}

/// An empty table is a map without fields here.
fn fields(value: &Value) -> Json {
    match json::from(value) {
        Json::Array(items) if items.is_empty() => json!({}),
        other => other,
    }
}

/// `src/_index.yaml:12`; empty for an entry that no file holds.
fn place(entry: &Entry) -> String {
    let place = entry.place();
    place.map_or_else(String::new, |place| format!("{}:{}", place.file, place.line))
}
