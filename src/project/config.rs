//! Where the sources of a project are (`wippy.lock`) and how the runtime is set up (`.wippy.yaml`). Both may be absent.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::diagnostic::{Code, Diagnostic};
use super::entry::Limits;
use super::fields::{Fields, Reader};
use super::files;
use super::kinds::join;
use super::load::Origin;
use super::near::nearest;
use super::place::Source;
use super::yaml::{Map, Node};
use crate::log::Level;

pub const LOCK: &str = "wippy.lock";
pub const CONFIG: &str = ".wippy.yaml";

/// What `.wippy.yaml` says, with the defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub logger: Logger,
    /// How long a shutdown may take in all.
    pub shutdown_timeout: Duration,
    /// Bytes; for entries that say nothing. 0 is none.
    pub max_memory: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            logger: Logger::default(),
            shutdown_timeout: Duration::from_secs(30),
            max_memory: Limits::default().max_memory,
        }
    }
}

/// How log records are shown, unless the command line says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Logger {
    /// Those below are not shown.
    pub level: Option<Level>,
    /// Each as a JSON object.
    pub json: Option<bool>,
}

/// Sections that are known and change nothing, and why.
const WITHOUT_EFFECT: [(&str, &str); 2] = [
    ("lua", "Lua has no settings but the limits of its entries"),
    ("security", "there are no policies, every operation is allowed"),
];

const LEVELS: [(&str, Level); 4] = [
    ("debug", Level::Debug),
    ("info", Level::Info),
    ("warn", Level::Warn),
    ("error", Level::Error),
];

const ENCODINGS: [(&str, bool); 2] = [("console", false), ("json", true)];

impl Logger {
    /// That of the project in a folder, which is the default for whatever is wrong: loading the project tells what.
    pub fn of(folder: &Path) -> Logger {
        Config::read(folder, &mut Vec::new()).logger
    }

    fn read(fields: &Fields<'_>) -> Logger {
        Logger {
            level: fields.word("level", &LEVELS, "invalid log level"),
            json: fields.word("encoding", &ENCODINGS, "invalid log encoding"),
        }
    }
}

impl Config {
    /// The limits of an entry that has none of its own.
    pub fn limits(&self) -> Limits {
        Limits {
            max_memory: self.max_memory,
            ..Limits::default()
        }
    }

    pub(super) fn read(folder: &Path, found: &mut Vec<Diagnostic>) -> Config {
        let mut config = Config::default();
        with_file(folder, CONFIG, found, |fields| {
            let [logger, shutdown, limits] = ["logger", "shutdown", "limits"].map(|name| fields.map(name));
            tell_typos(fields, "", &["logger", "lua", "security", "shutdown", "limits"]);
            tell_typos(&logger, "logger.", &["level", "encoding"]);
            tell_typos(&shutdown, "shutdown.", &["timeout"]);
            tell_typos(&limits, "limits.", &["max_memory"]);
            config.logger = Logger::read(&logger);
            for (name, why) in WITHOUT_EFFECT.into_iter().filter(|(name, _)| fields.has(name)) {
                let found = Diagnostic::new(Code::NoEffect, format!("`{name}` has no effect: {why}"));
                fields.reader.report_key(&fields.steps(name), found);
            }
            if let Some(timeout) = shutdown.duration("timeout") {
                config.shutdown_timeout = timeout;
            }
            if let Some(bytes) = limits.size("max_memory", Code::LimitRange) {
                config.max_memory = bytes;
            }
        });
        config
    }
}

/// A name that is near to a known one is a typo. Whatever else there is belongs to somebody else.
fn tell_typos(fields: &Fields<'_>, section: &str, known: &[&str]) {
    for name in fields.names().filter(|name| !known.contains(name)) {
        if let Some(near) = nearest(name, known.iter().copied()) {
            let message = format!("`{CONFIG}` has no setting `{section}{name}`");
            let found = Diagnostic::new(Code::UnknownField, message).label(format!("did you mean `{near}`?"));
            fields.reader.report_key(&fields.steps(name), found);
        }
    }
}

/// A folder whose files are read.
#[derive(Clone, Debug)]
pub(super) struct Root {
    /// Without symlinks.
    pub folder: PathBuf,
    /// How its files are shown: `src`, `../lib`, or empty for the project folder.
    pub shown: String,
    /// The folder above its `src`.
    pub module: PathBuf,
    /// A replacement or an installed package.
    pub is_package: bool,
}

/// The source roots in load order.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    pub roots: Vec<Arc<Root>>,
    /// Not to be searched as part of another root.
    pub modules: PathBuf,
}

