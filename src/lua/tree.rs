//! Value trees to and from Lua: error details, log fields, wherever a table is looked at by the host and speed does not
//! matter. What crosses processes goes through `lua::stack` instead.
//!
//! Invariant: neither direction recurses deeper than [`DEPTH`]; what lies below, and a table inside itself, is left out.

use mlua::{Lua, Value as LuaValue};

use crate::lua::{error, stack};
use crate::value::{Table, Value};

/// Tables within tables that a tree may have.
pub const DEPTH: usize = 100;

/// The value as Lua sees it.
pub fn to_lua(lua: &Lua, value: &Value) -> mlua::Result<LuaValue> {
    lower(lua, value, DEPTH)
}

fn lower(lua: &Lua, value: &Value, depth: usize) -> mlua::Result<LuaValue> {
    Ok(match value {
        Value::Nil => LuaValue::Nil,
        Value::Bool(flag) => LuaValue::Boolean(*flag),
        Value::Int(number) => LuaValue::Integer(*number),
        Value::Float(number) => LuaValue::Number(*number),
        Value::Str(bytes) => LuaValue::String(lua.create_string(bytes)?),
        Value::Error(inner) => error::push(lua, inner.clone())?,
        Value::Table(_) if depth == 0 => LuaValue::Nil,
        Value::Table(table) => lower_table(lua, table, depth - 1)?,
    })
}

fn lower_table(lua: &Lua, table: &Table, depth: usize) -> mlua::Result<LuaValue> {
    let out = lua.create_table_with_capacity(table.array.len(), table.pairs.len())?;
    for (index, item) in table.array.iter().enumerate() {
        out.raw_set(index + 1, lower(lua, item, depth)?)?;
    }
    for (key, item) in &table.pairs {
        let key = lower(lua, key, depth)?;
        if is_key(&key) {
            out.raw_set(key, lower(lua, item, depth)?)?;
        }
    }
    let out = if table.record { stack::as_record(lua, out)? } else { out };
    Ok(LuaValue::Table(out))
}

/// Whether Lua takes that as a key.
fn is_key(value: &LuaValue) -> bool {
    !value.is_nil() && !matches!(value, LuaValue::Number(number) if number.is_nan())
}

/// The value as plain data. Functions, coroutines and every userdata but an Error become nil, as in a message.
pub fn from_lua(value: &LuaValue) -> mlua::Result<Value> {
    Budget::default().lift(value)
}

/// What trees that belong together may hold: shared tables and strings are copied each time they occur, and must not
/// multiply without end. What goes beyond is left out.
pub struct Budget {
    values: usize,
    /// Of strings.
    bytes: usize,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget {
            values: 1_000_000,
            bytes: 64 << 20,
        }
    }
}

impl Budget {
    /// As [`from_lua`], within what is left.
    ///
    /// # Errors
    /// When the state has no memory.
    pub fn lift(&mut self, value: &LuaValue) -> mlua::Result<Value> {
        lift(value, DEPTH, self)
    }

    /// Whether a string of that length fits.
    fn takes(&mut self, length: usize) -> bool {
        let left = self.bytes.checked_sub(length);
        self.bytes = left.unwrap_or(self.bytes);
        left.is_some()
    }
}

fn lift(value: &LuaValue, depth: usize, budget: &mut Budget) -> mlua::Result<Value> {
    Ok(match value {
        LuaValue::String(text) if !budget.takes(text.as_bytes().len()) => Value::Nil,
        LuaValue::Boolean(flag) => Value::Bool(*flag),
        LuaValue::Integer(number) => Value::Int(*number),
        LuaValue::Number(number) => Value::Float(*number),
        LuaValue::String(text) => Value::Str(text.as_bytes().to_vec()),
        LuaValue::Table(table) if depth > 0 => lift_table(table, depth - 1, budget)?,
        other => error::of_value(other).map_or(Value::Nil, Value::Error),
    })
}

fn lift_table(table: &mlua::Table, depth: usize, budget: &mut Budget) -> mlua::Result<Value> {
    let mut out = Table {
        record: stack::is_record_table(table),
        ..Table::default()
    };
    for pair in table.pairs::<LuaValue, LuaValue>() {
        let Some(left) = budget.values.checked_sub(1) else {
            break;
        };
        budget.values = left;
        let (key, item) = pair?;
        let item = lift(&item, depth, budget)?;
        match key {
            LuaValue::Integer(index) if index == out.array.len() as i64 + 1 => out.array.push(item),
            key => push_pair(&mut out, lift(&key, 0, budget)?, item),
        }
    }
    Ok(Value::Table(Box::new(out)))
}

fn push_pair(table: &mut Table, key: Value, item: Value) {
    if key != Value::Nil && item != Value::Nil {
        table.pairs.push((key, item));
    }
}

/// What `tostring` shows, `__tostring` metamethods included.
///
/// # Errors
/// What such a metamethod raised.
pub fn display(lua: &Lua, value: &LuaValue) -> mlua::Result<Vec<u8>> {
    match value {
        LuaValue::String(text) => Ok(text.as_bytes().to_vec()),
        // mlua would print 2.0 as Rust does.
        LuaValue::Number(_) => {
            let text = lua.coerce_string(value.clone())?;
            Ok(text.map(|text| text.as_bytes().to_vec()).unwrap_or_default())
        }
        // mlua's own way takes UTF-8 alone.
        other => {
            // SAFETY: a protected call, on whose stack the value is.
            let text: mlua::LuaString = unsafe {
                lua.exec_raw(other, |l| {
                    mlua::ffi::luaL_tolstring(l, 1, std::ptr::null_mut());
                    mlua::ffi::lua_replace(l, 1);
                })?
            };
            Ok(text.as_bytes().to_vec())
        }
    }
}

/// What `print` writes: the values with tabs between them, and a newline.
///
/// # Errors
/// As [`display`].
pub fn display_line(lua: &Lua, values: &[LuaValue]) -> mlua::Result<Vec<u8>> {
    let mut line = Vec::new();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            line.push(b'\t');
        }
        line.extend(display(lua, value)?);
    }
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_go_to_lua_and_back() {
        let lua = Lua::new();
        let tree = Value::map([
            (
                "list",
                Value::array([Value::Int(1), Value::Float(1.5), Value::str([0xff])]),
            ),
            ("flag", Value::Bool(true)),
        ]);
        let back = from_lua(&to_lua(&lua, &tree).unwrap()).unwrap();
        assert_eq!(back.get("list"), tree.get("list"));
        assert_eq!(back.get("flag"), tree.get("flag"));
    }

    #[test]
    fn shared_strings_do_not_multiply_without_end() {
        let lua = Lua::new();
        let value: LuaValue = lua
            .load("local s, t = ('x'):rep(1 << 20), {} for i = 1, 1000 do t[i] = s end return t")
            .eval()
            .unwrap();
        let (mut budget, mut held) = (Budget::default(), 0);
        for _ in 0..3 {
            held += budget.lift(&value).unwrap().weight();
        }
        assert!((64 << 20..66 << 20).contains(&held), "{held}");
    }

    #[test]
    fn a_table_inside_itself_ends_somewhere() {
        let lua = Lua::new();
        let value: LuaValue = lua.load("local t = {1}; t.me = t; t.too = t; return t").eval().unwrap();
        assert!(matches!(from_lua(&value).unwrap(), Value::Table(_)));
    }
}
