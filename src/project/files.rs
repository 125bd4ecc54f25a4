//! Files on the disk: which ones a project has, and reading them without trust in what they hold.
//!
//! Only regular files are opened, never more of them than a bound, and `file://` never leaves its source root, neither
//! by `..` nor by a symlink.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::config::{CONFIG, LOCK, Root};
use super::diagnostic::{Code, Diagnostic, Place};
use super::kinds::join;
use super::place::Source;
use super::yaml::{self, Node};
use crate::error::Kind;

/// Larger entry files are refused.
const LARGEST_YAML: u64 = 32 << 20;
/// Larger `file://` files are refused.
pub const LARGEST_INLINE: u64 = 64 << 20;

/// The entry files below a root, relative to it, in load order.
pub(super) fn entry_files(root: &Root, except: &Path, found: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        if let Err(error) = list(root, &folder, except, &mut files, &mut folders) {
            let shown = shown(root, &folder);
            let message = format!("cannot read folder {shown}: {error}");
            found.push(
                Diagnostic::new(Code::MissingFolder, message)
                    .kind(Kind::Internal)
                    .at(Place::file(shown)),
            );
        }
    }
    files.sort();
    files
}

fn list(
    root: &Root,
    folder: &Path,
    except: &Path,
    files: &mut Vec<PathBuf>,
    folders: &mut Vec<PathBuf>,
) -> io::Result<()> {
    for item in std::fs::read_dir(root.folder.join(folder))? {
        let item = item?;
        let path = folder.join(item.file_name());
        // Folders behind symlinks are not searched: they may lead anywhere, and back here.
        if item.file_type()?.is_dir() {
            let name = item.file_name();
            if name != "node_modules" && name != ".git" && item.path() != except {
                folders.push(path);
            }
        } else if is_entry_name(&path) && may_be_text(&item.path()) {
            files.push(path);
        }
    }
    Ok(())
}

/// A link that leads nowhere counts too: reading it says what is wrong.
fn may_be_text(path: &Path) -> bool {
    std::fs::metadata(path).map_or(true, |found| found.is_file())
}

fn is_entry_name(path: &Path) -> bool {
    let name = path.extension().and_then(|extension| extension.to_str());
    matches!(name, Some("yaml" | "yml" | "json"))
}

pub(super) fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}

/// A file of a root as diagnostics show it.
pub(super) fn shown(root: &Root, file: &Path) -> String {
    let file = file.to_string_lossy();
    match (root.shown.as_str(), &*file) {
        ("", "") => ".".to_owned(),
        ("", file) => file.to_owned(),
        (root, "") => root.to_owned(),
        (root, file) => format!("{root}/{file}"),
    }
}

/// The text of an entry file; a byte order mark is dropped.
pub(super) fn read_text(path: &Path, shown: &str) -> Result<String, Box<Diagnostic>> {
    let problem = |message: String| Box::new(Diagnostic::new(Code::YamlSyntax, message).at(Place::file(shown)));
    let bytes = read_bounded(path, LARGEST_YAML).map_err(|error| problem(format!("cannot read the file: {error}")))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)),
        Err(error) => {
            let good = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
            let line = good.matches('\n').count() + 1;
            let column = good.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            let mut place = Place::file(shown);
            place.line = u32::try_from(line).unwrap_or(u32::MAX);
            place.column = u32::try_from(column).unwrap_or(u32::MAX);
            Err(Box::new(
                Diagnostic::new(Code::YamlSyntax, "the file is not UTF-8 text").at(place),
            ))
        }
    }
}

pub(super) fn parse(source: &Source, json: bool) -> Result<Vec<Node>, Box<Diagnostic>> {
    yaml::parse(&source.text, json).map_err(|error| {
        let found = Diagnostic::new(Code::YamlSyntax, error.message).at(source.at(error.line, error.column, 1));
        let line = found.place.as_ref().map_or("", |place| place.text.as_str());
        let has_tab = !json && line.trim_start_matches(' ').starts_with('\t');
        Box::new(found.label(if has_tab {
            "YAML is indented with spaces, not tabs"
        } else {
            ""
        }))
    })
}

fn read_bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // Asked before opening: opening a FIFO would wait for its other end.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("larger than {}", crate::size::format(most))));
    }
    Ok(bytes)
}

/// A file that a `file://` names: its text, and where it is, relative to the root.
pub(super) struct Inlined {
    pub text: String,
    pub file: PathBuf,
}

