//! The global `payload`: values in a wrapper that says in which format they are.
//!
//! A wrapper holds a copy of its value in the form in which values cross processes, so it keeps nothing of the state alive.

use mlua::{Lua, MetaMethod, Table, UserData, UserDataMethods, Value as LuaValue};

use super::json;
use crate::error::{Error, Result};
use crate::lua::driver::{Weight, crossing};
use crate::lua::error::of_value;
use crate::lua::host::{outcome, weigh};
use crate::value::{Item, Packed, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Yaml,
    Text,
    Bytes,
    Msgpack,
    Lua,
    Go,
    Error,
}

const FORMATS: [(&str, Format, &str); 8] = [
    ("JSON", Format::Json, "json/plain"),
    ("YAML", Format::Yaml, "yaml/plain"),
    ("STRING", Format::Text, "text/plain"),
    ("BYTES", Format::Bytes, "application/octet-stream"),
    ("MSGPACK", Format::Msgpack, "application/msgpack"),
    ("LUA", Format::Lua, "lua/any"),
    ("GOLANG", Format::Go, "golang/any"),
    ("ERROR", Format::Error, "golang/error"),
];

impl Format {
    fn name(self) -> &'static str {
        FORMATS
            .iter()
            .find(|(_, format, _)| *format == self)
            .map_or("", |(.., name)| name)
    }

    fn parse(name: &str) -> Option<Format> {
        let found = FORMATS.iter().find(|(.., known)| *known == name);
        found.map(|(_, format, _)| *format)
    }
}

pub fn open(lua: &Lua) -> mlua::Result<Table> {
    let formats = lua.create_table_with_capacity(0, FORMATS.len())?;
    for (key, _, name) in FORMATS {
        formats.raw_set(key, name)?;
    }
    let module = lua.create_table_with_capacity(0, 2)?;
    module.raw_set("format", formats)?;
    module.raw_set("new", lua.create_function(wrap)?)?;
    Ok(module)
}

/// The wrapper of a value.
///
/// # Errors
/// When the state has no memory for it; Invalid for a value that is too deep or too large to be copied.
pub fn wrap(lua: &Lua, value: LuaValue) -> mlua::Result<LuaValue> {
    Payload::create(lua, format_of(&value), crossing::pack(lua, value)?)
}

fn format_of(value: &LuaValue) -> Format {
    match of_value(value) {
        Some(_) => Format::Error,
        None => Format::Lua,
    }
}

/// Packed values one by one; no value is nil.
///
/// # Errors
/// As [`Packed::to_values`].
pub fn each(values: Packed) -> Result<Vec<Packed>> {
    match values.len() {
        1 => Ok(vec![values]),
        0 => Ok(vec![Packed::from_value(&Value::Nil)]),
        _ => Ok(values.to_values()?.iter().map(Packed::from_value).collect()),
    }
}

/// The wrapper of one packed value, or a table of the wrappers of several.
///
/// # Errors
/// When the state has no memory for it.
pub fn wrap_all(lua: &Lua, mut values: Vec<Packed>) -> mlua::Result<LuaValue> {
    let wrap = |data: Packed| {
        let format = match data.reader().item() {
            Item::Error(_) => Format::Error,
            _ => Format::Lua,
        };
        Payload::create(lua, format, data)
    };
    if values.len() == 1 {
        return wrap(values.remove(0));
    }
    let wrappers = lua.create_table_with_capacity(values.len(), 0)?;
    for value in values {
        wrappers.raw_push(wrap(value)?)?;
    }
    Ok(LuaValue::Table(wrappers))
}

struct Payload {
    format: Format,
    /// One value; in a text format the text.
    data: Packed,
    /// The data is outside of the state.
    _weight: Option<Weight>,
}

impl UserData for Payload {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("data", |lua, this, ()| crossing::unpack(lua, &this.data));
        methods.add_method("get_format", |_, this, ()| Ok(this.format.name()));
        methods.add_method("transcode", |lua, this, format: String| {
            outcome(lua, this.transcode(lua, &format)?)
        });
        methods.add_method("unmarshal", |lua, this, ()| outcome(lua, this.unmarshal(lua)?));
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            Ok(format!("payload{{format={}}}", this.format.name()))
        });
    }
}

impl Payload {
    fn create(lua: &Lua, format: Format, data: Packed) -> mlua::Result<LuaValue> {
        let _weight = weigh(lua, data.size());
        let payload = Payload { format, data, _weight };
        lua.create_userdata(payload).map(LuaValue::UserData)
    }

    /// The value as plain data, whatever the format.
    fn unmarshal(&self, lua: &Lua) -> mlua::Result<Result<LuaValue>> {
        match self.format {
            Format::Lua | Format::Go | Format::Error | Format::Text | Format::Bytes => {
                crossing::unpack(lua, &self.data).map(Ok)
            }
            Format::Json => json::read(lua, self.text()),
            Format::Yaml => match yaml_to_json(self.text()) {
                Ok(text) => json::read(lua, text.as_bytes()),
                Err(error) => Ok(Err(error)),
            },
            Format::Msgpack => Ok(Err(self.cannot("plain data"))),
        }
    }

