//! `require`: global tables, declared modules, imports, and for scripts files of the project.
//!
//! What a process may require is data ([`Visible`]), made with its program. Files are read off the workers while the
//! calling coroutine waits; each runs once per state.
//!
//! A file that is being read or whose chunk runs is a [`Load`]; whoever requires it meanwhile waits for its end, and then
//! asks again. Invariant: a load ends with the call that began it, however that ends: its chunk returns or raises (a value
//! to be closed, [`Guard`], lies below the chunk), its coroutine dies or is collected, its task is cut.

use std::ffi::c_int;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::raw::*;
use super::sandbox::{self, push_registry_table};
use super::waiting::Woken;
use super::{Bytecode, Driver, Waiter, What, boot, channel, mistake};
use crate::error::{Error, Result};
use crate::lines::Lines;
use crate::lua::compile::{self, Source};
use crate::lua::modules::Module;
use crate::lua::modules::repl::Desk;
use crate::lua::uses::Uses;
use crate::project::modules::NOT_PROVIDED;
use crate::system::volume::read_source;

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

/// A file that is being read, or whose chunk runs.
pub(super) struct Load {
    name: String,
    /// Tells it from other loads of its driver.
    ticket: u64,
    /// The coroutine that called, and its task.
    l: Lua,
    task: u32,
    /// Who requires it meanwhile.
    waiters: Vec<Waiter>,
}

/// What lies below a chunk that runs: the ticket of its load, beside the coroutine that runs it.
struct Guard(u64);

static FILES: u8 = 0;
static GUARD: u8 = 1;

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
                    driver.push_guard(l);
                    lua_insert(l, -2);
                    lua_pushvalue(l, 1);
                    Act::Return(3)
                }
                Err(message) => {
                    driver.end_load_by(l);
                    mistake(l, &message)
                }
            },
            Some(Woken::Text(Err(error))) => {
                driver.end_load_by(l);
                push_error(l, driver, error);
                Act::Raise
            }
            _ => Act::Return(0),
        });
        lua_toclose(l, -3);
        lua_callk(l, 1, 1, 0, Some(ran));
        ran(l, LUA_OK, 0)
    }
}

/// The other coroutine's load is over.
unsafe extern "C-unwind" fn again(l: Lua, _: c_int, _: lua_KContext) -> c_int {
    // SAFETY: the name is at 1.
    unsafe { require(l) }
}

/// The chunk of a [`Guard`] is left, or never will be gone on with.
unsafe extern "C-unwind" fn left(l: Lua) -> c_int {
    // SAFETY: called for guards alone: the metatable cannot be reached. Nothing is pushed.
    unsafe {
        let guard = lua_touserdata(l, 1).cast::<Guard>().read();
        (*Driver::of(l)).end_loads(|load| load.ticket == guard.0);
    }
    0
}

