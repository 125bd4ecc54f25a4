//! The module `io`: the terminal of a process on a terminal host.
//!
//! Nothing here blocks a worker: what does not fit into the terminal's queue, and input that is not there yet, are waited
//! for. Raw mode is given back when the state goes, whatever the program forgot.

use std::io;
use std::sync::Arc;

use mlua::{Lua, MultiValue, Table, Value, Variadic};

use crate::error::Error;
use crate::lua::driver::showing_all;
use crate::lua::error::bad_argument;
use crate::lua::host::{Call, context, failure, waiting, weigh};
use crate::lua::tree;
use crate::system::terminal::{Stream, Terminal};

const READ: usize = 1024;
/// No terminal has more at once; the bound keeps a request for all bytes of the world from being allocated.
const LONGEST_READ: i64 = 1 << 20;

pub fn open(lua: &Lua) -> mlua::Result<Table> {
    let module = lua.create_table_with_capacity(0, 8)?;
    let print_to = |stream| waiting(lua, move |lua: &Lua, args| print(lua, stream, args));
    module.raw_set("write", showing_all(lua, waiting(lua, write)?)?)?;
    module.raw_set("print", showing_all(lua, print_to(Stream::Out)?)?)?;
    module.raw_set("eprint", showing_all(lua, print_to(Stream::Err)?)?)?;
    module.raw_set("flush", waiting(lua, flush)?)?;
    module.raw_set("read", waiting(lua, read)?)?;
    module.raw_set("readline", waiting(lua, read_line)?)?;
    module.raw_set("raw", lua.create_function(raw)?)?;
    module.raw_set("args", lua.create_function(args)?)?;
    Ok(module)
}

fn no_terminal() -> Error {
    Error::unavailable("no terminal context")
}

/// Calls `use_it` with the terminal, or answers that there is none.
fn on_terminal(lua: &Lua, use_it: impl FnOnce(Arc<Terminal>) -> mlua::Result<Call>) -> mlua::Result<Call> {
    match context(lua)?.process.terminal() {
        Some(terminal) => use_it(terminal.clone()),
        None => Ok(Call::Ready(failure(lua, no_terminal())?)),
    }
}

/// `true`, or what the terminal failed with.
fn done(lua: &Lua, result: io::Result<()>) -> mlua::Result<MultiValue> {
    match result {
        Ok(()) => Ok(MultiValue::from_iter([Value::Boolean(true)])),
        Err(error) => failure(lua, broken(&error)),
    }
}

fn broken(error: &io::Error) -> Error {
    Error::unavailable(format!("terminal: {error}"))
}

fn write(lua: &Lua, values: Variadic<Value>) -> mlua::Result<Call> {
    let mut bytes = Vec::new();
    for value in values.iter() {
        bytes.extend(tree::display(lua, value)?);
    }
    put(lua, Stream::Out, bytes)
}

fn print(lua: &Lua, stream: Stream, values: Variadic<Value>) -> mlua::Result<Call> {
    put(lua, stream, tree::display_line(lua, &values)?)
}

/// Writes at once what fits and waits for the rest.
fn put(lua: &Lua, stream: Stream, mut bytes: Vec<u8>) -> mlua::Result<Call> {
    on_terminal(lua, |terminal| match terminal.try_write(stream, &bytes) {
        Ok(count) if count == bytes.len() => Ok(Call::Ready(done(lua, Ok(()))?)),
        Ok(count) => {
            bytes.drain(..count);
            let weight = weigh(lua, bytes.capacity());
            let rest = async move {
                let written = terminal.write_all(stream, bytes).await;
                drop(weight);
                written
            };
            Ok(Call::wait(rest, done))
        }
        Err(error) => Ok(Call::Ready(done(lua, Err(error))?)),
    })
}

fn flush(lua: &Lua, (): ()) -> mlua::Result<Call> {
    on_terminal(lua, |terminal| {
        Ok(Call::wait(async move { terminal.flush().await }, done))
    })
}

fn read(lua: &Lua, count: Value) -> mlua::Result<Call> {
    let count = match &count {
        Value::Nil => READ,
        Value::Integer(count) if *count <= 0 => READ,
        Value::Integer(count) => (*count).min(LONGEST_READ) as usize,
        Value::Number(count) if *count < 1.0 => READ,
        Value::Number(count) => (*count as i64).clamp(1, LONGEST_READ) as usize,
        other => return Err(bad_argument(1, "read", "number", other)),
    };
    on_terminal(lua, |terminal| {
        let input = async move {
            terminal
                .read(count)
                .await
                .map(|bytes| (!bytes.is_empty()).then_some(bytes))
        };
        Ok(Call::wait(input, input_or_end))
    })
}

fn read_line(lua: &Lua, (): ()) -> mlua::Result<Call> {
    on_terminal(lua, |terminal| {
        Ok(Call::wait(async move { terminal.read_line().await }, input_or_end))
    })
}

fn input_or_end(lua: &Lua, input: io::Result<Option<Vec<u8>>>) -> mlua::Result<MultiValue> {
    match input {
        Ok(Some(bytes)) => Ok(MultiValue::from_iter([Value::String(lua.create_string(bytes)?)])),
        Ok(None) => failure(lua, Error::not_found("EOF")),
        Err(error) => failure(lua, broken(&error)),
    }
}

