//! The border post for errors out of wasmtime: what a trap, an exit code, a limit or a stub is called on our side.
//!
//! Host functions that end a run do it with a [`Stop`], which passes through wasmtime untouched. Everything else is
//! wasmtime's own and gets its name here, once.

use std::fmt;

use wasmtime::component::ResourceTableError;
use wasmtime::{FrameInfo, FrameSymbol, GcHeapOutOfMemory, PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi_http::FieldMapError;
use wiggle::GuestError;

use super::aftermath::Uncaught;
use super::http;
use super::limits::exceeded;
use crate::error::{Error, Frame};
use crate::process::{Cause, Exit};
use crate::size;
use crate::value::{Packed, Value};

/// An end that a host function decided on.
#[derive(Clone, Debug)]
pub struct Stop(Exit);

impl Stop {
    pub fn new(exit: Exit) -> Stop {
        Stop(exit)
    }

    pub fn exit(&self) -> &Exit {
        &self.0
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.error() {
            Some(error) => error.fmt(f),
            None => f.write_str("stopped"),
        }
    }
}

impl std::error::Error for Stop {}

/// What was being done when the error came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Instantiating,
    Calling,
}

/// The limits whose crossing wasmtime reports in its own words.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub max_fuel: u64,
    pub max_stack: u64,
    pub max_transfer: u64,
    pub max_handles: u64,
}

/// How a run ended that wasmtime ended with an error. `stderr`: the last of it.
pub fn translate(error: &wasmtime::Error, phase: Phase, bounds: Bounds, stderr: Vec<u8>) -> Exit {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return with_stderr(stop.exit().clone(), stderr);
    }
    if let Some(code) = error.downcast_ref::<I32Exit>() {
        return exited(code.0);
    }
    if let Some(stop) = limit(error, bounds) {
        return with_stderr(stop.exit().clone(), stderr);
    }
    if let Some(trap) = error.downcast_ref::<Trap>().copied().or_else(|| bad_pointer(error)) {
        let name = trap_name(trap);
        let message = format!("wasm trap: {name}");
        return crashed(message, vec![("trap", Value::from(name))], error, phase, stderr);
    }
    if let Some(uncaught) = error.downcast_ref::<Uncaught>() {
        let message = format!("uncaught exception: {uncaught}");
        return crashed(message, exception(uncaught), error, phase, stderr);
    }
    if error.is::<PoolConcurrencyLimitError>() {
        let error = Error::unavailable(format!(
            "no room for another WebAssembly instance: {}",
            error.root_cause()
        ));
        return Exit::failed(error.with_retryable(Some(true)));
    }
    let doing = match phase {
        Phase::Instantiating => "failed to instantiate wasm module",
        Phase::Calling => "wasm call failed",
    };
    let failed = Error::internal(format!("{doing}: {}", cause(error))).with_retryable(None);
    let details = Value::map([("frames", frames(error)), ("stderr", Value::Str(stderr))]);
    Exit::failed(failed.with_details(details).with_frames(stack(error)))
}

/// What went wrong, in words that say what to do where wasmtime speaks to who has built it in.
fn cause(error: &wasmtime::Error) -> String {
    let cause = error.root_cause().to_string();
    match cause.starts_with("shared memory support is disabled") {
        true => "its memory is shared between threads, which guests do not have; build it without threads".to_owned(),
        false => cause,
    }
}

/// A guest that chose its exit code.
pub fn exited(code: i32) -> Exit {
    if code == 0 {
        return Exit::returned(Packed::from_value(&Value::Nil));
    }
    let error = Error::internal(format!("exit status {code}"))
        .with_retryable(None)
        .with_details(Value::map([("exit_code", Value::Int(i64::from(code)))]));
    Exit::because(Cause::Code(code), error)
}

fn limit(error: &wasmtime::Error, bounds: Bounds) -> Option<Stop> {
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => return Some(exceeded("max_stack", bounds.max_stack, size::format)),
        Some(Trap::OutOfFuel) => return Some(exceeded("max_fuel", bounds.max_fuel, |units| format!("{units} units"))),
        Some(_) => return None,
        None => {}
    }
    if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        return Some(exceeded("max_handles", bounds.max_handles, |count| {
            format!("{count} handles")
        }));
    }
    if matches!(
        error.downcast_ref(),
        Some(FieldMapError::TotalSizeTooBig | FieldMapError::TooManyFields)
    ) {
        return Some(exceeded("http_headers", http::HEAD as u64, size::format));
    }
    // Without a limit of ours in its way: what wasmtime addresses of it.
    if error.is::<GcHeapOutOfMemory<()>>() {
        return Some(exceeded("gc_heap", 1 << 32, size::format));
    }
    // wasmtime has no type for this one.
    let text = error.root_cause().to_string();
    text.starts_with("too much data is being copied between the host and the guest")
        .then(|| exceeded("max_transfer", bounds.max_transfer, size::format))
}

