//! Functions of Lua's libraries that are written in Lua (`lua/gsub.lua`, `lua/sort.lua`, `lua/table.lua`): there a step is
//! an ordinary instruction and a callback an ordinary call, which can be suspended and interrupted. A C function in front
//! of each checks the arguments and does the quick cases itself. A chunk is loaded when it is first used.

use std::ffi::{CStr, c_int};
use std::sync::OnceLock;

use super::bytecode::{self, Bytecode};
use super::raw::*;

/// A chunk: its text, its name in messages, its bytecode once made, and its key in a state's registry.
pub struct Helper {
    source: &'static str,
    name: &'static str,
    code: OnceLock<Bytecode>,
    place: u8,
    /// Pushes what the chunk takes, and says how many that are.
    push_words: unsafe fn(Lua) -> c_int,
}

impl Helper {
    pub const fn new(name: &'static str, source: &'static str, push_words: unsafe fn(Lua) -> c_int) -> Helper {
        Helper {
            source,
            name,
            code: OnceLock::new(),
            place: 0,
            push_words,
        }
    }

    fn code(&self) -> &Bytecode {
        self.code
            .get_or_init(|| bytecode::compile(self.source.as_bytes(), self.name).expect("the embedded Lua compiles"))
    }

    /// Calls the chunk's function, or the one of that name in its table, with everything that is on the stack, as the last
    /// thing of a C function. Its results are the C function's.
    ///
    /// # Safety
    /// In a C function, nothing with a destructor alive.
    pub unsafe fn call(&'static self, l: Lua, field: Option<&CStr>) -> c_int {
        // SAFETY: as stated; there is room for a few values more.
        unsafe {
            let count = lua_gettop(l);
            self.push(l);
            if let Some(field) = field {
                lua_getfield(l, -1, field.as_ptr());
                lua_remove(l, -2);
            }
            lua_insert(l, 1);
            lua_callk(l, count, LUA_MULTRET, 0, Some(all_results));
            lua_gettop(l)
        }
    }

    /// Pushes what the chunk returned.
    unsafe fn push(&'static self, l: Lua) {
        // SAFETY: the chunk is run outside of `host`; what it needs is on the stack, nothing of Rust is alive.
        unsafe {
            if lua_rawgetp(l, LUA_REGISTRYINDEX, key(&self.place)) != LUA_TNIL {
                return;
            }
            lua_pop(l, 1);
            host(l, |_| match self.code().load(l) {
                Ok(()) => Act::Return(1),
                Err(message) => {
                    push_bytes(l, message.as_bytes());
                    Act::Raise
                }
            });
            let words = (self.push_words)(l);
            lua_call(l, words, 1);
            lua_pushvalue(l, -1);
            lua_rawsetp(l, LUA_REGISTRYINDEX, key(&self.place));
        }
    }
}
