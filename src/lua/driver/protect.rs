//! The base functions that had to become ours: those that catch errors, and those that the sandbox narrows.
//!
//! Whoever catches an error passes it through [`settle`]: user code sees strings, its own values and our Error objects,
//! and nothing at all when the process is over.

use std::ffi::{CStr, c_int};
use std::sync::OnceLock;

use super::coroutine::type_error;
use super::raw::*;
use super::sandbox::originals;
use super::text::{call_shower, keep_shown};
use super::{Driver, bytecode};
use crate::lua::{error, stack};

/// Base functions of ours.
pub const FUNCTIONS: [(&CStr, lua_CFunction); 9] = [
    (c"pcall", pcall),
    (c"xpcall", xpcall),
    (c"tostring", tostring),
    (c"setmetatable", setmetatable),
    (c"collectgarbage", collectgarbage),
    (c"load", load),
    (c"integer", integer),
    (c"number", number),
    (c"boolean", boolean),
];

/// The error object on top becomes what user code may see. False when no user code may run any more.
///
/// # Safety
/// In a C function of `l`, nothing with a destructor alive.
pub unsafe fn settle(l: Lua, status: c_int) -> bool {
    // SAFETY: the driver outlives the state; `host` takes care of pushing.
    unsafe {
        let driver = Driver::of(l);
        if status == LUA_ERRMEM {
            (*driver).memory.exceed();
        }
        if (*driver).is_doomed() {
            return false;
        }
        if lua_type(l, -1) == LUA_TUSERDATA {
            let doomed = (*driver).lifted(|driver| translate(l, driver));
            return doomed.is_some() && !(*driver).is_doomed();
        }
        true
    }
}

/// Turns mlua's private failure value into a string or an Error object. None when the process is over by it.
unsafe fn translate(l: Lua, driver: &mut Driver) -> Option<()> {
    // SAFETY: inside `lifted`.
    unsafe {
        let Ok(mlua::Value::Error(failure)) = to_mlua(l, driver, -1) else {
            return Some(());
        };
        if error::is_memory(&failure) {
            driver.memory.exceed();
            return None;
        }
        let value = error::caught(driver.mlua(), &failure);
        push_mlua(l, driver, value);
        lua_remove(l, -2);
    }
    Some(())
}

unsafe extern "C-unwind" fn pcall(l: Lua) -> c_int {
    // SAFETY: as Lua's own pcall.
    unsafe {
        luaL_checkany(l, 1);
        lua_pushboolean(l, 1);
        lua_insert(l, 1);
        let status = lua_pcallk(l, lua_gettop(l) - 2, LUA_MULTRET, 0, 0, Some(finish));
        finish(l, status, 0)
    }
}

unsafe extern "C-unwind" fn xpcall(l: Lua) -> c_int {
    // SAFETY: as Lua's own xpcall, with the handler wrapped.
    unsafe {
        let count = lua_gettop(l);
        luaL_checktype(l, 2, LUA_TFUNCTION);
        lua_pushvalue(l, 2);
        lua_pushcclosure(l, handler, 1);
        lua_replace(l, 2);
        lua_pushboolean(l, 1);
        lua_pushvalue(l, 1);
        lua_rotate(l, 3, 2);
        let status = lua_pcallk(l, count - 2, LUA_MULTRET, 2, 2, Some(finish));
        finish(l, status, 2)
    }
}

/// What a wait in a message handler raises. It goes to whoever called `xpcall`, and not to the handler, which would wait again.
pub const HANDLER_WAITS: &str = "cannot wait in the handler of xpcall: wait after xpcall has returned";

/// Calls that a message handler may have made until a wait in it is no longer told from another: to go to one of them takes
/// as many steps as there are above it.
const MOST_LEVELS: c_int = 1000;