/// What a pointer into nowhere is that the guest gave to a function of preview 1: the same as if it had used it itself.
fn bad_pointer(error: &wasmtime::Error) -> Option<Trap> {
    let mut guest = error.downcast_ref::<GuestError>()?;
    while let GuestError::InFunc { err, .. } = guest {
        guest = err;
    }
    matches!(guest, GuestError::PtrOutOfBounds(_) | GuestError::PtrOverflow).then_some(Trap::MemoryOutOfBounds)
}

/// What a program sees of an exception; it stands where the name of a trap would.
fn exception(uncaught: &Uncaught) -> Vec<(&'static str, Value)> {
    let tag = uncaught.tag.as_deref().map(|tag| ("tag", Value::from(tag)));
    let values = ("values", Value::array(uncaught.values.iter().cloned()));
    let exception = tag.into_iter().chain([values]);
    vec![
        ("trap", Value::from("uncaught-exception")),
        ("exception", Value::map(exception)),
    ]
}

/// The end of a guest whose own code failed. `why`: the details that say how.
fn crashed(
    message: String,
    why: Vec<(&'static str, Value)>,
    error: &wasmtime::Error,
    phase: Phase,
    stderr: Vec<u8>,
) -> Exit {
    let message = match phase {
        Phase::Instantiating => format!("failed to instantiate wasm module: {message}"),
        Phase::Calling => message,
    };
    let place = [("frames", frames(error)), ("stderr", Value::Str(stderr))];
    let error = Error::internal(message)
        .with_retryable(None)
        .with_details(Value::map(why.into_iter().chain(place)))
        .with_frames(stack(error));
    Exit::because(Cause::Trap, error)
}

/// The name that programs see: kebab-case, short where WebAssembly's own text is.
pub fn trap_name(trap: Trap) -> String {
    match trap {
        Trap::UnreachableCodeReached => "unreachable".to_owned(),
        Trap::IntegerDivisionByZero => "integer-divide-by-zero".to_owned(),
        other => kebab(&format!("{other:?}")),
    }
}

fn kebab(camel: &str) -> String {
    let mut text = String::with_capacity(camel.len() + 4);
    for c in camel.chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

/// A function that was running, as a report shows it.
struct Place {
    function: String,
    module: String,
    offset: Option<i64>,
    /// The source and the line in it, counted from 1, where the module carries them.
    source: Option<(String, u32)>,
}

impl Place {
    /// `shown`: how wasmtime shows the function.
    fn of(frame: &FrameInfo, shown: Option<&str>) -> Place {
        // Of functions that were inlined into one another the innermost stands first.
        let symbol = frame.symbols().first();
        let module = frame.module().name();
        let name = symbol.and_then(FrameSymbol::name).or(frame.func_name());
        let function = match name {
            None => format!("func[{}]", frame.func_index()),
            Some(name) => {
                let prefix = format!("{}!", module.unwrap_or("<unknown>"));
                let shown = shown.filter(|_| is_mangled(name));
                let shown = shown.map(|shown| shown.strip_prefix(&prefix).unwrap_or(shown));
                without_hash(shown.unwrap_or(name)).to_owned()
            }
        };
        Place {
            function,
            module: module.unwrap_or("wasm").to_owned(),
            offset: frame.module_offset().and_then(|offset| i64::try_from(offset).ok()),
            source: symbol.and_then(|symbol| Some((symbol.file()?.to_owned(), symbol.line()?))),
        }
    }

    fn to_value(&self) -> Value {
        let mut fields = vec![
            ("func", Value::from(self.function.as_str())),
            ("module", Value::from(self.module.as_str())),
            ("offset", self.offset.map_or(Value::Nil, Value::Int)),
        ];
        if let Some((file, line)) = &self.source {
            fields.push(("file", Value::from(file.as_str())));
            fields.push(("line", Value::Int(i64::from(*line))));
        }
        Value::map(fields)
    }

    fn into_frame(self) -> Frame {
        let (source, line) = self.source.unwrap_or((self.module, 0));
        Frame {
            source,
            line,
            name: self.function,
        }
    }
}

/// What was running, innermost first.
fn places(error: &wasmtime::Error) -> Vec<Place> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return Vec::new();
    };
    let shown = backtrace.to_string();
    let mut names = shown.lines().filter_map(demangled);
    let place = |frame| Place::of(frame, names.next());
    backtrace.frames().iter().map(place).collect()
}