impl Layout {
    pub fn read(folder: &Path, found: &mut Vec<Diagnostic>) -> Layout {
        let mut layout = Layout {
            modules: folder.join(".wippy"),
            ..Layout::default()
        };
        if folder.join(LOCK).exists() {
            with_file(folder, LOCK, found, |fields| layout.locked(folder, fields));
        } else {
            let source = if folder.join("src").is_dir() { "./src" } else { "." };
            layout.add(folder, source, false);
        }
        layout
    }

    /// A further root; one that is not there is left out.
    pub fn add_root(&mut self, folder: &Path, root: &Path) {
        self.add(folder, &root.display().to_string(), false);
    }

    fn locked(&mut self, folder: &Path, fields: &Fields<'_>) {
        let directories = fields.map("directories");
        suggest(fields, &["directories", "replacements", "modules"]);
        suggest(&directories, &["src", "modules"]);
        let source = directories.text("src").unwrap_or_else(|| "./src".into());
        let modules = directories.text("modules").unwrap_or_else(|| ".wippy".into());
        self.modules = join(folder, &modules);
        // Without the field the folder need not be there: a project may have no entries of its own.
        if !self.add(folder, &source, false) && directories.has("src") {
            directories.bad(
                "src",
                Diagnostic::new(Code::MissingFolder, format!("folder not found: {source}")),
            );
        }
        let mut replaced = Vec::new();
        for item in fields.maps("replacements") {
            let (from, to) = (item.required("from"), item.required("to"));
            if !to.is_empty() && !self.add(folder, &to, true) {
                item.bad(
                    "to",
                    Diagnostic::new(Code::MissingFolder, format!("folder not found: {to}")),
                );
            }
            replaced.push(from);
        }
        for item in fields.maps("modules") {
            let name = item.required("name");
            if name.is_empty() || replaced.contains(&name) {
                continue;
            }
            let written = format!("{modules}/{name}");
            let is_inside = !name.starts_with('/') && !name.split('/').any(|part| part == "..");
            if !is_inside || !self.add(folder, &written, true) {
                let message = format!("package `{name}` is not installed: folder not found: {written}");
                item.bad("name", Diagnostic::new(Code::MissingFolder, message));
            }
        }
    }

    /// Whether the folder is there.
    fn add(&mut self, project: &Path, written: &str, is_package: bool) -> bool {
        let path = join(project, written);
        let Ok(folder) = path.canonicalize() else { return false };
        if !folder.is_dir() {
            return false;
        }
        if self.roots.iter().any(|root| root.folder == folder) {
            return true;
        }
        let module = match path.file_name() {
            Some(name) if name == "src" => path.parent().unwrap_or(project).to_owned(),
            _ => path.clone(),
        };
        let shown = match path.strip_prefix(project) {
            Ok(inside) => inside.to_string_lossy().into_owned(),
            Err(_) => written.trim_end_matches('/').to_owned(),
        };
        self.roots.push(Arc::new(Root {
            folder,
            shown,
            module,
            is_package,
        }));
        true
    }
}

/// Points at fields that are nearly one of those that count. Others may be meant for other tools.
fn suggest(fields: &Fields<'_>, known: &[&str]) {
    let names = fields.names().filter(|name| !known.contains(name));
    for (name, meant) in names.filter_map(|name| Some((name, nearest(name, known.iter().copied())?))) {
        let found = Diagnostic::new(Code::UnknownField, format!("`{LOCK}` has no field `{name}`"));
        let steps = fields.steps(name);
        fields
            .reader
            .report_key(&steps, found.label(format!("did you mean `{meant}`?")));
    }
}

/// Reads one configuration file, if it is there, and reports what is wrong with it.
fn with_file(folder: &Path, name: &str, found: &mut Vec<Diagnostic>, read: impl FnOnce(&Fields<'_>)) {
    let path = folder.join(name);
    if !path.exists() {
        return;
    }
    let text = match files::read_text(&path, name) {
        Ok(text) => text,
        Err(problem) => return found.push(*problem),
    };
    let source = Arc::new(Source::new(name, text));
    let mut documents = match files::parse(&source, false) {
        Ok(documents) => documents,
        Err(problem) => return found.push(*problem),
    };
    let origin = Origin::file(source);
    let reader = Reader::new(&origin, None);
    let empty = Map::default();
    match documents.drain(..).next() {
        Some(Node::Map(map)) => read(&Fields::new(&reader, &map)),
        Some(Node::Null) | None => read(&Fields::new(&reader, &empty)),
        Some(other) => {
            let message = format!("`{name}` must hold a map, not {}", other.type_name());
            reader.report(Diagnostic::new(Code::WrongType, message));
            read(&Fields::new(&reader, &empty));
        }
    }
    found.extend(reader.finish());
}
