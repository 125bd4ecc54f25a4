//! The module `json`: text to and from Lua values directly, without a tree in between.
//!
//! Data that cannot be written or read is `nil, err`, never raised. Both directions are bounded in depth, and encoding in
//! size too: a few shared tables can stand for more text than any machine holds, and nothing preempts a host function.

mod guarded;
pub mod validate;

use mlua::{Lua, MultiValue, Table, Value};

use crate::error::Error;
use crate::json::float_text;
use crate::lua::error;
use crate::lua::host::{failure, outcome};

/// Tables within tables.
const DEPTH: usize = 128;
/// Bytes of encoded text, and what a table counts beside its text for the time it takes.
const SIZE: usize = 64 << 20;
const TABLE_COST: usize = 32;
/// Registry key of the weak table that remembers which empty tables were read from `{}`.
const EMPTY_OBJECTS: &str = "wippy.json.empty_objects";

pub fn open(lua: &Lua) -> mlua::Result<Table> {
    let module = lua.create_table_with_capacity(0, 4)?;
    module.raw_set("encode", lua.create_function(encode)?)?;
    module.raw_set("decode", lua.create_function(decode)?)?;
    validate::add(lua, &module)?;
    Ok(module)
}

/// Why a conversion ended early.
enum Stop {
    /// The data: returned as `nil, err`.
    Data(Error),
    /// The state (out of memory): raised.
    State(mlua::Error),
}

impl From<mlua::Error> for Stop {
    fn from(failure: mlua::Error) -> Stop {
        Stop::State(failure)
    }
}

fn stop<T>(message: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Data(Error::internal(message)))
}

/// The data's error beside the value, the state's error raised.
fn settle<T>(result: Result<T, Stop>) -> mlua::Result<Result<T, Error>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Stop::Data(error)) => Ok(Err(error)),
        Err(Stop::State(raised)) => Err(raised),
    }
}

fn encode(lua: &Lua, value: Value) -> mlua::Result<MultiValue> {
    let text = match write(lua, &value)? {
        Ok(text) => Ok(Value::String(lua.create_string(text)?)),
        Err(error) => Err(error),
    };
    outcome(lua, text)
}

/// The value as JSON text; the inner error is Internal.
///
/// # Errors
/// When the state has no memory for it.
pub fn write(lua: &Lua, value: &Value) -> mlua::Result<Result<Vec<u8>, Error>> {
    let mut encoder = Encoder {
        empty_objects: lua.named_registry_value(EMPTY_OBJECTS)?,
        text: Vec::new(),
        open: Vec::new(),
        tables: 0,
    };
    let done = encoder.value(value);
    settle(done.map(|()| encoder.text))
}

struct Encoder {
    empty_objects: Option<Table>,
    text: Vec<u8>,
    /// The tables that are being written, outermost first.
    open: Vec<*const std::ffi::c_void>,
    /// How many were begun so far.
    tables: usize,
}

impl Encoder {
    fn value(&mut self, value: &Value) -> Result<(), Stop> {
        match value {
            Value::Boolean(flag) => self.literal(if *flag { "true" } else { "false" }),
            Value::Integer(number) => self.literal(&number.to_string()),
            Value::Number(number) => self.literal(&float_text(*number)),
            Value::String(text) => self.string(&text.as_bytes()),
            Value::Table(table) => return self.table(table),
            other => match error::of_value(other) {
                Some(error) => self.string(error.to_string().as_bytes()),
                None => self.literal("null"),
            },
        }
        self.check_size()
    }

    fn check_size(&self) -> Result<(), Stop> {
        if self.text.len() + self.tables * TABLE_COST <= SIZE {
            return Ok(());
        }
        stop(format!(
            "cannot encode more than {} of JSON",
            crate::size::format(SIZE as u64)
        ))
    }

