//! What is known about the Lua API, for `:help`: read from the definitions for editors in `lua/types/`, one file per module.
//!
//! A definition is a run of `---` lines above a `function`. Lines with `---@` are for editors; of them only `@return` is shown.

use std::fmt::Write as _;

const FILES: [&str; 17] = [
    include_str!("../../lua/types/process.lua"),
    include_str!("../../lua/types/channel.lua"),
    include_str!("../../lua/types/time.lua"),
    include_str!("../../lua/types/errors.lua"),
    include_str!("../../lua/types/io.lua"),
    include_str!("../../lua/types/fs.lua"),
    include_str!("../../lua/types/funcs.lua"),
    include_str!("../../lua/types/json.lua"),
    include_str!("../../lua/types/env.lua"),
    include_str!("../../lua/types/logger.lua"),
    include_str!("../../lua/types/os.lua"),
    include_str!("../../lua/types/payload.lua"),
    include_str!("../../lua/types/registry.lua"),
    include_str!("../../lua/types/supervisor.lua"),
    include_str!("../../lua/types/uuid.lua"),
    include_str!("../../lua/types/ctx.lua"),
    include_str!("../../lua/types/security.lua"),
];

/// A function, or a module: then the signature is its name.
#[derive(Debug, Default)]
struct Item {
    /// `process.send`, `Channel:send`
    name: String,
    signature: String,
    returns: Option<String>,
    text: Vec<String>,
}

/// What is known under a name: a module with its functions, a function by its full name or its last part.
pub fn find(name: &str) -> Option<String> {
    let files = FILES.map(items);
    for items in &files {
        if items.first().is_some_and(|module| module.name == name) {
            return Some(module(items));
        }
    }
    let all = || files.iter().flat_map(|items| &items[1..]);
    let exact: Vec<&Item> = all().filter(|item| item.name == name).collect();
    let found = match exact.is_empty() {
        true => all()
            .filter(|item| item.name.rsplit(['.', ':']).next() == Some(name))
            .collect(),
        false => exact,
    };
    let texts: Vec<String> = found.into_iter().map(Item::to_text).collect();
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}

fn module(items: &[Item]) -> String {
    let mut text = items[0].text.join(" ");
    for item in &items[1..] {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {}", item.signature);
    }
    text
}

impl Item {
    fn to_text(&self) -> String {
        let arrow = self.returns.as_ref().map(|returns| format!(" → {returns}"));
        format!(
            "{}{}\n  {}",
            self.signature,
            arrow.unwrap_or_default(),
            self.text.join("\n  ")
        )
    }
}

/// The module itself first, then its functions.
fn items(file: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut item = Item::default();
    for line in file.lines() {
        if let Some(name) = line.strip_prefix("---@meta ") {
            item.name = name.to_owned();
        } else if let Some(returns) = line.strip_prefix("---@return ") {
            item.returns = Some(returns.to_owned());
        } else if let Some(text) = line.strip_prefix("---").filter(|text| !text.starts_with('@')) {
            item.text.push(text.to_owned());
        } else if let Some(function) = line.strip_prefix("function ") {
            item.signature = function.trim_end_matches(" end").to_owned();
            item.name = function[..function.find('(').unwrap_or(function.len())].to_owned();
            items.push(std::mem::take(&mut item));
        } else if line.ends_with("= {}") {
            items.push(std::mem::take(&mut item));
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_by_their_full_name_and_their_last_part() {
        let text = find("process.send").unwrap();
        assert!(
            text.starts_with("process.send(dest, topic, ...) → true? ok, Error? err\n  Queues a message"),
            "{text}"
        );
        let text = find("send").unwrap();
        assert!(
            text.contains("process.send(") && text.contains("Channel:send("),
            "{text}"
        );
        assert!(find("nothing").is_none());
    }

    #[test]
    fn a_module_lists_its_functions() {
        let text = find("time").unwrap();
        assert!(
            text.starts_with("Time, durations") && text.contains("\n  time.sleep(d)"),
            "{text}"
        );
    }

    #[test]
    fn every_definition_has_a_text_and_the_files_are_lua() {
        for file in FILES {
            for item in items(file) {
                assert!(!item.text.is_empty() && !item.name.is_empty(), "{item:?}");
            }
            let lua = mlua::Lua::new();
            lua.load(file).into_function().unwrap();
        }
    }
}
