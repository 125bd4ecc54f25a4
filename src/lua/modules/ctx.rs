//! The module `ctx`: the context values that the process or call was started with.

use mlua::{Lua, MultiValue, Table, Value};

use crate::error::Error;
use crate::lua::driver::crossing;
use crate::lua::error::bad_argument;
use crate::lua::host::{context, failure, outcome};

pub fn open(lua: &Lua) -> mlua::Result<Table> {
    let module = lua.create_table_with_capacity(0, 2)?;
    module.raw_set("get", lua.create_function(get)?)?;
    module.raw_set("all", lua.create_function(all)?)?;
    Ok(module)
}

fn get(lua: &Lua, key: Value) -> mlua::Result<MultiValue> {
    let Value::String(name) = &key else {
        return Err(bad_argument(1, "get", "string", &key));
    };
    let name = name.to_string_lossy();
    if name.is_empty() {
        return failure(lua, Error::invalid("empty key"));
    }
    let context = context(lua)?;
    match context.process.context().get(&name) {
        Some(value) => outcome(lua, Ok(crossing::unpack(lua, value)?)),
        None => failure(lua, Error::not_found(format!("key not found: {name}"))),
    }
}

fn all(lua: &Lua, (): ()) -> mlua::Result<MultiValue> {
    let context = context(lua)?;
    let all = lua.create_table()?;
    for (name, value) in context.process.context().values() {
        all.raw_set(name, crossing::unpack(lua, value)?)?;
    }
    outcome(lua, Ok(all))
}
