//! The functions that start something by its id, once more for each WASM entry: with the parameters and the result that its
//! WIT has.

use super::project::{is_callable, is_process, quotable};
use crate::project::Entry;
use crate::wasm::WasmProgram;
use crate::wasm::value::lua::is_union;

/// A WASM entry by its types.
pub struct Typed {
    id: String,
    /// Parameters behind the id and the host, each with `, ` in front.
    params: String,
    /// May be nil: a call can fail.
    result: String,
    spawns: bool,
    calls: bool,
}

impl Typed {
    /// None for what cannot be called from Lua.
    pub fn new(entry: &Entry, program: &WasmProgram) -> Option<Typed> {
        let signature = program.signature();
        if !signature.is_callable() {
            return None;
        }
        // A command takes its words from `wasi.args`.
        let params = match program.is_command() {
            true => Vec::new(),
            false => signature.lua_params(&["self", "id", "host"]),
        };
        Some(Typed {
            id: quotable(entry.id.as_str())?.to_owned(),
            params: params.iter().map(|(name, ty)| format!(", {name}: {ty}")).collect(),
            result: or_nil(signature.lua_result(is_process(entry))),
            spawns: is_process(entry),
            calls: is_callable(entry),
        })
    }

    fn overload(&self, function: &str) -> Option<String> {
        let (owner, name) = function.split_once(['.', ':'])?;
        let result = &self.result;
        let (host, result) = match (owner, name) {
            ("process" | "Spawner", "exec") if self.spawns => (", host: HostId|string|nil", result.as_str()),
            ("process" | "Spawner", name) if self.spawns && name.starts_with("spawn") => {
                (", host: HostId|string|nil", "Pid?")
            }
            ("funcs" | "Executor", "call") if self.calls => ("", result.as_str()),
            ("funcs" | "Executor", "async") if self.calls => ("", "Future?"),
            _ => return None,
        };
        let receiver = match function.contains(':') {
            true => format!("self: {owner}, "),
            false => String::new(),
        };
        let (id, params) = (&self.id, &self.params);
        Some(format!(
            "---@overload fun({receiver}id: \"{id}\"{host}{params}): {result}, Error?\n"
        ))
    }
}

fn or_nil(ty: String) -> String {
    match ty.as_str() {
        "nil" => ty,
        _ if is_union(&ty) => format!("({ty})?"),
        _ if ty.ends_with('?') => ty,
        _ => format!("{ty}?"),
    }
}

/// A file of definitions with the overloads above the functions they are of.
pub fn insert(file: &str, typed: &[Typed]) -> String {
    let mut text = String::with_capacity(file.len());
    for line in file.split_inclusive('\n') {
        if let Some((function, _)) = line.strip_prefix("function ").and_then(|rest| rest.split_once('(')) {
            text.extend(typed.iter().filter_map(|typed| typed.overload(function)));
        }
        text.push_str(line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_function_that_starts_the_entry_has_its_overload() {
        let file = "function process.exec(id, host, ...) end\nfunction process.pid() end\nfunction Spawner:spawn(id) end\nfunction funcs.call(id, ...) end\n";
        let typed = Typed {
            id: "app:worker".to_owned(),
            params: ", a: integer".to_owned(),
            result: or_nil("{ok: integer} | {err: string}".to_owned()),
            spawns: true,
            calls: false,
        };
        let expected = "\
---@overload fun(id: \"app:worker\", host: HostId|string|nil, a: integer): ({ok: integer} | {err: string})?, Error?
function process.exec(id, host, ...) end
function process.pid() end
---@overload fun(self: Spawner, id: \"app:worker\", host: HostId|string|nil, a: integer): Pid?, Error?
function Spawner:spawn(id) end
function funcs.call(id, ...) end
";
        assert_eq!(insert(file, &[typed]), expected);
    }
}
