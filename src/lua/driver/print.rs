//! The global `print`: a line on the terminal, or a log record where there is none.

use std::ffi::{CStr, c_int};

use super::Driver;
use super::raw::*;
use super::waiting::Woken;
use crate::log::{Level, Record};
use crate::system::terminal::{Stream, Terminal};

/// The one function.
pub const FUNCTIONS: [(&CStr, lua_CFunction); 1] = [(c"print", print)];

unsafe extern "C-unwind" fn print(l: Lua) -> c_int {
    // SAFETY: `__tostring` may raise or run user code, with nothing of Rust alive; texts replace the arguments in place.
    unsafe {
        for index in 1..=lua_gettop(l) {
            luaL_checkstack(l, 4, c"too many values to print".as_ptr());
            luaL_tolstring(l, index, std::ptr::null_mut());
            lua_replace(l, index);
        }
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
                let work = async move {
                    // A closed pipe fails every later call of `io.write`, which reports it.
                    terminal.write_all(Stream::Out, line).await.ok();
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
