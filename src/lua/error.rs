//! The border post for errors: [`LuaError`] is the Error object that Lua code holds, and everything that turns a failure of
//! mlua into [`Error`] or into what `pcall` sees is here and nowhere else.
//!
//! A host function raises with [`raise`](crate::lua::host::raise) (an Error object) or [`mistake`] (a string that starts
//! with the caller's place, like those of Lua's own functions). Both travel inside mlua's private failure value; whoever catches one passes it
//! through [`caught`], so that Lua code only ever sees a string or an Error object.

use std::fmt;
use std::sync::Arc;

use mlua::{Lua, MetaMethod, Table, UserData, UserDataFields, UserDataMethods, Value};

use crate::error::{Error, Frame, Kind};
use crate::lua::driver::Weight;
use crate::lua::host::weigh;
use crate::lua::tree;

/// How many frames an error remembers.
pub const FRAMES: usize = 32;

/// The Error object of Lua code.
#[derive(Clone, Debug)]
pub struct LuaError {
    pub error: Error,
    /// The error is outside of the state.
    _weight: Option<Arc<Weight>>,
}

impl LuaError {
    /// The object for an error that is handed to the Lua code that runs now: an error without frames gets those of the caller.
    pub fn new(lua: &Lua, error: Error) -> LuaError {
        let error = match error.frames().is_empty() {
            true => error.with_frames(frames(lua)),
            false => error,
        };
        let _weight = weigh(lua, error.weight()).map(Arc::new);
        LuaError { error, _weight }
    }

    fn stack(&self) -> String {
        let mut text = String::from("stack traceback:");
        for frame in self.error.frames() {
            text.push_str(&format!("\n\t{frame}"));
        }
        text
    }
}

impl UserData for LuaError {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        // What Lua's own messages call it.
        fields.add_meta_field("__name", "Error");
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("message", |lua, this, ()| lua.create_string(this.error.message()));
        methods.add_method("kind", |_, this, ()| Ok(this.error.kind().as_str()));
        methods.add_method("retryable", |_, this, ()| Ok(this.error.retryable()));
        methods.add_method("details", |lua, this, ()| {
            this.error
                .details()
                .map_or(Ok(Value::Nil), |details| tree::to_lua(lua, details))
        });
        methods.add_method("stack", |_, this, ()| Ok(this.stack()));
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| Ok(this.error.to_string()));
        methods.add_meta_function(MetaMethod::Concat, concat);
    }
}

fn concat(lua: &Lua, (left, right): (Value, Value)) -> mlua::Result<mlua::LuaString> {
    let mut text = operand(lua, left)?;
    text.extend(operand(lua, right)?);
    lua.create_string(text)
}

fn operand(lua: &Lua, value: Value) -> mlua::Result<Vec<u8>> {
    if let Some(error) = of_value(&value) {
        return Ok(error.to_string().into_bytes());
    }
    match value {
        Value::String(_) | Value::Integer(_) | Value::Number(_) => {
            let text = lua.coerce_string(value)?;
            Ok(text.map(|text| text.as_bytes().to_vec()).unwrap_or_default())
        }
        other => Err(mistake(format!("attempt to concatenate a {} value", type_name(&other)))),
    }
}

/// The Error object for `error`, with the frames of the caller if the error has none.
///
/// # Errors
/// When the state has no memory for it.
pub fn push(lua: &Lua, error: Error) -> mlua::Result<Value> {
    lua.create_userdata(LuaError::new(lua, error)).map(Value::UserData)
}

/// The error in an Error object; none for every other value.
pub fn of_value(value: &Value) -> Option<Error> {
    match value {
        Value::UserData(object) => object.borrow::<LuaError>().ok().map(|object| object.error.clone()),
        Value::Error(failure) => Some(from_mlua(failure)),
        _ => None,
    }
}

/// Raises a string that says what the calling code did wrong, prefixed by its place.
pub fn mistake(text: impl Into<String>) -> mlua::Error {
    mlua::Error::external(Mistake(text.into()))
}

/// Raises `bad argument #n to 'function' (expected …, got …)`.
pub fn bad_argument(position: usize, function: &str, expected: &str, got: &Value) -> mlua::Error {
    let got = if got.is_nil() { "no value" } else { type_name(got) };
    mistake(format!(
        "bad argument #{position} to '{function}' ({expected} expected, got {got})"
    ))
}

/// The string that a function was given, as text.
///
/// # Errors
/// Raises for everything else.
pub fn text_argument(position: usize, function: &str, value: &Value) -> mlua::Result<String> {
    match value {
        Value::String(text) => Ok(text.to_string_lossy()),
        other => Err(bad_argument(position, function, "string", other)),
    }
}

