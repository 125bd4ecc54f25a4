//! From compiled chunks to main: what the first coroutine of a process runs.
//!
//! Library chunks run once each, dependencies first, then the entry's own chunk; what that returns is called with the
//! arguments. All of it happens in the main coroutine, so a chunk may wait at its top level.

use std::ffi::{CString, c_int};
use std::sync::Arc;

use super::raw::*;
use super::sandbox::{self, Plan};
use super::{Bytecode, Driver};
use crate::error::Error;
use crate::lua::stack;
use crate::value::Packed;

/// What a state starts with.
pub struct Boot {
    pub image: Arc<Image>,
    pub args: Packed,
}

/// The part of it that all processes of an entry share.
pub struct Image {
    pub plan: Plan,
    /// In the order in which they run; the last one is the entry's own.
    pub stages: Vec<Stage>,
    pub main: Main,
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
}

/// The context of the continuation while main itself runs.
const IN_MAIN: lua_KContext = -1;

/// Where results of library chunks are kept, by stage.
static RESULTS: u8 = 0;

/// The body of the main coroutine.
pub(super) unsafe extern "C-unwind" fn run(l: Lua) -> c_int {
    // SAFETY: a C function's last call.
    unsafe { begin(l, 0) }
}

unsafe fn begin(l: Lua, stage: usize) -> c_int {
    // SAFETY: `host` leaves the chunk and its arguments on the stack; nothing of Rust is alive during the call.
    unsafe {
        let args = host(l, |driver| driver.load_stage(l, stage));
        let is_main = (*Driver::of(l)).is_main(stage);
        let (results, context) = match is_main {
            true => (LUA_MULTRET, IN_MAIN),
            false => (1, stage as lua_KContext),
        };
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
        let args = host(l, |driver| driver.push_main(l));
        lua_callk(l, args, LUA_MULTRET, IN_MAIN, Some(went));
        went(l, LUA_OK, IN_MAIN)
    }
}

impl Driver {
    fn is_main(&self, stage: usize) -> bool {
        let image = &self.boot.image;
        stage + 1 == image.stages.len() && matches!(image.main, Main::Chunk)
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
            match self.is_main(index) {
                true => self.push_args(l),
                false => Act::Return(0),
            }
        }
    }

    unsafe fn push_args(&mut self, l: Lua) -> Act {
        let args = std::mem::take(&mut self.boot.args);
        // SAFETY: inside `host`.
        unsafe {
            let top = lua_gettop(l);
            stack::push(l, self, &args);
            Act::Return(lua_gettop(l) - top)
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

    /// Leaves main and its arguments, or the error that there is none.
    unsafe fn push_main(&mut self, l: Lua) -> Act {
        // SAFETY: inside `host`.
        unsafe {
            if lua_type(l, -1) == LUA_TFUNCTION {
                return self.push_args(l);
            }
            let image = self.boot.image.clone();
            let method = match &image.main {
                Main::Method(name) => name.as_str(),
                Main::Chunk => "",
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
