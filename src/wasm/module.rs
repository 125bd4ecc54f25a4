//! From a file to compiled code: bytes read once from their volume, the hash compared with exactly these bytes, the
//! header looked at, the code compiled once per content.
//!
//! A compiled module is an [`Artifact`]: bytes that any engine with the same settings loads in a fraction of a
//! millisecond, and that the cache on disk keeps from one start to the next. Where the engine that compiled it is the one that
//! it is wanted in, it is the code there, and bytes are only made of it for somebody else. What a module exports or imports is
//! left to `export` and `linker`. Everything here blocks and belongs on the blocking pool, [`Stamp::of`] excepted.
//!
//! Invariant: an artifact is only ever made here, by an engine of this program or of the same user's wippy of the same
//! version; loading code is sound because of that.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::thread;
use std::time::{Duration, SystemTime};

use cap_std::fs::{Metadata, MetadataExt, OpenOptions, OpenOptionsExt};
use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use super::cache::{Cache, Key};
use super::engine::{Engines, Flavor};
use super::interface::Interface;
use super::{lock, sections};
use crate::error::{Error, Result};
use crate::id::EntryId;
use crate::log::{Level, Log, Record};
use crate::project::{WasmSource, check};
use crate::system::volume::{Volume, Volumes};

/// More than the steps in which file systems count time.
pub const CLOCK_STEP: Duration = Duration::from_millis(20);

/// Bytes of a module; wasmtime takes no larger one.
const LARGEST: u64 = 1 << 30;

/// What decides whether a module has to be loaded again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// Text in the entry: it never changes.
    Text,
    File {
        size: u64,
        modified: Option<SystemTime>,
        inode: (u64, u64),
    },
}

impl Stamp {
    /// The stamp of an entry's module; cheap enough to be asked for on a worker.
    ///
    /// # Errors
    /// NotFound `failed to open file: <path>`, or for the volume.
    pub fn of(origin: &WasmSource, volumes: &Volumes) -> Result<Stamp> {
        let (fs, path) = match origin {
            WasmSource::Text(_) => return Ok(Stamp::Text),
            WasmSource::File { fs, path, .. } | WasmSource::Given { fs, path } => (fs, path),
        };
        let metadata = volumes.get(fs)?.dir().metadata(relative(path));
        metadata
            .map(|metadata| Stamp::from(&metadata))
            .map_err(|error| unopened(path, &error))
    }

    /// Whether the file was written within a step of its file system's clock before that moment, or after it: a stamp
    /// cannot tell it from a later write.
    pub fn is_young(&self, then: SystemTime) -> bool {
        match self {
            Stamp::File { modified: Some(at), .. } => then.duration_since(*at).map_or(true, |age| age < CLOCK_STEP),
            Stamp::File { modified: None, .. } | Stamp::Text => false,
        }
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Stamp {
        Stamp::File {
            size: metadata.len(),
            modified: metadata.modified().ok().map(|time| time.into_std()),
            inode: (metadata.dev(), metadata.ino()),
        }
    }
}

/// The bytes of a module and what was true of the file while they were read.
pub struct Source {
    /// Where it stands in its volume; for text its entry.
    pub path: String,
    pub bytes: Vec<u8>,
    pub stamp: Stamp,
}

impl Source {
    /// The module of an entry, from its file or its text.
    ///
    /// # Errors
    /// As [`Source::read`]; Internal `failed to compile wasm module` for bad text; NotFound for the volume.
    pub fn of(entry: &EntryId, origin: &WasmSource, volumes: &Volumes) -> Result<Source> {
        match origin {
            WasmSource::Text(text) => Source::assemble(entry, text),
            WasmSource::File { fs, path, .. } | WasmSource::Given { fs, path } => {
                Source::read(&*volumes.get(fs)?, path)
            }
        }
    }

