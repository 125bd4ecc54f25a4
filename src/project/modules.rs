//! The names that `modules:` of a Lua entry may hold. What they do is the business of the Lua engine.

use super::diagnostic::{Code, Diagnostic};
use super::near::nearest;

/// Modules that an entry must declare before it can use them.
pub const PROVIDED: [&str; 13] = [
    "ctx",
    "env",
    "fs",
    "funcs",
    "io",
    "json",
    "logger",
    "registry",
    "security",
    "supervisor",
    "test",
    "time",
    "uuid",
];

/// Global tables: `require` gives them, declaring them changes nothing.
pub const GLOBALS: [&str; 13] = [
    "process",
    "channel",
    "payload",
    "print",
    "os",
    "errors",
    "package",
    "table",
    "math",
    "string",
    "coroutine",
    "utf8",
    "debug",
];

/// Modules of Wippy that this runtime does not have.
pub const NOT_PROVIDED: [&str; 30] = [
    "base64",
    "cdc",
    "cloudstorage",
    "compress",
    "contract",
    "crypto",
    "eval_runner",
    "events",
    "excel",
    "exec",
    "expr",
    "hash",
    "html",
    "http",
    "http_client",
    "hub",
    "metrics",
    "pg",
    "queue",
    "sql",
    "store",
    "stream",
    "system",
    "templates",
    "text",
    "treesitter",
    "tty",
    "websocket",
    "workflow",
    "yaml",
];

/// What is wrong with an item of `modules:`.
pub(super) fn problem(name: &str) -> Option<Diagnostic> {
    if name.trim().is_empty() {
        return Some(Diagnostic::new(Code::BadValue, "a module name cannot be empty"));
    }
    if name.contains(':') {
        let found = Diagnostic::new(Code::BadValue, format!("a module name has no namespace: `{name}`"));
        return Some(found.label("an entry is made available under `imports:`"));
    }
    if PROVIDED.contains(&name) || GLOBALS.contains(&name) {
        return None;
    }
    if NOT_PROVIDED.contains(&name) {
        let message = format!("module `{name}` is not provided by this runtime: `require` of it fails");
        return Some(Diagnostic::new(Code::ModuleNotProvided, message));
    }
    let near = nearest(name, PROVIDED.into_iter().chain(GLOBALS));
    let label = near.map_or_else(String::new, |near| format!("did you mean `{near}`?"));
    Some(Diagnostic::new(Code::UnknownModule, format!("unknown module `{name}`")).label(label))
}
