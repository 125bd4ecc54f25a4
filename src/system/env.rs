//! The environment as entries declare it: variables with a public name, kept in storages.
//!
//! Programs never see the operating system's environment directly; only a declared `env.variable` whose storage is
//! `env.storage.os` lets one value of it through. An empty value counts as unset everywhere. File storages are read and
//! written right here, small and rarely: callers on a worker accept that.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};
use crate::id::EntryId;
use crate::lock::lock;
use crate::project::diagnostic::refusal;
use crate::project::{Entry, FileStorageSpec, Spec, StorageSpec, VariableSpec};

/// Storages that refer to storages end here, should a circle have come through the checks.
const DEEPEST: usize = 32;

/// All declared variables and their storages.
#[derive(Debug, Default)]
pub struct Env {
    variables: HashMap<EntryId, Result<VariableSpec>>,
    /// Public names, in load order; of two equal ones the first counts.
    names: Vec<(String, EntryId)>,
    by_name: HashMap<String, EntryId>,
    storages: HashMap<EntryId, Result<Storage>>,
}

#[derive(Debug)]
enum Storage {
    Memory(Mutex<HashMap<String, String>>),
    Os,
    Static(HashMap<String, String>),
    File(FileStorage),
    Router {
        storages: Vec<EntryId>,
        /// First hits, and what was written through this router.
        cache: Mutex<HashMap<String, String>>,
    },
}

