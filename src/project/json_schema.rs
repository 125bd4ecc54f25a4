//! [`schema`](super::schema) as a JSON Schema (draft 7, which editors read): what an entry file may look like.
//!
//! It knows names, types and words; what only the reader can tell (a duration, an id that leads nowhere) it lets pass. It
//! never refuses what the reader takes without a word.

use serde_json::{Map, Value as Json, json};

use super::grants::Grant;
use super::schema::{self, Field, Shape};

/// Beyond this the reader takes no whole number.
const LARGEST: u64 = 1 << 53;

/// A text that is another one once it is loaded: a file's, or with variables filled in.
const REPLACED: &str = r"^file://|\$\{env:";

/// The schema of an entry file: a list of entries, or one entry at its top.
pub fn document() -> Json {
    let kinds: Vec<&str> = schema::kinds().collect();
    let by_kind: Vec<Json> = kinds
        .iter()
        .map(|kind| {
            json!({
                "if": { "properties": { "kind": { "const": kind } }, "required": ["kind"] },
                "then": { "$ref": format!("#/definitions/{kind}") },
            })
        })
        .collect();
    let mut definitions: Map<String, Json> = kinds.iter().map(|kind| ((*kind).to_owned(), of_kind(kind))).collect();
    definitions.insert(
        "entry".to_owned(),
        json!({
            "type": "object",
            "required": ["name", "kind"],
            "properties": {
                "name": { "type": "string", "pattern": r"\S" },
                // An unknown kind is inert; the list is for completion.
                "kind": { "anyOf": [{ "enum": kinds }, { "type": "string", "minLength": 1 }] },
                "meta": { "type": ["object", "null"] },
            },
            "allOf": by_kind,
        }),
    );
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Entries of a wippy project",
        "type": "object",
        "required": ["namespace"],
        "properties": {
            "version": {},
            "namespace": { "type": "string", "pattern": "^[^:]+$" },
            "meta": {},
            "entries": { "type": ["array", "null"], "items": { "$ref": "#/definitions/entry" } },
        },
        "if": { "required": ["entries"] },
        "else": { "$ref": "#/definitions/entry" },
        "definitions": definitions,
    })
}

/// An entry of a known kind, its fields on the entry or below `data`.
fn of_kind(kind: &str) -> Json {
    let fields = schema::fields(kind).unwrap_or_default();
    if kind == "registry.entry" {
        return json!({});
    }
    let (meta, fields): (Vec<&Field>, Vec<&Field>) =
        fields.into_iter().partition(|field| field.path.starts_with("meta."));
    let data = properties(&fields, "");
    let mut all = data.clone();
    all.insert("meta".to_owned(), open_map(properties(&meta, "meta.")));
    all.insert(
        "data".to_owned(),
        json!({ "type": ["object", "null"], "properties": data, "additionalProperties": false }),
    );
    // Of every kind, and beside an entry that is alone in its file.
    for name in ["name", "kind", "namespace", "version"] {
        all.insert(name.to_owned(), json!({}));
    }
    let required: Vec<Json> = required(&fields, "").into_iter().map(here_or_below_data).collect();
    let mut entry = json!({ "properties": all, "additionalProperties": false });
    if !required.is_empty() {
        entry["allOf"] = Json::Array(required);
    }
    entry
}

fn here_or_below_data(name: &str) -> Json {
    let below = json!({ "required": ["data"], "properties": { "data": { "type": "object", "required": [name] } } });
    json!({ "anyOf": [{ "required": [name] }, below] })
}

fn open_map(properties: Map<String, Json>) -> Json {
    json!({ "type": ["object", "null"], "properties": properties })
}

/// What stands directly below a prefix (`""`, `limits.`, `wasi.env[].`), each with what stands below it.
fn properties(fields: &[&Field], prefix: &str) -> Map<String, Json> {
    let rests = fields
        .iter()
        .filter_map(|field| Some((field, field.path.strip_prefix(prefix)?)));
    let mut properties = Map::new();
    for (field, rest) in rests {
        let (name, value) = match rest.split_once('.') {
            None => (rest, leaf(field)),
            Some((name, _)) if properties.contains_key(name.trim_end_matches("[]")) => continue,
            Some((name, _)) => (name, group(fields, &format!("{prefix}{name}."))),
        };
        properties.insert(name.trim_end_matches("[]").to_owned(), value);
    }
    properties
}

