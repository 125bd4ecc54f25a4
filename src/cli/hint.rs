//! What to do about the error of a program that ran: names that were meant, and what the project has instead.

use crate::error::{Error, Kind};
use crate::project::near::nearest;
use crate::project::{Registry, modules};

/// At most that many ids are listed.
const MOST: usize = 5;

/// None when the error says itself what to do, or when there is nothing to say.
pub fn of(error: &Error, registry: &Registry) -> Option<String> {
    let message = error.message();
    if error.kind() == Kind::NotFound && message == "host not found" {
        return hosts(registry);
    }
    let entry = ["entry not found: ", "no handler registered for "];
    if let Some(id) = entry.iter().find_map(|lead| message.strip_prefix(lead)) {
        return this_id(id, registry);
    }
    let global = message.split("(global '").nth(1)?.split('\'').next()?;
    let is_module = message.contains("a nil value (global '") && modules::PROVIDED.contains(&global);
    is_module.then(|| format!("`{global}` is a module: name it under `modules:` of the entry"))
}

fn hosts(registry: &Registry) -> Option<String> {
    let ids: Vec<&str> = registry
        .of_kind("process.host")
        .map(|entry| entry.id.as_str())
        .collect();
    let more = if ids.len() > MOST { ", …" } else { "" };
    let listed = ids[..ids.len().min(MOST)].join(", ");
    (!ids.is_empty()).then(|| format!("hosts of this project: {listed}{more}"))
}

fn this_id(id: &str, registry: &Registry) -> Option<String> {
    let ids = registry.iter().map(|entry| entry.id.as_str());
    Some(match nearest(id, ids) {
        Some(near) => format!("did you mean {near}?"),
        None => "wippy registry list shows the entries".to_owned(),
    })
}