impl Env {
    /// For the `env.*` entries among those given. Touches neither files nor the system's environment.
    pub fn new<'a>(entries: impl IntoIterator<Item = &'a Arc<Entry>>) -> Env {
        let mut env = Env::default();
        entries.into_iter().for_each(|entry| env.add(entry));
        env
    }

    /// Makes an `env.*` entry known, in place of one with its id. One of another kind only takes its place.
    pub fn declare(&mut self, entry: &Entry) {
        self.forget(&entry.id);
        self.add(entry);
    }

    /// The entry of that id is gone.
    pub fn forget(&mut self, id: &EntryId) {
        self.names.retain(|(_, other)| other != id);
        self.by_name.retain(|_, other| other != id);
        self.variables.remove(id);
        self.storages.remove(id);
    }

    fn add(&mut self, entry: &Entry) {
        if entry.kind == "env.variable" {
            self.add_variable(entry);
        } else if entry.kind.starts_with("env.storage.") {
            self.add_storage(entry);
        }
    }

    fn add_variable(&mut self, entry: &Entry) {
        let variable = match (&entry.spec, refusal(&entry.id, &entry.problems)) {
            (Spec::Variable(spec), None) => Ok(spec.clone()),
            (_, Some(error)) => Err(error),
            (_, None) => return,
        };
        // A broken variable is still found by its name, so that its error is what a program gets.
        let name = match &variable {
            Ok(spec) => spec.name.clone(),
            Err(_) => entry
                .data()
                .get("variable")
                .and_then(|name| name.as_str().map(str::to_owned)),
        };
        if let Some(name) = name.filter(|name| !self.by_name.contains_key(name)) {
            self.by_name.insert(name.clone(), entry.id.clone());
            self.names.push((name, entry.id.clone()));
        }
        self.variables.insert(entry.id.clone(), variable);
    }

    fn add_storage(&mut self, entry: &Entry) {
        let storage = match (&entry.spec, refusal(&entry.id, &entry.problems)) {
            (Spec::Storage(spec), None) => Ok(Storage::new(spec)),
            (_, Some(error)) => Err(error),
            (_, None) => return,
        };
        self.storages.insert(entry.id.clone(), storage);
    }

    /// The value of a declared variable: `key` is its public name, its id, or its name in `namespace`.
    ///
    /// # Errors
    /// Invalid `empty key`; NotFound for what is not declared or has neither a value nor a default; the error of a
    /// broken entry.
    pub fn get(&self, key: &str, namespace: &str) -> Result<String> {
        let id = self.find(key, namespace)?;
        self.value(&id)?.ok_or_else(|| not_found(key))
    }

    /// The value of the variable with that id.
    ///
    /// # Errors
    /// As [`Env::get`].
    pub fn get_id(&self, id: &EntryId) -> Result<String> {
        self.value(id)?.ok_or_else(|| not_found(id.as_str()))
    }

    /// Whether a variable of that id is declared.
    pub fn is_declared(&self, id: &EntryId) -> bool {
        self.variables.contains_key(id)
    }

    /// Stores a value.
    ///
    /// # Errors
    /// Invalid `empty key`; NotFound for what is not declared; PermissionDenied for a read-only variable or storage;
    /// Internal when a file cannot be written.
    pub fn set(&self, key: &str, namespace: &str, value: &str) -> Result<()> {
        let id = self.find(key, namespace)?;
        let spec = self.variable(&id)?;
        if spec.read_only {
            return Err(Error::permission_denied(format!(
                "environment variable is read-only: {key}"
            )));
        }
        self.write(&spec.storage, storage_key(&id, spec), value, 0)
    }

    /// Name and value of every variable that has a public name, which `wanted` is asked for, and a value, in load order. One
    /// that is declared wrongly, or whose storage is not declared, has none.
    ///
    /// # Errors
    /// Internal when a storage cannot be read.
    pub fn all(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<(String, String)>> {
        let names = self.names.iter().filter(|(name, _)| wanted(name));
        let pairs = names.filter_map(|(name, id)| match self.value(id) {
            Ok(value) => Some(Ok((name.clone(), value?))),
            Err(error) if error.kind() == Kind::Internal => Some(Err(error)),
            Err(_) => None,
        });
        pairs.collect()
    }

    fn find(&self, key: &str, namespace: &str) -> Result<EntryId> {
        if key.is_empty() {
            return Err(Error::invalid("empty key"));
        }
        if let Some(id) = self.by_name.get(key) {
            return Ok(id.clone());
        }
        let ids = [EntryId::parse(key).ok(), Some(EntryId::new(namespace, key))];
        let mut ids = ids.into_iter().flatten();
        ids.find(|id| self.variables.contains_key(id))
            .ok_or_else(|| not_found(key))
    }

    fn variable(&self, id: &EntryId) -> Result<&VariableSpec> {
        let variable = self.variables.get(id).ok_or_else(|| not_found(id.as_str()))?;
        variable.as_ref().map_err(Clone::clone)
    }

    fn value(&self, id: &EntryId) -> Result<Option<String>> {
        let spec = self.variable(id)?;
        let stored = self.read(&spec.storage, storage_key(id, spec), 0)?;
        Ok(stored
            .or_else(|| spec.default.clone())
            .filter(|value| !value.is_empty()))
    }

    fn storage(&self, id: &EntryId, depth: usize) -> Result<&Storage> {
        if depth > DEEPEST {
            return Err(Error::invalid(format!(
                "environment storages refer to each other in a circle: {id}"
            )));
        }
        let missing = || Error::not_found(format!("environment storage not found: {id}"));
        self.storages
            .get(id)
            .ok_or_else(missing)?
            .as_ref()
            .map_err(Clone::clone)
    }

    fn read(&self, id: &EntryId, key: &str, depth: usize) -> Result<Option<String>> {
        let value = match self.storage(id, depth)? {
            Storage::Memory(values) => lock(values).get(key).cloned(),
            Storage::Os => std::env::var_os(key).map(|value| value.to_string_lossy().into_owned()),
            Storage::Static(values) => values.get(key).cloned(),
            Storage::File(file) => file.get(key)?,
            Storage::Router { storages, cache } => self.read_routed(storages, cache, key, depth)?,
        };
        Ok(value.filter(|value| !value.is_empty()))
    }

    fn read_routed(
        &self,
        storages: &[EntryId],
        cache: &Mutex<HashMap<String, String>>,
        key: &str,
        depth: usize,
    ) -> Result<Option<String>> {
        if let Some(value) = lock(cache).get(key) {
            return Ok(Some(value.clone()));
        }
        for storage in storages {
            if let Some(value) = self.read(storage, key, depth + 1)? {
                lock(cache).insert(key.to_owned(), value.clone());
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn write(&self, id: &EntryId, key: &str, value: &str, depth: usize) -> Result<()> {
        match self.storage(id, depth)? {
            Storage::Memory(values) => {
                lock(values).insert(key.to_owned(), value.to_owned());
                Ok(())
            }
            Storage::Os | Storage::Static(_) => Err(Error::permission_denied(format!(
                "environment storage is read-only: {id}"
            ))),
            Storage::File(file) => file.set(key, value),
            Storage::Router { storages, cache } => {
                let first = storages.first().ok_or_else(|| not_found(key))?;
                self.write(first, key, value, depth + 1)?;
                let mut cache = lock(cache);
                // As good as not set, so that the other storages are asked again.
                match value.is_empty() {
                    true => cache.remove(key),
                    false => cache.insert(key.to_owned(), value.to_owned()),
                };
                Ok(())
            }
        }
    }
}

fn not_found(key: &str) -> Error {
    Error::not_found(format!("environment variable not found: {key}"))
}

/// The key in the storage: the public name, or the entry's own name without one.
fn storage_key<'a>(id: &'a EntryId, spec: &'a VariableSpec) -> &'a str {
    spec.name.as_deref().unwrap_or_else(|| id.name())
}

impl Storage {
    fn new(spec: &StorageSpec) -> Storage {
        match spec {
            StorageSpec::Memory => Storage::Memory(Mutex::default()),
            StorageSpec::Os => Storage::Os,
            StorageSpec::Static(values) => Storage::Static(values.iter().cloned().collect()),
            StorageSpec::File(spec) => Storage::File(FileStorage::new(spec.clone())),
            StorageSpec::Router(storages) => Storage::Router {
                storages: storages.clone(),
                cache: Mutex::default(),
            },
        }
    }
}

/// `KEY=VALUE` lines in a file. What others write to the file is seen; our own writes leave the lines of other keys alone.
#[derive(Debug)]
struct FileStorage {
    spec: FileStorageSpec,
    /// What was read last, and the file it was read from.
    known: Mutex<Option<(Stamp, Vec<Line>)>>,
}

/// Changes whenever the file does.
type Stamp = (u64, u64, i64, i64);

#[derive(Clone, Debug, PartialEq)]
struct Line {
    /// As it is written.
    text: String,
    /// Key and value; none in a comment, an empty line, or one that is no pair.
    pair: Option<(String, String)>,
}

/// Larger files are no environment.
const LARGEST_FILE: u64 = 16 << 20;

/// How long a write waits for others who write to the file.
const PATIENCE: Duration = Duration::from_secs(2);

impl FileStorage {
    fn new(spec: FileStorageSpec) -> FileStorage {
        FileStorage {
            spec,
            known: Mutex::default(),
        }
    }

    fn get(&self, key: &str) -> Result<Option<String>> {
        let mut known = lock(&self.known);
        self.refresh(&mut known).map_err(|error| self.failed("read", &error))?;
        let mut lines = known.iter().flat_map(|(_, lines)| lines).rev();
        Ok(lines.find_map(|line| line.value_of(key)).map(str::to_owned))
    }

    fn set(&self, key: &str, value: &str) -> Result<()> {
        // Until the end nobody else who asks writes to it: another storage of the same file, another program of ours.
        let _held = self.hold().map_err(|error| self.failed("read", &error))?;
        let mut known = lock(&self.known);
        *known = None;
        self.refresh(&mut known).map_err(|error| self.failed("read", &error))?;
        if known.is_none() && !self.spec.auto_create {
            return Err(Error::not_found(format!(
                "environment file not found: {} (auto_create is false)",
                self.spec.written
            )));
        }
        let mut lines = known.take().map_or_else(Vec::new, |(_, lines)| lines);
        replace(&mut lines, key, value);
        self.save(&lines).map_err(|error| self.failed("write", &error))
    }

    fn failed(&self, what: &str, error: &io::Error) -> Error {
        Error::internal(format!("cannot {what} environment file {}: {error}", self.spec.written))
    }

    /// The file, locked for whoever asks for that too. None when it is not there, or its file system knows no locks.
    fn hold(&self) -> io::Result<Option<fs::File>> {
        let began = Instant::now();
        while self.metadata()?.is_some() {
            let file = fs::File::open(&self.spec.path)?;
            match file.try_lock() {
                // Who held it before may have put another one in its place.
                Ok(()) if fs::metadata(&self.spec.path)?.ino() == file.metadata()?.ino() => return Ok(Some(file)),
                Ok(()) => {}
                Err(fs::TryLockError::Error(_)) => return Ok(None),
                Err(fs::TryLockError::WouldBlock) if began.elapsed() > PATIENCE => {
                    return Err(io::Error::other("another program holds a lock on it"));
                }
                Err(fs::TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        Ok(None)
    }

    /// Reads the file if it changed. Nothing is known of a file that is not there.
    fn refresh(&self, known: &mut Option<(Stamp, Vec<Line>)>) -> io::Result<()> {
        let Some(meta) = self.metadata()? else {
            *known = None;
            return Ok(());
        };
        let stamp = (meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec());
        if known.as_ref().is_none_or(|(old, _)| *old != stamp) {
            *known = Some((stamp, parse(&read_bounded(&self.spec.path)?)));
        }
        Ok(())
    }

    fn metadata(&self) -> io::Result<Option<fs::Metadata>> {
        match fs::metadata(&self.spec.path) {
            Ok(meta) if meta.is_file() => Ok(Some(meta)),
            Ok(_) => Err(io::Error::other("not a regular file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.spec.auto_create => {
                self.create()?;
                fs::metadata(&self.spec.path).map(Some)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn create(&self) -> io::Result<()> {
        if let Some(folder) = self.spec.path.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(self.spec.dir_mode)
                .create(folder)?;
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(self.spec.file_mode);
        match options.open(&self.spec.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    /// Replaces the file in one step: a reader sees the old text or the new one, never half of it.
    fn save(&self, lines: &[Line]) -> io::Result<()> {
        // A symlink keeps pointing; the file behind it is replaced.
        let path = self.spec.path.canonicalize().unwrap_or_else(|_| self.spec.path.clone());
        let mode = fs::metadata(&path).map_or(self.spec.file_mode, |meta| meta.permissions().mode());
        let folder = path.parent().unwrap_or(Path::new("."));
        let text = print(lines);
        if text.len() as u64 > LARGEST_FILE {
            return Err(too_large());
        }
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file()
            .set_permissions(fs::Permissions::from_mode(mode & 0o777))?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(())
    }
}

fn too_large() -> io::Error {
    io::Error::other("larger than 16 MiB")
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(too_large());
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("not UTF-8 text"))
}

fn parse(text: &str) -> Vec<Line> {
    text.lines().map(Line::parse).collect()
}

impl Line {
    fn new(key: &str, value: &str) -> Line {
        Line {
            text: format!("{key}={}", quote(value)),
            pair: Some((key.to_owned(), value.to_owned())),
        }
    }

    fn parse(text: &str) -> Line {
        let pair = text
            .trim()
            .split_once('=')
            .map(|(key, value)| (key.trim(), value.trim()));
        let pair = pair.filter(|(key, _)| !key.is_empty() && !key.starts_with('#'));
        Line {
            text: text.to_owned(),
            pair: pair.map(|(key, value)| (key.to_owned(), unquote(value))),
        }
    }

    fn value_of(&self, key: &str) -> Option<&str> {
        let (name, value) = self.pair.as_ref()?;
        (name == key).then_some(value)
    }
}

/// A value in quotes is what stands between them; within `"…"` the usual escapes count.
fn unquote(value: &str) -> String {
    let between = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    if let Some(text) = between('\'') {
        return text.to_owned();
    }
    let Some(text) = between('"') else {
        return value.to_owned();
    };
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let next = if c == '\\' { chars.next() } else { None };
        out.push(match next {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some(escaped) => escaped,
            None => c,
        });
    }
    out
}

/// A value as one line that reads back the same.
fn quote(value: &str) -> String {
    let plain = value.trim() == value && !value.contains(char::is_control) && !value.starts_with(['"', '\'']);
    if plain {
        return value.to_owned();
    }
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '"' | '\\' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Sets the last line of that key, which is the one that counts, or adds one.
fn replace(lines: &mut Vec<Line>, key: &str, value: &str) {
    let last = lines.iter_mut().rev().find(|line| line.value_of(key).is_some());
    let line = Line::new(key, value);
    match last {
        Some(old) => *old = line,
        None => lines.push(line),
    }
}

fn print(lines: &[Line]) -> String {
    lines.iter().map(|line| format!("{}\n", line.text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::project::{Code, Diagnostic};

    fn storage(name: &str, spec: StorageSpec) -> Arc<Entry> {
        Arc::new(Entry::made(
            EntryId::new("app", name),
            "env.storage.any",
            Spec::Storage(spec),
        ))
    }

    fn variable(name: &str, storage: &str, public: Option<&str>, default: Option<&str>) -> Arc<Entry> {
        let spec = VariableSpec {
            storage: EntryId::new("app", storage),
            name: public.map(str::to_owned),
            default: default.map(str::to_owned),
            read_only: name.starts_with("ro_"),
        };
        Arc::new(Entry::made(
            EntryId::new("app", name),
            "env.variable",
            Spec::Variable(spec),
        ))
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    fn sample() -> Env {
        Env::new(&[
            storage("memory", StorageSpec::Memory),
            storage("os", StorageSpec::Os),
            storage(
                "static",
                StorageSpec::Static(vec![
                    pair("GREETING", "hello"),
                    pair("EMPTY", ""),
                    pair("routed", "stored"),
                    pair("ROUTED", "stored"),
                ]),
            ),
            storage(
                "router",
                StorageSpec::Router(vec![EntryId::new("app", "memory"), EntryId::new("app", "static")]),
            ),
            variable("greeting", "static", Some("GREETING"), None),
            variable("empty", "static", Some("EMPTY"), Some("fallback")),
            variable("nothing", "static", Some("NOTHING"), None),
            variable("note", "memory", None, None),
            variable("ro_note", "memory", Some("RO"), Some("fixed")),
            variable("path", "os", Some("PATH"), None),
            variable("routed", "router", Some("ROUTED"), Some("d")),
            variable("lost", "nowhere", Some("LOST"), None),
        ])
    }

    #[test]
    fn keys_are_public_names_then_ids_then_names_of_the_namespace() {
        let env = sample();
        assert_eq!(env.get("GREETING", "x").unwrap(), "hello");
        assert_eq!(env.get("app:greeting", "x").unwrap(), "hello");
        assert_eq!(env.get("greeting", "app").unwrap(), "hello");
        assert_eq!(env.get("greeting", "x").unwrap_err().kind(), Kind::NotFound);
        assert_eq!(env.get("EMPTY", "x").unwrap(), "fallback");
        assert_eq!(env.get("", "x").unwrap_err().message(), "empty key");
        assert_eq!(env.get("HOME", "x").unwrap_err().kind(), Kind::NotFound);
        assert_eq!(env.get("PATH", "x").unwrap(), std::env::var("PATH").unwrap());
        assert_eq!(env.get_id(&EntryId::new("app", "greeting")).unwrap(), "hello");
        assert_eq!(
            env.get("LOST", "x").unwrap_err().message(),
            "environment storage not found: app:nowhere"
        );
    }

    #[test]
    fn writes_go_where_they_may() {
        let env = sample();
        env.set("note", "app", "x").unwrap();
        assert_eq!(env.get("app:note", "").unwrap(), "x");
        env.set("note", "app", "").unwrap();
        assert_eq!(env.get("app:note", "").unwrap_err().kind(), Kind::NotFound);
        for (key, kind) in [
            ("RO", Kind::PermissionDenied),
            ("PATH", Kind::PermissionDenied),
            ("GREETING", Kind::PermissionDenied),
            ("nobody", Kind::NotFound),
            ("", Kind::Invalid),
        ] {
            assert_eq!(env.set(key, "app", "v").unwrap_err().kind(), kind, "{key}");
        }
    }

    #[test]
    fn a_router_writes_to_its_first_and_reads_in_order() {
        let env = sample();
        assert_eq!(env.get("ROUTED", "").unwrap(), "stored");
        env.set("ROUTED", "", "w").unwrap();
        assert_eq!(env.get("ROUTED", "").unwrap(), "w");
        env.set("ROUTED", "", "").unwrap();
        assert_eq!(env.get("ROUTED", "").unwrap(), "stored", "empty is not set");
    }

    #[test]
    fn all_lists_what_has_a_public_name_and_a_value() {
        let all = sample().all(|name| name != "RO").unwrap();
        let names: Vec<String> = all.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["GREETING", "EMPTY", "PATH", "ROUTED"]);
    }

    #[test]
    fn a_circle_of_routers_ends() {
        let env = Env::new(&[
            storage("a", StorageSpec::Router(vec![EntryId::new("app", "b")])),
            storage("b", StorageSpec::Router(vec![EntryId::new("app", "a")])),
            variable("v", "a", Some("V"), None),
        ]);
        assert_eq!(env.get("V", "").unwrap_err().kind(), Kind::Invalid);
        assert_eq!(env.set("V", "", "x").unwrap_err().kind(), Kind::Invalid);
    }

    #[test]
    fn a_broken_variable_gives_its_own_error() {
        let mut entry = Entry::made(EntryId::new("app", "v"), "env.variable", Spec::Broken);
        entry
            .problems
            .push(Diagnostic::new(Code::MissingField, "storage is required"));
        let error = Env::new(&[Arc::new(entry)]).get("v", "app").unwrap_err();
        assert_eq!(error.message(), "app:v: storage is required");
    }

    fn file_env(path: &Path, auto_create: bool) -> Env {
        let spec = FileStorageSpec {
            path: path.to_owned(),
            written: "./.env".to_owned(),
            auto_create,
            file_mode: 0o600,
            dir_mode: 0o700,
        };
        Env::new(&[
            storage("file", StorageSpec::File(spec)),
            variable("a", "file", Some("A"), None),
            variable("b", "file", Some("B"), Some("default")),
        ])
    }

    #[test]
    fn files_keep_other_lines_as_they_are_and_any_value() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join(".env");
        fs::write(&path, "# mine\nA = one\nodd line\nB='two words '\n").unwrap();
        let env = file_env(&path, false);
        assert_eq!(env.get("A", "").unwrap(), "one");
        assert_eq!(env.get("B", "").unwrap(), "two words ");
        for value in [
            "plain",
            " spaced ",
            "two\nlines\r\n\t",
            "\"quoted\"",
            "a=b#c",
            "back\\slash",
            "'",
            "\"\\\n",
        ] {
            env.set("A", "", value).unwrap();
            assert_eq!(env.get("A", "").unwrap(), value);
            assert_eq!(file_env(&path, false).get("A", "").unwrap(), value);
        }
        env.set("A", "", "three").unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "# mine\nA=three\nodd line\nB='two words '\n"
        );
        fs::write(&path, "A=by somebody else\n").unwrap();
        assert_eq!(env.get("A", "").unwrap(), "by somebody else");
    }

    #[test]
    fn files_that_are_missing() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("conf/.env");
        let env = file_env(&path, false);
        assert_eq!(env.get("B", "").unwrap(), "default");
        assert_eq!(env.get("A", "").unwrap_err().kind(), Kind::NotFound);
        let error = env.set("A", "", "x").unwrap_err();
        assert_eq!(
            (error.kind(), error.message()),
            (
                Kind::NotFound,
                "environment file not found: ./.env (auto_create is false)"
            )
        );
        let env = file_env(&path, true);
        env.set("A", "", "x").unwrap();
        assert_eq!(env.get("A", "").unwrap(), "x");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_file_does_not_grow_beyond_what_is_read() {
        let temp = tempfile::tempdir().unwrap();
        let env = file_env(&temp.path().join(".env"), true);
        env.set("B", "", "small").unwrap();
        let error = env
            .set("A", "", &"x".repeat(usize::try_from(LARGEST_FILE).unwrap()))
            .unwrap_err();
        assert!(error.message().ends_with("larger than 16 MiB"), "{error}");
        assert_eq!(env.get("B", "").unwrap(), "small");
    }

    #[test]
    fn who_writes_to_a_file_at_once_loses_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join(".env");
        // Other storages of the same file, as other programs have.
        std::thread::scope(|scope| {
            for key in ["A", "B"] {
                let path = path.clone();
                scope.spawn(move || {
                    let env = file_env(&path, true);
                    (0..6).for_each(|count| env.set(key, "", &count.to_string()).unwrap());
                });
            }
        });
        let env = file_env(&path, false);
        assert_eq!(["A", "B"].map(|key| env.get(key, "").unwrap()), ["5", "5"]);

        let held = fs::File::open(&path).unwrap();
        held.lock().unwrap();
        let error = env.set("A", "", "late").unwrap_err();
        assert!(
            error.message().contains("another program holds a lock on it"),
            "{error}"
        );
    }

    #[test]
    fn files_that_are_no_text() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join(".env");
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert_eq!(file_env(&path, false).get("A", "").unwrap_err().kind(), Kind::Internal);
        let folder = file_env(temp.path(), false);
        assert_eq!(folder.get("A", "").unwrap_err().kind(), Kind::Internal);
        assert_eq!(folder.all(|_| true).unwrap_err().kind(), Kind::Internal);
        assert_eq!(folder.all(|_| false), Ok(Vec::new()), "what is not wanted is not read");
    }
}
