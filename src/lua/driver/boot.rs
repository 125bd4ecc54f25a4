//! From compiled chunks to main: what the first coroutine of a process runs.
//!
//! Library chunks run once each, dependencies first, then the entry's own chunk; what that returns is called with the
//! arguments. All of it happens in the main coroutine, so a chunk may wait at its top level. The state of a function keeps
//! main, and a later call runs it at once in a main coroutine of its own ([`again`]).

use std::ffi::{CString, c_int};
use std::sync::Arc;

use super::raw::*;
use super::sandbox::{self, Plan};
use super::{Bytecode, Driver};
use crate::error::{Error, Kind};
use crate::lua::stack;
use crate::value::Packed;

/// What a state starts with.
pub struct Boot {
    pub image: Arc<Image>,
    /// The arguments of main; none when it is not to be called yet.
    pub args: Option<Packed>,
}

/// The part of it that all processes of an entry share.
pub struct Image {
    pub plan: Plan,
    /// In the order in which they run; the last one is the entry's own.
    pub stages: Vec<Stage>,
    pub main: Main,
    /// Whether its states serve one call after the other.
    pub reused: bool,
}

/// A chunk to run.
pub struct Stage {
    pub code: Bytecode,
    /// Globals that it finds set: names and the stages whose results they are.
    pub aliases: Vec<(CString, usize)>,
}

/// How the last chunk leads to main.
pub enum Main {
    /// It is main.
    Chunk,
    /// It returns a function, or a table with a function of that name.
    Method(String),
    /// It is main, unless it returns a function or a table with a function `main`.
    File,
}

/// The context of the continuation while main itself runs.
const IN_MAIN: lua_KContext = -1;

/// The context of the continuation while the chunk of a file runs, which may be main.
const IN_FILE: lua_KContext = -2;

/// Where results of library chunks are kept, by stage.
static RESULTS: u8 = 0;

/// Where a state that is used again keeps main.
static MAIN: u8 = 1;

/// The body of the main coroutine.
pub(super) unsafe extern "C-unwind" fn run(l: Lua) -> c_int {
    // SAFETY: a C function's last call.
    unsafe { begin(l, 0) }
}

/// The body of the main coroutine of a later call.
pub(super) unsafe extern "C-unwind" fn again(l: Lua) -> c_int {
    // SAFETY: main and its arguments are all there is on the stack; nothing of Rust is alive during the call.
    unsafe {
        let args = host(l, |driver| {
            lua_rawgetp(l, LUA_REGISTRYINDEX, key(&MAIN));
            driver.push_args(l)
        });
        lua_callk(l, args, LUA_MULTRET, IN_MAIN, Some(went));
        went(l, LUA_OK, IN_MAIN)
    }
}

unsafe fn begin(l: Lua, stage: usize) -> c_int {
    // SAFETY: `host` leaves the chunk and its arguments on the stack; nothing of Rust is alive during the call.
    unsafe {
        let args = host(l, |driver| driver.load_stage(l, stage));
        let (results, context) = (*Driver::of(l)).role(stage);
        lua_callk(l, args, results, context, Some(went));
        went(l, LUA_OK, context)
    }
}

unsafe extern "C-unwind" fn went(l: Lua, _: c_int, context: lua_KContext) -> c_int {
    // SAFETY: the results of the stage are all there is on the stack.
    unsafe {
        if context == IN_MAIN {
            return lua_gettop(l);
        }
        if context == IN_FILE {
            if host(l, |driver| driver.file_main(l)) == 0 {
                return lua_gettop(l);
            }
            let args = host(l, |driver| driver.push_args(l));
            lua_callk(l, args, LUA_MULTRET, IN_MAIN, Some(went));
            return lua_gettop(l);
        }
        let stage = context as usize;
        if host(l, |driver| driver.keep(l, stage)) == 0 {
            return begin(l, stage + 1);
        }
        find_main(l)
    }
}

/// Calls the function that the entry's chunk gave.
unsafe fn find_main(l: Lua) -> c_int {
    // SAFETY: the chunk's result is on top; reading a field may run a metamethod, with nothing of Rust alive.
    unsafe {
        if lua_type(l, -1) == LUA_TTABLE {
            host(l, |driver| {
                if let Main::Method(name) = &driver.boot.image.main {
                    push_bytes(l, name.as_bytes());
                }
                Act::Return(0)
            });
            lua_gettable(l, -2);
            // What stays below main is a result too.
            lua_remove(l, -2);
        }
        let wanted = (*Driver::of(l)).boot.args.is_some();
        let args = host(l, |driver| driver.push_main(l));
        if !wanted {
            return 0;
        }
        lua_callk(l, args, LUA_MULTRET, IN_MAIN, Some(went));
        went(l, LUA_OK, IN_MAIN)
    }
}

