//! Entries with their kinds typed: what the rest of the house sees of a project.
//!
//! Decoding from YAML lives in `kinds`; here are only the shapes. Every default of the contract is
//! already filled in, every reference is a full id, every size a number of bytes. An entry with an error among its
//! `problems` has [`Spec::Broken`] and is refused by [`Registry::usable`](super::Registry::usable).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::diagnostic::{Code, Diagnostic, Place};
use super::load::Origin;
use super::place::Step;
use super::yaml::Node;
use crate::backoff::Backoff;
use crate::id::EntryId;
use crate::lines::Lines;
use crate::value::Value;

/// One entry of the project.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: EntryId,
    /// As written: `process.lua`, or a kind nobody knows.
    pub kind: String,
    /// The entry's own `meta` over the file's, a table.
    pub meta: Value,
    pub spec: Spec,
    pub command: Option<Command>,
    /// Of hosts and services, as far as it could be read: that one is to start is known of a broken one too.
    pub lifecycle: Option<Lifecycle>,
    /// What is wrong with it; with an error among them the entry cannot be used.
    pub problems: Vec<Diagnostic>,
    /// Every entry it refers to.
    pub references: Vec<EntryId>,
    /// The Lua of an entry that is broken by other fields; none when its text could not be had.
    pub(super) broken_lua: Option<LuaSpec>,
    pub(super) node: Node,
    pub(super) origin: Option<Origin>,
}

/// Lines beyond this are not shown with what is wrong in them: one file may be one line, with thousands of entries.
const LONGEST_LINE: usize = 10_000;

impl Entry {
    /// An entry that no file holds: of a script, a test, a module given on the command line.
    pub fn made(id: EntryId, kind: &str, spec: Spec) -> Entry {
        Entry {
            id,
            kind: kind.to_owned(),
            meta: Value::map::<&str>([]),
            spec,
            command: None,
            lifecycle: None,
            problems: Vec::new(),
            references: Vec::new(),
            broken_lua: None,
            node: Node::default(),
            origin: None,
        }
    }

    /// Its data for `registry.get`: files inlined, `${env:…}` as written. Made anew at each call.
    pub fn data(&self) -> Value {
        match self.node.to_value() {
            Value::Nil => Value::map::<&str>([]),
            data => data,
        }
    }

    /// Where it is defined; none for an entry that was made.
    pub fn place(&self) -> Option<Place> {
        self.origin.as_ref().map(Origin::place)
    }

    /// Where a field of it stands, for findings that other rooms make: `["wasi", "cwd"]`. Falls back to what encloses it.
    pub fn place_of(&self, field: &[&str]) -> Option<Place> {
        self.origin.as_ref().map(|origin| origin.value_place(field))
    }

    /// A finding about one of its fields, for the checks of other rooms.
    pub fn finding(&self, code: Code, field: &[&str], message: impl Into<String>) -> Diagnostic {
        let found = Diagnostic::new(code, message).about(&self.id);
        match self.place_of(field) {
            Some(place) => found.at(place),
            None => found,
        }
    }

    /// Whether its Lua stands in the entry file.
    pub fn is_inline(&self) -> bool {
        self.lua().is_some_and(|lua| self.inline(lua).is_some())
    }

    /// Where its Lua stands, if that is inline: in the file that its chunk is named after.
    fn inline(&self, lua: &LuaSpec) -> Option<&Origin> {
        self.origin.as_ref().filter(|origin| *origin.source.file == *lua.chunk)
    }

    /// The lines of the chunk's file on which its Lua stands: its own unless it is inline, or no Lua. Found when it is asked for: to
    /// know it takes a second look at the whole file.
    pub fn lines(&self) -> Lines {
        let inline = |lua| Some((lua, self.inline(lua)?));
        self.lua().and_then(inline).map_or(Lines::OWN, |(lua, origin)| {
            let path = origin.path_to(&[Step::from("source")]);
            origin.source.lines_of(origin.document, &path, &lua.source)
        })
    }

    /// A place in the source of a Lua entry, whose line is counted in the file that its chunk is named after, as it stands
    /// in that file; the whole line where it is written differently there. None for other kinds, and for a line without end.
    pub fn place_in_source(&self, place: &Place) -> Option<Place> {
        let spec = self.lua()?;
        let shown = match self.inline(spec) {
            Some(origin) => origin.source.raw_line(place.line),
            None => {
                let at = place.line.saturating_sub(1) as usize;
                spec.source.lines().nth(at).unwrap_or_default()
            }
        };
        if shown.len() > LONGEST_LINE {
            return None;
        }
        let chunk = spec.chunk.as_str();
        // Where it is written differently, or stands twice, nobody knows at what to point.
        let is_one = !place.text.is_empty() && shown.matches(&place.text).count() == 1;
        Some(match shown.find(&place.text).filter(|_| is_one) {
            Some(at) => {
                let before = u32::try_from(shown[..at].chars().count()).unwrap_or(u32::MAX);
                let column = before.saturating_add(place.column - place.skipped);
                Place::in_line(chunk, shown, place.line, column, place.length)
            }
            None => Place::whole_line(chunk, shown, place.line),
        })
    }