/// A map whose fields are known, or a list of such.
fn group(fields: &[&Field], prefix: &str) -> Json {
    let is_list = prefix.ends_with("[].");
    let own = json!({
        "type": if is_list { json!("object") } else { json!(["object", "null"]) },
        "properties": properties(fields, prefix),
        "additionalProperties": false,
        "required": required(fields, prefix),
    });
    match is_list {
        true => json!({ "type": ["array", "null"], "items": own }),
        false => own,
    }
}

/// The names directly below a prefix that must be there.
fn required<'a>(fields: &[&'a Field], prefix: &str) -> Vec<&'a str> {
    let required = fields.iter().filter(|field| field.required);
    let names = required.filter_map(|field| field.path.strip_prefix(prefix));
    names.filter(|name| !name.contains('.')).collect()
}

/// A value of the field's shape: not null and not empty when it is required.
fn leaf(field: &Field) -> Json {
    let mut value = match field.shape {
        Shape::Any => return json!({}),
        Shape::Words(words) => return one_of(words),
        Shape::Flag => json!({ "type": ["boolean"] }),
        Shape::Text if field.required => json!({ "type": ["string"], "minLength": 1 }),
        Shape::Text | Shape::Duration => json!({ "type": ["string"] }),
        Shape::Mode => json!({ "type": ["string"], "pattern": format!("^(0o)?0*[0-7]{{1,3}}$|{REPLACED}") }),
        Shape::Count => json!({ "type": ["integer"], "minimum": 0, "maximum": LARGEST }),
        Shape::Size => json!({ "type": ["integer", "string"], "minimum": 0, "maximum": LARGEST }),
        Shape::Number => json!({ "type": ["number"], "minimum": 0 }),
        Shape::Share => json!({ "type": ["number"], "minimum": 0, "maximum": 1 }),
        Shape::FreeMap => json!({ "type": ["object"] }),
        Shape::Pairs => json!({ "type": ["object"], "additionalProperties": { "type": "string" } }),
        Shape::List => json!({ "type": ["array"] }),
        Shape::Grants => {
            // The names are proposed; other spellings and interfaces are fine too.
            let names = Grant::ALL.map(Grant::name);
            json!({ "type": ["array"], "items": { "anyOf": [{ "enum": names }, { "type": "string" }] } })
        }
        Shape::Hosts => {
            let pattern = format!(r"^([^:/\s\[\]]+|\[[0-9A-Fa-f:.]+\]):(\*|[1-9][0-9]{{0,4}})$|{REPLACED}");
            json!({ "type": ["array"], "items": { "type": "string", "pattern": pattern } })
        }
        Shape::Texts => {
            json!({ "type": ["array"], "items": { "type": "string" }, "minItems": usize::from(field.required) })
        }
    };
    if let Some(types) = value["type"].as_array_mut().filter(|_| !field.required) {
        types.push("null".into());
    }
    value
}