impl Driver {
    /// How many results the chunk of a stage has, and what it is to its continuation.
    fn role(&self, stage: usize) -> (c_int, lua_KContext) {
        let image = &self.boot.image;
        match image.main {
            _ if stage + 1 < image.stages.len() => (1, stage as lua_KContext),
            Main::Method(_) => (1, stage as lua_KContext),
            Main::Chunk => (LUA_MULTRET, IN_MAIN),
            Main::File => (LUA_MULTRET, IN_FILE),
        }
    }

    /// Leaves nothing but the function that a file returned; returns 0 and changes nothing when it was main itself.
    unsafe fn file_main(&mut self, l: Lua) -> Act {
        // SAFETY: inside `host`; the results of the chunk are all there is on the stack, raw reads run no code.
        unsafe {
            if lua_type(l, 1) == LUA_TTABLE {
                push_bytes(l, b"main");
                lua_rawget(l, 1);
                if lua_type(l, -1) != LUA_TFUNCTION {
                    lua_pop(l, 1);
                    return Act::Return(0);
                }
                lua_replace(l, 1);
            }
            if lua_type(l, 1) != LUA_TFUNCTION {
                return Act::Return(0);
            }
            lua_settop(l, 1);
        }
        Act::Return(1)
    }

    /// Leaves the stage's chunk on the stack, and the arguments if it is main.
    unsafe fn load_stage(&mut self, l: Lua, index: usize) -> Act {
        let image = self.boot.image.clone();
        let stage = &image.stages[index];
        // SAFETY: inside `host`.
        unsafe {
            if !stage.aliases.is_empty() {
                set_aliases(l, stage);
            }
            if let Err(message) = stage.code.load(l) {
                push_bytes(l, message.as_bytes());
                return Act::Raise;
            }
            match self.role(index).1 {
                IN_MAIN => self.push_args(l),
                IN_FILE => {
                    // They are wanted again if the chunk turns out to return main.
                    let args = self.boot.args.clone();
                    let act = self.push_args(l);
                    self.boot.args = args;
                    act
                }
                _ => Act::Return(0),
            }
        }
    }

    /// Leaves the arguments, or the error that they are too many.
    unsafe fn push_args(&mut self, l: Lua) -> Act {
        let args = self.boot.args.take().unwrap_or_default();
        // SAFETY: inside `host`.
        unsafe {
            if let Some(count) = stack::push(l, self, &args) {
                return Act::Return(count);
            }
            let message = format!("too many arguments: {}", args.len());
            push_error(l, self, Error::new(Kind::LimitExceeded, message));
            Act::Raise
        }
    }

    /// Keeps the result of a library. Returns 1 value for the entry's own chunk, which stays, else none.
    unsafe fn keep(&mut self, l: Lua, index: usize) -> Act {
        if index + 1 == self.boot.image.stages.len() {
            return Act::Return(1);
        }
        // SAFETY: inside `host`.
        unsafe {
            push_results(l);
            lua_insert(l, -2);
            lua_rawseti(l, -2, index as i64 + 1);
            lua_settop(l, 0);
        }
        Act::Return(0)
    }

    /// Keeps main, which is on top, for later calls.
    unsafe fn keep_main(&mut self, l: Lua) {
        if self.boot.image.reused {
            // SAFETY: inside `host`.
            unsafe {
                lua_pushvalue(l, -1);
                lua_rawsetp(l, LUA_REGISTRYINDEX, key(&MAIN));
            }
            self.booted = true;
        }
    }

    /// Leaves main and its arguments, or the error that there is none.
    unsafe fn push_main(&mut self, l: Lua) -> Act {
        // SAFETY: inside `host`.
        unsafe {
            if lua_type(l, -1) == LUA_TFUNCTION {
                self.keep_main(l);
                return self.push_args(l);
            }
            let image = self.boot.image.clone();
            let method = match &image.main {
                Main::Method(name) => name.as_str(),
                Main::Chunk | Main::File => "",
            };
            push_error(
                l,
                self,
                Error::not_found(format!("method \"{method}\" not found in module")),
            );
            Act::Raise
        }
    }
}

unsafe fn set_aliases(l: Lua, stage: &Stage) {
    // SAFETY: inside `host`; the globals have no metatable yet or raw access ignores it.
    unsafe {
        lua_pushglobaltable(l);
        push_results(l);
        for (alias, index) in &stage.aliases {
            lua_pushstring(l, alias.as_ptr());
            lua_rawgeti(l, -2, *index as i64 + 1);
            lua_rawset(l, -4);
        }
        lua_pop(l, 2);
    }
}

/// Pushes the table of the libraries' results.
///
/// # Safety
/// Inside [`host`].
pub(super) unsafe fn push_results(l: Lua) {
    // SAFETY: as stated.
    unsafe { sandbox::push_registry_table(l, &RESULTS) };
}
