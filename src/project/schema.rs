//! Which fields each kind has, as data, and the search for those it does not have.
//!
//! A field is written as its path: `limits.max_memory`, `wasi.env[].id`. What stands in front of a dot or `[]` is a map
//! or a list of maps whose own fields are known; everything else is free inside. A field that decoding reads must be
//! listed here, or using it would be reported.

use std::collections::HashSet;

use super::diagnostic::{Code, Diagnostic, Severity};
use super::fields::{MOST, Reader};
use super::near::nearest;
use super::place::Step;
use super::yaml::{Map, Node};

const LIFECYCLE: &[&str] = &[
    "lifecycle.auto_start",
    "lifecycle.startup",
    "lifecycle.requires",
    "lifecycle.depends_on",
    "lifecycle.start_timeout",
    "lifecycle.stop_timeout",
    "lifecycle.stable_threshold",
    "lifecycle.restart.initial_delay",
    "lifecycle.restart.max_delay",
    "lifecycle.restart.backoff_factor",
    "lifecycle.restart.jitter",
    "lifecycle.restart.max_attempts",
    "lifecycle.security.actor.id",
    "lifecycle.security.actor.meta",
    "lifecycle.security.groups",
    "lifecycle.security.policies",
];

const POOL: &[&str] = &[
    "pool.type",
    "pool.workers",
    "pool.size",
    "pool.buffer",
    "pool.max_size",
    "pool.warm_start",
    "pool.worker_class",
];

const LUA: &[&str] = &["source", "modules", "imports"];

const LUA_RUN: &[&str] = &["method", "limits.max_memory", "limits.max_execution_ms", "security"];

const WASM: &[&str] = &[
    "method",
    "wit",
    "transport",
    "imports",
    "wasi.args",
    "wasi.cwd",
    "wasi.env[].id",
    "wasi.env[].name",
    "wasi.env[].required",
    "wasi.mounts[].fs",
    "wasi.mounts[].guest",
    "wasi.mounts[].read_only",
    "wasi.network",
    "limits.max_execution_ms",
    "limits.max_memory",
    "limits.max_fuel",
    "limits.max_transfer",
    "limits.max_handles",
];

const COMMAND: &[&str] = &["meta.command.name", "meta.command.short", "meta.command.use_case"];

const FILE: &[&str] = &["fs", "path", "hash"];

const HOST: &[&str] = &[
    "host.workers",
    "host.queue_size",
    "host.local_queue_size",
    "host.mailbox_limit",
    "host.mailbox_bytes",
    "host.max_processes",
    "wasm.density",
    "wasm.max_instances",
    "wasm.max_stack",
];

const COMMON: [&str; 4] = ["name", "kind", "meta", "data"];

/// Every known kind with its fields, without the common ones.
const KINDS: &[(&str, &[&[&str]])] = &[
    ("fs.directory", &[&["directory", "auto_init", "mode", "base"]]),
    ("function.lua", &[LUA, LUA_RUN, POOL]),
    ("process.lua", &[LUA, LUA_RUN, POOL, COMMAND]),
    ("library.lua", &[LUA]),
    ("function.wat", &[&["source"], WASM, POOL]),
    ("function.wasm", &[FILE, WASM, POOL]),
    ("process.wasm", &[FILE, WASM, POOL, COMMAND]),
    ("env.storage.memory", &[]),
    ("env.storage.os", &[]),
    ("env.storage.static", &[&["values"]]),
    (
        "env.storage.file",
        &[&["file_path", "auto_create", "file_mode", "dir_mode"]],
    ),
    ("env.storage.router", &[&["storages"]]),
    ("env.variable", &[&["storage", "variable", "default", "readonly"]]),
    ("process.host", &[HOST, LIFECYCLE]),
    ("terminal.host", &[&["hide_logs"], LIFECYCLE]),
    ("process.service", &[&["process", "host", "input"], LIFECYCLE]),
    ("registry.entry", &[]),
];

/// The names of all known kinds.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(kind, _)| *kind)
}

/// The paths of all fields of a kind, without `name`, `kind`, `meta`, `data`. None for an unknown kind.
pub fn fields(kind: &str) -> Option<Vec<&'static str>> {
    let (_, groups) = KINDS.iter().find(|(name, _)| *name == kind)?;
    Some(groups.iter().flat_map(|group| group.iter().copied()).collect())
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
    let Some(mut known) = fields(kind) else { return };
    known.extend(COMMON);
    let search = Search {
        reader,
        kind,
        known: &known,
    };
    search.map(entry, "", &mut Vec::new());
}

struct Search<'a> {
    reader: &'a Reader<'a>,
    kind: &'a str,
    known: &'a [&'static str],
}

impl Search<'_> {
    /// The names known directly below a prefix (`""`, `limits.`, `wasi.env[].`); empty where anything goes.
    fn below(&self, prefix: &str) -> Vec<&'static str> {
        let mut seen = HashSet::new();
        let rests = self.known.iter().filter_map(|path| path.strip_prefix(prefix));
        rests.map(first_name).filter(|name| seen.insert(*name)).collect()
    }

    fn map(&self, map: &Map, prefix: &str, steps: &mut Vec<Step>) {
        let names = self.below(prefix);
        // `meta` is free, but `meta.command` is not.
        let free = names.is_empty() || prefix == "meta.";
        for (key, node) in &map.pairs {
            steps.push(Step::Key(key.text.clone()));
            if names.contains(&&*key.text) {
                self.enter(node, &format!("{prefix}{}", key.text), steps);
            } else if !free {
                self.unknown(&key.text, prefix, &names, map, steps);
            }
            steps.pop();
        }
    }

    fn enter(&self, node: &Node, path: &str, steps: &mut Vec<Step>) {
        match node {
            Node::Map(map) => self.map(map, &format!("{path}."), steps),
            Node::List(items) if !self.below(&format!("{path}[].")).is_empty() => {
                for (at, item) in items.iter().enumerate() {
                    steps.push(Step::Index(at));
                    if let Node::Map(map) = item {
                        self.map(map, &format!("{path}[]."), steps);
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
        let mut groups = self.known.iter().flat_map(|path| {
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
