//! What only the engines can find wrong with an entry: Lua that does not parse or takes a type for a value, modules that do not load.

use std::sync::Arc;

use super::programs::Engines;
use crate::error::Error;
use crate::id::EntryId;
use crate::lines::Lines;
use crate::lua::compile::{Source, bare, compile, without_mark};
use crate::lua::definitions;
use crate::lua::syntax::{Stop, hint, stop, types_as_values};
use crate::process::Options;
use crate::project::diagnostic::{self, is_of_another};
use crate::project::{Code, Diagnostic, Entry, Place, Registry, Spec, check};
use crate::wasm;

/// Everything an engine says about an entry. Blocks for as long as compiling takes.
pub(super) fn of(engines: &Engines, entry: &Arc<Entry>) -> Vec<Diagnostic> {
    let mut found = of_kind(engines, entry);
    if matches!(entry.spec, Spec::Lua(_) | Spec::Wasm(_)) {
        found.extend(call_options(entry));
    }
    found
}

/// What is wrong with the options of calls of an entry.
fn call_options(entry: &Entry) -> Option<Diagnostic> {
    let error = Options::read(entry.meta.get("options")?).err()?;
    Some(entry.finding(Code::BadValue, &["meta", "options"], error.to_string()))
}

fn of_kind(engines: &Engines, entry: &Arc<Entry>) -> Vec<Diagnostic> {
    match &entry.spec {
        Spec::Lua(_) | Spec::Broken => lua(entry),
        Spec::Wasm(_) => match engines.wasm.program_blocking(entry) {
            Ok(program) => wasm::findings(entry, &program),
            // The folder's own entry says it already.
            Err(error) if is_of_another(&error, &entry.id) => Vec::new(),
            Err(error) => vec![wasm::refused(entry, &error)],
        },
        Spec::Directory(spec) => check::folder(entry, spec).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// The error of the Lua program of an entry with what was found in the source it comes from, its own or a library's.
pub(super) fn explained(error: Error, id: &EntryId, registry: &Registry) -> Error {
    let Some(frame) = error.frames().first() else {
        return error;
    };
    let is_source = |entry: &&Arc<Entry>| entry.lua().is_some_and(|spec| *spec.chunk == *frame.source);
    let found = registry.iter().filter(is_source).flat_map(|entry| lua(entry));
    // Several sources may stand in one file.
    let here = |found: &Diagnostic| found.place.as_ref().is_some_and(|place| place.line == frame.line);
    let mut found: Vec<Diagnostic> = found.filter(|found| found.is_error() && here(found)).collect();
    // Also on one line.
    if found.iter().any(|found| found.entry.as_ref() == Some(id)) {
        found.retain(|found| found.entry.as_ref() == Some(id));
    }
    match found.first().and_then(|found| found.entry.clone()) {
        Some(id) => {
            let message = format!("{id}: {}", error.message());
            let named = Error::new(error.kind(), message).with_frames(error.frames().to_vec());
            diagnostic::explained(named, &found)
        }
        None => diagnostic::explained(error, &found),
    }
}

/// The syntax error of a source, or its types that are used as values, at their lines in the `.lua` or the YAML file; of an
/// entry with other errors too.
fn lua(entry: &Entry) -> Vec<Diagnostic> {
    let Some(spec) = entry.lua() else {
        return Vec::new();
    };
    // Only a fault needs its place: to find it takes another look at the whole file.
    let own = Source {
        text: spec.source.as_bytes(),
        chunk: &spec.chunk,
        lines: Lines::OWN,
    };
    let fault = compile(&own).err();
    if fault.is_none() && types(&own, &spec.imports).is_empty() {
        return Vec::new();
    }
    let source = Source {
        lines: entry.lines(),
        ..own.clone()
    };
    let found = match fault {
        None => types(&source, &spec.imports),
        Some(own) => {
            let shown = compile(&source).err();
            vec![syntax(shown.as_ref().unwrap_or(&own), &own, &source)]
        }
    };
    found
        .into_iter()
        .map(|found| in_entry(found.about(&entry.id), entry))
        .collect()
}

/// Inline source is shown as it stands in the YAML file, with its indentation.
fn in_entry(found: Diagnostic, entry: &Entry) -> Diagnostic {
    let place = found.place.as_ref().and_then(|place| entry.place_in_source(place));
    match place {
        Some(place) if entry.is_inline() => found.at(place),
        _ => found,
    }
}

/// Names of declared types where the program wants a value: there is none.
fn types(source: &Source<'_>, imports: &[(String, EntryId)]) -> Vec<Diagnostic> {
    let text = bare(source.text);
    let known = |name: &str| definitions::is_global(name) || imports.iter().any(|(alias, _)| alias == name);
    let uses = types_as_values(text, known);
    let text = String::from_utf8_lossy(text);
    let finding = |(name, at): (String, Stop)| {
        let shown = text.lines().nth(at.line as usize - 1).unwrap_or_default();
        let line = source.lines.of(at.line);
        Diagnostic::new(Code::TypeAsValue, format!("the type `{name}` is used as a value"))
            .at(Place::in_line(source.chunk, shown, line, at.column, at.length))
            .label("nil: types are erased before the program runs")
    };
    uses.into_iter().map(finding).collect()
}

/// A text that is no Lua, as a finding: the message without the place, the place as a place. `own` is the same error with the lines
/// of the text itself.
pub(super) fn syntax(error: &Error, own: &Error, source: &Source<'_>) -> Diagnostic {
    let (message, line) = apart(error, source.chunk);
    let (_, own_line) = apart(own, source.chunk);
    let text = without_mark(source.text);
    let text = if text.starts_with(b"\x1b") { b"" } else { text };
    let own_line = own_line.saturating_sub(1);
    let shown = String::from_utf8_lossy(text);
    let shown = shown.lines().nth(own_line as usize).unwrap_or_default();
    let found = Diagnostic::new(Code::LuaSyntax, message);
    match stop(text).filter(|stop| stop.line == own_line + 1) {
        Some(stop) => {
            let place = Place::in_line(source.chunk, shown, line, stop.column, stop.length);
            let found = found.at(place);
            match hint(shown, stop.column) {
                Some(hint) => found.label(hint),
                None => found,
            }
        }
        None => found.at(Place::whole_line(source.chunk, shown, line.max(1))),
    }
}

/// A message without its place, and the line.
fn apart<'a>(error: &'a Error, chunk: &str) -> (&'a str, u32) {
    let line = error.frames().first().map_or(1, |frame| frame.line);
    let lead = format!("{chunk}:{line}: ");
    let message = error.message().strip_prefix(&lead).unwrap_or(error.message());
    (message, line_of_jump(message).unwrap_or(line))
}

/// The line of a `goto` or `break` that leads nowhere: Lua finds it where the block ends, and says where it stands.
fn line_of_jump(message: &str) -> Option<u32> {
    let is_jump = message.starts_with("no visible label ")
        || message.starts_with("break outside loop")
        || message.starts_with("<goto ");
    let (_, line) = message.rsplit_once(" at line ").filter(|_| is_jump)?;
    line.split(' ').next()?.parse().ok()
}