    fn assemble(entry: &EntryId, text: &str) -> Result<Source> {
        let bytes = wat::parse_str(text).map_err(|mut error| {
            error.set_path(Path::new(entry.as_str()));
            Error::internal(format!("failed to compile wasm module: {}", one_line(&error)))
        })?;
        Ok(Source {
            path: entry.to_string(),
            bytes,
            stamp: Stamp::Text,
        })
    }

    /// Reads a file of a volume.
    ///
    /// # Errors
    /// NotFound `failed to open file: <path>`; Invalid for anything but a regular file of 1 GiB at most; Internal when
    /// reading fails.
    pub fn read(volume: &Volume, path: &str) -> Result<Source> {
        let mut options = OpenOptions::new();
        // A FIFO would hold this thread until somebody writes to it.
        options.read(true).custom_flags(libc::O_NONBLOCK);
        let file = volume
            .dir()
            .open_with(relative(path), &options)
            .map_err(|error| unopened(path, &error))?;
        let failed = |error: std::io::Error| Error::internal(format!("failed to read file: {path}: {error}"));
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(Error::invalid(format!(
                "failed to open file: {path}: not a regular file"
            )));
        }
        let too_large = || Err(Error::invalid(format!("failed to read file: {path}: larger than 1GiB")));
        // A size is quickly claimed, and memory that cannot be had ends the program.
        if metadata.len() > LARGEST {
            return too_large();
        }
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
        file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > LARGEST {
            return too_large();
        }
        Ok(Source {
            path: path.to_owned(),
            bytes,
            stamp: Stamp::from(&metadata),
        })
    }
}

/// What is wrong with a text, and in brackets where; it is shown over several lines, with a picture of the place.
fn one_line(error: &wat::Error) -> String {
    let shown = error.to_string();
    let mut lines = shown.lines();
    let message = lines.next().unwrap_or_default();
    match lines.next().and_then(|line| line.trim_start().strip_prefix("--> ")) {
        Some(place) => format!("{message} ({place})"),
        None => message.to_owned(),
    }
}

/// A leading `/` means the volume's own root.
fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

fn unopened(path: &str, error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::not_found(format!("failed to open file: {path}")),
        _ => Error::not_found(format!("failed to open file: {path}: {error}")),
    }
}

/// The sha256 of the bytes, in lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Compares an entry's `hash` with the sha256 of its bytes.
///
/// # Errors
/// Invalid, with the texts of the documentation.
pub fn verify(hash: &str, actual: &str) -> Result<()> {
    if is_placeholder(hash) {
        return Err(Error::invalid(format!(
            "{hash} is a placeholder, not a hash; the file's own is\n  hash: sha256:{actual}"
        )));
    }
    let (algorithm, expected) = hash
        .split_once(':')
        .filter(|(algorithm, hex)| !algorithm.is_empty() && is_hex(hex))
        .ok_or_else(|| Error::invalid(format!("invalid hash format: {hash}")))?;
    if algorithm != "sha256" {
        return Err(Error::invalid(format!("unsupported hash algorithm: {algorithm}")));
    }
    if expected.len() != 64 {
        return Err(Error::invalid(format!("invalid hash format: {hash}")));
    }
    if expected != actual {
        return Err(Error::invalid(check::hash_mismatch(expected, actual)));
    }
    Ok(())
}

/// Whether an entry's `hash` is the literal placeholder.
pub fn is_placeholder(hash: &str) -> bool {
    matches!(hash, "sha256:..." | "sha256:\u{2026}")
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What the first eight bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    Component,
    Core,
}

impl Header {
    /// # Errors
    /// Internal `failed to compile wasm module`, saying what is there instead.
    pub fn of(bytes: &[u8]) -> Result<Header> {
        match bytes.get(..8) {
            Some([0x00, b'a', b's', b'm', 0x0d, 0x00, 0x01, 0x00]) => Ok(Header::Component),
            Some([0x00, b'a', b's', b'm', 0x01, 0x00, 0x00, 0x00]) => Ok(Header::Core),
            Some([0x00, b'a', b's', b'm', version @ ..]) => {
                Err(uncompiled(&format!("unknown version {version:02x?} in the header")))
            }
            _ => Err(uncompiled("the file is not WebAssembly: it does not begin with \\0asm")),
        }
    }
}