/// The name in the first line of a frame, `    0:   0x3a - module!name` or `    0:   0x3a - name`: wasmtime demangles names
/// when it shows a backtrace, and only then.
fn demangled(line: &str) -> Option<&str> {
    let (number, rest) = line.trim_start().split_once(": ")?;
    number.parse::<u32>().ok()?;
    Some(rest.split_once(" - ").map_or(rest, |(_, name)| name))
}

/// Whether a compiler encoded a path in the name. wasmtime takes every name for an encoded one, a function `f` for the type
/// `float`.
fn is_mangled(name: &str) -> bool {
    let letters = name.trim_start_matches('_');
    letters.len() < name.len() && letters.starts_with(['Z', 'R'])
}

/// A name of Rust without the hash of its crate: `::h` and 16 digits.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((path, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => path,
        _ => name,
    }
}

/// `{func=, module=, offset=, file=, line=}` of each frame.
fn frames(error: &wasmtime::Error) -> Value {
    Value::array(places(error).iter().map(Place::to_value))
}

fn stack(error: &wasmtime::Error) -> Vec<Frame> {
    places(error).into_iter().map(Place::into_frame).collect()
}

/// The same end with the last of stderr among the details of its error.
pub fn with_stderr(exit: Exit, stderr: Vec<u8>) -> Exit {
    let Exit { cause, result } = exit;
    let result = result.map_err(|error| {
        let mut details = match error.details() {
            Some(Value::Table(table)) => (**table).clone(),
            _ => return error,
        };
        details.pairs.push((Value::from("stderr"), Value::Str(stderr)));
        error.with_details(Value::Table(Box::new(details)))
    });
    Exit { cause, result }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traps_have_kebab_names() {
        for (trap, name) in [
            (Trap::UnreachableCodeReached, "unreachable"),
            (Trap::IntegerDivisionByZero, "integer-divide-by-zero"),
            (Trap::IntegerOverflow, "integer-overflow"),
            (Trap::MemoryOutOfBounds, "memory-out-of-bounds"),
            (Trap::TableOutOfBounds, "table-out-of-bounds"),
            (Trap::IndirectCallToNull, "indirect-call-to-null"),
            (Trap::BadSignature, "bad-signature"),
            (Trap::BadConversionToInteger, "bad-conversion-to-integer"),
        ] {
            assert_eq!(trap_name(trap), name);
        }
    }

    #[test]
    fn the_name_of_a_shown_frame_is_found_and_loses_its_hash() {
        for (line, name) in [
            ("    0:     0x3a - app!bottom", Some("app!bottom")),
            (
                "   12: 0x1b2c3d - <app::Main as core::ops::Fn>::call",
                Some("<app::Main as core::ops::Fn>::call"),
            ),
            ("    1: app!no_offset", Some("app!no_offset")),
            ("                - inlined", None),
            ("                    at src/main.c:3:5", None),
            ("error while executing at wasm backtrace:", None),
        ] {
            assert_eq!(demangled(line), name);
        }
        assert_eq!(without_hash("app::run::h0123456789abcdef"), "app::run");
        assert_eq!(without_hash("app::here"), "app::here");
    }

    #[test]
    fn only_names_with_the_mark_of_an_encoding_are_shown_decoded() {
        for (name, mangled) in [
            ("_ZN3app3runEv", true),
            ("__ZN3app3runEv", true),
            ("_RNvC3app3run", true),
            ("f", false),
            ("i", false),
            ("Z1f", false),
            ("_start", false),
            ("__wasm_call_ctors", false),
        ] {
            assert_eq!(is_mangled(name), mangled, "{name}");
        }
    }

    #[test]
    fn exit_codes_are_kept_and_zero_is_a_normal_end() {
        assert_eq!(exited(0).result.unwrap().to_value().unwrap(), Value::Nil);
        let exit = exited(7);
        assert_eq!(exit.cause, Cause::Code(7));
        let error = exit.error().unwrap();
        assert_eq!((error.message(), error.retryable()), ("exit status 7", None));
        assert_eq!(error.details().unwrap().get("exit_code"), Some(&Value::Int(7)));
    }
}