    fn literal(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    fn string(&mut self, bytes: &[u8]) {
        self.text.push(b'"');
        match std::str::from_utf8(bytes) {
            Ok(_) => self.escaped(bytes),
            // JSON is Unicode: what is not becomes U+FFFD.
            Err(_) => self.escaped(String::from_utf8_lossy(bytes).as_bytes()),
        }
        self.text.push(b'"');
    }

    fn escaped(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'"' => self.literal("\\\""),
                b'\\' => self.literal("\\\\"),
                b'\n' => self.literal("\\n"),
                b'\r' => self.literal("\\r"),
                b'\t' => self.literal("\\t"),
                0..0x20 => self.literal(&format!("\\u{byte:04x}")),
                _ => self.text.push(byte),
            }
        }
    }

    fn table(&mut self, table: &Table) -> Result<(), Stop> {
        let place = table.to_pointer();
        if self.open.contains(&place) {
            return stop("cannot encode a table that contains itself");
        }
        if self.open.len() == DEPTH {
            return stop(format!("cannot encode tables nested deeper than {DEPTH}"));
        }
        self.tables += 1;
        self.check_size()?;
        self.open.push(place);
        match table.pairs::<Value, Value>().next().transpose()? {
            None => self.empty(table)?,
            Some((Value::String(_), _)) => self.object(table)?,
            Some((Value::Integer(_), _)) => self.array(table)?,
            Some((key, _)) => return stop(bad_key(&key)),
        }
        self.open.pop();
        Ok(())
    }

    fn empty(&mut self, table: &Table) -> Result<(), Stop> {
        let known = match &self.empty_objects {
            Some(objects) => !objects.raw_get::<Value>(table)?.is_nil(),
            None => false,
        };
        self.literal(if known { "{}" } else { "[]" });
        Ok(())
    }

    fn object(&mut self, table: &Table) -> Result<(), Stop> {
        let mut separator = b'{';
        for pair in table.pairs::<Value, Value>() {
            let (key, item) = pair?;
            let Value::String(key) = &key else {
                return stop(bad_key(&key));
            };
            self.text.push(separator);
            separator = b',';
            self.string(&key.as_bytes());
            self.text.push(b':');
            self.value(&item)?;
        }
        self.text.push(b'}');
        Ok(())
    }

    fn array(&mut self, table: &Table) -> Result<(), Stop> {
        let length = check_array(table)?;
        let mut separator = b'[';
        for index in 1..=length {
            self.text.push(separator);
            separator = b',';
            self.value(&table.raw_get::<Value>(index)?)?;
        }
        self.text.push(b']');
        Ok(())
    }
}

/// The length of a table whose keys are exactly 1 to n.
fn check_array(table: &Table) -> Result<usize, Stop> {
    // The border that Lua calls the length would do for neither {1, nil, 3, [10] = 1} nor {1, nil, 3}.
    let (mut keys, mut last) = (0, 0);
    for pair in table.pairs::<Value, Value>() {
        match pair?.0 {
            Value::Integer(key) => {
                keys += 1;
                last = last.max(if key < 1 { i64::MAX } else { key });
            }
            key => return stop(bad_key(&key)),
        }
    }
    if i64::try_from(keys) == Ok(last) {
        Ok(keys)
    } else {
        stop("cannot encode a sparse array: its keys are not 1, 2, 3 and so on without a gap")
    }
}

fn bad_key(key: &Value) -> String {
    match key {
        Value::String(_) | Value::Integer(_) => {
            "cannot encode a table with mixed keys: use only strings, or only 1, 2, 3 and so on".to_owned()
        }
        other => format!(
            "cannot encode a table with a key of type {}: only strings and integers become JSON",
            error::type_name(other)
        ),
    }
}

fn decode(lua: &Lua, text: Value) -> mlua::Result<MultiValue> {
    let text = match text {
        Value::String(text) if !text.as_bytes().is_empty() => text,
        Value::String(_) => return failure(lua, Error::invalid("cannot decode JSON from an empty string")),
        other => {
            let problem = format!(
                "cannot decode JSON from a {}: string expected",
                error::type_name(&other)
            );
            return failure(lua, Error::invalid(problem));
        }
    };
    let value = read(lua, &text.as_bytes())?;
    outcome(lua, value)
}

/// The value of a JSON text; the inner error is Internal and names the place.
///
/// # Errors
/// When the state has no memory for it.
pub fn read(lua: &Lua, bytes: &[u8]) -> mlua::Result<Result<Value, Error>> {
    let mut decoder = Decoder {
        lua,
        bytes,
        at: 0,
        depth: 0,
    };
    settle(decoder.document())
}

