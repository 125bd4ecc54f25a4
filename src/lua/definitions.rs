//! What is known about the Lua API: the definitions in `lua/types/`, one file per module, in the annotations of LuaCATS.
//!
//! Editors get them as they are (`wippy types`); `:help` of a session is read from them here. A definition is a run of `---`
//! lines, and the line of Lua below it. What they say is held against the modules themselves in `tests/suite/types.rs`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The files by the name of their module, in the order in which help looks.
pub const FILES: &[(&str, &str)] = &[
    ("process", include_str!("../../lua/types/process.lua")),
    ("channel", include_str!("../../lua/types/channel.lua")),
    ("time", include_str!("../../lua/types/time.lua")),
    ("errors", include_str!("../../lua/types/errors.lua")),
    ("io", include_str!("../../lua/types/io.lua")),
    ("fs", include_str!("../../lua/types/fs.lua")),
    ("funcs", include_str!("../../lua/types/funcs.lua")),
    ("json", include_str!("../../lua/types/json.lua")),
    ("env", include_str!("../../lua/types/env.lua")),
    ("logger", include_str!("../../lua/types/logger.lua")),
    ("os", include_str!("../../lua/types/os.lua")),
    ("payload", include_str!("../../lua/types/payload.lua")),
    ("registry", include_str!("../../lua/types/registry.lua")),
    ("supervisor", include_str!("../../lua/types/supervisor.lua")),
    ("uuid", include_str!("../../lua/types/uuid.lua")),
    ("ctx", include_str!("../../lua/types/ctx.lua")),
    ("security", include_str!("../../lua/types/security.lua")),
    ("globals", include_str!("../../lua/types/globals.lua")),
    ("test", include_str!("../../lua/types/test.lua")),
];

/// A function, or a class: a module's table, or what one of its functions gives.
#[derive(Debug, Default)]
struct Item {
    /// `process.send`, `Channel:send`, `Channel`, `process`.
    name: String,
    /// Of a function: its head, `process.send(dest, topic, ...)`.
    head: Option<String>,
    /// `---@class`, by the name that annotations use.
    class: Option<String>,
    text: Vec<String>,
    /// Parameters or fields: name, type, and what there is to say.
    parts: Vec<[String; 3]>,
    /// Type, name, and what there is to say.
    returns: Vec<[String; 3]>,
}

/// What is known under a name: a module or a class with its functions, a function by its full name or its last part.
pub fn find(name: &str) -> Option<String> {
    let items: Vec<Item> = FILES.iter().flat_map(|(_, file)| items(file)).collect();
    let is_class = |item: &&Item| item.head.is_none() && (item.name == name || item.class.as_deref() == Some(name));
    if let Some(class) = items.iter().find(is_class) {
        return Some(class.with_functions(&items));
    }
    let functions = || items.iter().filter(|item| item.head.is_some());
    let exact: Vec<&Item> = functions().filter(|item| item.name == name).collect();
    let found = match exact.is_empty() {
        true => functions()
            .filter(|item| item.name.rsplit(['.', ':']).next() == Some(name))
            .collect(),
        false => exact,
    };
    let texts: Vec<String> = found.into_iter().map(Item::to_text).collect();
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}

/// What Lua itself has, beside what is defined here.
const STANDARD: &[&str] = &[
    "_G",
    "_VERSION",
    "assert",
    "coroutine",
    "error",
    "getmetatable",
    "ipairs",
    "load",
    "math",
    "next",
    "pairs",
    "pcall",
    "print",
    "rawequal",
    "rawget",
    "rawlen",
    "rawset",
    "require",
    "select",
    "setmetatable",
    "string",
    "table",
    "tonumber",
    "tostring",
    "type",
    "utf8",
    "xpcall",
];

/// Whether some program finds a global of that name without having made it.
pub fn is_global(name: &str) -> bool {
    let mut globals = FILES.iter().find(|(file, _)| *file == "globals").into_iter();
    STANDARD.contains(&name)
        || FILES.iter().any(|(module, _)| *module == name)
        || globals.any(|(_, file)| items(file).iter().any(|item| item.name == name))
}

/// The names of all methods, each once: what an object of ours may have.
pub fn methods() -> Vec<String> {
    let items = FILES.iter().flat_map(|(_, file)| items(file));
    let names = items.filter_map(|item| Some(item.name.rsplit_once(':')?.1.to_owned()));
    let names: BTreeSet<String> = names.collect();
    names.into_iter().collect()
}

impl Item {
    /// A class with its fields, and the heads of the functions below it.
    fn with_functions(&self, items: &[Item]) -> String {
        let mut text = self.text.join("\n");
        for [name, ty, about] in &self.parts {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n  {name}: {ty}{}", after(about));
        }
        let is_below = |name: &str| {
            name.strip_prefix(&self.name)
                .is_some_and(|rest| rest.starts_with(['.', ':']))
        };
        for head in items
            .iter()
            .filter(|item| is_below(&item.name))
            .filter_map(|item| item.head.as_ref())
        {
            let _ = write!(text, "\n  {head}");
        }
        text
    }

