//! Panics inside host functions, one of each kind, for the tests of what they do: `getmetatable(require("test")).native.faults`.

use std::ffi::c_int;

use mlua::{Lua as State, Table};

use super::raw::*;
use crate::lua::host::{Call, waiting};

/// A table of functions that panic: in C, in an mlua function, in a future, and in what makes its results.
///
/// # Errors
/// When the state has no memory for it.
pub fn table(lua: &State) -> mlua::Result<Table> {
    let faults = lua.create_table()?;
    // SAFETY: a C function that keeps the rules of this room.
    faults.set("in_c", unsafe { lua.create_c_function(in_c)? })?;
    faults.set("in_module", lua.create_function(|_, ()| fault())?)?;
    faults.set(
        "in_future",
        waiting(lua, |_, ()| {
            Ok(Call::wait(
                async {
                    tokio::task::yield_now().await;
                    fault().unwrap_or_default()
                },
                |_, ()| Ok(()),
            ))
        })?,
    )?;
    faults.set(
        "in_finish",
        waiting(lua, |_, ()| Ok(Call::wait(async {}, |_, ()| fault())))?,
    )?;
    Ok(faults)
}

fn fault() -> mlua::Result<()> {
    panic!("a fault on purpose")
}

unsafe extern "C-unwind" fn in_c(l: Lua) -> c_int {
    // SAFETY: nothing with a destructor is alive.
    unsafe {
        host(l, |_| match fault() {
            Ok(()) | Err(_) => Act::Return(0),
        })
    }
}