/// Whether a message handler runs in that coroutine, not too deep below what waits.
///
/// # Safety
/// There is room on the stack.
pub unsafe fn in_handler(l: Lua) -> bool {
    // SAFETY: a zeroed lua_Debug is what lua_getstack expects; each function is popped again.
    unsafe {
        let mut ar: lua_Debug = std::mem::zeroed();
        let mut level = 0;
        while level < MOST_LEVELS && lua_getstack(l, level, &raw mut ar) != 0 {
            lua_getinfo(l, c"f".as_ptr(), &raw mut ar);
            let function = lua_tocfunction(l, -1);
            lua_pop(l, 1);
            if function.is_some_and(|function| std::ptr::fn_addr_eq(function, handler as lua_CFunction)) {
                return true;
            }
            level += 1;
        }
        false
    }
}

/// Shows the user's message handler the error as user code may see it.
unsafe extern "C-unwind" fn handler(l: Lua) -> c_int {
    // SAFETY: one argument, the error object; when the process is over it goes on as it is.
    unsafe {
        lua_settop(l, 1);
        let waited = bytes(l, 1).is_some_and(|message| message.ends_with(HANDLER_WAITS.as_bytes()));
        if settle(l, LUA_ERRRUN) && !waited {
            lua_pushvalue(l, lua_upvalueindex(1));
            lua_insert(l, 1);
            lua_call(l, 1, 1);
        }
    }
    1
}

/// `debug.traceback`, without the line for our part of a message handler.
pub(super) unsafe extern "C-unwind" fn traceback(l: Lua) -> c_int {
    const OURS: &[u8] = b"\n\t[C]: in ?";
    static ORIGINAL: OnceLock<lua_CFunction> = OnceLock::new();
    // SAFETY: the original runs in this very call, on its arguments, and leaves one value; then nothing raises.
    unsafe {
        let in_handler = lua_type(l, 1) != LUA_TTHREAD && in_handler(l);
        let level = if in_handler { lua_tointeger(l, 2) } else { 0 };
        if level >= 2 {
            lua_pushinteger(l, level.saturating_add(1));
            lua_replace(l, 2);
        }
        // It is shown up to a NUL.
        let message = bytes(l, 1).unwrap_or_default();
        let message = message.iter().position(|byte| *byte == 0).unwrap_or(message.len());
        ORIGINAL.get_or_init(|| originals().libraries["debug"][c"traceback"])(l);
        if in_handler && level < 2 {
            host(l, |_| {
                let text = bytes(l, -1).unwrap_or_default();
                let (message, trace) = text.split_at(message.min(text.len()));
                let at = trace.windows(OURS.len()).position(|line| line == OURS);
                if let Some(at) = at.filter(|at| trace.get(at + OURS.len()) == Some(&b'\n')) {
                    let shorter = [message, &trace[..at], &trace[at + OURS.len()..]].concat();
                    push_bytes(l, &shorter);
                }
                Act::Return(0)
            });
        }
    }
    1
}

unsafe extern "C-unwind" fn finish(l: Lua, status: c_int, extra: lua_KContext) -> c_int {
    // SAFETY: the continuation of pcall and xpcall; `extra` values below the results are not results.
    unsafe {
        if status == LUA_OK || status == LUA_YIELD {
            return lua_gettop(l) - extra as c_int;
        }
        if !settle(l, status) {
            return die(l);
        }
        lua_pushboolean(l, 0);
        lua_insert(l, -2);
    }
    2
}

pub(super) unsafe extern "C-unwind" fn tostring(l: Lua) -> c_int {
    // SAFETY: as Lua's own, but `__tostring` may wait.
    unsafe {
        luaL_checkany(l, 1);
        lua_settop(l, 1);
        if call_shower(l, 1, shown) {
            return shown(l, LUA_OK, 1);
        }
        luaL_tolstring(l, 1, std::ptr::null_mut());
    }
    1
}

unsafe extern "C-unwind" fn shown(l: Lua, _: c_int, index: lua_KContext) -> c_int {
    // SAFETY: the result of `__tostring` is on top.
    unsafe { keep_shown(l, index as c_int) };
    1
}