    /// Its Lua, of a broken entry too: whoever parses it finds what is wrong with the text beside what is wrong with the
    /// fields. None for other kinds.
    pub fn lua(&self) -> Option<&LuaSpec> {
        match &self.spec {
            Spec::Lua(spec) => Some(spec),
            _ => self.broken_lua.as_ref(),
        }
    }

    pub fn is_broken(&self) -> bool {
        self.problems.iter().any(Diagnostic::is_error)
    }

    /// The host on which `funcs.call` starts it: `meta.options.default_host`, else `meta.default_host`.
    pub fn default_host(&self) -> Option<EntryId> {
        let options = self.meta.get("options").and_then(|options| options.get("default_host"));
        let text = options.or_else(|| self.meta.get("default_host"))?.as_str()?;
        EntryId::resolve(text, self.id.namespace()).ok()
    }
}

/// `meta.command` of a process entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What `wippy run NAME` takes.
    pub name: String,
    /// One line for the list, or empty.
    pub short: String,
    /// `run` unless it says otherwise.
    pub use_case: String,
}

/// The data of an entry by its kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Spec {
    Directory(DirectorySpec),
    Lua(LuaSpec),
    Wasm(WasmSpec),
    Storage(StorageSpec),
    Variable(VariableSpec),
    ProcessHost(ProcessHostSpec),
    TerminalHost(TerminalHostSpec),
    Service(ServiceSpec),
    /// `registry.entry`: inert.
    Registry,
    /// A kind nobody knows: inert.
    Unknown,
    /// Its problems say why.
    Broken,
}

/// `fs.directory`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectorySpec {
    /// Absolute.
    pub path: PathBuf,
    /// As written, for messages: host paths are not shown to programs.
    pub written: String,
    /// Whether a missing folder is created, with its parents.
    pub auto_init: bool,
    /// Permission bits that bound everything in it.
    pub mode: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LuaKind {
    Process,
    Library,
    Function,
}

/// `process.lua`, `library.lua`, `function.lua`.
#[derive(Clone, Debug, PartialEq)]
pub struct LuaSpec {
    pub kind: LuaKind,
    /// The Lua text, as in the file.
    pub source: Arc<str>,
    /// File relative to the project, `src/main.lua`; for inline source the YAML file.
    pub chunk: String,
    /// Function to call; `main` unless set, empty for a library.
    pub method: String,
    /// Declared modules, those that are not provided included.
    pub modules: Vec<String>,
    /// Alias and library, in the order written.
    pub imports: Vec<(String, EntryId)>,
    pub limits: Limits,
    /// Only of a function.
    pub pool: Option<PoolSpec>,
}

impl LuaSpec {
    /// A program from its source alone, as tests and benches make one: its `main`, without modules, under the usual limits.
    pub fn of_source(kind: LuaKind, source: &str) -> LuaSpec {
        LuaSpec {
            kind,
            source: source.into(),
            chunk: "main.lua".to_owned(),
            method: "main".to_owned(),
            modules: Vec::new(),
            imports: Vec::new(),
            limits: Limits::default(),
            pool: None,
        }
    }
}

/// Where the bytes of a WASM entry come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WasmSource {
    /// `function.wat`: the text.
    Text(Arc<str>),
    /// A file in a volume, and what its bytes must hash to (`sha256:` and 64 hex digits).
    File { fs: EntryId, path: String, hash: String },
    /// A file that somebody named right now: there is no hash to compare.
    Given { fs: EntryId, path: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    Payload,
    WasiHttp,
}

/// `process.wasm`, `function.wasm`, `function.wat`.
#[derive(Clone, Debug, PartialEq)]
pub struct WasmSpec {
    pub source: WasmSource,
    /// Empty only for a given file: the module's command.
    pub method: String,
    /// Signatures of a core module, as written.
    pub wit: Option<Arc<str>>,
    pub transport: Transport,
    /// Grants as written; `grants` knows their names.
    pub imports: Vec<String>,
    pub args: Vec<String>,
    /// Absolute guest path.
    pub cwd: String,
    pub env: Vec<WasiEnv>,
    pub mounts: Vec<Mount>,
    /// `host:port` patterns.
    pub network: Vec<String>,
    pub limits: Limits,
    /// Only of a function.
    pub pool: Option<PoolSpec>,
}

impl WasmSpec {
    /// A module that is named by its file: by the command line, a script, a session, a test. Nothing is granted; without a
    /// method its command is meant.
    pub fn of_file(fs: EntryId, path: &str, method: Option<&str>) -> WasmSpec {
        WasmSpec {
            source: WasmSource::Given {
                fs,
                path: path.to_owned(),
            },
            method: method.unwrap_or_default().to_owned(),
            wit: None,
            transport: Transport::Payload,
            imports: Vec::new(),
            args: Vec::new(),
            cwd: "/".to_owned(),
            env: Vec::new(),
            mounts: Vec::new(),
            network: Vec::new(),
            limits: Limits::default(),
            pool: None,
        }
    }
}