/// What `type` calls it.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) | Value::Number(_) => "number",
        Value::Error(_) | Value::LightUserData(_) => "userdata",
        other => other.type_name(),
    }
}

#[derive(Debug)]
struct Mistake(String);

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mistake {}

/// What `pcall` hands to user code for what a host function raised: an Error object, or a string.
///
/// # Errors
/// When the state has no memory for it.
pub fn caught(lua: &Lua, raised: &mlua::Error) -> mlua::Result<Value> {
    match Meaning::of(raised) {
        Meaning::Ours(error) => push(lua, error),
        Meaning::Text { text, .. } => lua.create_string(text).map(Value::String),
    }
}

/// The error that an mlua failure stands for. A failure without an Error inside is Internal, its `retryable` unset.
pub fn from_mlua(failure: &mlua::Error) -> Error {
    let memory = matches!(root(failure), mlua::Error::MemoryError(_));
    match Meaning::of(failure) {
        Meaning::Ours(error) => error,
        Meaning::Text { text, frames, .. } => {
            let kind = if memory { Kind::LimitExceeded } else { Kind::Internal };
            Error::new(kind, text).with_retryable(None).with_frames(frames)
        }
    }
}

/// Whether the state ran out of memory.
pub fn is_memory(failure: &mlua::Error) -> bool {
    matches!(root(failure), mlua::Error::MemoryError(_))
}

/// The error with which a coroutine ended that nobody caught: an Error is kept, every other value is shown with
/// `tostring` in an Internal one. `traceback` is Lua's text, used for the frames if the error has none. Runs nothing of the
/// program's: a table with a `__tostring` is known by its type here.
pub fn uncaught(value: &Value, traceback: &str) -> Error {
    let error = of_value(value).unwrap_or_else(|| Error::internal(display(value)).with_retryable(None));
    if error.frames().is_empty() {
        error.with_frames(parse_frames(traceback))
    } else {
        error
    }
}

fn display(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string_lossy(),
        Value::Table(table) if has_shower(table) => type_name(value).to_owned(),
        // What a Rust type shows may fail.
        other => other.to_string().unwrap_or_else(|_| type_name(other).to_owned()),
    }
}

fn has_shower(table: &Table) -> bool {
    let shower = table.metatable().map(|meta| meta.raw_get::<Value>("__tostring"));
    shower.is_some_and(|shower| !matches!(shower, Ok(Value::Nil)))
}

fn root(failure: &mlua::Error) -> &mlua::Error {
    match failure {
        mlua::Error::CallbackError { cause, .. } | mlua::Error::WithContext { cause, .. } => root(cause),
        other => other,
    }
}

/// What an mlua failure means to Lua code.
enum Meaning {
    Ours(Error),
    Text {
        text: String,
        frames: Vec<Frame>,
        /// The text still lacks the place of the code that made the mistake.
        placeless: bool,
    },
}

impl Meaning {
    fn of(failure: &mlua::Error) -> Meaning {
        match failure {
            mlua::Error::CallbackError { traceback, cause } => Meaning::of(cause).at(traceback),
            mlua::Error::WithContext { context, cause } => Meaning::of(cause).within(context),
            mlua::Error::ExternalError(inner) => match inner.downcast_ref::<Error>() {
                Some(error) => Meaning::Ours(error.clone()),
                None => Meaning::text(inner.to_string(), inner.is::<Mistake>()),
            },
            mlua::Error::BadArgument { to, pos, name, cause } => {
                Meaning::text(argument_text(to.as_deref(), *pos, name.as_deref(), cause), true)
            }
            mlua::Error::FromLuaConversionError { .. } => Meaning::text(conversion_text(failure), true),
            mlua::Error::RuntimeError(text) => Meaning::text(text.clone(), false),
            mlua::Error::SyntaxError { message, .. } => Meaning::text(message.clone(), false),
            mlua::Error::MemoryError(_) => Meaning::text("not enough memory".to_owned(), false),
            other => Meaning::text(other.to_string(), true),
        }
    }

    fn text(text: String, placeless: bool) -> Meaning {
        Meaning::Text {
            text,
            frames: Vec::new(),
            placeless,
        }
    }

