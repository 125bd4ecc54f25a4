//! The global `print`: a line on the terminal, or a log record where there is none. And what shows the arguments of other
//! functions, so that a `__tostring` among them may wait, and raise what it wants.

use std::ffi::{CStr, c_int};

use super::Driver;
use super::raw::*;
use super::text::{call_shower, keep_shown};
use super::waiting::Woken;
use crate::log::{Level, Record};
use crate::system::terminal::{Stream, Terminal};

/// The one function.
pub const FUNCTIONS: [(&CStr, lua_CFunction); 1] = [(c"print", print)];

unsafe extern "C-unwind" fn print(l: Lua) -> c_int {
    // SAFETY: as in `print_from`.
    unsafe { print_from(l, 1) }
}

unsafe extern "C-unwind" fn print_on(l: Lua, _: c_int, index: lua_KContext) -> c_int {
    // SAFETY: as in `print_from`.
    unsafe {
        keep_shown(l, index as c_int);
        print_from(l, index as c_int + 1)
    }
}

/// Replaces the arguments from an index on by their texts. A `__tostring` that waits leaves for `again`.
unsafe fn replace_from(l: Lua, from: c_int, again: Continuation) {
    // SAFETY: `__tostring` may raise, wait or run user code, with nothing of Rust alive.
    unsafe {
        for index in from..=lua_gettop(l) {
            if !call_shower(l, index, again) {
                luaL_tolstring(l, index, std::ptr::null_mut());
            }
            keep_shown(l, index);
        }
    }
}

/// Replaces the arguments from an index on by their texts, then writes all of them.
unsafe fn print_from(l: Lua, from: c_int) -> c_int {
    // SAFETY: as in `replace_from`.
    unsafe {
        replace_from(l, from, print_on);
        host(l, |driver| {
            let mut line = joined(l);
            match driver.process().terminal().cloned() {
                Some(terminal) => {
                    line.push(b'\n');
                    driver.put(l, &terminal, line)
                }
                None => {
                    driver.log_line(&line);
                    Act::Return(0)
                }
            }
        })
    }
}

/// Makes the function that calls `inner` with the texts of its arguments.
///
/// # Errors
/// When the state has no memory for it.
pub fn showing_all(lua: &mlua::Lua, inner: mlua::Function) -> mlua::Result<mlua::Function> {
    // SAFETY: the function is on the stack and becomes the upvalue.
    unsafe { lua.exec_raw(inner, |l| lua_pushcclosure(l, show_all, 1)) }
}

/// Makes the method that calls `inner` with the text of its first argument, unless that is nil.
///
/// # Errors
/// When the state has no memory for it.
pub fn showing_first(lua: &mlua::Lua, inner: mlua::Function) -> mlua::Result<mlua::Function> {
    // SAFETY: as above.
    unsafe { lua.exec_raw(inner, |l| lua_pushcclosure(l, show_first, 1)) }
}

unsafe extern "C-unwind" fn show_all(l: Lua) -> c_int {
    // SAFETY: as in `show_from`.
    unsafe { show_from(l, 1) }
}

unsafe extern "C-unwind" fn show_on(l: Lua, _: c_int, index: lua_KContext) -> c_int {
    // SAFETY: as in `show_from`.
    unsafe {
        keep_shown(l, index as c_int);
        show_from(l, index as c_int + 1)
    }
}

/// Replaces the arguments from an index on by their texts, then calls the upvalue with all of them.
unsafe fn show_from(l: Lua, from: c_int) -> c_int {
    // SAFETY: as in `replace_from`.
    unsafe {
        replace_from(l, from, show_on);
        call_upvalue(l)
    }
}

unsafe extern "C-unwind" fn show_first(l: Lua) -> c_int {
    // SAFETY: as in `show_from`; the object is at 1.
    unsafe {
        if lua_type(l, 2) > LUA_TNIL {
            if !call_shower(l, 2, first_shown) {
                luaL_tolstring(l, 2, std::ptr::null_mut());
            }
            keep_shown(l, 2);
        }
        call_upvalue(l)
    }
}

unsafe extern "C-unwind" fn first_shown(l: Lua, _: c_int, _: lua_KContext) -> c_int {
    // SAFETY: as in `show_from`.
    unsafe {
        keep_shown(l, 2);
        call_upvalue(l)
    }
}

/// The texts on the stack with tabs between them.
unsafe fn joined(l: Lua) -> Vec<u8> {
    let mut line = Vec::new();
    // SAFETY: inside `host`; every value is a string.
    unsafe {
        for index in 1..=lua_gettop(l) {
            if index > 1 {
                line.push(b'\t');
            }
            line.extend_from_slice(bytes(l, index).unwrap_or_default());
        }
    }
    line
}

unsafe extern "C-unwind" fn printed(_: Lua, _: c_int, _: lua_KContext) -> c_int {
    0
}

impl Driver {
    /// Writes at once what fits and waits for the rest. A terminal that is gone takes nothing, as in Lua.
    unsafe fn put(&mut self, l: Lua, terminal: &std::sync::Arc<Terminal>, mut line: Vec<u8>) -> Act {
        match terminal.try_write(Stream::Out, &line) {
            Ok(count) if count < line.len() => {
                line.drain(..count);
                let terminal = terminal.clone();
                let weight = self.weigh(line.capacity());
                let work = async move {
                    // A closed pipe fails every later call of `io.write`, which reports it.
                    terminal.write_all(Stream::Out, line).await.ok();
                    drop(weight);
                    Woken::Done
                };
                // SAFETY: inside `host`.
                unsafe { self.wait_for(l, Box::pin(work), printed) }
            }
            Ok(_) | Err(_) => Act::Return(0),
        }
    }

    fn log_line(&self, line: &[u8]) {
        let process = self.process();
        let record = Record::new(Level::Info, String::from_utf8_lossy(line));
        process
            .kernel()
            .log()
            .record(record.about(process.pid(), &process.entry()));
    }
}