fn uncompiled(cause: &str) -> Error {
    Error::internal(format!("failed to compile wasm module: {cause}"))
}

/// What wasmtime does not say: which component it is that a component imports, which it refuses while it reads, and how to
/// come by the exceptions that it knows.
fn why_uncompiled(bytes: &[u8], error: &wasmtime::Error) -> Error {
    let text = format!("{error:#}");
    if text.contains("root-level component imports are not supported") {
        let import = sections::imported_component(bytes).unwrap_or_default();
        return Error::invalid(format!("unsupported import: {import} (component)"));
    }
    match is_about_legacy_exceptions(&text) {
        true => uncompiled(&format!("{text}; {NEWER_EXCEPTIONS}")),
        false => uncompiled(&text),
    }
}

/// Whether it refuses `try` and `catch`, as they were before the standard.
fn is_about_legacy_exceptions(text: &str) -> bool {
    text.contains("legacy exceptions") || text.contains("legacy_exceptions")
}

const NEWER_EXCEPTIONS: &str = "its exceptions are those from before the standard: build it with those of WebAssembly 3 \
    (clang: -mllvm -wasm-use-legacy-eh=false), or translate it with wasm-opt --translate-to-exnref";

/// Compiled code, in the form that engines load.
#[derive(Debug)]
pub struct Artifact {
    header: Header,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// As it came out of the compiler, in its engine.
    Code(Code),
    Memory(Vec<u8>),
    /// A file of the cache, whose checksum was verified, and its key there. Mapped by each engine that loads it.
    File(File, Key),
}

/// Code in one engine.
#[derive(Clone)]
pub enum Code {
    Component(Component),
    Core(Module),
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Code::Component(_) => "component",
            Code::Core(_) => "core module",
        })
    }
}

impl Code {
    fn engine(&self) -> &Engine {
        match self {
            Code::Component(component) => component.engine(),
            Code::Core(module) => module.engine(),
        }
    }

    fn bytes(&self) -> wasmtime::Result<Vec<u8>> {
        match self {
            Code::Component(component) => component.serialize(),
            Code::Core(module) => module.serialize(),
        }
    }

    /// How many memories an instance has.
    pub fn memories(&self) -> usize {
        let needed = match self {
            Code::Component(component) => component.resources_required(),
            Code::Core(module) => Some(module.resources_required()),
        };
        // Only a component that imports modules, which nothing provides, does not know.
        needed.map_or(0, |needed| needed.num_memories as usize)
    }
}

impl Artifact {
    /// Compiles a module. Takes milliseconds for small modules, seconds for interpreters. `stays`: it is wanted in that very
    /// engine; another one can load it too.
    ///
    /// # Errors
    /// Internal `failed to compile wasm module`, with the cause.
    pub fn compile(engine: &Engine, bytes: &[u8], stays: bool) -> Result<Artifact> {
        let header = Header::of(bytes)?;
        let compiled = match (header, stays) {
            (Header::Component, true) => Component::new(engine, bytes).map(|code| Form::Code(Code::Component(code))),
            (Header::Core, true) => Module::new(engine, bytes).map(|code| Form::Code(Code::Core(code))),
            (Header::Component, false) => engine.precompile_component(bytes).map(Form::Memory),
            (Header::Core, false) => engine.precompile_module(bytes).map(Form::Memory),
        };
        let form = compiled.map_err(|error| why_uncompiled(bytes, &error))?;
        Ok(Artifact { header, form })
    }

