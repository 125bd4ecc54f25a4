//! Which fields each kind has, as data, and the search for those it does not have.
//!
//! A field is written as its path: `limits.max_memory`, `wasi.env[].id`. What stands in front of a dot or `[]` is a map
//! or a list of maps whose own fields are known; what is in the others its [`Shape`] says. A field that decoding reads
//! must be listed here, or using it would be reported. [`json_schema`](super::json_schema) says the same to editors.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::diagnostic::{Code, Diagnostic, Severity};
use super::entry::{Density, Transport};
use super::fields::{MOST, Reader};
use super::near::nearest;
use super::place::Step;
use super::yaml::{Map, Node};

use Shape::{
    Any, Count, Duration, Flag, FreeMap, Grants, Hosts, List, Mode, Number, Pairs, Share, Size, Text, Texts, Words,
};

/// What may stand in a field. Null is nothing everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Any,
    Flag,
    Text,
    /// One of these.
    Words(&'static [&'static str]),
    /// `"10s"`
    Duration,
    /// `"0755"`
    Mode,
    /// A whole number from 0 up.
    Count,
    /// A number of bytes, or a text like `"64MiB"`.
    Size,
    /// From 0 up.
    Number,
    /// From 0 to 1.
    Share,
    FreeMap,
    /// A map from names to texts.
    Pairs,
    List,
    /// A list of texts.
    Texts,
    /// A list of [grants](super::grants::Grant), by their names or in another spelling.
    Grants,
    /// A list of patterns `host:port`.
    Hosts,
}

/// A field of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// From the top of the entry: `limits.max_memory`, `wasi.env[].id`.
    pub path: &'static str,
    pub shape: Shape,
    /// Whether what encloses it cannot do without; a text or a list must then have something in it.
    pub required: bool,
}

const fn optional(path: &'static str, shape: Shape) -> Field {
    Field {
        path,
        shape,
        required: false,
    }
}

const fn required(path: &'static str, shape: Shape) -> Field {
    Field {
        path,
        shape,
        required: true,
    }
}

/// From where a `directory` is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    Project,
    Module,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PoolType {
    Inline,
    Lazy,
    Static,
    Adaptive,
}

// The words of a field with what they mean to decoding; `Words` has them without it.
pub(super) const BASES: [(&str, Base); 2] = [("project", Base::Project), ("module", Base::Module)];
pub(super) const DENSITIES: [(&str, Density); 2] = [("fast", Density::Fast), ("dense", Density::Dense)];
pub(super) const POOL_TYPES: [(&str, PoolType); 4] = [
    ("inline", PoolType::Inline),
    ("lazy", PoolType::Lazy),
    ("static", PoolType::Static),
    ("adaptive", PoolType::Adaptive),
];
/// Whether failing to start is no failure of the boot.
pub(super) const STARTUPS: [(&str, bool); 2] = [("required", false), ("optional", true)];
pub(super) const TRANSPORTS: [(&str, Transport); 2] =
    [("payload", Transport::Payload), ("wasi-http", Transport::WasiHttp)];

const BASE: &[&str] = &words(BASES);
const DENSITY: &[&str] = &words(DENSITIES);
const POOL_TYPE: &[&str] = &words(POOL_TYPES);
const STARTUP: &[&str] = &words(STARTUPS);
const TRANSPORT: &[&str] = &words(TRANSPORTS);

