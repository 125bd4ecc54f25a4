//! What the data of each kind means: from an entry's fields to its [`Spec`], with every default filled in.
//!
//! Here are the checks that one entry can answer alone; [`check`](super::check) does those that need others. A new field
//! is a row of [`schema`](super::schema) and a line here.

use std::collections::{BTreeSet, HashSet};
use std::path::{Component, Path, PathBuf};

use super::check;
use super::diagnostic::{Code, Diagnostic};
use super::entry::*;
use super::fields::Fields;
use super::grants::{self, Grant};
use super::modules;
use super::near::nearest;
use super::network::complaint;
use super::place::Step;
use super::schema::{self, Base, PoolType};
use super::yaml::Node;
use crate::backoff::Backoff;
use crate::id::EntryId;
use crate::value::Value;

/// What an entry's meaning depends on besides its own text.
pub(super) struct Surroundings<'a> {
    pub project: &'a Path,
    /// The folder above the `src` of the root that the entry comes from.
    pub module: &'a Path,
    /// Of a replacement or an installed package.
    pub is_package: bool,
    /// Limits where the entry says nothing.
    pub limits: Limits,
    /// The file that `source` was read from, relative to the project.
    pub source_file: Option<String>,
}

/// One entry that another one names.
pub(super) struct Reference {
    pub id: EntryId,
    pub steps: Vec<Step>,
    pub role: Role,
}

/// As what an entry is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Filesystem,
    Mount,
    RequiredVariable,
    OptionalVariable,
    Storage,
    Import,
    Process,
    Host,
    DefaultHost,
    Required,
}

/// An entry's data, typed.
pub(super) struct Decoded {
    pub spec: Spec,
    pub command: Option<Command>,
    pub lifecycle: Option<Lifecycle>,
    pub references: Vec<Reference>,
}

/// Types an entry of any kind. Where something is wrong the reader knows; the spec is then not to be used.
pub(super) fn decode(fields: &Fields<'_>, kind: &str, around: &Surroundings<'_>) -> Decoded {
    let mut decoder = Decoder {
        fields,
        around,
        references: Vec::new(),
    };
    let spec = decoder.spec(kind);
    let command = if matches!(kind, "process.lua" | "process.wasm") {
        decoder.command()
    } else {
        None
    };
    let has_lifecycle = matches!(kind, "process.host" | "terminal.host" | "process.service");
    let lifecycle = has_lifecycle.then(|| decoder.lifecycle());
    Decoded {
        spec,
        command,
        lifecycle,
        references: decoder.references,
    }
}

struct Decoder<'a> {
    fields: &'a Fields<'a>,
    around: &'a Surroundings<'a>,
    references: Vec<Reference>,
}