    /// The same with the places that the traceback names, unless it has more precise ones already.
    fn at(self, traceback: &str) -> Meaning {
        match self {
            Meaning::Ours(error) if error.frames().is_empty() => {
                Meaning::Ours(error.with_frames(parse_frames(traceback)))
            }
            Meaning::Text {
                text,
                frames,
                placeless,
            } if frames.is_empty() => {
                let frames = parse_frames(traceback);
                let text = match frames.first() {
                    Some(place) if placeless => format!("{}:{}: {text}", place.source, place.line),
                    _ => text,
                };
                let placeless = placeless && frames.is_empty();
                Meaning::Text {
                    text,
                    frames,
                    placeless,
                }
            }
            other => other,
        }
    }

    fn within(self, context: &str) -> Meaning {
        match self {
            Meaning::Ours(error) => Meaning::Ours(error.context(context)),
            Meaning::Text {
                text,
                frames,
                placeless,
            } => Meaning::Text {
                text: format!("{context}: {text}"),
                frames,
                placeless,
            },
        }
    }
}

/// `bad argument #1 to 'kind' (…)` from mlua's parts; like Lua, a method does not count its object.
fn argument_text(to: Option<&str>, position: usize, name: Option<&str>, cause: &mlua::Error) -> String {
    let cause = conversion_text(cause);
    let function = to.and_then(|to| to.rsplit('.').next());
    match (function, name) {
        (Some(function), Some("self")) => format!("calling '{function}' on bad self ({cause})"),
        (Some(function), _) => format!("bad argument #{} to '{function}' ({cause})", position.max(2) - 1),
        (None, _) => format!("bad argument #{position} ({cause})"),
    }
}

fn conversion_text(failure: &mlua::Error) -> String {
    match failure {
        mlua::Error::FromLuaConversionError {
            message: Some(message), ..
        } if message.contains("integer") || message.contains("range") => message.clone(),
        mlua::Error::FromLuaConversionError { from, to, .. } => {
            format!("{} expected, got {}", lua_type(to), lua_type(from))
        }
        other => other.to_string(),
    }
}

/// The Lua word for the name of a Rust type.
fn lua_type(name: &str) -> &str {
    match name {
        "String" | "LuaString" | "BorrowedStr" | "BorrowedBytes" | "&str" | "BString" => "string",
        "bool" => "boolean",
        "integer" | "i64" | "u64" | "i32" | "u32" | "usize" | "f64" => "number",
        "Table" => "table",
        "Function" => "function",
        "Thread" => "coroutine",
        "AnyUserData" => "userdata",
        "missing argument" => "no value",
        "LuaError" => "Error",
        other => other,
    }
}

/// The Lua functions that run now, innermost first.
pub fn frames(lua: &Lua) -> Vec<Frame> {
    (0..)
        .map_while(|level| lua.inspect_stack(level, live_frame))
        .flatten()
        .take(FRAMES)
        .collect()
}

/// None for a function that is not Lua's.
fn live_frame(function: &mlua::debug::Debug<'_>) -> Option<Frame> {
    let line = function.current_line()?;
    let (place, names) = (function.source(), function.names());
    let source = place.source.as_deref().unwrap_or_default();
    let short = place.short_src.as_deref().unwrap_or_default();
    Some(frame(source, short, line, names.name.as_deref()))
}

/// A Lua function as Lua's debug interface describes it: its chunk by the whole name where it has one (`@src/main.lua`), by
/// the short form where that is a text. The main chunk has no name.
pub fn frame(source: &str, short: &str, line: impl TryInto<u32>, name: Option<&str>) -> Frame {
    Frame {
        source: source.strip_prefix(['@', '=']).unwrap_or(short).to_owned(),
        line: line.try_into().unwrap_or(0),
        name: name.unwrap_or_default().to_owned(),
    }
}

/// The Lua functions in a traceback text, innermost first.
pub fn parse_frames(traceback: &str) -> Vec<Frame> {
    traceback.lines().filter_map(parse_frame).take(FRAMES).collect()
}

