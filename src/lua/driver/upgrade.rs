//! `process.upgrade`: the process goes on as another entry, or afresh as the one that it is. It does not return: nothing of
//! this state runs any more.

use std::ffi::c_int;

use super::Driver;
use super::raw::*;
use super::spawn::shown;
use super::waiting::Woken;
use crate::error::Result;
use crate::lua::stack;
use crate::process::{Exit, Resolved, Upgrade};

/// `process.upgrade(id?, ...)`.
pub unsafe extern "C-unwind" fn upgrade(l: Lua) -> c_int {
    // SAFETY: type errors raise with nothing alive.
    unsafe {
        if lua_type(l, 1) > LUA_TNIL {
            luaL_checktype(l, 1, LUA_TSTRING);
        }
        host(l, |driver| match driver.process().is_call() {
            true => Act::Return(0),
            false => driver.upgrade(l),
        })
    }
}

/// The new entry, which had to be loaded, is there.
unsafe extern "C-unwind" fn loaded(l: Lua, _: c_int, _: lua_KContext) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe {
        host(l, |driver| match driver.take_woken() {
            Some(Woken::Upgrade(next)) => driver.leave_for(next),
            _ => Act::Return(0),
        })
    }
}

impl Driver {
    unsafe fn upgrade(&mut self, l: Lua) -> Act {
        // SAFETY: inside `host`; a string, nil or nothing is at 1.
        unsafe {
            let packed = stack::pack(l, self, 2, (lua_gettop(l) - 1).max(0));
            let (args, resolved) = match packed.and_then(|args| Ok((args, self.next_program(l)?))) {
                Ok(read) => read,
                Err(error) => return self.leave_for(Err(error)),
            };
            match resolved {
                Resolved::Ready(program) => self.leave_for(program.map(|program| Upgrade { program, args })),
                Resolved::Pending(loading) => {
                    let work = async { Woken::Upgrade(loading.await.map(|program| Upgrade { program, args })) };
                    self.wait_for(l, Box::pin(work), loaded)
                }
            }
        }
    }

    unsafe fn next_program(&mut self, l: Lua) -> Result<Resolved> {
        // SAFETY: as in `upgrade`.
        match unsafe { (lua_type(l, 1) == LUA_TSTRING).then(|| shown(l, 1)) } {
            Some(name) => {
                let runs = self.what_runs(&name)?;
                Ok(self.resolve(&runs))
            }
            None => Ok(Resolved::Ready(Ok(self.process().program()))),
        }
    }

    /// A failure ends the process: the code that called was promised that it does not go on.
    fn leave_for(&mut self, next: Result<Upgrade>) -> Act {
        match next {
            Ok(next) => self.next = Some(next),
            Err(error) => {
                self.fatal.get_or_insert(Exit::failed(error));
            }
        }
        Act::Die
    }
}