    /// Loads the code into an engine.
    ///
    /// # Errors
    /// Internal, when it does not fit a slot of the engine's pool.
    pub fn load(&self, engine: &Engine) -> Result<Code> {
        let code = match &self.form {
            Form::Code(code) if Engine::same(code.engine(), engine) => Ok(code.clone()),
            Form::Code(code) => code.bytes().and_then(|bytes| self.load_bytes(engine, &bytes)),
            Form::Memory(bytes) => self.load_bytes(engine, bytes),
            Form::File(file, _) => self.load_file(engine, file),
        };
        code.map_err(|error| Error::internal(format!("failed to load compiled wasm module: {error:#}")))
    }

    fn load_bytes(&self, engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Code> {
        // SAFETY: the bytes were made by `compile`; wasmtime checks that the engine has the settings they were compiled for.
        unsafe {
            match self.header {
                Header::Component => Component::deserialize(engine, bytes).map(Code::Component),
                Header::Core => Module::deserialize(engine, bytes).map(Code::Core),
            }
        }
    }

    fn load_file(&self, engine: &Engine, file: &File) -> wasmtime::Result<Code> {
        let path = handle_path(file);
        // SAFETY: its bytes were made by `compile`, of the program that wrote the cache, whose checksum and owner were verified;
        // wasmtime checks that the engine has the settings they were compiled for.
        unsafe {
            match self.header {
                Header::Component => Component::deserialize_file(engine, path).map(Code::Component),
                Header::Core => Module::deserialize_file(engine, path).map(Code::Core),
            }
        }
    }

    fn store(&self, cache: &Cache, key: &Key) -> io::Result<()> {
        match &self.form {
            Form::Code(code) => cache.store(key, &code.bytes().map_err(io::Error::other)?),
            Form::Memory(bytes) => cache.store(key, bytes),
            // It came from there.
            Form::File(..) => Ok(()),
        }
    }
}

/// The path of an open file, so that what is mapped is what was verified.
fn handle_path(file: &File) -> String {
    let folder = if cfg!(target_os = "linux") {
        "/proc/self/fd"
    } else {
        "/dev/fd"
    };
    format!("{folder}/{}", file.as_raw_fd())
}

/// How long a compilation may take before somebody is told.
const PATIENCE: Duration = Duration::from_secs(1);

/// Compiled code by content: every content is compiled once, however many entries and processes ask for it at a time.
pub struct Artifacts {
    by_content: Mutex<HashMap<(String, Flavor), Weak<Slot>>>,
    cache: Option<Cache>,
    /// For the cache, in the order in which it came.
    unwritten: Mutex<Vec<Unwritten>>,
    /// Held while writing, which nobody who adds something waits for.
    writing: Mutex<()>,
    log: Log,
    compilations: AtomicUsize,
}

type Slot = OnceLock<Result<Arc<Artifact>>>;

/// What the cache is to keep. It is written when nobody waits for the module any more.
enum Unwritten {
    Code(Key, Arc<Artifact>),
    /// What the module of that sha256 imports and exports.
    Interface(String, Code),
}

/// Keeps a content's compiled code known for as long as a program uses it.
#[derive(Clone)]
pub struct Kept(Arc<Slot>);

impl Kept {
    pub fn artifact(&self) -> Result<Arc<Artifact>> {
        self.0
            .get()
            .cloned()
            .unwrap_or_else(|| Err(uncompiled("the compilation was interrupted")))
    }
}

impl Artifacts {
    pub fn new(cache: Option<Cache>, log: Log) -> Artifacts {
        Artifacts {
            by_content: Mutex::default(),
            cache,
            unwritten: Mutex::default(),
            writing: Mutex::default(),
            log,
            compilations: AtomicUsize::new(0),
        }
    }

    /// How many were compiled here.
    pub fn compilations(&self) -> usize {
        self.compilations.load(Ordering::Relaxed)
    }