const fn words<T: Copy, const N: usize>(pairs: [(&'static str, T); N]) -> [&'static str; N] {
    let mut words = [""; N];
    let mut at = 0;
    while at < N {
        words[at] = pairs[at].0;
        at += 1;
    }
    words
}

const LIFECYCLE: &[Field] = &[
    optional("lifecycle.auto_start", Flag),
    optional("lifecycle.startup", Words(STARTUP)),
    optional("lifecycle.requires", Texts),
    optional("lifecycle.depends_on", Texts),
    optional("lifecycle.start_timeout", Duration),
    optional("lifecycle.stop_timeout", Duration),
    optional("lifecycle.stable_threshold", Duration),
    optional("lifecycle.restart.initial_delay", Duration),
    optional("lifecycle.restart.max_delay", Duration),
    optional("lifecycle.restart.backoff_factor", Number),
    optional("lifecycle.restart.jitter", Share),
    optional("lifecycle.restart.max_attempts", Count),
    required("lifecycle.security.actor.id", Text),
    optional("lifecycle.security.actor.meta", FreeMap),
    optional("lifecycle.security.groups", Any),
    optional("lifecycle.security.policies", Any),
];

const POOL: &[Field] = &[
    optional("pool.type", Words(POOL_TYPE)),
    optional("pool.workers", Count),
    optional("pool.size", Count),
    optional("pool.buffer", Count),
    optional("pool.max_size", Count),
    optional("pool.warm_start", Flag),
    optional("pool.worker_class", Any),
];

const LUA: &[Field] = &[
    required("source", Text),
    optional("modules", Texts),
    optional("imports", Pairs),
];

const LUA_RUN: &[Field] = &[
    optional("limits.max_memory", Size),
    optional("limits.max_execution_ms", Count),
    optional("security", Any),
];

const WASM: &[Field] = &[
    required("method", Text),
    optional("wit", Text),
    optional("transport", Words(TRANSPORT)),
    optional("imports", Grants),
    optional("wasi.args", Texts),
    optional("wasi.cwd", Text),
    required("wasi.env[].id", Text),
    required("wasi.env[].name", Text),
    optional("wasi.env[].required", Flag),
    required("wasi.mounts[].fs", Text),
    required("wasi.mounts[].guest", Text),
    optional("wasi.mounts[].read_only", Flag),
    optional("wasi.network", Hosts),
    optional("limits.max_execution_ms", Count),
    optional("limits.max_memory", Size),
    optional("limits.max_fuel", Count),
    optional("limits.max_transfer", Size),
    optional("limits.max_handles", Count),
];

/// What a process may say about itself.
const PROCESS: &[Field] = &[
    optional("meta.default_host", Text),
    required("meta.command.name", Text),
    optional("meta.command.short", Text),
    optional("meta.command.use_case", Text),
];

const FILE: &[Field] = &[required("fs", Text), required("path", Text), required("hash", Text)];

const HOST: &[Field] = &[
    optional("host.workers", Count),
    optional("host.queue_size", Count),
    optional("host.local_queue_size", Count),
    optional("host.mailbox_limit", Count),
    optional("host.mailbox_bytes", Size),
    optional("host.max_processes", Count),
    optional("wasm.density", Words(DENSITY)),
    optional("wasm.max_instances", Count),
    optional("wasm.max_stack", Size),
];

const COMMON: [&str; 4] = ["name", "kind", "meta", "data"];

/// Every known kind with its fields, without the common ones.
const KINDS: &[(&str, &[&[Field]])] = &[
    (
        "fs.directory",
        &[&[
            required("directory", Text),
            optional("auto_init", Flag),
            optional("mode", Mode),
            optional("base", Words(BASE)),
        ]],
    ),
    ("function.lua", &[LUA, &[required("method", Text)], LUA_RUN, POOL]),
    (
        "process.lua",
        &[LUA, &[optional("method", Text)], LUA_RUN, POOL, PROCESS],
    ),
    ("library.lua", &[LUA]),
    ("function.wat", &[&[required("source", Text)], WASM, POOL]),
    ("function.wasm", &[FILE, WASM, POOL]),
    ("process.wasm", &[FILE, WASM, POOL, PROCESS]),
    ("env.storage.memory", &[]),
    ("env.storage.os", &[]),
    ("env.storage.static", &[&[optional("values", Pairs)]]),
    (
        "env.storage.file",
        &[&[
            required("file_path", Text),
            optional("auto_create", Flag),
            optional("file_mode", Mode),
            optional("dir_mode", Mode),
        ]],
    ),
    ("env.storage.router", &[&[required("storages", Texts)]]),
    (
        "env.variable",
        &[&[
            required("storage", Text),
            optional("variable", Text),
            optional("default", Text),
            optional("readonly", Flag),
        ]],
    ),
    ("process.host", &[HOST, LIFECYCLE]),
    ("terminal.host", &[&[optional("hide_logs", Flag)], LIFECYCLE]),
    (
        "process.service",
        &[
            &[
                required("process", Text),
                required("host", Text),
                optional("input", List),
            ],
            LIFECYCLE,
        ],
    ),
    ("registry.entry", &[]),
];

/// The names of all known kinds.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(kind, _)| *kind)
}

/// All fields of a kind, without `name`, `kind`, `meta`, `data`. None for an unknown kind.
pub fn fields(kind: &str) -> Option<Vec<&'static Field>> {
    let (_, groups) = KINDS.iter().find(|(name, _)| *name == kind)?;
    Some(groups.iter().flat_map(|group| group.iter()).collect())
}

/// Reports keys that are given twice, anywhere in the tree that `steps` lead to.
pub(super) fn find_repeated(reader: &Reader<'_>, node: &Node, steps: &mut Vec<Step>) {
    let children: Vec<(Step, &Node)> = match node {
        Node::Map(map) => {
            for key in map.repeated().into_iter().take(MOST) {
                reader.report_at(
                    reader.second_key(steps, key),
                    Diagnostic::new(Code::DuplicateKey, format!("`{key}` is given twice")),
                );
            }
            map.pairs
                .iter()
                .map(|(key, node)| (Step::Key(key.text.clone()), node))
                .collect()
        }
        Node::List(items) => items
            .iter()
            .enumerate()
            .map(|(at, node)| (Step::Index(at), node))
            .collect(),
        _ => return,
    };
    for (step, child) in children {
        steps.push(step);
        find_repeated(reader, child, steps);
        steps.pop();
    }
}

