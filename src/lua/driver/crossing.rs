//! Values in the form in which they cross processes, for code that is written with mlua.

use mlua::{IntoLuaMulti, Lua, Value};

use super::Driver;
use super::raw::lua_gettop;
use super::waiting::attached;
use crate::error::{Error, Result};
use crate::lua::host::raise;
use crate::lua::stack;
use crate::value::Packed;

/// Packs values.
///
/// # Errors
/// Raises what [`stack::pack`] says; Internal in a state that no process made.
pub fn pack(lua: &Lua, values: impl IntoLuaMulti) -> mlua::Result<Packed> {
    let driver = driver(lua)?;
    let mut packed = None;
    // SAFETY: the values are all there is on the stack; the driver is not in use while an mlua function runs, and nothing
    // raises while the limit is lifted.
    unsafe {
        lua.exec_raw::<()>(values, |l| {
            packed = (*driver).lifted(|driver| stack::pack(l, driver, 1, lua_gettop(l)));
        })?;
    }
    settled(packed)
}

/// The first of packed values, nil for none.
///
/// # Errors
/// Internal in a state that no process made.
pub fn unpack(lua: &Lua, packed: &Packed) -> mlua::Result<Value> {
    let driver = driver(lua)?;
    // SAFETY: as in `pack`.
    unsafe {
        lua.exec_raw((), |l| {
            (*driver).lifted(|driver| stack::push_first(l, driver, packed));
        })
    }
}

fn driver(lua: &Lua) -> mlua::Result<*mut Driver> {
    let caller = attached(lua).ok_or_else(|| raise(Error::internal("no process context")))?;
    Ok(caller.driver())
}

/// None is a panic that has doomed the process.
fn settled<T>(result: Option<Result<T>>) -> mlua::Result<T> {
    let result = result.unwrap_or_else(|| Err(Error::internal("host function panicked")));
    result.map_err(raise)
}
