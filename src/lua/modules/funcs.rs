//! The module `funcs`: calls of functions. What waits is in `driver::funcs`; here is how its tables are read.

use mlua::{Lua, Table, Value as LuaValue};

use crate::error::Result;
use crate::lua::modules::time;
use crate::lua::tree;
use crate::process::Options;
use crate::value::Value;

/// Its functions are added by the driver.
///
/// # Errors
/// When the state has no memory for it.
pub fn open(lua: &Lua) -> mlua::Result<Table> {
    lua.create_table_with_capacity(0, 3)
}

/// The options in a table. Where a duration is written, a Duration object will do.
///
/// # Errors
/// The outer one when the state has no memory; the inner one for bad options.
pub fn options(table: &Table) -> mlua::Result<Result<Options>> {
    let plain = map(table, |value| match value {
        LuaValue::Table(inner) if !is_array(inner) => map(inner, scalar),
        other => scalar(other),
    })?;
    Ok(Options::read(&plain))
}

fn is_array(table: &Table) -> bool {
    table.raw_len() > 0
}

/// The named fields of a table.
fn map(table: &Table, value: impl Fn(&LuaValue) -> mlua::Result<Value>) -> mlua::Result<Value> {
    let mut fields = Vec::new();
    for pair in table.pairs::<LuaValue, LuaValue>() {
        if let (LuaValue::String(name), field) = pair? {
            fields.push((name.to_string_lossy(), value(&field)?));
        }
    }
    Ok(Value::map(fields))
}

fn scalar(value: &LuaValue) -> mlua::Result<Value> {
    match value {
        LuaValue::UserData(_) => match time::duration_argument(value) {
            Ok(nanoseconds) => Ok(Value::from(format!("{nanoseconds}ns"))),
            Err(_) => Ok(Value::Bool(false)),
        },
        other => tree::from_lua(other),
    }
}