impl Decoder<'_> {
    fn spec(&mut self, kind: &str) -> Spec {
        match kind {
            "fs.directory" => Spec::Directory(self.directory()),
            "process.lua" => Spec::Lua(self.lua(LuaKind::Process)),
            "library.lua" => Spec::Lua(self.lua(LuaKind::Library)),
            "function.lua" => Spec::Lua(self.lua(LuaKind::Function)),
            "process.wasm" | "function.wasm" | "function.wat" => Spec::Wasm(self.wasm(kind)),
            "env.storage.memory" => Spec::Storage(StorageSpec::Memory),
            "env.storage.os" => Spec::Storage(StorageSpec::Os),
            "env.storage.static" => Spec::Storage(self.static_storage()),
            "env.storage.file" => Spec::Storage(self.file_storage()),
            "env.storage.router" => Spec::Storage(self.router_storage()),
            "env.variable" => self.variable(),
            "process.host" => {
                self.check_host_name();
                Spec::ProcessHost(self.process_host())
            }
            "terminal.host" => {
                self.check_host_name();
                Spec::TerminalHost(self.terminal_host())
            }
            "process.service" => self.service(),
            "registry.entry" => Spec::Registry,
            _ => self.unknown(kind),
        }
    }

    fn unknown(&self, kind: &str) -> Spec {
        let found = Diagnostic::new(Code::UnknownKind, format!("unknown kind `{kind}`: the entry is inert"));
        let near = nearest(kind, schema::kinds());
        let label = near.map_or_else(String::new, |near| format!("did you mean `{near}`?"));
        self.fields.bad("kind", found.label(label));
        Spec::Unknown
    }

    fn refer(&mut self, id: Option<EntryId>, steps: Vec<Step>, role: Role) -> Option<EntryId> {
        let id = id?;
        self.references.push(Reference {
            id: id.clone(),
            steps,
            role,
        });
        Some(id)
    }

    /// A required reference to another entry.
    fn reference(&mut self, name: &str, role: Role) -> Option<EntryId> {
        let id = self.fields.required_id(name);
        self.refer(id, self.fields.steps(name), role)
    }

    fn directory(&mut self) -> DirectorySpec {
        let written = self.fields.required("directory");
        let otherwise = if self.around.is_package {
            Base::Module
        } else {
            Base::Project
        };
        let base = match self
            .fields
            .word("base", &schema::BASES, "invalid base")
            .unwrap_or(otherwise)
        {
            Base::Project => self.around.project,
            Base::Module => self.around.module,
        };
        let mode = self.fields.mode("mode").unwrap_or(0o755);
        DirectorySpec {
            path: join(base, &written),
            written: written.to_string(),
            auto_init: self.fields.flag("auto_init").unwrap_or(false),
            mode: mode | (mode & 0o444) >> 2,
        }
    }

    fn lua(&mut self, kind: LuaKind) -> LuaSpec {
        let fields = self.fields;
        let source = fields.required("source");
        let chunk = self.chunk();
        let method = match kind {
            LuaKind::Library => "".into(),
            LuaKind::Function => fields.required("method"),
            LuaKind::Process => fields
                .text("method")
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| "main".into()),
        };
        let (modules, imports) = (self.modules(), self.lua_imports());
        let is_library = kind == LuaKind::Library;
        let limits = if is_library { self.around.limits } else { self.limits() };
        let pool = if is_library { None } else { self.pool() };
        self.default_host();
        LuaSpec {
            kind,
            source,
            chunk,
            method: method.to_string(),
            modules,
            imports,
            limits,
            pool: pool.filter(|_| kind == LuaKind::Function),
        }
    }

    /// What the chunk is called: the file in which the source stands.
    fn chunk(&self) -> String {
        match &self.around.source_file {
            Some(file) => file.clone(),
            None => self.fields.reader.origin.source.file.to_string(),
        }
    }

    fn modules(&self) -> Vec<String> {
        let mut names = Vec::new();
        for (steps, name) in self.fields.texts("modules") {
            match modules::problem(&name) {
                Some(found) => {
                    let is_error = found.is_error();
                    self.fields.reader.report_value(&steps, found);
                    if !is_error {
                        names.push(name.to_string());
                    }
                }
                None => names.push(name.to_string()),
            }
        }
        names
    }

    fn lua_imports(&mut self) -> Vec<(String, EntryId)> {
        let mut imports = Vec::new();
        for (steps, alias, text) in self.fields.pairs("imports", "a map from alias to entry id") {
            if alias.is_empty() || text.is_empty() {
                let message = if alias.is_empty() {
                    "an import needs an alias"
                } else {
                    "an import needs an entry id"
                };
                self.fields
                    .reader
                    .report_value(&steps, Diagnostic::new(Code::BadValue, message));
                continue;
            }
            let id = self.fields.id(&steps, &text);
            if let Some(id) = self.refer(id, steps, Role::Import) {
                imports.push((alias.to_string(), id));
            }
        }
        imports
    }

    fn limits(&self) -> Limits {
        let fields = self.fields.map("limits");
        let default = self.around.limits;
        let count = |name: &str, otherwise| fields.count(name, Code::LimitRange).unwrap_or(otherwise);
        let size = |name: &str, otherwise| fields.size(name, Code::LimitRange).unwrap_or(otherwise);
        Limits {
            max_execution_ms: count("max_execution_ms", default.max_execution_ms),
            max_memory: size("max_memory", default.max_memory),
            max_fuel: count("max_fuel", default.max_fuel),
            max_transfer: size("max_transfer", default.max_transfer),
            max_handles: count("max_handles", default.max_handles),
        }
    }

    fn pool(&self) -> Option<PoolSpec> {
        self.fields.node("pool")?;
        let fields = self.fields.map("pool");
        let kind = fields.word("type", &schema::POOL_TYPES, "invalid pool type");
        let count = |name: &str| fields.count(name, Code::BadValue);
        let (workers, size, buffer) = (count("workers"), count("size"), count("buffer"));
        let max_size = count("max_size").filter(|most| *most > 0);
        let warm_start = fields.flag("warm_start").unwrap_or(false);
        if workers.is_some_and(|workers| workers > 0) && size == Some(0) {
            fields.bad_value("size", "pool.size cannot be 0 when pool.workers is set");
        }
        let some = |count: Option<u64>| count.filter(|count| *count > 0);
        let fixed = || {
            let workers = some(workers).or(some(size)).unwrap_or(8);
            PoolSpec::Static {
                workers,
                buffer: buffer.unwrap_or(workers.saturating_mul(64)),
                warm_start,
            }
        };
        let max_size_or = |most| max_size.unwrap_or(most);
        Some(match kind {
            Some(PoolType::Inline) => PoolSpec::Inline,
            Some(PoolType::Lazy) => PoolSpec::Lazy {
                max_size: max_size_or(16),
                warm_start,
            },
            Some(PoolType::Static) => fixed(),
            Some(PoolType::Adaptive) => PoolSpec::Adaptive {
                max_size: max_size_or(16),
                warm_start,
            },
            _ if workers.is_some() || size.is_some() => fixed(),
            _ => PoolSpec::Adaptive {
                max_size: max_size_or(100),
                warm_start,
            },
        })
    }

    fn wasm(&mut self, kind: &str) -> WasmSpec {
        let fields = self.fields;
        let source = self.wasm_source(kind);
        let method = fields.required("method").to_string();
        let transport = self.transport();
        let imports = self.wasm_imports();
        let pool = self.pool();
        let wasi = fields.map("wasi");
        let cwd = fields.map("wasi").text("cwd").unwrap_or_else(|| "/".into());
        if !cwd.starts_with('/') {
            wasi.bad_value("cwd", "wasi.cwd must be absolute");
        }
        let spec = WasmSpec {
            source,
            method,
            wit: fields.text("wit"),
            transport,
            imports,
            args: wasi
                .texts("args")
                .into_iter()
                .map(|(_, text)| text.to_string())
                .collect(),
            cwd: cwd.to_string(),
            env: self.wasi_env(&wasi),
            mounts: self.mounts(&wasi),
            network: network(&wasi),
            limits: self.limits(),
            pool: pool.filter(|_| kind.starts_with("function.")),
        };
        self.default_host();
        without_grant(fields, &wasi, &spec.imports);
        spec
    }

    fn wasm_source(&mut self, kind: &str) -> WasmSource {
        if kind == "function.wat" {
            return WasmSource::Text(self.fields.required("source"));
        }
        let fs = self.reference("fs", Role::Filesystem);
        let path = self.fields.required("path");
        let hash = self.fields.required("hash");
        if !hash.is_empty() {
            self.check_hash(&hash);
        }
        WasmSource::File {
            // Without one the entry is broken and nobody looks.
            fs: fs.unwrap_or_else(|| EntryId::new("", "")),
            path: path.to_string(),
            hash: hash.to_string(),
        }
    }

    fn check_hash(&self, hash: &str) {
        // The placeholder is reported once the real hash can be computed.
        if hash == PLACEHOLDER || check::digits_of(hash).is_some() {
            return;
        }
        let problem = match hash.split_once(':') {
            Some((name, digits)) if !name.is_empty() && !digits.is_empty() && name != "sha256" => {
                format!("unsupported hash algorithm: {name}")
            }
            _ => format!("invalid hash format: {hash}"),
        };
        let found = Diagnostic::new(Code::HashFormat, problem);
        self.fields
            .bad("hash", found.label("expected `sha256:` and 64 lower-case hex digits"));
    }

    fn transport(&self) -> Transport {
        let transport = self
            .fields
            .word("transport", &schema::TRANSPORTS, "invalid transport type");
        if transport == Some(Transport::WasiHttp) {
            let message = "`transport: wasi-http` is not provided: there is no HTTP endpoint, calls return Unavailable";
            self.fields
                .bad("transport", Diagnostic::new(Code::TransportNotProvided, message));
        }
        transport.unwrap_or(Transport::Payload)
    }

    fn wasm_imports(&self) -> Vec<String> {
        let mut names = Vec::new();
        for (steps, name) in self.fields.texts("imports") {
            if Grant::find(&name).is_none() {
                let found = Diagnostic::new(Code::UnknownImport, grants::unknown(&name));
                self.fields.reader.report_value(&steps, found);
            }
            names.push(name.to_string());
        }
        names
    }

    fn wasi_env(&mut self, wasi: &Fields<'_>) -> Vec<WasiEnv> {
        let mut names = HashSet::new();
        let mut env = Vec::new();
        for item in wasi.maps("env") {
            let required = item.flag("required").unwrap_or(false);
            let role = if required {
                Role::RequiredVariable
            } else {
                Role::OptionalVariable
            };
            let id = item.required_id("id");
            let id = self.refer(id, item.steps("id"), role);
            let name = item.required("name");
            if !name.is_empty() && !names.insert(name.clone()) {
                item.bad_value("name", "wasi.env[].name must be unique");
            }
            if name.contains(['=', '\0']) {
                item.bad_value("name", "wasi.env[].name cannot contain `=` or NUL");
            }
            env.extend(id.map(|id| WasiEnv {
                id,
                name: name.to_string(),
                required,
                value: None,
            }));
        }
        env
    }

    fn mounts(&mut self, wasi: &Fields<'_>) -> Vec<Mount> {
        let mut seen = BTreeSet::new();
        let mut mounts = Vec::new();
        for item in wasi.maps("mounts") {
            let fs = item.required_id("fs");
            let fs = self.refer(fs, item.steps("fs"), Role::Mount);
            let guest = item.required("guest");
            if !guest.is_empty() {
                check_guest(&item, &guest, &mut seen);
            }
            let guest = if guest.starts_with('/') {
                clean_guest(&guest)
            } else {
                guest.to_string()
            };
            let read_only = item.flag("read_only").unwrap_or(false);
            mounts.extend(fs.map(|fs| Mount { fs, guest, read_only }));
        }
        mounts
    }

    fn static_storage(&self) -> StorageSpec {
        let pairs = self.fields.pairs("values", "a map of strings");
        StorageSpec::Static(
            pairs
                .into_iter()
                .map(|(_, key, value)| (key.to_string(), value.to_string()))
                .collect(),
        )
    }

    fn file_storage(&self) -> StorageSpec {
        let written = self.fields.required("file_path");
        StorageSpec::File(FileStorageSpec {
            path: join(self.around.project, &written),
            written: written.to_string(),
            auto_create: self.fields.flag("auto_create").unwrap_or(false),
            file_mode: self.fields.mode("file_mode").unwrap_or(0o644),
            dir_mode: self.fields.mode("dir_mode").unwrap_or(0o755),
        })
    }

    fn router_storage(&mut self) -> StorageSpec {
        let texts = self.fields.texts("storages");
        let is_missing = match self.fields.node("storages") {
            None => true,
            Some(node) => matches!(node, Node::List(items) if items.is_empty()),
        };
        if is_missing {
            self.fields.missing("storages");
        }
        let mut storages = Vec::new();
        for (steps, text) in texts {
            let id = self.fields.full_id(&steps, "storages", &text);
            storages.extend(self.refer(id, steps, Role::Storage));
        }
        StorageSpec::Router(storages)
    }

    fn variable(&mut self) -> Spec {
        let fields = self.fields;
        let text = fields.required("storage");
        let steps = fields.steps("storage");
        let id = if text.is_empty() {
            None
        } else {
            fields.full_id(&steps, "storage", &text)
        };
        let storage = self.refer(id, steps, Role::Storage);
        let name = fields.text("variable");
        let is_plain = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if name.as_deref().is_some_and(|name| !is_plain(name)) {
            fields.bad_value("variable", "`variable` may only have letters, digits and underscores");
        }
        let spec = VariableSpec {
            name: name.map(|name| name.to_string()),
            default: fields.text("default").map(|text| text.to_string()),
            read_only: fields.flag("readonly").unwrap_or(false),
            storage: match storage {
                Some(storage) => storage,
                None => return Spec::Broken,
            },
        };
        Spec::Variable(spec)
    }

    /// Pids are written with it.
    fn check_host_name(&self) {
        let id = self.fields.reader.id.map(EntryId::as_str).unwrap_or_default();
        if let Some(sign) = id.chars().find(|c| matches!(c, '|' | '{' | '}')) {
            let message =
                format!("invalid id of a host {id:?}: it must not contain `{sign}`, with which pids are written");
            self.fields.bad("name", Diagnostic::new(Code::BadId, message));
        }
    }

    fn process_host(&mut self) -> ProcessHostSpec {
        let (host, wasm) = (self.fields.map("host"), self.fields.map("wasm"));
        let default = ProcessHostSpec::default();
        let whole = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let count = |name: &str, otherwise| host.count(name, Code::BadValue).map_or(otherwise, whole);
        host.count("max_processes", Code::BadValue);
        ProcessHostSpec {
            workers: count("workers", default.workers),
            queue_size: count("queue_size", default.queue_size),
            local_queue_size: count("local_queue_size", default.local_queue_size),
            mailbox_limit: count("mailbox_limit", default.mailbox_limit),
            mailbox_bytes: host
                .size("mailbox_bytes", Code::BadValue)
                .map_or(default.mailbox_bytes, whole),
            density: wasm.word("density", &schema::DENSITIES, "invalid wasm.density"),
            max_instances: wasm.count("max_instances", Code::BadValue).filter(|count| *count > 0),
            max_stack: wasm.size("max_stack", Code::BadValue).filter(|size| *size > 0),
        }
    }

    fn terminal_host(&mut self) -> TerminalHostSpec {
        TerminalHostSpec {
            hide_logs: self.fields.flag("hide_logs").unwrap_or(false),
        }
    }

    fn service(&mut self) -> Spec {
        let process = self.reference("process", Role::Process);
        let host = self.reference("host", Role::Host);
        let items = self.fields.list("input", "a list");
        let input = items.into_iter().map(|(_, node)| node.to_value()).collect();
        match (process, host) {
            (Some(process), Some(host)) => Spec::Service(ServiceSpec { process, host, input }),
            _ => Spec::Broken,
        }
    }

    fn lifecycle(&mut self) -> Lifecycle {
        let fields = self.fields.map("lifecycle");
        let default = Lifecycle::default();
        let duration = |name: &str, otherwise| fields.duration(name).unwrap_or(otherwise);
        Lifecycle {
            auto_start: fields.flag("auto_start").unwrap_or(false),
            optional: fields
                .word("startup", &schema::STARTUPS, "invalid lifecycle.startup")
                .unwrap_or(false),
            requires: self.requires(&fields),
            start_timeout: duration("start_timeout", default.start_timeout),
            stop_timeout: duration("stop_timeout", default.stop_timeout),
            stable_threshold: duration("stable_threshold", default.stable_threshold),
            restart: restart(&fields.map("restart")),
            actor: actor(&fields.map("security")),
        }
    }

    fn requires(&mut self, lifecycle: &Fields<'_>) -> Vec<EntryId> {
        let mut ids = Vec::new();
        for name in ["requires", "depends_on"] {
            for (steps, text) in lifecycle.texts(name) {
                let id = lifecycle.id(&steps, &text);
                ids.extend(self.refer(id, steps, Role::Required));
            }
        }
        ids
    }

    fn command(&self) -> Option<Command> {
        let meta = self.fields.map("meta");
        meta.node("command")?;
        let command = meta.map("command");
        let name = command.required("name");
        let text = |field: &str| command.text(field).map(|text| text.to_string());
        Some(Command {
            name: name.to_string(),
            short: text("short").unwrap_or_default(),
            use_case: text("use_case").unwrap_or_else(|| "run".to_owned()),
        })
        .filter(|command| !command.name.is_empty())
    }

    fn default_host(&mut self) {
        let meta = self.fields.map("meta");
        // Says so when it is no text.
        meta.text("default_host");
        let options = meta.node("options").map(|_| meta.map("options"));
        if let Some(options) = &options {
            options.text("default_host");
        }
        for fields in options.iter().chain([&meta]) {
            let Some(text) = fields.node("default_host").and_then(Node::as_str) else {
                continue;
            };
            let steps = fields.steps("default_host");
            let id = self.fields.id(&steps, text);
            self.refer(id, steps, Role::DefaultHost);
        }
    }
}

