//! `require`: global tables, declared modules, imports, and for scripts files of the project.
//!
//! What a process may require is data ([`Visible`]), made with its program. Files are read off the workers while the
//! calling coroutine waits; each runs once per state.

use std::ffi::c_int;
use std::path::PathBuf;
use std::sync::Arc;

use super::raw::*;
use super::sandbox::{self, push_registry_table};
use super::waiting::Woken;
use super::{Bytecode, Driver, boot, mistake};
use crate::error::{Error, Result};
use crate::lua::compile::{self, Source};
use crate::lua::modules::Module;
use crate::lua::modules::repl::Desk;
use crate::lua::uses::Uses;
use crate::project::modules::NOT_PROVIDED;

/// What a process may require beside the global tables.
#[derive(Clone, Debug, Default)]
pub struct Visible {
    /// Provided modules that are declared.
    pub modules: Vec<Module>,
    /// As written under `modules:`, for the message that shows the complete list.
    pub written: Vec<String>,
    /// Aliases and the stages of the image whose results they are.
    pub imports: Vec<(String, usize)>,
    /// For scripts: the folders below which files are found, and every provided module.
    pub files: Option<Vec<PathBuf>>,
    /// For a session: whom it works for, and the module `repl`.
    pub desk: Option<Arc<dyn Desk>>,
}

/// Global tables that `require` returns.
const TABLES: [&str; 13] = [
    "process",
    "channel",
    "payload",
    "os",
    "errors",
    "package",
    "table",
    "math",
    "string",
    "coroutine",
    "utf8",
    "debug",
    "_G",
];

/// A file that was found: its bytecode.
pub struct Found {
    code: Bytecode,
}

static FILES: u8 = 0;

/// `require(name)`.
///
/// # Safety
/// Called by Lua.
pub unsafe extern "C-unwind" fn require(l: Lua) -> c_int {
    // SAFETY: type errors raise with nothing alive.
    unsafe {
        luaL_checktype(l, 1, LUA_TSTRING);
        lua_settop(l, 1);
        host(l, |driver| {
            let name = String::from_utf8_lossy(bytes(l, 1).unwrap_or_default()).into_owned();
            driver.require(l, &name)
        })
    }
}

/// The file was read and compiled: runs it.
unsafe extern "C-unwind" fn found(l: Lua, _: c_int, _: lua_KContext) -> c_int {
    // SAFETY: `host` leaves the chunk and the name on the stack, or raises.
    unsafe {
        host(l, |driver| match driver.take_woken() {
            Some(Woken::Text(Ok(file))) => match file.code.load(l) {
                Ok(()) => {
                    lua_pushvalue(l, 1);
                    Act::Return(2)
                }
                Err(message) => mistake(l, &message),
            },
            Some(Woken::Text(Err(error))) => {
                driver.loading.pop();
                push_error(l, driver, error);
                Act::Raise
            }
            _ => Act::Return(0),
        });
        lua_callk(l, 1, 1, 0, Some(ran));
        ran(l, LUA_OK, 0)
    }
}

/// The file's first result is kept; nil counts as true.
unsafe extern "C-unwind" fn ran(l: Lua, _: c_int, _: lua_KContext) -> c_int {
    // SAFETY: the name is at 1, the result on top.
    unsafe {
        host(l, |driver| {
            driver.loading.pop();
            if lua_type(l, -1) == LUA_TNIL {
                lua_pop(l, 1);
                lua_pushboolean(l, 1);
            }
            push_registry_table(l, &FILES);
            lua_pushvalue(l, 1);
            lua_pushvalue(l, -3);
            lua_rawset(l, -3);
            lua_pop(l, 1);
            Act::Return(1)
        })
    }
}

/// A Lua function after which files that were required are read again when they are required the next time.
///
/// # Errors
/// When the state has no memory for it.
pub fn forgetting(lua: &mlua::Lua) -> mlua::Result<mlua::Function> {
    // SAFETY: a C function that keeps the rules of this room.
    unsafe { lua.create_c_function(forget) }
}

unsafe extern "C-unwind" fn forget(l: Lua) -> c_int {
    // SAFETY: as every C function of ours; nil takes the place of the table.
    unsafe {
        lua_pushnil(l);
        lua_rawsetp(l, LUA_REGISTRYINDEX, key(&FILES));
    }
    0
}