fn args(lua: &Lua, (): ()) -> mlua::Result<Table> {
    let process = &context(lua)?.process;
    // A child on another host has the words too, but no command line.
    let words = process.terminal().map_or(&[][..], |_| process.words());
    lua.create_sequence_from(words.iter().map(String::as_str))
}

/// How often this state switched raw mode on. Lives in the state's app data and undoes it at the end.
struct RawMode {
    terminal: Arc<Terminal>,
    depth: usize,
}

impl Drop for RawMode {
    fn drop(&mut self) {
        for _ in 0..self.depth {
            // The terminal may be gone; there is nobody left to tell.
            let _ = self.terminal.raw(false);
        }
    }
}

fn raw(lua: &Lua, on: Value) -> mlua::Result<MultiValue> {
    let on = !matches!(on, Value::Boolean(false));
    let Some(terminal) = context(lua)?.process.terminal().cloned() else {
        return failure(lua, no_terminal());
    };
    if !terminal.is_tty_in() {
        return failure(lua, Error::unavailable("stdin is not a terminal"));
    }
    match switch(lua, &terminal, on) {
        Ok(()) => Ok(MultiValue::from_iter([Value::Boolean(true), Value::Nil])),
        Err(error) => failure(lua, broken(&error)),
    }
}

/// Counts this state's part, so that one `false` too many takes nothing from others.
fn switch(lua: &Lua, terminal: &Arc<Terminal>, on: bool) -> io::Result<()> {
    if lua.app_data_ref::<RawMode>().is_none() {
        lua.set_app_data(RawMode {
            terminal: terminal.clone(),
            depth: 0,
        });
    }
    let Some(mut mode) = lua.app_data_mut::<RawMode>() else {
        return Ok(());
    };
    match (on, mode.depth) {
        (true, depth) => {
            terminal.raw(true)?;
            mode.depth = depth + 1;
        }
        (false, 0) => {}
        (false, depth) => {
            terminal.raw(false)?;
            mode.depth = depth - 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::World;
    use super::*;
    use crate::project::Registry;

    fn world(terminal: Option<Arc<Terminal>>) -> World {
        let world = World::new(Registry::default(), terminal);
        world.lua.globals().set("io", open(&world.lua).unwrap()).unwrap();
        world
    }

    #[test]
    fn values_are_written_and_lines_are_read() {
        let terminal = Terminal::captured(b"first\r\n\nbytes and more\nlast".to_vec());
        let world = world(Some(terminal.clone()));
        world.run(
            r#"
            assert(io.write("a", 1, 2.0, true, nil, "\0") == true)
            assert(io.print("x", 1.5, nil) == true and io.print() == true and io.eprint("e", false) == true)
            assert(io.flush() == true)
            assert(io.readline() == "first" and io.readline() == "")
            assert(io.read(5) == "bytes" and io.readline() == " and more" and io.read(0) == "last")
            for _, call in ipairs{io.readline, io.read} do
                local line, err = call()
                assert(line == nil and err:message() == "EOF")
            end
            local ok, err = io.raw()
            assert(ok == nil and err:kind() == "Unavailable")
            local args = io.args()
            assert(#args == 2 and args[2] == "two words")
            assert(not pcall(io.read, "x"))
            io.write(setmetatable({}, {__tostring = function() return "own" end}), string.rep("z", 200000))
            "#,
        );
        let output = terminal.output();
        assert!(
            output.starts_with(b"a12.0truenil\0x\t1.5\tnil\n\nown"),
            "{:?}",
            &output[..20]
        );
        assert!(output.len() > 200_000);
        assert_eq!(terminal.errors(), b"e\tfalse\n");
    }

    #[test]
    fn a_process_on_a_terminal_host_waits_for_its_lines() {
        let terminal = Terminal::captured(b"1\n2\n3\n".to_vec());
        let mut world = crate::lua::test_support::World::new();
        let mut host = crate::process::HostSpec::new(crate::id::EntryId::new("app", "terminal"));
        host.terminal = Some(terminal.clone());
        world.host = world.kernel.add_host(host).unwrap();
        let exit = world.run(
            r#"
            local io = require("io")
            local sum = 0
            for line in io.readline do sum = sum + tonumber(line) end
            pcall(io.write, string.rep("y", 300000), "\n")
            local thrown = {}
            local function saying(fn) return setmetatable({}, {__tostring = fn}) end
            local ok, err = pcall(io.write, saying(function() error(thrown) end))
            assert(not ok and err == thrown)
            io.write(saying(function() require("time").sleep("1ms") return "slow \255 " end))
            assert(io.print("sum", sum) == true and io.flush() == true)
            "#,
        );
        assert!(exit.result.is_ok(), "{:?}", exit.result);
        let output = terminal.output();
        assert!(output.len() > 300_000 && output.ends_with(b"\nslow \xff sum\t6\n"));
    }

    #[test]
    fn without_a_terminal_nothing_is_there() {
        world(None).run(
            r#"
            for _, name in ipairs{"write", "print", "eprint", "flush", "read", "readline", "raw"} do
                local value, err = io[name]()
                assert(value == nil and err:kind() == "Unavailable" and err:message() == "no terminal context", name)
            end
            assert(#io.args() == 0)
            "#,
        );
    }
}