/// Reports the fields of an entry that its kind does not have, and notes which known ones were meant, so that those are
/// not reported as missing too. `entry` has all data on its top level.
pub(super) fn find_unknown(reader: &Reader<'_>, kind: &str, entry: &Map) {
    if kind == "registry.entry" {
        return;
    }
    let Some(known) = KNOWN.get(kind) else { return };
    let search = Search { reader, kind, known };
    search.map(entry, "", &mut Vec::new());
}

/// The fields of a kind as the search needs them.
struct Known {
    paths: Vec<&'static str>,
    /// The names directly below a prefix (`""`, `limits.`, `wasi.env[].`); none where anything goes.
    below: HashMap<&'static str, Vec<&'static str>>,
}

static KNOWN: LazyLock<HashMap<&'static str, Known>> = LazyLock::new(|| {
    let of = |kind| Known::new(fields(kind).into_iter().flatten().map(|field| field.path));
    kinds().map(|kind| (kind, of(kind))).collect()
});

impl Known {
    fn new(fields: impl Iterator<Item = &'static str>) -> Known {
        let paths: Vec<&str> = fields.chain(COMMON).collect();
        let mut below: HashMap<&str, Vec<&str>> = HashMap::new();
        for path in &paths {
            for start in std::iter::once(0).chain(path.match_indices('.').map(|(at, _)| at + 1)) {
                let (prefix, rest) = path.split_at(start);
                let names = below.entry(prefix).or_default();
                let name = first_name(rest);
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        Known { paths, below }
    }
}

struct Search<'a> {
    reader: &'a Reader<'a>,
    kind: &'a str,
    known: &'a Known,
}

impl Search<'_> {
    fn below(&self, prefix: &str) -> &[&'static str] {
        self.known.below.get(prefix).map_or(&[], Vec::as_slice)
    }

    fn map(&self, map: &Map, prefix: &str, steps: &mut Vec<Step>) {
        let names = self.below(prefix);
        // `meta` is free, but `meta.command` is not.
        let free = names.is_empty() || prefix == "meta.";
        for (key, node) in &map.pairs {
            steps.push(Step::Key(key.text.clone()));
            if names.contains(&&*key.text) {
                self.enter(node, prefix, &key.text, steps);
            } else if !free {
                self.unknown(&key.text, prefix, names, map, steps);
            }
            steps.pop();
        }
    }

    fn enter(&self, node: &Node, prefix: &str, key: &str, steps: &mut Vec<Step>) {
        match node {
            Node::Map(map) => self.map(map, &format!("{prefix}{key}."), steps),
            Node::List(items) => {
                let prefix = format!("{prefix}{key}[].");
                if self.below(&prefix).is_empty() {
                    return;
                }
                for (at, item) in items.iter().enumerate() {
                    steps.push(Step::Index(at));
                    if let Node::Map(map) = item {
                        self.map(map, &prefix, steps);
                    }
                    steps.pop();
                }
            }
            _ => {}
        }
    }

    fn unknown(&self, key: &str, prefix: &str, names: &[&'static str], map: &Map, steps: &[Step]) {
        if self.reader.is_full() {
            return;
        }
        let message = format!("`{}` has no field `{prefix}{key}`", self.kind);
        let mut found = Diagnostic::new(Code::UnknownField, message);
        // A name that is already there was not misspelt here.
        let missing = names.iter().copied().filter(|name| map.get(name).is_none());
        if let Some(meant) = nearest(key, missing) {
            self.reader.expect_no_complaint(&format!("{prefix}{meant}"));
            found = found
                .severity(Severity::Error)
                .label(format!("did you mean `{meant}`?"));
        } else if let Some(path) = self.elsewhere(key, prefix) {
            self.reader.expect_no_complaint(&path);
            let path = path.replace("[]", "");
            found = found
                .severity(Severity::Error)
                .label(format!("on the wrong level: did you mean `{path}`?"));
        } else if let Some(near) = nearest(key, names.iter().copied()) {
            found = found
                .severity(Severity::Error)
                .label(format!("`{near}` is there already: a second spelling of it?"));
        } else {
            let mut names = names.to_vec();
            names.sort_unstable();
            found = found.help(format!("known here: {}", names.join(", ")));
        }
        self.reader.report_key(steps, found);
    }

    /// The path of a field or group of that very name on another level.
    fn elsewhere(&self, key: &str, prefix: &str) -> Option<String> {
        if COMMON.contains(&key) {
            return None;
        }
        let mut groups = self.known.paths.iter().flat_map(|path| {
            let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
            ends.map(|end| path[..end].trim_end_matches("[]"))
        });
        let named = |path: &&str| path.rsplit('.').next() == Some(key) && !is_directly_below(path, prefix);
        groups.find(named).map(str::to_owned)
    }
}

fn is_directly_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| !rest.contains('.'))
}

fn first_name(path: &str) -> &str {
    let end = path.find('.').unwrap_or(path.len());
    path[..end].trim_end_matches("[]")
}