    fn transcode(&self, lua: &Lua, name: &str) -> mlua::Result<Result<LuaValue>> {
        let Some(format) = Format::parse(name) else {
            return Ok(Err(self.cannot(name)));
        };
        let value = match self.unmarshal(lua)? {
            Ok(value) => value,
            Err(error) => return Ok(Err(error)),
        };
        let text = match format {
            Format::Json => json::write(lua, &value)?,
            Format::Yaml => json::write(lua, &value)?.and_then(json_to_yaml),
            _ if !holds(format, &value) => Err(self.cannot(format.name())),
            _ => return Payload::create(lua, format, crossing::pack(lua, value)?).map(Ok),
        };
        match text {
            Ok(text) => Payload::create(lua, format, Packed::from_value(&Value::Str(text))).map(Ok),
            Err(error) => Ok(Err(error)),
        }
    }

    fn text(&self) -> &[u8] {
        match self.data.reader().item() {
            Item::Str(text) => text,
            _ => b"",
        }
    }

    fn cannot(&self, format: &str) -> Error {
        let kind = match self.data.reader().item() {
            Item::Nil => "nil",
            Item::Bool(_) => "boolean",
            Item::Int(_) | Item::Float(_) => "number",
            Item::Str(_) => "string",
            Item::Error(_) => "Error",
            Item::Table(_) | Item::Ref(_) => "table",
        };
        let own = self.format.name();
        Error::internal(format!("cannot transcode a {kind} in {own} to {format}"))
    }
}

/// Whether a format that is no text of other data takes the value.
fn holds(format: Format, value: &LuaValue) -> bool {
    match format {
        Format::Lua | Format::Go => true,
        Format::Text => matches!(value, LuaValue::String(text) if text.to_str().is_ok()),
        Format::Bytes => value.is_string(),
        Format::Error => of_value(value).is_some(),
        Format::Json | Format::Yaml | Format::Msgpack => false,
    }
}

fn json_to_yaml(json: Vec<u8>) -> Result<Vec<u8>> {
    let value: serde_json::Value = serde_json::from_slice(&json).map_err(unreadable)?;
    serde_yaml::to_string(&value)
        .map(String::into_bytes)
        .map_err(unreadable)
}

fn yaml_to_json(yaml: &[u8]) -> Result<String> {
    let value: serde_json::Value = serde_yaml::from_slice(yaml).map_err(unreadable)?;
    serde_json::to_string(&value).map_err(unreadable)
}

fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::internal(format!("cannot transcode: {error}"))
}

#[cfg(test)]
mod tests {
    use crate::lua::test_support::passes;

    #[test]
    fn wrappers_show_convert_and_refuse() {
        passes(
            r#"
            local f = payload.format
            assert(f.JSON == "json/plain" and f.ERROR == "golang/error")
            local source = {a = {1, 2}, s = "x"}
            local p = payload.new(source)
            assert(p:get_format() == f.LUA and tostring(p) == "payload{format=lua/any}")
            assert(p:data() ~= source and p:data().a[2] == 2 and p:unmarshal().s == "x")
            assert(payload.new(nil):get_format() == "lua/any" and payload.new():data() == nil)
            local e = payload.new(errors.new{message = "m", kind = "Invalid"})
            assert(e:get_format() == f.ERROR and e:data():kind() == "Invalid" and e:transcode(f.ERROR):data():message() == "m")
            local j = p:transcode(f.JSON)
            assert(j:get_format() == f.JSON and type(j:data()) == "string" and j:unmarshal().a[1] == 1)
            assert(j:transcode(f.LUA):data().s == "x" and j:transcode(f.YAML):transcode(f.LUA):data().a[2] == 2)
            assert(payload.new("hi"):transcode(f.STRING):data() == "hi" and payload.new("\xff"):transcode(f.BYTES):data() == "\xff")
            assert(payload.new(5):transcode(f.JSON):data() == "5" and payload.new(nil):transcode(f.JSON):unmarshal() == nil)
            for _, case in ipairs{{p, f.STRING}, {payload.new("\xff"), f.STRING}, {p, f.MSGPACK}, {p, "x/y"}, {p, f.ERROR}, {payload.new{1, nil, 3}, f.JSON}} do
                local v, err = case[1]:transcode(case[2])
                assert(v == nil and err:kind() == "Internal", case[2])
            end
            assert(payload.new(print):data() == nil)
            "#,
        );
    }

    #[test]
    fn a_wrapper_holds_what_is_deep_shared_and_within_itself() {
        passes(
            r#"
            local deep = "bottom"
            for _ = 1, 1000 do deep = {deep} end
            local got = payload.new(deep):data()
            for _ = 1, 1000 do got = got[1] end
            assert(got == "bottom")
            local shared = {}
            local t = {shared, shared}
            t.me = t
            local copy = payload.new(t):data()
            assert(copy.me == copy and copy[1] == copy[2] and copy[1] ~= shared)
            local json, err = payload.new(t):transcode(payload.format.JSON)
            assert(json == nil and err:kind() == "Internal")
            "#,
        );
    }
}