unsafe extern "C-unwind" fn setmetatable(l: Lua) -> c_int {
    // SAFETY: nothing with a destructor is alive when an error is raised.
    unsafe {
        if lua_type(l, 2) == LUA_TTABLE {
            lua_pushstring(l, c"__gc".as_ptr());
            if lua_rawget(l, 2) != LUA_TNIL {
                return luaL_error(l, c"__gc is not supported; use <close> variables".as_ptr());
            }
            lua_pop(l, 1);
        }
        if lua_type(l, 1) == LUA_TTABLE && matches!(lua_type(l, 2), LUA_TTABLE | LUA_TNIL) && stack::is_guarded(l) {
            // To the program it is a table as any other.
            lua_settop(l, 2);
            lua_setmetatable(l, 1);
            return 1;
        }
        (originals().setmetatable)(l)
    }
}

unsafe extern "C-unwind" fn collectgarbage(l: Lua) -> c_int {
    // SAFETY: nothing with a destructor is alive when an error is raised; text is compared in place.
    unsafe {
        let option = CStr::from_ptr(luaL_optstring(l, 1, c"collect".as_ptr())).to_bytes();
        if option == b"collect" {
            lua_gc(l, LUA_GCCOLLECT);
            lua_pushinteger(l, 0);
        } else if option == b"count" {
            let (kib, rest) = (lua_gc(l, LUA_GCCOUNT), lua_gc(l, LUA_GCCOUNTB));
            lua_pushnumber(l, f64::from(kib) + f64::from(rest) / 1024.0);
        } else if option == b"step" {
            let size = luaL_optinteger(l, 2, 0).clamp(0, 1 << 20) as c_int;
            lua_pushboolean(l, lua_gc(l, LUA_GCSTEP, size));
        } else {
            return luaL_argerror(l, 1, c"only \"collect\", \"count\" and \"step\" are provided".as_ptr());
        }
    }
    1
}

/// Bytes of a text that `load` takes: reading one takes about a second for each 16 MiB.
const MOST_SOURCE: usize = 16 << 20;

/// `load(chunk, name, mode, env)`: text only.
unsafe extern "C-unwind" fn load(l: Lua) -> c_int {
    // SAFETY: the checks raise with nothing alive; the pieces of a reader function are on the stack.
    unsafe {
        let has_env = lua_gettop(l) >= 4;
        lua_settop(l, 4);
        lua_pushboolean(l, c_int::from(has_env));
        if lua_type(l, 1) == LUA_TSTRING {
            return load_from(l);
        }
        luaL_checktype(l, 1, LUA_TFUNCTION);
        lua_createtable(l, 0, 0);
        read_pieces(l, 0)
    }
}

/// Loads the text at 1; name, mode, environment and whether there is one are at 2 to 5.
unsafe fn load_from(l: Lua) -> c_int {
    // SAFETY: as in `load`.
    unsafe {
        let default = if lua_type(l, 2) == LUA_TSTRING { 2 } else { 1 };
        luaL_optstring(l, 2, c"=(load)".as_ptr());
        luaL_optstring(l, 3, c"t".as_ptr());
        host(l, |driver| load_text(l, driver, default))
    }
}

/// What a call of a reader function brought.
enum Piece {
    /// There may be more; the size of all so far.
    Kept(usize),
    Last,
    /// The message is on top.
    Failed,
    Doomed,
}

/// Calls the reader function at 1 until it has no more, keeping its pieces, of that size so far, in the table at 6.
unsafe fn read_pieces(l: Lua, mut size: usize) -> c_int {
    // SAFETY: as in `load`; the reader may wait.
    unsafe {
        loop {
            lua_pushvalue(l, 1);
            let status = lua_pcallk(l, 0, 1, 0, size as lua_KContext, Some(read_on));
            match take_piece(l, status, size) {
                Piece::Kept(kept) => size = kept,
                piece => return end_of_pieces(l, piece),
            }
        }
    }
}

unsafe extern "C-unwind" fn read_on(l: Lua, status: c_int, size: lua_KContext) -> c_int {
    // SAFETY: as in `read_pieces`.
    unsafe {
        match take_piece(l, status, size as usize) {
            Piece::Kept(size) => read_pieces(l, size),
            piece => end_of_pieces(l, piece),
        }
    }
}