    /// The code of `source`, whose sha256 is `sha256`. Whoever asks while it is being compiled waits.
    ///
    /// # Errors
    /// As [`Artifact::compile`].
    pub fn get(&self, engines: &Engines, source: &Source, sha256: &str, flavor: Flavor) -> Result<Kept> {
        let slot = self.slot(sha256, flavor);
        let stays = engines.preferred(flavor) == flavor.engine();
        let find = || self.find(&engines.compiler(flavor)?, source, sha256, stays);
        slot.get_or_init(find).as_ref().map_err(Error::clone)?;
        Ok(Kept(slot))
    }

    /// Forgets code of the cache that an engine refused to load; the next [`Artifacts::get`] compiles it. False for code
    /// that was compiled in this program: compiling it again would not help.
    pub fn discard(&self, kept: &Kept) -> bool {
        let artifact = kept.artifact();
        let (Some(cache), Ok(Form::File(_, key))) = (&self.cache, artifact.as_ref().map(|artifact| &artifact.form))
        else {
            return false;
        };
        cache.remove(key);
        lock(&self.by_content).retain(|_, slot| !Weak::ptr_eq(slot, &Arc::downgrade(&kept.0)));
        true
    }

    /// From the cache, or compiled and to be kept there.
    fn find(&self, engine: &Engine, source: &Source, sha256: &str, stays: bool) -> Result<Arc<Artifact>> {
        let Some(cache) = &self.cache else {
            return self.compile(engine, source, stays).map(Arc::new);
        };
        let header = Header::of(&source.bytes)?;
        let key = Key::new(sha256.as_bytes(), &settings_of(engine));
        if let Some(file) = cache.load(&key) {
            let form = Form::File(file, key);
            return Ok(Arc::new(Artifact { header, form }));
        }
        let artifact = Arc::new(self.compile(engine, source, stays)?);
        lock(&self.unwritten).push(Unwritten::Code(key, artifact.clone()));
        Ok(artifact)
    }

    /// Has the cache keep what a module imports and exports, for [`Artifacts::interface`] to find.
    pub fn keep_interface(&self, sha256: &str, code: &Code) {
        if self.cache.is_some() {
            lock(&self.unwritten).push(Unwritten::Interface(sha256.to_owned(), code.clone()));
        }
    }

    /// Writes what the cache is to keep; what cannot be written costs a line. Whoever comes while another one is at it
    /// waits for that.
    pub fn write_back(&self) {
        let Some(cache) = &self.cache else { return };
        let _writing = lock(&self.writing);
        let unwritten = std::mem::take(&mut *lock(&self.unwritten));
        for what in unwritten {
            let (name, kept) = match &what {
                Unwritten::Code(key, artifact) => ("compiled code", artifact.store(cache, key)),
                Unwritten::Interface(sha256, code) => ("the interface of a module", note(cache, sha256, code)),
            };
            if let Err(error) = kept {
                let line = format!("{name} is not kept in {}: {error}", cache.folder().display());
                self.log.record(Record::new(Level::Debug, line));
            }
        }
    }

    /// What the module of that sha256 imported and exported, if it was ever loaded on this machine and is not forgotten.
    pub fn interface(&self, sha256: &str) -> Option<Interface> {
        let note = self.cache.as_ref()?.note(&interface_of(sha256))?;
        serde_json::from_slice(&note).ok()
    }

    fn compile(&self, engine: &Engine, source: &Source, stays: bool) -> Result<Artifact> {
        let (done, waiting) = mpsc::channel::<()>();
        thread::scope(|scope| {
            if source.bytes.len() >= SLOW {
                scope.spawn(move || {
                    if waiting.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                        let size = source.bytes.len() as f64 / f64::from(1 << 20);
                        let line = format!("compiling {} ({size:.1} MiB), which is done once", source.path);
                        self.log.record(Record::new(Level::Info, line));
                    }
                });
            }
            let artifact = Artifact::compile(engine, &source.bytes, stays);
            drop(done);
            // One that an engine refuses is tried in another one.
            self.compilations
                .fetch_add(usize::from(artifact.is_ok()), Ordering::Relaxed);
            artifact
        })
    }