struct Decoder<'a> {
    lua: &'a Lua,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Decoder<'a> {
    fn document(&mut self) -> Result<Value, Stop> {
        let value = self.value()?;
        match self.peek() {
            None => Ok(value),
            Some(_) => self.wrong("the end"),
        }
    }

    fn value(&mut self) -> Result<Value, Stop> {
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => Ok(Value::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Boolean(true)),
            Some(b'f') => self.word("false", Value::Boolean(false)),
            Some(b'n') => self.word("null", Value::Nil),
            _ => self.wrong("a value"),
        }
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8, expected: &str) -> Result<(), Stop> {
        if self.peek() != Some(byte) {
            return self.wrong(expected);
        }
        self.at += 1;
        Ok(())
    }

    fn wrong<T>(&self, expected: &str) -> Result<T, Stop> {
        let before = &self.bytes[..self.at.min(self.bytes.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        let found = match self.bytes.get(self.at) {
            None => "the end".to_owned(),
            Some(byte) => format!("{:?}", char::from(*byte)),
        };
        stop(format!(
            "invalid JSON at line {line}, column {column}: expected {expected}, found {found}"
        ))
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, Stop> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return self.wrong("a value");
        }
        self.at += word.len();
        Ok(value)
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, Stop>) -> Result<Value, Stop> {
        if self.depth == DEPTH {
            return stop(format!("invalid JSON: nested deeper than {DEPTH}"));
        }
        self.at += 1;
        self.depth += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn array(&mut self) -> Result<Value, Stop> {
        let table = self.lua.create_table()?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Table(table));
        }
        for index in 1.. {
            table.raw_set(index, self.value()?)?;
            if self.peek() == Some(b']') {
                self.at += 1;
                break;
            }
            self.expect(b',', "',' or ']'")?;
        }
        Ok(Value::Table(table))
    }

    fn object(&mut self) -> Result<Value, Stop> {
        let table = self.lua.create_table()?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            remember_empty_object(self.lua, &table)?;
            return Ok(Value::Table(table));
        }
        let mut has_null = false;
        loop {
            if self.peek() != Some(b'"') {
                return self.wrong("a key in quotes");
            }
            let key = self.string()?;
            self.expect(b':', "':'")?;
            let value = self.value()?;
            has_null |= value.is_nil();
            table.raw_set(key, value)?;
            if self.peek() == Some(b'}') {
                self.at += 1;
                break;
            }
            self.expect(b',', "',' or '}'")?;
        }
        // An object of nulls leaves nothing that tells it from an array.
        if has_null && table.is_empty() {
            remember_empty_object(self.lua, &table)?;
        }
        Ok(Value::Table(table))
    }

    fn string(&mut self) -> Result<mlua::LuaString, Stop> {
        self.at += 1;
        let start = self.at;
        let plain = self.plain_run();
        if self.bytes.get(self.at) == Some(&b'"') {
            self.at += 1;
            return Ok(self.lua.create_string(plain)?);
        }
        self.at = start;
        let text = self.escaped_string()?;
        Ok(self.lua.create_string(text)?)
    }

    /// Passes over the bytes that stand for themselves.
    fn plain_run(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        let run = rest
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
            .unwrap_or(rest.len());
        self.at += run;
        &rest[..run]
    }

    fn escaped_string(&mut self) -> Result<Vec<u8>, Stop> {
        let mut text = Vec::new();
        loop {
            text.extend_from_slice(self.plain_run());
            match self.bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => self.escape(&mut text)?,
                Some(_) => return self.wrong("an escape like \\n: a string cannot hold control characters"),
                None => return self.wrong("a closing quote"),
            }
        }
        self.at += 1;
        Ok(text)
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), Stop> {
        self.at += 1;
        let byte = match self.bytes.get(self.at) {
            Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.unicode(text),
            _ => return self.wrong("one of \" \\ / b f n r t u after a backslash"),
        };
        self.at += 1;
        text.push(byte);
        Ok(())
    }

    /// `\uXXXX`, or two of them that form a surrogate pair. Half a pair becomes U+FFFD.
    fn unicode(&mut self, text: &mut Vec<u8>) -> Result<(), Stop> {
        let first = self.hex4()?;
        let mut units = vec![first];
        if (0xd800..0xdc00).contains(&first) && self.bytes[self.at..].starts_with(b"\\u") {
            let back = self.at;
            self.at += 1;
            match self.hex4()? {
                second @ 0xdc00..0xe000 => units.push(second),
                _ => self.at = back,
            }
        }
        text.extend_from_slice(String::from_utf16_lossy(&units).as_bytes());
        Ok(())
    }

    /// Four hexadecimal digits after the `u` at the current place.
    fn hex4(&mut self) -> Result<u16, Stop> {
        self.at += 1;
        let mut number = 0;
        for _ in 0..4 {
            let digit = self.bytes.get(self.at).and_then(|byte| char::from(*byte).to_digit(16));
            let Some(digit) = digit else {
                return self.wrong("four hexadecimal digits");
            };
            number = number * 16 + digit as u16;
            self.at += 1;
        }
        Ok(number)
    }

    fn number(&mut self) -> Result<Value, Stop> {
        let start = self.at;
        self.at += usize::from(self.bytes[self.at] == b'-');
        if self.bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let mut integral = true;
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
            integral = false;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
            integral = false;
        }
        let text = str::from_utf8(&self.bytes[start..self.at]).unwrap_or_default();
        match text.parse() {
            Ok(number) if integral => Ok(Value::Integer(number)),
            _ => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(float(number)),
                _ => self.wrong("a number below 1.8e308"),
            },
        }
    }

    fn digits(&mut self) -> Result<(), Stop> {
        let rest = &self.bytes[self.at..];
        match rest.iter().take_while(|byte| byte.is_ascii_digit()).count() {
            0 => self.wrong("a digit"),
            count => {
                self.at += count;
                Ok(())
            }
        }
    }
}