fn one_of(words: &[&str]) -> Json {
    json!({ "anyOf": [{ "enum": words }, { "type": "null" }, { "type": "string", "pattern": REPLACED }] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::EntryId;
    use crate::project::{Code, Entry};

    /// One value of every sort, and some at the edges.
    fn probes() -> Vec<Json> {
        vec![
            json!(null),
            json!(true),
            json!(3),
            json!(-3),
            json!(0.5),
            json!(1.5),
            json!(1u64 << 54),
            json!("x"),
            json!(""),
            json!("0755"),
            json!("${env:X|lazy}"),
            json!([]),
            json!(["x"]),
            json!([3]),
            json!([{}]),
            json!({}),
            json!({ "a": "x" }),
            json!({ "a": 3 }),
        ]
    }

    /// An entry with everything that its kind requires.
    fn least(kind: &str, fields: &[&Field], name: &str) -> Json {
        let mut entry = json!({ "name": name, "kind": kind });
        for field in fields
            .iter()
            .filter(|field| field.required && !field.path.contains('.'))
        {
            let is_list = field.shape == Shape::Texts;
            entry[field.path] = if is_list { json!(["x:y"]) } else { json!("x:y") };
        }
        entry
    }

    /// Sets what a path leads to, making what encloses it.
    fn set(target: &mut Json, path: &str, value: Json) {
        let (name, rest) = path
            .split_once('.')
            .map_or((path, None), |(name, rest)| (name, Some(rest)));
        let key = name.trim_end_matches("[]");
        let Some(rest) = rest else {
            target[key] = if key == name { value } else { json!([value]) };
            return;
        };
        if target.get(key).is_none() {
            target[key] = if key == name { json!({}) } else { json!([{}]) };
        }
        let inner = if key == name {
            &mut target[key]
        } else {
            &mut target[key][0]
        };
        set(inner, rest, value);
    }

    /// The field and what encloses it: `wasi`, `wasi.env`, `wasi.env[]`, `wasi.env[].id`.
    fn stations(path: &str) -> Vec<&str> {
        let ends = path.match_indices(['.', '[']).map(|(at, _)| at).chain([path.len()]);
        let mut stations: Vec<&str> = ends.map(|end| &path[..end]).collect();
        stations.extend(path.match_indices("[]").map(|(at, _)| &path[..at + 2]));
        stations
    }

    /// Every probe at every place of every kind.
    fn entries() -> Vec<Json> {
        let mut entries = Vec::new();
        for kind in schema::kinds() {
            let fields = schema::fields(kind).unwrap();
            let paths = fields
                .iter()
                .flat_map(|field| stations(field.path))
                .chain(["meta", "data", "nonsense"]);
            for path in paths.collect::<std::collections::BTreeSet<_>>() {
                for probe in probes() {
                    let mut entry = least(kind, &fields, &format!("e{}", entries.len()));
                    set(&mut entry, path, probe);
                    entries.push(entry);
                }
            }
            for field in fields.iter().filter(|field| !field.path.contains('.')) {
                let mut entry = least(kind, &fields, &format!("e{}", entries.len()));
                entry.as_object_mut().unwrap().remove(field.path);
                entries.push(entry);
            }
            for (field, words) in fields.iter().filter_map(|field| match field.shape {
                Shape::Words(words) => Some((field, words)),
                _ => None,
            }) {
                for word in words {
                    let mut entry = least(kind, &fields, &format!("e{}", entries.len()));
                    set(&mut entry, field.path, json!(word));
                    entries.push(entry);
                }
            }
        }
        entries
    }

    fn has(entry: &Entry, codes: &[Code]) -> bool {
        entry.problems.iter().any(|found| codes.contains(&found.code))
    }

    #[test]
    fn every_grant_is_proposed_and_other_spellings_are_taken() {
        let document = document();
        let items = &document["definitions"]["process.wasm"]["properties"]["imports"]["items"]["anyOf"];
        assert_eq!(items[0]["enum"], json!(Grant::ALL.map(Grant::name)));
        assert_eq!(items[1], json!({ "type": "string" }));
    }

    #[test]
    fn the_schema_and_the_reader_agree() {
        let entries = entries();
        assert!(entries.len() > 3000, "{}", entries.len());
        let folder = tempfile::tempdir().unwrap();
        let file = json!({ "namespace": "app", "entries": &entries });
        std::fs::write(folder.path().join("app.json"), file.to_string()).unwrap();
        let project = crate::system::load(folder.path(), &[]);
        let schema = jsonschema::validator_for(&document()).unwrap();
        let form = [Code::MissingField, Code::WrongType, Code::UnknownField];
        let any = [form.as_slice(), &[Code::BadValue, Code::LimitRange]].concat();
        let mut wrong = Vec::new();
        for entry in &entries {
            let id = EntryId::new("app", entry["name"].as_str().unwrap());
            let read = project.registry.get(&id).unwrap();
            let taken = schema.is_valid(&json!({ "namespace": "app", "entries": [entry] }));
            if taken && has(read, &form) || !taken && !has(read, &any) {
                wrong.push(format!("schema {taken}, {entry}: {:?}", read.problems));
            }
        }
        assert!(
            wrong.is_empty(),
            "{} of {}:\n{}",
            wrong.len(),
            entries.len(),
            wrong[..wrong.len().min(20)].join("\n")
        );
    }

    #[test]
    fn a_file_holds_a_list_or_one_entry() {
        let schema = jsonschema::validator_for(&document()).unwrap();
        for good in [
            json!({ "namespace": "app", "version": "1.0" , "entries": [] }),
            json!({ "namespace": "app", "version": "1.0", "name": "os", "kind": "env.storage.os" }),
            json!({ "namespace": "app", "entries": [{ "name": "x", "kind": "workflow.lua", "step": 1 }] }),
            json!({ "namespace": "app", "entries": [{ "name": "x", "kind": "fs.directory", "data": { "directory": "." } }] }),
        ] {
            assert!(schema.is_valid(&good), "{good}");
        }
        for bad in [
            json!({ "entries": [] }),
            json!({ "namespace": "a:b", "entries": [] }),
            json!({ "namespace": "app", "entries": {} }),
            json!({ "namespace": "app", "entries": [{ "name": "x" }] }),
            json!({ "namespace": "app", "entries": [{ "name": 1, "kind": "env.storage.os" }] }),
            json!({ "namespace": "app", "name": "x", "kind": "fs.directory" }),
        ] {
            assert!(!schema.is_valid(&bad), "{bad}");
        }
    }
}