/// `security.actor`; what its `id` and `meta` mean is nobody's business here.
fn actor(security: &Fields<'_>) -> Option<(String, Value)> {
    security.node("actor")?;
    let actor = security.map("actor");
    // Says so when it is not a map.
    actor.map("meta");
    let meta = actor.node("meta").map_or(Value::Nil, Node::to_value);
    Some((actor.required("id").to_string(), meta))
}

/// The literal that stands in examples where a hash belongs.
pub const PLACEHOLDER: &str = "sha256:...";

fn restart(fields: &Fields<'_>) -> Restart {
    let default = Restart::default();
    let backoff = default.backoff;
    let jitter = fields.float("jitter").unwrap_or(backoff.jitter);
    if jitter > 1.0 {
        fields.bad_value("jitter", "lifecycle.restart.jitter must be between 0 and 1");
    }
    Restart {
        backoff: Backoff {
            initial_delay: fields.duration("initial_delay").unwrap_or(backoff.initial_delay),
            max_delay: fields.duration("max_delay").unwrap_or(backoff.max_delay),
            factor: fields.float("backoff_factor").unwrap_or(backoff.factor),
            jitter,
        },
        max_attempts: fields
            .count("max_attempts", Code::BadValue)
            .unwrap_or(default.max_attempts),
    }
}

