//! The border post for errors: the Error object of Lua code, and the translation between it, [`Error`] and [`mlua::Error`].

use mlua::{Lua, UserData, Value};

use crate::error::Error;

/// The Error object that Lua code sees.
pub struct LuaError(pub Error);

impl UserData for LuaError {}

/// The Error object for `error`.
///
/// # Errors
/// When the state has no memory for it.
pub fn push(lua: &Lua, error: Error) -> mlua::Result<Value> {
    lua.create_userdata(LuaError(error)).map(Value::UserData)
}

/// What `pcall` hands to user code for an error that a host function raised: our Error object, or a string.
///
/// # Errors
/// When the state has no memory for it.
pub fn caught(lua: &Lua, raised: &mlua::Error) -> mlua::Result<Value> {
    match raised {
        mlua::Error::CallbackError { cause, .. } => caught(lua, cause),
        mlua::Error::ExternalError(cause) => match cause.downcast_ref::<Error>() {
            Some(error) => push(lua, error.clone()),
            None => lua.create_string(cause.to_string()).map(Value::String),
        },
        other => lua.create_string(other.to_string()).map(Value::String),
    }
}

/// The error with which a process ends when `raised` leaves its main function.
pub fn from_mlua(raised: &mlua::Error) -> Error {
    match raised {
        mlua::Error::CallbackError { cause, .. } => from_mlua(cause),
        mlua::Error::ExternalError(cause) => match cause.downcast_ref::<Error>() {
            Some(error) => error.clone(),
            None => Error::internal(cause.to_string()).with_retryable(None),
        },
        other => Error::internal(other.to_string()).with_retryable(None),
    }
}
