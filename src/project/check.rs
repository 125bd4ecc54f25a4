//! Findings that need more than one entry, or a look at the disk.

use std::io;

use super::diagnostic::{Code, Diagnostic};
use super::entry::{DirectorySpec, Entry};
use crate::error::Kind;

/// Why the folder of an `fs.directory` cannot be opened.
pub fn folder_problem(entry: &Entry, spec: &DirectorySpec, error: &io::Error) -> Diagnostic {
    let missing = error.kind() == io::ErrorKind::NotFound;
    let found = match error.kind() {
        io::ErrorKind::NotFound => Diagnostic::new(Code::MissingFolder, format!("folder not found: {}", spec.written)),
        io::ErrorKind::NotADirectory => Diagnostic::new(Code::MissingFolder, format!("not a folder: {}", spec.written)),
        _ => Diagnostic::new(
            Code::MissingFolder,
            format!("cannot open folder {}: {error}", spec.written),
        )
        .kind(Kind::Internal),
    };
    let found = found.about(&entry.id).label(if missing {
        "`auto_init: true` would create it"
    } else {
        ""
    });
    match entry.place_of(&["directory"]) {
        Some(place) => found.at(place),
        None => found,
    }
}