unsafe fn take_piece(l: Lua, status: c_int, size: usize) -> Piece {
    // SAFETY: what the reader gave, or its error, is on top.
    unsafe {
        if status != LUA_OK && status != LUA_YIELD {
            return if settle(l, status) {
                Piece::Failed
            } else {
                Piece::Doomed
            };
        }
        let length = lua_rawlen(l, -1) as usize;
        match lua_type(l, -1) {
            LUA_TSTRING if length > 0 && size <= MOST_SOURCE => {
                lua_rawseti(l, 6, lua_rawlen(l, 6) as i64 + 1);
                Piece::Kept(size + length)
            }
            LUA_TSTRING | LUA_TNIL => Piece::Last,
            _ => {
                lua_pushstring(l, c"reader function must return a string".as_ptr());
                Piece::Failed
            }
        }
    }
}

unsafe fn end_of_pieces(l: Lua, piece: Piece) -> c_int {
    // SAFETY: as in `read_pieces`.
    unsafe {
        match piece {
            Piece::Failed => refused(l),
            Piece::Doomed => die(l),
            Piece::Last | Piece::Kept(_) => {
                join_pieces(l);
                load_from(l)
            }
        }
    }
}

/// Returns nil and the message on top.
unsafe fn refused(l: Lua) -> c_int {
    // SAFETY: a C function has room for one value more.
    unsafe {
        lua_pushnil(l);
        lua_insert(l, -2);
    }
    2
}

/// Replaces the reader at 1 by the text of the pieces at 6.
unsafe fn join_pieces(l: Lua) {
    // SAFETY: joining strings of a plain table runs no Lua code.
    unsafe {
        lua_settop(l, 6);
        lua_pushcfunction(l, originals().libraries["table"][c"concat"]);
        lua_insert(l, 6);
        lua_call(l, 1, 1);
        lua_replace(l, 1);
    }
}

unsafe fn load_text(l: Lua, driver: &mut Driver, name: c_int) -> Act {
    // SAFETY: inside `host`; the arguments are strings.
    unsafe {
        let source = bytes(l, 1).unwrap_or_default();
        let binary_only = bytes(l, 3).is_some_and(|mode| !mode.contains(&b't'));
        let name = bytes(l, name).unwrap_or(b"=(load)");
        let loaded = if binary_only {
            Err("bytecode is not accepted: mode must be \"t\"".to_owned())
        } else if source.len() > MOST_SOURCE {
            Err(format!("chunk too large: {MOST_SOURCE} bytes at most"))
        } else {
            bytecode::load_text(l, driver, source, name)
        };
        match loaded {
            Ok(()) => {
                if lua_toboolean(l, 5) != 0 {
                    lua_pushvalue(l, 4);
                    if lua_setupvalue(l, -2, 1).is_null() {
                        lua_pop(l, 1);
                    }
                }
                Act::Return(1)
            }
            Err(message) => {
                lua_pushnil(l);
                push_bytes(l, message.as_bytes());
                Act::Return(2)
            }
        }
    }
}

unsafe extern "C-unwind" fn integer(l: Lua) -> c_int {
    // SAFETY: a check that raises with nothing alive.
    unsafe {
        if lua_isinteger(l, 1) == 0 {
            return type_error(l, 1, c"integer");
        }
        lua_settop(l, 1);
    }
    1
}

unsafe extern "C-unwind" fn number(l: Lua) -> c_int {
    // SAFETY: a check that raises with nothing alive.
    unsafe { cast(l, LUA_TNUMBER, c"number") }
}

unsafe extern "C-unwind" fn boolean(l: Lua) -> c_int {
    // SAFETY: a check that raises with nothing alive.
    unsafe { cast(l, LUA_TBOOLEAN, c"boolean") }
}

/// Returns the first argument if it is of that type, else raises.
///
/// # Safety
/// In a C function, nothing with a destructor alive.
pub unsafe fn cast(l: Lua, wanted: c_int, name: &'static CStr) -> c_int {
    // SAFETY: as stated.
    unsafe {
        if lua_type(l, 1) != wanted {
            return type_error(l, 1, name);
        }
        lua_settop(l, 1);
    }
    1
}
