//! The global `errors`: the kinds as constants, and making, wrapping and testing Error objects.

use mlua::{Lua, Table, Value};

use crate::error::{Error, Kind};
use crate::lua::error::{self, LuaError, bad_argument};
use crate::lua::tree;

const CONSTANTS: [(&str, Kind); 12] = [
    ("NOT_FOUND", Kind::NotFound),
    ("ALREADY_EXISTS", Kind::AlreadyExists),
    ("INVALID", Kind::Invalid),
    ("PERMISSION_DENIED", Kind::PermissionDenied),
    ("UNAVAILABLE", Kind::Unavailable),
    ("INTERNAL", Kind::Internal),
    ("CANCELED", Kind::Canceled),
    ("CONFLICT", Kind::Conflict),
    ("TIMEOUT", Kind::Timeout),
    ("RATE_LIMITED", Kind::RateLimited),
    ("LIMIT_EXCEEDED", Kind::LimitExceeded),
    ("UNKNOWN", Kind::Unknown),
];

pub fn open(lua: &Lua) -> mlua::Result<Table> {
    let module = lua.create_table_with_capacity(0, CONSTANTS.len() + 4)?;
    for (name, kind) in CONSTANTS {
        module.raw_set(name, kind.as_str())?;
    }
    module.raw_set("new", lua.create_function(new)?)?;
    module.raw_set("wrap", lua.create_function(wrap)?)?;
    module.raw_set("is", lua.create_function(is)?)?;
    module.raw_set("call_stack", lua.create_function(call_stack)?)?;
    Ok(module)
}

fn new(lua: &Lua, spec: Value) -> mlua::Result<LuaError> {
    let error = match &spec {
        Value::String(text) => plain(text.to_string_lossy()),
        Value::Table(fields) => from_fields(fields)?,
        other => return Err(bad_argument(1, "new", "string or table", other)),
    };
    Ok(LuaError::new(lua, error))
}

fn plain(message: String) -> Error {
    Error::new(Kind::Unknown, message).with_retryable(None)
}

fn from_fields(fields: &Table) -> mlua::Result<Error> {
    let message = match fields.get("message")? {
        Value::String(text) => text.to_string_lossy(),
        other => match error::of_value(&other) {
            Some(inner) => inner.to_string(),
            None => return Err(bad_field("message", "string", &other)),
        },
    };
    let kind = match fields.get("kind")? {
        Value::Nil => Kind::Unknown,
        Value::String(name) => Kind::parse(&name.to_string_lossy()),
        other => return Err(bad_field("kind", "string", &other)),
    };
    let retryable = match fields.get("retryable")? {
        Value::Nil => None,
        Value::Boolean(flag) => Some(flag),
        other => return Err(bad_field("retryable", "boolean", &other)),
    };
    let error = Error::new(kind, message).with_retryable(retryable);
    match fields.get("details")? {
        Value::Nil => Ok(error),
        Value::Table(details) if details.is_empty() => Ok(error),
        details @ Value::Table(_) => Ok(error.with_details(tree::from_lua(&details)?)),
        other => Err(bad_field("details", "table", &other)),
    }
}

fn bad_field(field: &str, expected: &str, got: &Value) -> mlua::Error {
    error::mistake(format!(
        "bad argument #1 to 'new' (field '{field}': {expected} expected, got {})",
        error::type_name(got)
    ))
}

fn wrap(lua: &Lua, (inner, context): (Value, Value)) -> mlua::Result<LuaError> {
    let error = match (&inner, error::of_value(&inner)) {
        (_, Some(error)) => error,
        (Value::String(text), _) => plain(text.to_string_lossy()),
        (other, _) => return Err(bad_argument(1, "wrap", "Error or string", other)),
    };
    match context {
        Value::String(context) => Ok(LuaError::new(lua, error.context(context.to_string_lossy()))),
        other => Err(bad_argument(2, "wrap", "string", &other)),
    }
}

fn is(_: &Lua, (value, kind): (Value, Value)) -> mlua::Result<bool> {
    let Some(error) = error::of_value(&value) else {
        return Ok(false);
    };
    Ok(matches!(kind, Value::String(name) if *name.as_bytes() == *error.kind().as_str().as_bytes()))
}

fn call_stack(lua: &Lua, value: Value) -> mlua::Result<Option<Table>> {
    let Some(error) = error::of_value(&value) else {
        return Ok(None);
    };
    let frames = lua.create_table_with_capacity(error.frames().len(), 0)?;
    for frame in error.frames() {
        let row = lua.create_table_with_capacity(0, 3)?;
        row.raw_set("source", frame.source.as_str())?;
        row.raw_set("line", frame.line)?;
        row.raw_set("name", frame.name.as_str())?;
        frames.raw_push(row)?;
    }
    let stack = lua.create_table_with_capacity(0, 2)?;
    stack.raw_set("thread", Value::Thread(lua.current_thread()).to_string()?)?;
    stack.raw_set("frames", frames)?;
    Ok(Some(stack))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_made_wrapped_and_told_apart() {
        let lua = Lua::new();
        lua.globals().set("errors", open(&lua).unwrap()).unwrap();
        lua.load(
            r#"
            assert(errors.NOT_FOUND == "NotFound" and errors.UNKNOWN == "" and errors.LIMIT_EXCEEDED == "LimitExceeded")
            local e = errors.new("boom")
            assert(e:message() == "boom" and e:kind() == "" and e:retryable() == nil and e:details() == nil)
            assert(errors.is(e, errors.UNKNOWN) and not errors.is(e, "Invalid"))
            assert(not errors.is(nil, "Invalid") and not errors.is("boom", "") and not errors.is({}, ""))

            local d = errors.new{message = "no", kind = errors.INVALID, retryable = true, details = {a = {b = {1, 2}}}}
            assert(d:kind() == "Invalid" and d:retryable() == true and d:details().a.b[2] == 2)
            assert(errors.new{message = "x", details = {}}:details() == nil)

            local w = errors.wrap(errors.wrap(d, "inner"), "outer")
            assert(w:message() == "no" and tostring(w) == "outer: inner: no" and w:kind() == "Invalid")
            assert(w:retryable() == true and w:details().a.b[1] == 1)
            assert(tostring(errors.wrap("text", "ctx")) == "ctx: text")

            local function make() return errors.new("here") end
            local made = make()
            local stack = errors.call_stack(errors.new("here"))
            assert(type(stack.thread) == "string" and #stack.frames > 0)
            assert(stack.frames[1].source == "case.lua" and math.type(stack.frames[1].line) == "integer")
            assert(made:stack():find("case.lua:18", 1, true), made:stack())
            assert(errors.call_stack("text") == nil)

            for _, bad in ipairs{{}, {message = 1}, {message = "x", kind = 1}, {message = "x", retryable = "y"}} do
                assert(not pcall(errors.new, bad))
            end
            assert(not pcall(errors.new) and not pcall(errors.wrap, nil, "x") and not pcall(errors.wrap, e))
            "#,
        )
        .set_name("=case.lua")
        .exec()
        .unwrap();
    }
}