/// Reads what `file://…` names: relative to the folder of the YAML file, or with `file:///` to the root.
pub(super) fn inline(root: &Root, yaml: &Path, reference: &str) -> Result<Inlined, Box<Diagnostic>> {
    let path = reference.strip_prefix("file://").unwrap_or(reference);
    if path.trim().is_empty() {
        return Err(Box::new(Diagnostic::new(Code::BadValue, "`file://` needs a path")));
    }
    let folder = match path.starts_with('/') {
        true => root.folder.clone(),
        false => root.folder.join(yaml.parent().unwrap_or(Path::new(""))),
    };
    let path = join(&folder, path.trim_start_matches('/'));
    let unreadable = |error: &io::Error| {
        let missing = error.kind() == io::ErrorKind::NotFound;
        let why = if missing {
            "there is no such file".to_owned()
        } else {
            error.to_string()
        };
        let looked = path.strip_prefix(&root.folder).unwrap_or(&path);
        let found = Diagnostic::new(Code::MissingFile, format!("cannot read `{reference}`: {why}"))
            .kind(Kind::Internal)
            .label(if missing {
                format!("looked for {}", shown(root, looked))
            } else {
                String::new()
            });
        Box::new(found)
    };
    let traversal = || {
        let message = format!("path traversal: `{reference}` leaves the source root");
        Box::new(Diagnostic::new(Code::BadValue, message))
    };
    if !path.starts_with(&root.folder) {
        return Err(traversal());
    }
    let real = path.canonicalize().map_err(|error| unreadable(&error))?;
    let Ok(file) = real.strip_prefix(&root.folder) else {
        return Err(traversal());
    };
    let bytes = read_bounded(&real, LARGEST_INLINE).map_err(|error| unreadable(&error))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        let byte = error.as_bytes()[good.len()];
        unreadable(&io::Error::other(format!(
            "not UTF-8 text: line {line} has the byte 0x{byte:02x}"
        )))
    })?;
    Ok(Inlined {
        text,
        file: file.to_owned(),
    })
}

/// The project folder for a place on the disk: the nearest folder, going up, with a `wippy.lock`, a `.wippy.yaml` or an
/// entry file. A folder `src` with entry files and what is below it belong to the project above.
pub fn find(start: &Path) -> Option<PathBuf> {
    let start = start.canonicalize().ok()?;
    let own = |folder: &&Path| is_marked(folder) || has_entry_file(folder) || has_entry_file(&folder.join("src"));
    let Some(nearest) = start.ancestors().find(own) else {
        // Entry files further down make a project of the folder that one stands in, and of no other.
        return has_entry_file_below(&start.join("src")).then_some(start);
    };
    if is_marked(nearest) {
        return Some(nearest.to_owned());
    }
    let above = nearest.ancestors().skip(1);
    let holds = |folder: &&Path| {
        let source = folder.join("src");
        nearest.starts_with(&source) && (is_marked(folder) || has_entry_file(&source))
    };
    Some(above.into_iter().find(holds).unwrap_or(nearest).to_owned())
}

/// How deep, and in how many folders, it is looked for an entry file: a `src` may be vast.
const DEEPEST_LOOK: usize = 4;
const MOST_FOLDERS: usize = 100;

/// Items of the folders of one depth that are looked at.
const MOST_ITEMS: usize = 1_000;

/// Whether there is an entry file at any depth, folders that are projects themselves left out.
fn has_entry_file_below(folder: &Path) -> bool {
    let (mut level, mut left) = (vec![folder.to_owned()], MOST_FOLDERS);
    for _ in 0..DEEPEST_LOOK {
        level.truncate(left);
        left -= level.len();
        if level.iter().any(|folder| has_entry_file(folder)) {
            return true;
        }
        let items = level
            .iter()
            .filter_map(|folder| std::fs::read_dir(folder).ok())
            .flatten();
        let folders = items.flatten().take(MOST_ITEMS).filter(|item| {
            // A link to a folder may lead anywhere, also up.
            let is_hidden = item.file_name().as_encoded_bytes().starts_with(b".");
            !is_hidden && item.file_type().is_ok_and(|kind| kind.is_dir())
        });
        let paths = folders.map(|item| item.path());
        level = paths
            .filter(|path| !is_marked(path) && !has_entry_file(&path.join("src")))
            .collect();
    }
    false
}

fn is_marked(folder: &Path) -> bool {
    folder.join(LOCK).is_file() || folder.join(CONFIG).is_file()
}

fn has_entry_file(folder: &Path) -> bool {
    let Ok(items) = std::fs::read_dir(folder) else {
        return false;
    };
    let paths = items.flatten().map(|item| item.path());
    paths
        .filter(|path| is_entry_name(path))
        .any(|path| is_entry_file(&path))
}

/// Whether a line is a key `namespace` at top level with a plain word behind it.
fn names_namespace(line: &str) -> bool {
    let word = line.strip_prefix("namespace:").map(str::trim).unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    // Some of YAML's versions take these for something else than texts.
    let is_other = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
        .iter()
        .any(|other| word.eq_ignore_ascii_case(other));
    word.starts_with(|c: char| c.is_ascii_alphabetic()) && word.chars().all(is_plain) && !is_other
}

fn is_entry_file(path: &Path) -> bool {
    let text = read_bounded(path, LARGEST_YAML)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(text) = text.filter(|text| text.contains("namespace")) else {
        return false;
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    // A file of thousands of entries need not be read as a whole to see what it is.
    if !is_json(path) && text.lines().any(names_namespace) {
        return true;
    }
    match yaml::parse(text, is_json(path)) {
        Ok(documents) => documents
            .iter()
            .any(|document| matches!(document.get("namespace"), Some(Node::Str(_)))),
        // A mistake in its only file does not make a project disappear.
        Err(_) if is_json(path) => text.contains("\"namespace\"") && text.contains("\"entries\""),
        Err(_) => text.lines().any(|line| line.starts_with("namespace:")),
    }
}
