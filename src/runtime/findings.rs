//! What only the engines can find wrong with an entry: Lua that does not parse, modules that do not load.

use std::sync::Arc;

use super::programs::Engines;
use crate::error::Error;
use crate::lua::compile::{Source, compile, without_mark};
use crate::lua::syntax::stop;
use crate::process::Options;
use crate::project::{Code, Diagnostic, Entry, Place, Spec, check};
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
        Spec::Lua(_) | Spec::Broken => lua(entry).into_iter().collect(),
        Spec::Wasm(_) => match engines.wasm.program_blocking(entry) {
            Ok(program) => wasm::findings(entry, &program),
            // The folder's own entry says it already.
            Err(error) if is_of_another(&error) => Vec::new(),
            Err(error) => vec![wasm::refused(entry, &error)],
        },
        Spec::Directory(spec) => check::folder(entry, spec).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Whether an error is the refusal of a broken entry, which was found where it is.
fn is_of_another(error: &Error) -> bool {
    error
        .details()
        .is_some_and(|details| details.get("diagnostics").is_some())
}

/// The syntax error of a source, at its line in the `.lua` or the YAML file; of an entry with other errors too.
fn lua(entry: &Entry) -> Option<Diagnostic> {
    let spec = entry.lua()?;
    let source = Source {
        text: spec.source.as_bytes(),
        chunk: &spec.chunk,
        first_line: spec.first_line,
    };
    // Only a fault needs its line, which Lua finds by going through all the lines above.
    compile(&Source {
        first_line: 1,
        ..source.clone()
    })
    .err()?;
    let found = syntax(&compile(&source).err()?, &source).about(&entry.id);
    // Inline source is shown as it stands in the YAML file, with its indentation.
    let place = found.place.as_ref().and_then(|place| entry.place_in_source(place));
    Some(match place {
        Some(place) if spec.first_line > 1 => found.at(place),
        _ => found,
    })
}

/// A text that is no Lua, as a finding: the message without the place, the place as a place.
pub(super) fn syntax(error: &Error, source: &Source<'_>) -> Diagnostic {
    let line = error.frames().first().map_or(source.first_line, |frame| frame.line);
    let lead = format!("{}:{line}: ", source.chunk);
    let message = error.message().strip_prefix(&lead).unwrap_or(error.message());
    let text = without_mark(source.text);
    let text = if text.starts_with(b"\x1b") { b"" } else { text };
    let own_line = line.saturating_sub(source.first_line);
    let shown = String::from_utf8_lossy(text);
    let shown = shown.lines().nth(own_line as usize).unwrap_or_default();
    let place = match stop(text).filter(|stop| stop.line == own_line + 1) {
        Some(stop) => Place::in_line(source.chunk, shown, line, stop.column, stop.length),
        None => Place::whole_line(source.chunk, shown, line.max(1)),
    };
    Diagnostic::new(Code::LuaSyntax, message).at(place)
}
