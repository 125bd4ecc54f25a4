//! `wippy hash`: compares the hashes in the YAML with the files, and writes the right ones into it.
//!
//! Written is only where the file still says, at the very place the entry was read from, what the entry says: layout,
//! comments and everything else stay as they are.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use super::args::{Globals, Hash};
use super::console::Console;
use super::failure::{Failure, code};
use super::{open, target};
use crate::error::Error;
use crate::id::EntryId;
use crate::project::check::hash_of;
use crate::project::{Entry, Place, Project, Spec};

/// An entry with a hash, and what is true of its file.
struct Checked {
    entry: Arc<Entry>,
    /// As written; empty when it is not there.
    written: String,
    /// The hash of the file, or why there is none.
    real: Result<String, String>,
}

impl Checked {
    fn is_right(&self) -> bool {
        self.real.as_ref() == Ok(&self.written)
    }
}

/// # Errors
/// Exit 2 for an entry without a hash, 4 for one that does not exist, 1 when a file cannot be written.
pub fn run(args: &Hash, globals: &Globals, console: &Console) -> Result<u8, Failure> {
    let project = open::to_show(globals, console)?;
    let checked: Vec<Checked> = chosen(&project, &args.ids)?
        .into_iter()
        .map(|entry| check(&project, entry))
        .collect();
    let written = match args.write {
        true => write(&project, &checked)?,
        false => Vec::new(),
    };
    let mut good = true;
    for one in &checked {
        let updated = written.contains(&one.entry.id);
        good &= updated || one.is_right();
        console.answer(&line(one, updated));
        if args.write && !updated && !one.is_right() && one.real.is_ok() {
            console.say(&format!(
                "{}: not written: the hash has no line of its own; put it there by hand\n",
                one.entry.id
            ));
        }
    }
    Ok(if good { code::SUCCESS } else { code::HASH })
}

fn chosen(project: &Project, ids: &[String]) -> Result<Vec<Arc<Entry>>, Failure> {
    if ids.is_empty() {
        let all = project.registry.iter().filter(|entry| has_hash(entry));
        return Ok(all.cloned().collect());
    }
    let find = |text: &String| {
        let id = EntryId::parse(text).map_err(|error| Failure::usage(error.message()))?;
        let entry = target::any(project, &id)?;
        match has_hash(&entry) {
            true => Ok(entry),
            false => Err(Failure::usage(format!("{id} is a {}, which has no hash", entry.kind))),
        }
    };
    ids.iter().map(find).collect()
}

fn has_hash(entry: &Entry) -> bool {
    matches!(entry.kind.as_str(), "process.wasm" | "function.wasm")
}

/// From the data as written: an entry with a placeholder is broken, and just the one that is asked about.
fn check(project: &Project, entry: Arc<Entry>) -> Checked {
    let data = entry.data();
    let text = |name: &str| {
        data.get(name)
            .and_then(|value| value.as_str())
            .unwrap_or_default()
            .to_owned()
    };
    let real = real(project, &entry, &text("fs"), &text("path"));
    Checked {
        written: text("hash"),
        real,
        entry,
    }
}

fn real(project: &Project, entry: &Entry, fs: &str, path: &str) -> Result<String, String> {
    let id = EntryId::resolve(fs, entry.id.namespace()).map_err(|error| error.message().to_owned())?;
    let volume = project.registry.get(&id);
    let Some(Spec::Directory(directory)) = volume.map(|volume| &volume.spec) else {
        return Err(format!("filesystem not found: {id}"));
    };
    hash_of(directory, path).map_err(|error| format!("failed to open file: {path}: {error}"))
}

fn line(one: &Checked, updated: bool) -> String {
    let id = &one.entry.id;
    match &one.real {
        Ok(real) if updated => format!("updated  {id}  hash: {real}\n"),
        Ok(_) if one.is_right() => format!("ok       {id}\n"),
        Ok(real) if one.written.is_empty() => format!("missing  {id}  hash: {real}\n"),
        Ok(real) => format!("differs  {id}  hash: {real}\n"),
        Err(why) => format!("unknown  {id}  {why}\n"),
    }
}

/// A hash to be replaced in a file, or to be added to it.
struct Edit<'a> {
    id: &'a EntryId,
    /// Of the old hash; of the path, when there is none.
    place: Place,
    /// Empty when there is none.
    old: &'a str,
    new: &'a str,
}