/// The file's first result is kept; nil counts as true. The load ends with this call.
unsafe extern "C-unwind" fn ran(l: Lua, _: c_int, _: lua_KContext) -> c_int {
    // SAFETY: the name is at 1, the result on top.
    unsafe {
        host(l, |_| {
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
            if let Some(load) = self.loading.iter().position(|load| load.name == name) {
                if let Some(cycle) = self.cycle(load) {
                    return raise(l, self, Error::invalid(format!("module cycle: {cycle}")));
                }
                let (act, waiter) = self.wait(l, What::Load, again);
                if let Some(waiter) = waiter {
                    self.loading[load].waiters.push(waiter);
                }
                return act;
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
                let load = Load {
                    name: name.to_owned(),
                    ticket: self.mark(),
                    l,
                    task: self.current,
                    waiters: Vec::new(),
                };
                self.loading.push(load);
            }
            act
        }
    }

    /// The way from that load back to itself, if the running task cannot wait for it because its end waits for this task.
    unsafe fn cycle(&self, load: usize) -> Option<String> {
        let mut names = Vec::new();
        let mut at = load;
        // SAFETY: the coroutine of a load is alive.
        while unsafe { self.goes_on(at) } && names.len() <= self.loading.len() {
            let task = self.loading[at].task;
            let within = (at..self.loading.len()).filter(|at| self.loading[*at].task == task);
            // SAFETY: as above.
            names.extend(
                within
                    .filter(|at| unsafe { self.goes_on(*at) })
                    .map(|at| self.loading[at].name.as_str()),
            );
            if task == self.current {
                names.push(&self.loading[load].name);
                return Some(names.join(" -> "));
            }
            // What that task waits for now.
            let waits = |waiter: &Waiter| waiter.task == task && self.is_on(*waiter);
            at = self.loading.iter().position(|load| load.waiters.iter().any(waits))?;
        }
        None
    }

    /// Whether a load goes on with its task: a coroutine that has yielded to its program may be resumed by anybody.
    unsafe fn goes_on(&self, load: usize) -> bool {
        let l = self.loading[load].l;
        // SAFETY: as the caller says; reads.
        unsafe { lua_status(l) != LUA_YIELD || Driver::is_held(l) }
    }

    fn is_on(&self, waiter: Waiter) -> bool {
        let task = self.tasks.get(waiter.task as usize).and_then(Option::as_ref);
        let wait = task.and_then(|task| task.wait.as_ref());
        wait.is_some_and(|wait| wait.ticket == waiter.ticket)
    }

    /// Pushes the guard of the load that `l` began last.
    unsafe fn push_guard(&mut self, l: Lua) {
        let load = self.loading.iter().rfind(|load| load.l == l);
        let ticket = load.map_or(0, |load| load.ticket);
        // SAFETY: inside `host`; the userdata is as large as a Guard, which is plain data.
        unsafe {
            lua_newuserdatauv(l, size_of::<Guard>(), 1)
                .cast::<Guard>()
                .write(Guard(ticket));
            // As long as the guard is not collected, `l` of its load is not either.
            lua_pushthread(l);
            lua_setiuservalue(l, -2, 1);
            if lua_rawgetp(l, LUA_REGISTRYINDEX, key(&GUARD)) == LUA_TNIL {
                lua_pop(l, 1);
                channel::make_meta(l, c"require", &GUARD, Some(left));
                sandbox::add_functions(l, &[(c"__close", left)]);
            }
            lua_setmetatable(l, -2);
        }
    }

    /// The load that `l` began last is over.
    fn end_load_by(&mut self, l: Lua) {
        let load = self.loading.iter().rfind(|load| load.l == l);
        if let Some(ticket) = load.map(|load| load.ticket) {
            self.end_loads(|load| load.ticket == ticket);
        }
    }

    /// A coroutine died by an error that nobody in it caught.
    pub(super) fn end_loads_by(&mut self, l: Lua) {
        self.end_loads(|load| load.l == l);
    }

    /// A task is gone.
    pub(super) fn end_loads_of(&mut self, task: u32) {
        self.end_loads(|load| load.task == task);
    }

    /// Whoever waits for such loads asks again.
    fn end_loads(&mut self, is_over: impl Fn(&Load) -> bool) {
        let over: Vec<Load> = self.loading.extract_if(.., |load| is_over(load)).collect();
        for waiter in over.into_iter().flat_map(|load| load.waiters) {
            self.complete(waiter);
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
            let path = folder.join(&file);
            if let Some(uses) = uses {
                uses.file(&path);
            }
            let place = path.display().to_string();
            match read_source(&dir, &file) {
                Ok(text) => return compiled(&file, &text),
                Err(failure) if is_elsewhere(&failure) => {}
                Err(failure) => {
                    let message = format!("module '{name}': cannot read {place}: {failure}");
                    return Err(Error::unavailable(message));
                }
            }
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

/// Whether there is no such file, so that the next place is looked at.
fn is_elsewhere(failure: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(failure.kind(), NotFound | NotADirectory | IsADirectory)
}

fn compiled(file: &str, text: &[u8]) -> Result<Found> {
    let source = Source {
        text,
        chunk: file,
        lines: Lines::OWN,
    };
    compile::compile(&source).map(|chunk| Found { code: chunk.code })
}
