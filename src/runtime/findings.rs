//! What only the engines can find wrong with an entry: Lua that does not parse, modules that do not load.

use std::sync::Arc;

use super::programs::Engines;
use crate::error::Error;
use crate::lua::compile::{Source, compile};
use crate::project::{Code, Diagnostic, DirectorySpec, Entry, LuaSpec, Place, Spec};
use crate::wasm;

/// Everything an engine says about an entry. Blocks for as long as compiling takes.
pub(super) fn of(engines: &Engines, entry: &Arc<Entry>) -> Vec<Diagnostic> {
    match &entry.spec {
        Spec::Lua(spec) => lua(entry, spec).into_iter().collect(),
        Spec::Wasm(_) => match engines.wasm.program_blocking(entry) {
            Ok(program) => wasm::findings(entry, &program),
            Err(error) => vec![wasm::refused(entry, &error)],
        },
        Spec::Directory(spec) => folder(entry, spec).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// A folder that is not there, and that nobody will make.
fn folder(entry: &Entry, spec: &DirectorySpec) -> Option<Diagnostic> {
    if spec.auto_init || spec.path.is_dir() {
        return None;
    }
    let found = Diagnostic::new(Code::MissingFolder, format!("folder not found: {}", spec.written));
    let found = found.about(&entry.id).label("`auto_init: true` would make it");
    Some(match entry.place_of(&["directory"]) {
        Some(place) => found.at(place),
        None => found,
    })
}

/// The syntax error of a source, at its line in the `.lua` or the YAML file.
fn lua(entry: &Entry, spec: &LuaSpec) -> Option<Diagnostic> {
    let source = Source {
        text: &spec.source,
        chunk: &spec.chunk,
        first_line: spec.first_line,
    };
    compile(&source)
        .err()
        .map(|error| syntax(&error, &source).about(&entry.id))
}

/// A text that is no Lua, as a finding: the message without the place, the place as a place.
pub(super) fn syntax(error: &Error, source: &Source<'_>) -> Diagnostic {
    let line = error.frames().first().map_or(source.first_line, |frame| frame.line);
    let lead = format!("{}:{line}: ", source.chunk);
    let message = error.message().strip_prefix(&lead).unwrap_or(error.message());
    let shown = source.text.lines().nth(line.saturating_sub(source.first_line) as usize);
    let shown = shown.filter(|_| !source.text.starts_with('\x1b')).unwrap_or_default();
    let indent = shown.chars().take_while(|c| c.is_whitespace()).count();
    let place = Place {
        file: source.chunk.into(),
        line: line.max(1),
        column: indent as u32 + 1,
        length: (shown.trim().chars().count() as u32).max(1),
        text: shown.to_owned(),
    };
    Diagnostic::new(Code::LuaSyntax, message).at(place)
}
