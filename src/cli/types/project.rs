//! The ids of a project as types, so that an editor offers them where an id is wanted.

use std::fmt::Write as _;

use crate::project::{Entry, Registry};

/// A name for ids, what it says, and which entries it has.
type Alias = (&'static str, &'static str, fn(&Entry) -> bool);

const ALIASES: [Alias; 5] = [
    ("EntryId", "An entry of the project.", |_| true),
    ("SpawnId", "What can be spawned.", is_process),
    ("CallId", "What can be called like a function.", is_callable),
    ("HostId", "Where processes run.", |entry| {
        matches!(entry.kind.as_str(), "process.host" | "terminal.host")
    }),
    ("VolumeId", "A folder.", |entry| entry.kind == "fs.directory"),
];

pub fn is_process(entry: &Entry) -> bool {
    entry.kind.starts_with("process.") && !matches!(entry.kind.as_str(), "process.host" | "process.service")
}

pub fn is_callable(entry: &Entry) -> bool {
    entry.kind.starts_with("function.") || is_process(entry) && entry.default_host().is_some()
}

/// The file of the aliases.
pub fn definitions(registry: &Registry) -> String {
    let mut text = "---@meta _\n".to_owned();
    for (name, about, has) in ALIASES {
        let lines: Vec<String> = registry
            .iter()
            .filter(|entry| has(entry))
            .filter_map(|entry| line(entry))
            .collect();
        // Writing to a String cannot fail.
        let _ = match lines.is_empty() {
            true => writeln!(text, "\n---{about}\n---@alias {name} string"),
            false => writeln!(text, "\n---{about}\n---@alias {name}\n{}", lines.join("\n")),
        };
    }
    text
}

/// One alternative, with what the entry says about itself. None for an id that cannot stand in quotes.
fn line(entry: &Entry) -> Option<String> {
    let id = quotable(entry.id.as_str())?;
    let short = entry.command.as_ref().map(|command| command.short.as_str());
    let comment = || entry.meta.get("comment").and_then(|comment| comment.as_str());
    let about = short
        .filter(|short| !short.is_empty())
        .or_else(comment)
        .unwrap_or_default();
    let about: String = about.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    Some(format!("---| \"{id}\" # {} {about}", entry.kind).trim_end().to_owned())
}

pub fn quotable(id: &str) -> Option<&str> {
    let odd = |c: char| c.is_control() || matches!(c, '"' | '\\');
    (!id.contains(odd)).then_some(id)
}