/// `src/main.lua:12: in function 'f'`; none for a line about something else (`[C]: in ?`, the header, tail calls).
fn parse_frame(line: &str) -> Option<Frame> {
    let (place, what) = line.trim().rsplit_once(": in ")?;
    let (source, number) = place.rsplit_once(':')?;
    let name = match what.split_once('\'') {
        Some((_, quoted)) => quoted.trim_end_matches('\''),
        None => "",
    };
    Some(Frame {
        source: source.to_owned(),
        line: number.parse().ok()?,
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A state with `caught` as a Lua function over `pcall`, the way the sandbox's `pcall` uses it.
    fn state() -> Lua {
        let lua = Lua::new();
        let caught = lua
            .create_function(|lua, value: Value| match &value {
                Value::Error(raised) => super::caught(lua, raised),
                _ => Ok(value),
            })
            .unwrap();
        lua.globals().set("caught", caught).unwrap();
        lua.load("function try(f, ...) local ok, err = pcall(f, ...); return ok, caught(err) end")
            .exec()
            .unwrap();
        lua
    }

    fn gone() -> Error {
        Error::not_found("gone")
            .context("outer")
            .with_details(crate::value::Value::map([("a", crate::value::Value::Int(1))]))
    }

    #[test]
    fn an_error_object_answers_its_methods_and_concatenates() {
        let lua = state();
        lua.globals().set("err", LuaError::new(&lua, gone())).unwrap();
        lua.load(
            r#"
            assert(type(err) == "userdata" and type(err.kind) == "function")
            assert(err:kind() == "NotFound" and err:message() == "gone" and err:retryable() == false)
            assert(err:details().a == 1 and math.type(err:details().a) == "integer")
            assert(tostring(err) == "outer: gone")
            assert("x " .. err == "x outer: gone" and err .. 1 == "outer: gone1" and err .. err == "outer: goneouter: gone")
            assert(#err:stack() > 0)
            local ok, text = try(function() return err .. nil end)
            assert(not ok and text:find("attempt to concatenate a nil value", 1, true), text)
            local same, again = pcall(error, err)
            assert(rawequal(again, err))
            "#,
        )
        .exec()
        .unwrap();
    }

    #[test]
    fn a_raised_error_reaches_pcall_as_the_error_object_with_frames() {
        let lua = state();
        let fail = lua
            .create_function(|_, ()| Err::<(), _>(crate::lua::host::raise(gone())))
            .unwrap();
        lua.globals().set("fail", fail).unwrap();
        let (kind, stack): (String, String) = lua
            .load("local ok, e = try(function() fail() end)\nreturn e:kind(), e:stack()")
            .set_name("=case.lua")
            .eval()
            .unwrap();
        assert_eq!(kind, "NotFound");
        assert!(stack.contains("case.lua:1"), "{stack}");
    }

    #[test]
    fn mistakes_are_strings_with_the_place_of_the_caller() {
        let lua = state();
        let table = lua.create_table().unwrap();
        let take = lua.create_function(|_, _: (String, i64)| Ok(())).unwrap();
        table.set("take", take).unwrap();
        let own = lua
            .create_function(|_, value: Value| Err::<(), _>(bad_argument(2, "own", "string", &value)))
            .unwrap();
        table.set("own", own).unwrap();
        table.set("err", LuaError::new(&lua, gone())).unwrap();
        lua.globals().set("m", table).unwrap();
        for (call, expected) in [
            ("m.take({}, 1)", "=bad argument #1 (string expected, got table)"),
            ("m.take('a', nil)", "=bad argument #2 (number expected, got nil)"),
            ("m.own()", "=bad argument #2 to 'own' (string expected, got no value)"),
            (
                "m.own(true)",
                "=bad argument #2 to 'own' (string expected, got boolean)",
            ),
            ("m.err.kind(1)", "=calling 'kind' on bad self"),
        ] {
            let code = format!("local ok, e = try(function()\n{call}\nend) return e");
            let text: String = lua.load(code).set_name("=case.lua").eval().unwrap();
            let expected = expected.replacen('=', "case.lua:2: ", 1);
            assert!(text.starts_with(&expected), "{call}: {text}");
        }
    }

    #[test]
    fn what_nobody_caught_becomes_an_error_with_frames() {
        let lua = state();
        let trace = "stack traceback:\n\t[C]: in function 'error'\n\tsrc/a.lua:3: in local 'f'\n\t(...tail calls...)\n\tsrc/a.lua:9: in main chunk\n\t[C]: in ?";
        let text = Value::String(lua.create_string("src/a.lua:3: boom").unwrap());
        let error = uncaught(&text, trace);
        assert_eq!(
            (error.kind(), error.message(), error.retryable()),
            (Kind::Internal, "src/a.lua:3: boom", None)
        );
        let shown: Vec<String> = error.frames().iter().map(Frame::to_string).collect();
        assert_eq!(shown, ["src/a.lua:3: in f", "src/a.lua:9"]);
        assert_eq!(uncaught(&Value::Nil, "").message(), "nil");
        let kept = uncaught(&push(&lua, gone()).unwrap(), trace);
        assert_eq!((kept.kind(), kept.retryable()), (Kind::NotFound, Some(false)));
    }

    #[test]
    fn a_memory_error_is_a_limit() {
        let error = from_mlua(&mlua::Error::MemoryError("x".into()));
        assert_eq!((error.kind(), error.retryable()), (Kind::LimitExceeded, None));
    }
}
