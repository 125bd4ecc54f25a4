//! What `check` says about a loaded WASM entry: grants that its imports need and grants that nothing needs.
//!
//! Pure functions over a loaded program. What cannot even be loaded is an error of the entry; [`refused`] gives that error
//! its code.

use super::grants::{Grant, imports_line, meaning};
use super::linker::{Import, Provision};
use super::program::{CHANGES, WasmProgram};
use crate::error::Error;
use crate::project::diagnostic::{Code, Diagnostic};
use crate::project::entry::Entry;
use crate::value::Value;

/// Warnings about the grants of an entry.
pub fn findings(entry: &Entry, program: &WasmProgram) -> Vec<Diagnostic> {
    let written = &program.spec().imports;
    let missing = missing(program);
    let (unused, used): (Vec<&str>, Vec<&str>) = written
        .iter()
        .map(|name| name.trim())
        .partition(|name| is_unused(program, name));
    // Whichever of them is read first, the line repairs all.
    let line = imports_line(used.into_iter().chain(missing.iter().map(|(_, grant)| grant.name())));
    let mut found = Vec::new();
    for (what, grant) in &missing {
        let message = format!("{what} without the grant {grant}");
        found.push(finding(entry, Code::MissingGrant, message, line.clone()));
    }
    let unprovided = program.imports().iter().filter(|import| {
        import.callable && program.provision(import) == Provision::Missing(None) && !is_preview_1(import)
    });
    let unprovided = unprovided.map(|import| &import.name);
    for name in unprovided.chain(program.unknown_functions()) {
        let message = format!("{name} is imported, and no grant provides it: calling it ends the run");
        found.push(finding(entry, Code::MissingGrant, message, String::new()));
    }
    for unused in unused {
        let message = format!("the grant {unused} is not used by the module");
        found.push(finding(entry, Code::UnusedGrant, message, line.clone()));
    }
    found
}

/// The diagnostic for an entry that could not be loaded.
pub fn refused(entry: &Entry, error: &Error) -> Diagnostic {
    let text = error.message();
    let code = match text {
        _ if text.starts_with("hash verification failed") => Code::HashMismatch,
        _ if text.contains("is a placeholder") => Code::HashPlaceholder,
        _ if text.starts_with("invalid hash format") || text.starts_with("unsupported hash") => Code::HashFormat,
        _ if text.starts_with("failed to open file") => Code::MissingFile,
        _ if text.contains("folder not found") || text.starts_with("filesystem not found") => Code::MissingFolder,
        _ if text.starts_with("failed to call wasm method") => Code::MethodNotExported,
        _ if text.starts_with("unsupported wasm host import") || text.starts_with("wasm host import requires") => {
            Code::UnknownImport
        }
        _ if text.starts_with("failed to compile") || text.starts_with("unsupported import") => Code::WasmInvalid,
        _ => Code::BadValue,
    };
    let field: &[&str] = match code {
        Code::HashMismatch | Code::HashPlaceholder | Code::HashFormat => &["hash"],
        Code::MethodNotExported => &["method"],
        Code::MissingFolder => &["fs"],
        Code::UnknownImport => &["imports"],
        Code::BadValue => &["wit"],
        Code::WasmInvalid if entry.kind == "function.wat" => &["source"],
        _ => &["path"],
    };
    let mut diagnostic = Diagnostic::new(code, text).kind(error.kind()).about(&entry.id);
    if let Some(changes) = changes(error) {
        diagnostic = diagnostic.help(changes);
    }
    match entry.place_of(field) {
        Some(place) => diagnostic.at(place),
        None => diagnostic,
    }
}

/// What has changed in a module since its hash was right.
fn changes(error: &Error) -> Option<String> {
    let Value::Table(changes) = error.details()?.get(CHANGES)? else {
        return None;
    };
    let lines: Vec<&str> = changes.array.iter().filter_map(Value::as_str).collect();
    Some(format!(
        "since the module of that hash was used here:\n{}",
        lines.join("\n")
    ))
}

fn finding(entry: &Entry, code: Code, message: String, help: String) -> Diagnostic {
    let mut diagnostic = Diagnostic::new(code, message).about(&entry.id);
    if let Some(place) = entry.place_of(&["imports"]) {
        diagnostic = diagnostic.at(place);
    }
    match help.is_empty() {
        true => diagnostic,
        false => diagnostic.help(help),
    }
}

/// Each grant that is missing once, with the import that shows it.
fn missing(program: &WasmProgram) -> Vec<(String, Grant)> {
    let mut missing: Vec<(String, Grant)> = Vec::new();
    for import in program.imports().iter().filter(|import| import.callable) {
        if let Provision::Missing(Some(grant)) = program.provision(import)
            && missing.iter().all(|(_, known)| *known != grant)
        {
            missing.push((format!("the module imports {}", import.name), grant));
        }
    }
    if program.is_command() && !program.grants().has(Grant::Cli) {
        let what = "a command can neither read its arguments nor reach the terminal";
        missing.push((what.to_owned(), Grant::Cli));
    }
    missing
}

fn is_preview_1(import: &Import) -> bool {
    import.grant == Some(Grant::Wasi1)
}

/// Whether nothing that the module imports is covered by a grant as written.
fn is_unused(program: &WasmProgram, written: &str) -> bool {
    let Some(grant) = meaning(written) else { return false };
    !program.imports().iter().any(|import| match (grant, import.grant) {
        (Grant::Poll, Some(Grant::Io)) => import.name.starts_with("wasi:io/poll"),
        // Preview 1 is one import that takes its topics from several grants.
        (
            Grant::Cli | Grant::Filesystem | Grant::Clocks | Grant::Random | Grant::Io | Grant::Wasi1,
            Some(Grant::Wasi1),
        ) => true,
        // A component gets the same topics by that name.
        (Grant::Wasi1, Some(Grant::Cli | Grant::Filesystem | Grant::Clocks | Grant::Random)) => true,
        (grant, import) => Some(grant) == import,
    })
}