/// An integral number is a Lua integer if it fits, however it was written: `1.0` and `1e3` too.
fn float(number: f64) -> Value {
    const LIMIT: f64 = i64::MAX as f64;
    if number.fract() == 0.0 && (-LIMIT..LIMIT).contains(&number) {
        Value::Integer(number as i64)
    } else {
        Value::Number(number)
    }
}

fn remember_empty_object(lua: &Lua, object: &Table) -> mlua::Result<()> {
    let objects = match lua.named_registry_value::<Option<Table>>(EMPTY_OBJECTS)? {
        Some(objects) => objects,
        None => {
            let objects = lua.create_table()?;
            let weak = lua.create_table()?;
            weak.raw_set("__mode", "k")?;
            objects.set_metatable(Some(weak))?;
            lua.set_named_registry_value(EMPTY_OBJECTS, &objects)?;
            objects
        }
    };
    objects.raw_set(object, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> Lua {
        let lua = Lua::new();
        lua.globals().set("json", open(&lua).unwrap()).unwrap();
        let failing = lua
            .create_function(|lua, ()| crate::lua::error::push(lua, Error::not_found("gone")))
            .unwrap();
        lua.globals().set("gone", failing).unwrap();
        lua
    }

    #[test]
    fn values_are_written_as_the_contract_says() {
        let lua = state();
        for (code, text) in [
            ("nil", "null"),
            ("true", "true"),
            ("42", "42"),
            ("math.mininteger", "-9223372036854775808"),
            ("1.5", "1.5"),
            ("2.0", "2"),
            ("0.1", "0.1"),
            ("1e300", "1e300"),
            ("1e-9", "1e-9"),
            ("0/0", "null"),
            ("1/0", "null"),
            ("-1/0", "null"),
            ("{}", "[]"),
            ("{1, 'a', {2}}", r#"[1,"a",[2]]"#),
            ("{a = {b = 1}}", r#"{"a":{"b":1}}"#),
            ("{[2] = 'b', [1] = 'a'}", r#"["a","b"]"#),
            ("'a\"\\\\\\n\\t\\1é'", r#""a\"\\\n\t\u0001é""#),
            ("'\\xff'", "\"\u{fffd}\""),
            ("print", "null"),
            ("{f = print}", r#"{"f":null}"#),
            ("coroutine.create(print)", "null"),
            ("gone()", r#""gone""#),
            ("{json.decode('{}')}", "[{}]"),
            ("json.decode('[]')", "[]"),
        ] {
            let (got, err): (Option<String>, Value) = lua.load(format!("return json.encode({code})")).eval().unwrap();
            assert_eq!((got.as_deref(), err), (Some(text), Value::Nil), "{code}");
        }
    }

    #[test]
    fn texts_are_read_as_the_contract_says() {
        let lua = state();
        lua.load(
            r#"
            local function same(text, expected)
                local got, err = json.decode(text)
                assert(err == nil and got == expected and math.type(got) == math.type(expected), text)
            end
            same("null", nil)
            same(" true ", true)
            same("42", 42)
            same("-0", 0)
            same("1.0", 1)
            same("1e3", 1000)
            same("1.25", 1.25)
            same("9223372036854775807", math.maxinteger)
            same("18446744073709551615", 18446744073709551615.0)
            same("1e308", 1e308)
            same("1e-400", 0)
            for _, text in ipairs{"1E400", "[-1e400]", '{"a": 1e309}', ("9"):rep(400)} do
                local got, err = json.decode(text)
                assert(got == nil and err:kind() == "Internal" and err:message():find("a number below 1.8e308", 1, true), text)
            end
            same([["a\n\"\u00e9\ud83d\ude00\ud800x\/"]], "a\n\"é😀\u{fffd}x/")
            local t = json.decode('{"a": [1, null, 3], "b": {"c": {}}, "a2": null, "d": 1, "d": 2}')
            assert(t.a[1] == 1 and t.a[2] == nil and t.a[3] == 3 and next(t.b.c) == nil and t.d == 2)
            assert(json.encode(t.b) == '{"c":{}}' and getmetatable(t.b.c) == nil)
            local deep = string.rep("[", 128) .. string.rep("]", 128)
            assert(json.encode((json.decode(deep))) == deep)
            for _, text in ipairs{"line\nbreak", "tab\t\r\\ \"q\" \0 \127", "ünïcode", ""} do
                assert(json.decode(json.encode(text)) == text)
            end
            "#,
        )
        .exec()
        .unwrap();
    }

    #[test]
    fn what_has_no_text_is_an_internal_error() {
        let lua = state();
        lua.load(
            r#"
            local loop = {}; loop.me = {loop}
            local deep = {}; for _ = 1, 128 do deep = {deep} end
            local wide = {}; for _ = 1, 60 do wide = {wide, wide} end
            for name, value in pairs{sparse = {1, nil, 3}, farther = {1, nil, 3, [10] = 1}, far = {[5] = 1}, zero = {[0] = 1}, mixed = {1, a = 2}, keys = {[true] = 1},
                floats = {[1.5] = 1}, both = {a = 1, [1] = 1}, loop = loop, deep = deep, wide = wide} do
                local text, err = json.encode(value)
                assert(text == nil and err:kind() == "Internal" and err:retryable() == false, name)
            end
            "#,
        )
        .exec()
        .unwrap();
    }

    #[test]
    fn bad_texts_name_their_place() {
        let lua = state();
        for (text, kind, expected) in [
            ("", "Invalid", "empty string"),
            (
                "{\"a\":\n 1 x}",
                "Internal",
                "line 2, column 4: expected ',' or '}', found 'x'",
            ),
            ("[1", "Internal", "expected ',' or ']', found the end"),
            ("[1,]", "Internal", "expected a value, found ']'"),
            ("01", "Internal", "column 2: expected the end, found '1'"),
            ("1.", "Internal", "a digit"),
            ("nul", "Internal", "a value"),
            ("{a:1}", "Internal", "a key in quotes"),
            ("\"a\nb\"", "Internal", "control characters"),
            ("\"a", "Internal", "a closing quote"),
            ("\"\\x\"", "Internal", "after a backslash"),
            ("\"\\u12\"", "Internal", "four hexadecimal digits"),
        ] {
            lua.globals().set("text", text).unwrap();
            let (got_kind, message): (String, String) = lua
                .load("local v, e = json.decode(text); assert(v == nil); return e:kind(), e:message()")
                .eval()
                .unwrap();
            assert!(got_kind == kind && message.contains(expected), "{text}: {message}");
        }
        let deep = lua.load("local v, e = json.decode(string.rep('[', 100000)); return e:kind()");
        assert_eq!(deep.eval::<String>().unwrap(), "Internal");
        for code in ["json.decode()", "json.decode(1)", "json.decode({})"] {
            let check = format!("local v, e = {code}; assert(v == nil); return e:kind()");
            assert_eq!(lua.load(check).eval::<String>().unwrap(), "Invalid", "{code}");
        }
    }
}