/// One of `wasi.env`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WasiEnv {
    /// An `env.variable`.
    pub id: EntryId,
    /// Under which the guest sees it.
    pub name: String,
    pub required: bool,
    /// What the command line says it is: then the variable is not asked.
    pub value: Option<String>,
}

/// One of `wasi.mounts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub fs: EntryId,
    /// Absolute guest path.
    pub guest: String,
    pub read_only: bool,
}

/// `limits:` with the defaults filled in; 0 is "none" except where said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub max_execution_ms: u64,
    /// Bytes.
    pub max_memory: u64,
    pub max_fuel: u64,
    /// Bytes of host memory that the values of one call may take.
    pub max_transfer: u64,
    pub max_handles: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_execution_ms: 0,
            max_memory: 1 << 30,
            max_fuel: 0,
            max_transfer: 128 << 20,
            max_handles: 10_000,
        }
    }
}

impl Limits {
    /// The time limit, if there is one.
    pub fn max_execution(&self) -> Option<Duration> {
        (self.max_execution_ms > 0).then(|| Duration::from_millis(self.max_execution_ms))
    }
}

/// `pool:` of a function, resolved to what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolSpec {
    Inline,
    Lazy {
        max_size: u64,
        warm_start: bool,
    },
    Static {
        workers: u64,
        buffer: u64,
        warm_start: bool,
    },
    Adaptive {
        max_size: u64,
        warm_start: bool,
    },
}

impl Default for PoolSpec {
    /// Elastic: what a function has that says nothing.
    fn default() -> PoolSpec {
        PoolSpec::Adaptive {
            max_size: 100,
            warm_start: false,
        }
    }
}

/// The five `env.storage.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageSpec {
    Memory,
    Os,
    Static(Vec<(String, String)>),
    File(FileStorageSpec),
    /// At least one.
    Router(Vec<EntryId>),
}

/// `env.storage.file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStorageSpec {
    /// Absolute.
    pub path: PathBuf,
    /// As written, for messages.
    pub written: String,
    pub auto_create: bool,
    pub file_mode: u32,
    pub dir_mode: u32,
}

/// `env.variable`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableSpec {
    pub storage: EntryId,
    /// The public name; also the key in the storage, which is the entry's own name without it.
    pub name: Option<String>,
    pub default: Option<String>,
    pub read_only: bool,
}

/// How guests' memories are laid out on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Density {
    /// Pooled, quickest to spawn.
    Fast,
    /// Slab memories, most guests.
    Dense,
}

/// `process.host`.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessHostSpec {
    /// How many of its processes run at once; 0 when unset: as many as there are CPUs.
    pub workers: usize,
    pub queue_size: usize,
    pub local_queue_size: usize,
    pub mailbox_limit: usize,
    /// Bytes.
    pub mailbox_bytes: usize,
    /// None when unset.
    pub density: Option<Density>,
    /// None when unset or 0.
    pub max_instances: Option<u64>,
    /// Bytes; none when unset or 0, the default is 128 KiB.
    pub max_stack: Option<u64>,
}

impl Default for ProcessHostSpec {
    fn default() -> ProcessHostSpec {
        ProcessHostSpec {
            workers: 0,
            queue_size: 1024,
            local_queue_size: 256,
            mailbox_limit: 100_000,
            mailbox_bytes: 64 << 20,
            density: None,
            max_instances: None,
            max_stack: None,
        }
    }
}

/// `terminal.host`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TerminalHostSpec {
    /// No log records on the console while its process runs.
    pub hide_logs: bool,
}

/// `process.service`.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSpec {
    pub process: EntryId,
    pub host: EntryId,
    /// Arguments of main.
    pub input: Vec<Value>,
}

/// `lifecycle:` with its defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Lifecycle {
    pub auto_start: bool,
    /// May fail to start without failing the boot.
    pub optional: bool,
    pub requires: Vec<EntryId>,
    pub start_timeout: Duration,
    pub stop_timeout: Duration,
    pub stable_threshold: Duration,
    pub restart: Restart,
    /// On whose behalf it runs: id and meta.
    pub actor: Option<(String, Value)>,
}

impl Default for Lifecycle {
    fn default() -> Lifecycle {
        Lifecycle {
            auto_start: false,
            optional: false,
            requires: Vec::new(),
            start_timeout: Duration::from_secs(10),
            stop_timeout: Duration::from_secs(10),
            stable_threshold: Duration::from_secs(5),
            restart: Restart::default(),
            actor: None,
        }
    }
}

/// `lifecycle.restart:` with its defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Restart {
    pub backoff: Backoff,
    /// Total starts; 0 is unlimited.
    pub max_attempts: u64,
}

impl Default for Restart {
    fn default() -> Restart {
        Restart {
            backoff: Backoff {
                initial_delay: Duration::from_secs(1),
                max_delay: Duration::from_secs(90),
                factor: 2.0,
                jitter: 0.1,
            },
            max_attempts: 0,
        }
    }
}