    fn to_text(&self) -> String {
        let mut text = self.head.clone().unwrap_or_default();
        let returns: Vec<String> = self
            .returns
            .iter()
            .map(|[ty, name, _]| format!("{ty} {name}").trim_end().to_owned())
            .collect();
        if !returns.is_empty() {
            let _ = write!(text, " → {}", returns.join(", "));
        }
        for line in &self.text {
            let _ = write!(text, "\n  {line}");
        }
        for [name, ty, about] in &self.parts {
            let _ = write!(text, "\n  {name}: {ty}{}", after(about));
        }
        for [_, name, about] in self.returns.iter().filter(|[.., about]| !about.is_empty()) {
            let _ = write!(text, "\n  → {name}: {about}");
        }
        text
    }
}

fn after(about: &str) -> String {
    if about.is_empty() {
        String::new()
    } else {
        format!(" — {about}")
    }
}

/// The classes and functions of a file, in its order.
fn items(file: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut item = Item::default();
    for line in file.lines() {
        match line.strip_prefix("---") {
            Some(line) => item.take(line),
            None => {
                let mut done = std::mem::take(&mut item);
                done.close(line);
                items.extend((!done.name.is_empty()).then_some(done));
            }
        }
    }
    items
}

impl Item {
    /// One line above what is defined.
    fn take(&mut self, line: &str) {
        if let Some(class) = line.strip_prefix("@class ") {
            self.class = class.split(':').next().map(str::to_owned);
        } else if let Some(rest) = line.strip_prefix("@param ").or_else(|| line.strip_prefix("@field ")) {
            let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            let (ty, about) = split_type(rest);
            self.parts.push([name, ty, about].map(str::to_owned));
        } else if let Some(rest) = line.strip_prefix("@return ") {
            let (ty, rest) = split_type(rest);
            let (name, about) = rest.split_once(' ').unwrap_or((rest, ""));
            self.returns.push([ty, name, about].map(str::to_owned));
        } else if !line.starts_with(['@', '|']) {
            self.text.push(line.to_owned());
        }
    }

    /// The line below. A class without one goes by its own name.
    fn close(&mut self, line: &str) {
        if let Some(function) = line.strip_prefix("function ") {
            let head = function.trim_end_matches(" end").to_owned();
            self.name = head[..head.find('(').unwrap_or(head.len())].to_owned();
            self.head = Some(head);
        } else if let Some(class) = &self.class {
            let table = line.strip_suffix(" = {}").map(|name| name.trim_start_matches("local "));
            self.name = table.unwrap_or(class).to_owned();
        }
    }
}

/// A type and what stands behind it. A blank inside of brackets, or around `|` and after `:` or `,`, belongs to the type.
fn split_type(text: &str) -> (&str, &str) {
    let mut depth = 0;
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' | '{' | '<' => depth += 1,
            ')' | ']' | '}' | '>' => depth -= 1,
            ' ' if depth == 0 && !text[..at].ends_with([':', ',', '|']) && !text[at..].starts_with(" |") => {
                return (&text[..at], &text[at + 1..]);
            }
            _ => {}
        }
    }
    (text, "")
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
        assert!(
            text.contains("\n  dest: Pid|string\n  topic: string — not one"),
            "{text}"
        );
        assert!(text.contains("\n  → err: NotFound: "), "{text}");
        let text = find("send").unwrap();
        assert!(
            text.contains("process.send(") && text.contains("Channel:send("),
            "{text}"
        );
        assert!(find("nothing").is_none());
    }

    #[test]
    fn modules_and_classes_list_what_they_have() {
        let text = find("time").unwrap();
        assert!(
            text.starts_with("Time, durations") && text.contains("\n  time.sleep(d)"),
            "{text}"
        );
        let text = find("Channel").unwrap();
        assert!(
            text.contains("\n  Channel:receive()") && !text.contains("channel.new"),
            "{text}"
        );
        let text = find("Stat").unwrap();
        assert!(text.contains("\n  size: integer — bytes"), "{text}");
        let text = find("process.registry").unwrap();
        assert!(text.contains("\n  process.registry.lookup(name)"), "{text}");
    }

    #[test]
    fn a_type_ends_at_a_blank_outside_of_it() {
        for (text, expected) in [
            ("string", ("string", "")),
            ("string? path of it", ("string?", "path of it")),
            ("{a: integer, b: string}? t", ("{a: integer, b: string}?", "t")),
            ("fun(a: any): any, string x", ("fun(a: any): any, string", "x")),
            ("\"a b\"|nil word", ("\"a b\"|nil", "word")),
            ("integer | nil n", ("integer | nil", "n")),
        ] {
            assert_eq!(split_type(text), expected);
        }
    }

    #[test]
    fn every_definition_has_a_text_and_the_files_are_lua() {
        for (name, file) in FILES {
            for item in items(file).iter().filter(|item| item.head.is_some()) {
                assert!(!item.text.is_empty(), "{name}: {item:?}");
            }
            mlua::Lua::new().load(*file).into_function().unwrap();
        }
    }
}
