//! The end of a program as exit code and output: what its result means, in the order of precedence of the contract.

use super::console::Console;
use super::failure::{Failure, code};
use super::signals::Signal;
use crate::process::{Cause, Exit, Process};
use crate::value::{Packed, Value};
use crate::wasm::WasmProgram;

/// What made the program stop, if it did not end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    By(Signal),
    /// Nobody reads its stdout any more.
    Unread,
}

/// Prints the result of a process and gives the exit code.
///
/// # Errors
/// The failure that it ended with.
pub fn settle(
    process: &Process,
    exit: &Exit,
    stopped: Option<Stopped>,
    wasm: Option<&WasmProgram>,
    console: &Console,
) -> Result<u8, Failure> {
    let by_us = exit.cause == Cause::Terminated && stopped.is_some();
    let result = match &exit.result {
        Err(_) if by_us => Ok(code::SUCCESS),
        Err(error) => Err(Failure::process(&process.entry(), process.pid(), exit.cause, error)),
        Ok(value) => match wasm {
            Some(program) => print(program, value, console).map(|()| code::SUCCESS),
            None => Ok(lua_code(value)),
        },
    };
    match (stopped, result) {
        (Some(Stopped::By(signal)), Ok(_)) => Ok(signal.code()),
        (Some(Stopped::By(signal)), Err(failure)) => Err(failure.with_code(signal.code())),
        (_, result) => result,
    }
}

fn print(program: &WasmProgram, value: &Packed, console: &Console) -> Result<(), Failure> {
    let text = program
        .print(value)
        .map_err(|error| Failure::new(code::FAILED, error))?;
    console.answer_bytes(&text);
    Ok(())
}

/// What a Lua main returned, as exit code.
fn lua_code(result: &Packed) -> u8 {
    let values = result.to_values().unwrap_or_default();
    match values.first() {
        Some(Value::Int(number)) => u8::try_from(*number).unwrap_or(code::FAILED),
        Some(Value::Float(number)) => float_code(*number),
        Some(Value::Bool(false)) => code::FAILED,
        _ => code::SUCCESS,
    }
}

fn float_code(number: f64) -> u8 {
    let whole = number.fract() == 0.0 && (0.0..=255.0).contains(&number);
    if whole { number as u8 } else { code::FAILED }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_numbers_of_a_byte_are_exit_codes() {
        for (value, code) in [
            (Value::Nil, 0),
            (Value::Int(7), 7),
            (Value::Int(256), 1),
            (Value::Int(-1), 1),
            (Value::Float(3.0), 3),
            (Value::Float(3.5), 1),
            (Value::Float(f64::NAN), 1),
            (Value::Bool(true), 0),
            (Value::Bool(false), 1),
            (Value::str("7"), 0),
        ] {
            assert_eq!(lua_code(&Packed::from_value(&value)), code, "{value:?}");
        }
        assert_eq!(lua_code(&Packed::empty()), 0);
    }
}