fn check_guest(item: &Fields<'_>, guest: &str, seen: &mut BTreeSet<String>) {
    if !guest.starts_with('/') {
        item.bad_value("guest", "wasi.mounts[].guest must be absolute");
        return;
    }
    let clean = clean_guest(guest);
    if seen.contains(&clean) {
        item.bad_value("guest", "wasi.mounts[].guest must be unique");
        return;
    }
    if let Some(other) = overlapping(&clean, seen) {
        let message = format!("the mounts `{other}` and `{clean}` overlap: the longer guest path wins");
        item.bad("guest", Diagnostic::new(Code::MountOverlap, message));
    }
    seen.insert(clean);
}

/// A mount that encloses this one or lies within it.
fn overlapping<'a>(guest: &str, seen: &'a BTreeSet<String>) -> Option<&'a String> {
    let mut above = guest.match_indices('/').map(|(at, _)| &guest[..at.max(1)]);
    let within = format!("{}/", guest.trim_end_matches('/'));
    let below = seen.range(within.clone()..).next();
    above
        .find_map(|folder| seen.get(folder))
        .or(below.filter(|other| other.starts_with(&within)))
}

/// `/data/./x//y/` as `/data/x/y`.
pub fn clean_guest(guest: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in guest.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn network(wasi: &Fields<'_>) -> Vec<String> {
    let mut patterns = Vec::new();
    for (steps, pattern) in wasi.texts("network") {
        if let Some(instead) = complaint(&pattern) {
            let message = format!("wasi.network[]: {pattern:?} is not `host:port`");
            let found = Diagnostic::new(Code::BadValue, message).label(instead);
            wasi.reader.report_value(&steps, found);
        }
        patterns.push(pattern.to_string());
    }
    patterns
}

/// Inputs that the guest cannot see without a grant.
fn without_grant(fields: &Fields<'_>, wasi: &Fields<'_>, imports: &[String]) {
    let granted: Vec<Grant> = imports.iter().filter_map(|name| Grant::find(name)).collect();
    let has = |grant: Grant| granted.iter().any(|own| own.includes(grant));
    let needs: [(&str, &[Grant], &str); 5] = [
        ("args", &[Grant::Cli], "wasi:cli"),
        ("cwd", &[Grant::Cli], "wasi:cli"),
        ("env", &[Grant::Cli], "wasi:cli"),
        ("mounts", &[Grant::Filesystem], "wasi:filesystem"),
        ("network", &[Grant::Sockets, Grant::Http], "wasi:sockets"),
    ];
    let is_missing =
        |(name, grants, _): &(&str, &[Grant], &str)| wasi.has(name) && !grants.iter().any(|grant| has(*grant));
    let missing: Vec<_> = needs.into_iter().filter(is_missing).collect();
    // Whichever finding is read first, its line repairs all.
    let mut all: Vec<&str> = imports.iter().map(String::as_str).collect();
    for (_, _, wanted) in &missing {
        if !all.contains(wanted) {
            all.push(wanted);
        }
    }
    let help = format!("add to the entry: imports: [{}]", all.join(", "));
    for (name, grants, _) in missing {
        let alternatives: Vec<String> = grants.iter().map(|grant| format!("`{}`", grant.name())).collect();
        let message = format!(
            "`wasi.{name}` has no effect without the grant {}",
            alternatives.join(" or ")
        );
        let found = Diagnostic::new(Code::WasiWithoutGrant, message).help(help.clone());
        fields.reader.report_key(&wasi.steps(name), found);
    }
}

/// A path as an entry writes it, seen from a folder, without `.` and `..` where that needs no look at the disk.
pub(super) fn join(base: &Path, written: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for part in base.join(written).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if path.file_name().is_some() => {
                path.pop();
            }
            part => path.push(part),
        }
    }
    path
}