impl Driver {
    unsafe fn require(&mut self, l: Lua, name: &str) -> Act {
        let context = self.context.clone();
        let visible = &context.visible;
        let import = visible.imports.iter().find(|(alias, _)| alias == name);
        // SAFETY: inside `host`.
        unsafe {
            if let Some((_, stage)) = import {
                boot::push_results(l);
                lua_rawgeti(l, -1, *stage as i64 + 1);
                return Act::Return(1);
            }
            if TABLES.contains(&name) && sandbox::push_global(l, self, name) {
                return Act::Return(1);
            }
            if visible.desk.is_some() && name == Module::Repl.name() {
                sandbox::push_module(l, self, Module::Repl);
                return Act::Return(1);
            }
            match Module::find(name) {
                Some(module) if visible.files.is_some() || visible.modules.contains(&module) => {
                    sandbox::push_module(l, self, module);
                    Act::Return(1)
                }
                Some(_) => raise(
                    l,
                    self,
                    undeclared(name, self.context.entry().as_str(), &visible.written),
                ),
                None => match &visible.files {
                    Some(folders) => self.require_file(l, name, folders),
                    None => raise(l, self, absent(name)),
                },
            }
        }
    }

    unsafe fn require_file(&mut self, l: Lua, name: &str, folders: &[PathBuf]) -> Act {
        // SAFETY: inside `host`.
        unsafe {
            push_registry_table(l, &FILES);
            lua_pushvalue(l, 1);
            if lua_rawget(l, -2) != LUA_TNIL {
                return Act::Return(1);
            }
            lua_settop(l, 1);
            if let Some(at) = self.loading.iter().position(|loading| loading == name) {
                let path = self.loading[at..].join(" -> ");
                return raise(l, self, Error::invalid(format!("module cycle: {path} -> {name}")));
            }
            if is_absent(name) {
                return raise(l, self, absent(name));
            }
            let folders = folders.to_vec();
            let wanted = name.to_owned();
            let uses = self.context.engine.uses.clone();
            let io = self.process().kernel().io().clone();
            let work = async move {
                let read = io
                    .spawn_blocking(move || find(&wanted, &folders, uses.as_deref()))
                    .await;
                Woken::Text(read.unwrap_or_else(|failure| Err(Error::internal(failure.to_string()))))
            };
            let act = self.wait_for(l, Box::pin(work), found);
            if matches!(act, Act::Park(_)) {
                self.loading.push(name.to_owned());
            }
            act
        }
    }
}

unsafe fn raise(l: Lua, driver: &mut Driver, error: Error) -> Act {
    // SAFETY: inside `host`.
    unsafe { push_error(l, driver, error) };
    Act::Raise
}

fn undeclared(name: &str, entry: &str, written: &[String]) -> Error {
    let list: Vec<&str> = written.iter().map(String::as_str).chain([name]).collect();
    let list = list.join(", ");
    Error::not_found(format!(
        "module '{name}' not found: entry {entry} does not declare it; add to the entry: modules: [{list}]"
    ))
}

fn is_absent(name: &str) -> bool {
    NOT_PROVIDED.contains(&name)
}

fn absent(name: &str) -> Error {
    match is_absent(name) {
        true => Error::not_found(format!("module '{name}' not found: this runtime does not provide it")),
        false => Error::not_found(format!("module '{name}' not found")),
    }
}

/// Reads and compiles `dir/name.lua`, else `dir/name/init.lua`, below the first folder that has one.
fn find(name: &str, folders: &[PathBuf], uses: Option<&Uses>) -> Result<Found> {
    let parts: Vec<&str> = name.split('.').collect();
    let plain = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    if !parts.iter().all(plain) {
        return Err(Error::not_found(format!("module '{name}' not found")));
    }
    let path = parts.join("/");
    let mut tried = Vec::new();
    for folder in folders {
        let Ok(dir) = cap_std::fs::Dir::open_ambient_dir(folder, cap_std::ambient_authority()) else {
            continue;
        };
        for file in [format!("{path}.lua"), format!("{path}/init.lua")] {
            let place = folder.join(&file);
            if let Some(uses) = uses {
                uses.file(&place);
            }
            if let Ok(text) = dir.read_to_string(&file) {
                return compiled(&file, &text);
            }
            let place = place.display().to_string();
            // A script beside the project's files has one folder for both.
            if !tried.contains(&place) {
                tried.push(place);
            }
        }
    }
    Err(Error::not_found(format!(
        "module '{name}' not found; looked at: {}",
        tried.join(", ")
    )))
}

fn compiled(file: &str, text: &str) -> Result<Found> {
    let source = Source {
        text,
        chunk: file,
        first_line: 1,
    };
    compile::compile(&source).map(|chunk| Found { code: chunk.code })
}
