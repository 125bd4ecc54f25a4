//! The border post for errors out of wasmtime: what a trap, an exit code, a limit or a stub is called on our side.
//!
//! Host functions that end a run do it with a [`Stop`], which passes through wasmtime untouched. Everything else is
//! wasmtime's own and gets its name here, once.

use std::fmt;

use wasmtime::component::ResourceTableError;
use wasmtime::{FrameInfo, PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi_http::FieldMapError;

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
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return trapped(*trap, error, stderr);
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
    let failed = Error::internal(format!("{doing}: {}", error.root_cause())).with_retryable(None);
    let details = Value::map([("frames", frames(error)), ("stderr", Value::Str(stderr))]);
    Exit::failed(failed.with_details(details).with_frames(stack(error)))
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
    // wasmtime has no type for this one.
    let text = error.root_cause().to_string();
    text.starts_with("too much data is being copied between the host and the guest")
        .then(|| exceeded("max_transfer", bounds.max_transfer, size::format))
}

fn trapped(trap: Trap, error: &wasmtime::Error, stderr: Vec<u8>) -> Exit {
    let name = trap_name(trap);
    let details = Value::map([
        ("trap", Value::from(name.as_str())),
        ("frames", frames(error)),
        ("stderr", Value::Str(stderr)),
    ]);
    let error = Error::internal(format!("wasm trap: {name}"))
        .with_retryable(None)
        .with_details(details)
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

fn backtrace(error: &wasmtime::Error) -> &[FrameInfo] {
    error.downcast_ref::<WasmBacktrace>().map_or(&[], WasmBacktrace::frames)
}

fn function(frame: &FrameInfo) -> String {
    match frame.func_name() {
        Some(name) => name.to_owned(),
        None => format!("func[{}]", frame.func_index()),
    }
}

fn module(frame: &FrameInfo) -> &str {
    frame.module().name().unwrap_or("wasm")
}

/// `{func=, module=, offset=}` of each frame, innermost first.
fn frames(error: &wasmtime::Error) -> Value {
    Value::array(backtrace(error).iter().map(|frame| {
        let offset = frame.module_offset().and_then(|offset| i64::try_from(offset).ok());
        Value::map([
            ("func", Value::from(function(frame))),
            ("module", Value::from(module(frame))),
            ("offset", offset.map_or(Value::Nil, Value::Int)),
        ])
    }))
}

fn stack(error: &wasmtime::Error) -> Vec<Frame> {
    let frame = |frame: &FrameInfo| Frame {
        source: module(frame).to_owned(),
        line: 0,
        name: function(frame),
    };
    backtrace(error).iter().map(frame).collect()
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
    fn exit_codes_are_kept_and_zero_is_a_normal_end() {
        assert_eq!(exited(0).result.unwrap().to_value().unwrap(), Value::Nil);
        let exit = exited(7);
        assert_eq!(exit.cause, Cause::Code(7));
        let error = exit.error().unwrap();
        assert_eq!((error.message(), error.retryable()), ("exit status 7", None));
        assert_eq!(error.details().unwrap().get("exit_code"), Some(&Value::Int(7)));
    }
}