    fn slot(&self, sha256: &str, flavor: Flavor) -> Arc<Slot> {
        let mut slots = lock(&self.by_content);
        let key = (sha256.to_owned(), flavor);
        if let Some(slot) = slots.get(&key).and_then(Weak::upgrade) {
            return slot;
        }
        slots.retain(|_, slot| slot.strong_count() > 0);
        let slot = Arc::new(Slot::new());
        slots.insert(key, Arc::downgrade(&slot));
        slot
    }
}

impl Drop for Artifacts {
    /// For those who loaded on a thread of their own.
    fn drop(&mut self) {
        self.write_back();
    }
}

fn note(cache: &Cache, sha256: &str, code: &Code) -> io::Result<()> {
    // An interface is of texts alone, which are always JSON.
    let text = || serde_json::to_vec(&Interface::of(code)).unwrap_or_default();
    cache.keep_note(&interface_of(sha256), text)
}

/// A module below this size never takes a second.
const SLOW: usize = 256 << 10;

/// Where the interface of a module is kept: whatever the code was compiled for.
fn interface_of(sha256: &str) -> Key {
    Key::new(sha256.as_bytes(), b"interface")
}

/// What beside the module's bytes shapes the code: the engine's settings, its version, the processor.
fn settings_of(engine: &Engine) -> [u8; 8] {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::engine::{Alloc, Settings};
    use super::*;
    use crate::error::Kind;

    const HEX: &str = "292b796376f8b4cc360acf2ea6b82d1084871c3607a079f30b446da8e5c984a4";

    #[test]
    fn hashes_are_checked_with_the_documented_texts() {
        let other = HEX.replace('2', "3");
        for (hash, message) in [
            ("md5", "invalid hash format: md5".to_owned()),
            ("", "invalid hash format: ".to_owned()),
            ("sha256:", "invalid hash format: sha256:".to_owned()),
            ("sha256:xyz", "invalid hash format: sha256:xyz".to_owned()),
            ("sha256:abc", "invalid hash format: sha256:abc".to_owned()),
            ("md5:abcd", "unsupported hash algorithm: md5".to_owned()),
            (
                &format!("sha256:{other}"),
                format!("hash verification failed: hash mismatch: expected {other}, got {HEX}"),
            ),
            (
                &format!("sha256:{}", HEX.to_uppercase()),
                format!("invalid hash format: sha256:{}", HEX.to_uppercase()),
            ),
        ] {
            let error = verify(hash, HEX).unwrap_err();
            assert_eq!((error.kind(), error.message()), (Kind::Invalid, message.as_str()));
        }
        verify(&format!("sha256:{HEX}"), HEX).unwrap();
    }

    #[test]
    fn the_placeholder_is_answered_with_the_line_to_paste() {
        let error = verify("sha256:...", HEX).unwrap_err();
        assert!(error.message().contains("placeholder"), "{error}");
        assert!(error.message().contains(&format!("hash: sha256:{HEX}")), "{error}");
    }

    #[test]
    fn the_header_tells_components_from_core_modules() {
        assert_eq!(Header::of(b"\0asm\x0d\0\x01\0rest").unwrap(), Header::Component);
        assert_eq!(Header::of(b"\0asm\x01\0\0\0").unwrap(), Header::Core);
        for bad in [&b""[..], b"\0as", b"(module)", b"\0asm\x09\0\0\0"] {
            let error = Header::of(bad).unwrap_err();
            assert_eq!(error.kind(), Kind::Internal);
            assert!(error.message().starts_with("failed to compile wasm module"), "{error}");
        }
    }

    /// Keeps the messages of log records.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    impl crate::log::Sink for Lines {
        fn record(&self, record: Record) {
            self.0.lock().unwrap().push(record.message);
        }

        fn enabled(&self, _: Level) -> bool {
            true
        }
    }

    #[test]
    fn a_file_that_claims_to_be_huge_is_refused_unread() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join("m.wasm")).unwrap();
        file.set_len(LARGEST + 1).unwrap();
        let volume = Volume::ambient(EntryId::new("app", "wasm"), folder.path()).unwrap();
        let error = Source::read(&volume, "m.wasm").err().unwrap();
        assert_eq!(
            (error.kind(), error.message()),
            (Kind::Invalid, "failed to read file: m.wasm: larger than 1GiB")
        );
    }

    fn engines() -> (tokio::runtime::Runtime, Arc<Engines>) {
        engines_of(Settings::default())
    }

    fn engines_of(settings: Settings) -> (tokio::runtime::Runtime, Arc<Engines>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let engines = Engines::new(settings, runtime.handle().clone());
        (runtime, engines)
    }

    /// Of a program that runs a single guest.
    fn oneshot() -> Settings {
        Settings {
            oneshot: true,
            ..Settings::default()
        }
    }

    fn module(text: &str) -> (Source, String) {
        let folder = tempfile::tempdir().unwrap();
        let bytes = wat::parse_str(text).unwrap();
        std::fs::write(folder.path().join("m.wasm"), &bytes).unwrap();
        let sha = sha256(&bytes);
        let metadata = cap_std::fs::Dir::open_ambient_dir(folder.path(), cap_std::ambient_authority())
            .and_then(|folder| folder.metadata("m.wasm"))
            .unwrap();
        let source = Source {
            path: "m.wasm".to_owned(),
            bytes,
            stamp: Stamp::from(&metadata),
        };
        (source, sha)
    }

    #[test]
    fn one_content_is_compiled_once_and_forgotten_with_its_last_user() {
        let (_io, engines) = engines();
        let artifacts = Artifacts::new(None, Log::none());
        let (source, sha) = module("(module)");
        let plain = Flavor::default();
        let get = |flavor| artifacts.get(&engines, &source, &sha, flavor).unwrap();
        let first = get(plain);
        let second = get(plain);
        assert!(Arc::ptr_eq(&first.artifact().unwrap(), &second.artifact().unwrap()));
        let others = [
            Flavor { fuel: true, ..plain },
            Flavor { dense: true, ..plain },
            Flavor {
                concurrent: true,
                ..plain
            },
            Flavor {
                collected: true,
                ..plain
            },
        ];
        for other in others.map(get) {
            assert!(!Arc::ptr_eq(&first.artifact().unwrap(), &other.artifact().unwrap()));
        }
        drop((first, second));
        let key = (sha.clone(), Flavor::default());
        assert!(artifacts.by_content.lock().unwrap()[&key].upgrade().is_none());
    }

    #[test]
    fn code_that_stays_in_its_engine_is_loaded_by_others_too() {
        let (_io, engines) = engines_of(oneshot());
        let flavor = Flavor::default();
        for text in ["(module (memory 1) (data (i32.const 8) \"data\"))", "(component)"] {
            let (source, sha) = module(text);
            let kept = Artifacts::new(None, Log::none()).get(&engines, &source, &sha, flavor);
            let artifact = kept.unwrap().artifact().unwrap();
            assert!(matches!(artifact.form, Form::Code(_)), "{text}");
            for alloc in [flavor.engine(), Alloc::SmallPool] {
                let engine = engines.engine(alloc).unwrap();
                let code = artifact.load(&engine).unwrap();
                assert!(Engine::same(code.engine(), &engine), "{text}: {alloc:?}");
            }
        }
    }

    #[test]
    fn what_one_start_compiled_the_next_one_maps_unless_it_is_damaged() {
        for settings in [Settings::default(), oneshot()] {
            is_mapped_unless_damaged(settings);
        }
    }

    fn is_mapped_unless_damaged(settings: Settings) {
        let (_io, engines) = engines_of(settings);
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        for text in ["(module (func (export \"f\") (result i32) i32.const 7))", "(component)"] {
            let (source, sha) = module(text);
            let found = |flavor| {
                let kept = Artifacts::new(Some(cache.clone()), Log::none()).get(&engines, &source, &sha, flavor);
                let artifact = kept.unwrap().artifact().unwrap();
                artifact.load(&engines.compiler(flavor).unwrap()).expect("it loads");
                matches!(artifact.form, Form::File(..))
            };
            let from_file = || found(Flavor::default());
            assert_eq!((from_file(), from_file()), (false, true), "{text}");
            let plain = Flavor::default();
            let collected = Flavor {
                collected: true,
                ..plain
            };
            for other in [Flavor { dense: true, ..plain }, collected] {
                let founds = (found(other), found(other));
                assert_eq!(founds, (false, true), "an artifact of its own: {text}");
            }
            let stored = std::fs::read_dir(cache.folder())
                .unwrap()
                .map(|entry| entry.unwrap().path());
            for path in stored.filter(|path| path.extension().is_some_and(|kind| kind == "cwasm")) {
                let mut bytes = std::fs::read(&path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                std::fs::write(&path, bytes).unwrap();
            }
            assert_eq!((from_file(), from_file()), (false, true), "compiled again: {text}");
        }
    }

    #[test]
    fn code_is_used_before_the_cache_has_it_and_the_cache_has_it_at_the_end() {
        let (_io, engines) = engines();
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        let kept = || std::fs::read_dir(cache.folder()).unwrap().count();
        let (source, sha) = module("(module)");
        let artifacts = Artifacts::new(Some(cache.clone()), Log::none());
        let compiled = artifacts.get(&engines, &source, &sha, Flavor::default()).unwrap();
        let engine = engines.compiler(Flavor::default()).unwrap();
        let code = compiled.artifact().unwrap().load(&engine).unwrap();
        assert_eq!(kept(), 0);
        artifacts.write_back();
        let (artifact, sum) = (1, 1);
        assert_eq!(kept(), artifact + sum);
        artifacts.keep_interface(&sha, &code);
        assert!(artifacts.interface(&sha).is_none());
        drop(artifacts);
        assert!(Artifacts::new(Some(cache), Log::none()).interface(&sha).is_some());
    }

    #[test]
    fn an_artifact_that_wasmtime_refuses_is_replaced() {
        let (_io, engines) = engines();
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        let (source, sha) = module("(module)");
        let key = Key::new(
            sha.as_bytes(),
            &settings_of(&engines.compiler(Flavor::default()).unwrap()),
        );
        cache.store(&key, b"intact, but no code").unwrap();
        let artifacts = Artifacts::new(Some(cache), Log::none());
        let get = || artifacts.get(&engines, &source, &sha, Flavor::default()).unwrap();
        let refused = get();
        let loaded = refused
            .artifact()
            .unwrap()
            .load(&engines.compiler(Flavor::default()).unwrap());
        assert!(loaded.is_err() && artifacts.discard(&refused));
        let kept = get();
        assert!(matches!(kept.artifact().unwrap().form, Form::Memory(_)));
        assert!(!artifacts.discard(&kept), "it was compiled here");
    }

    #[test]
    fn a_cache_that_cannot_be_written_costs_a_line_and_nothing_else() {
        let (_io, engines) = engines();
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        std::fs::remove_dir(cache.folder()).unwrap();
        let told = Lines::default();
        let (source, sha) = module("(module)");
        let artifacts = Artifacts::new(Some(cache), Log::new(told.clone()));
        assert!(artifacts.get(&engines, &source, &sha, Flavor::default()).is_ok());
        artifacts.write_back();
        let told = told.0.lock().unwrap();
        assert!(
            told.len() == 1 && told[0].starts_with("compiled code is not kept in"),
            "{told:?}"
        );
    }
}