/// Updates the files, and gives the entries whose hash is right now.
fn write(project: &Project, checked: &[Checked]) -> Result<Vec<EntryId>, Failure> {
    let mut by_file: BTreeMap<Arc<str>, Vec<Edit<'_>>> = BTreeMap::new();
    for edit in checked.iter().filter_map(edit) {
        by_file.entry(edit.place.file.clone()).or_default().push(edit);
    }
    let mut written = Vec::new();
    for (file, edits) in by_file {
        let path = project.folder.join(&*file);
        let done = update(&path, edits).map_err(|error| {
            let message = format!("cannot update {file}: {error}");
            Failure::new(code::FAILED, Error::internal(message))
        })?;
        written.extend(done);
    }
    Ok(written)
}

fn edit(one: &Checked) -> Option<Edit<'_>> {
    let new = one.real.as_ref().ok().filter(|_| !one.is_right())?;
    let has_field = one.entry.data().get("hash").is_some();
    // An empty text is as hard to find in a file as none.
    if has_field && one.written.is_empty() {
        return None;
    }
    Some(Edit {
        id: &one.entry.id,
        place: one.entry.place_of(&[if has_field { "hash" } else { "path" }])?,
        old: &one.written,
        new,
    })
}

/// Edits from the last to the first, so that none moves another.
fn update(path: &Path, mut edits: Vec<Edit<'_>>) -> io::Result<Vec<EntryId>> {
    let path = path.canonicalize()?;
    let mut text = fs::read_to_string(&path)?;
    edits.sort_by_key(|edit| std::cmp::Reverse((edit.place.line, edit.place.column)));
    let mut done = Vec::new();
    for edit in edits {
        let place = match edit.old {
            "" => new_line(&text, &edit).map(|(at, line)| (at..at, line)),
            // An alias, or a text in several lines: the hash stands elsewhere.
            old => offset(&text, &edit).map(|at| (at..at + old.len(), edit.new.to_owned())),
        };
        if let Some((range, new)) = place {
            text.replace_range(range, &new);
            done.push(edit.id.clone());
        }
    }
    if !done.is_empty() {
        replace(&path, &text)?;
    }
    Ok(done)
}

/// Where the old hash stands in the text; it may be in quotes.
fn offset(text: &str, edit: &Edit<'_>) -> Option<usize> {
    let above = edit.place.line.checked_sub(1)? as usize;
    let start: usize = text.split_inclusive('\n').take(above).map(str::len).sum();
    let line = text[start..].lines().next()?;
    let (column, _) = line.char_indices().nth(edit.place.column.checked_sub(1)? as usize)?;
    let quote = usize::from(line[column..].starts_with(['"', '\'']));
    let at = start + column + quote;
    text[at..].starts_with(edit.old).then_some(at)
}

/// The line of a hash that is not there yet, and where it goes: below that of the path, if the path has a line of its own.
fn new_line(text: &str, edit: &Edit<'_>) -> Option<(usize, String)> {
    let above = edit.place.line.checked_sub(1)? as usize;
    let start: usize = text.split_inclusive('\n').take(above).map(str::len).sum();
    let whole = text[start..].split_inclusive('\n').next()?;
    let line = whole.trim_end_matches(['\n', '\r']);
    let (column, _) = line.char_indices().nth(edit.place.column.checked_sub(1)? as usize)?;
    let (before, value) = line.split_at(column);
    let key = before.trim_start_matches([' ', '-']);
    let is_alone = key.trim_end().trim_end_matches(':') == "path" && !value.starts_with(['|', '>']);
    let end = &whole[line.len()..];
    let (first, last) = if end.is_empty() { ("\n", "") } else { ("", end) };
    let indent = " ".repeat(before.len() - key.len());
    is_alone.then(|| (start + whole.len(), format!("{first}{indent}hash: {}{last}", edit.new)))
}

/// The file is there, old or new, at every moment.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(fs::metadata(path)?.permissions())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_at_the_place_is_replaced() {
        let id = EntryId::new("app", "main");
        let text = "a: 1\nb: { hash: \"md5:é\" } # md5:é\n";
        let of = |line, column, old| {
            let edit = Edit {
                id: &id,
                place: Place::in_text("x.yaml", text, line, column, 1),
                old,
                new: "new",
            };
            offset(text, &edit)
        };
        assert_eq!(of(2, 12, "md5:é"), Some(5 + 12));
        assert_eq!(of(2, 12, "md5:e"), None);
        assert_eq!(of(1, 12, "md5:é"), None);
        assert_eq!(of(9, 1, "md5:é"), None);
    }
}
