//! The half of a REPL session that is written in Rust: what its loop in Lua (`lua/repl/`) asks for.
//!
//! Behind a session sits a [`Desk`]: somebody at a prompt, the command line, a test. The module exists in the state of a
//! session alone. Nothing here reads keys or knows what a prompt looks like.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use mlua::{Lua, MultiValue, Table};

use crate::duration;
use crate::error::{Error, Frame, Result};
use crate::id::Pid;
use crate::lua::compile::bare_text;
use crate::lua::definitions;
use crate::lua::driver;
use crate::lua::host::{Call, context, raise, waiting};
use crate::lua::modules::part::Part;
use crate::lua::syntax::input;
use crate::process::{Doing, Process, State};

/// What a session is asked to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// What a person typed: its failure is shown, and the session goes on.
    Input(String),
    /// A text of the command line: its failure ends the session. The name is that of a Lua chunk.
    Text { text: String, name: String },
    /// Which names could stand in place of the last one of a path of names; [`Desk::reply`] takes them.
    Complete {
        path: Vec<String>,
        /// Behind a `:`, where only functions fit.
        method: bool,
    },
}

/// A request on its way; none is the end of the session.
pub type Asked = Pin<Box<dyn Future<Output = Option<Request>> + Send>>;

/// Who gives a session something to do.
pub trait Desk: Send + Sync + fmt::Debug {
    /// Called when the session has done what it was asked before.
    fn next(&self) -> Asked;

    /// Takes the answer to [`Request::Complete`].
    fn reply(&self, names: Vec<String>);

    /// The session wants to end: the next request is none.
    fn quit(&self);

    /// Takes over what is on the disk by now; what has changed, as text. Blocks.
    ///
    /// # Errors
    /// Why nothing could be taken over.
    fn reload(&self) -> Result<String> {
        Err(Error::unavailable("there is nothing to load again"))
    }

    /// What there is to know about an entry, as text. Blocks.
    ///
    /// # Errors
    /// NotFound for an entry that does not exist; what is wrong with its module.
    fn inspect(&self, id: &str) -> Result<String> {
        Err(Error::unavailable(format!("{id} cannot be looked at here")))
    }
}

/// The main chunk of every session.
pub const MAIN: &str = "return require('repl').serve()";

const SHOW: Part = Part::show("repl");
const COMPLETE: Part = Part::new("repl", "complete", include_str!("../../../lua/repl/complete.lua"));
const COMMANDS: Part = Part::new("repl", "commands", include_str!("../../../lua/repl/commands.lua"));
const SESSION: Part = Part::new("repl", "session", include_str!("../../../lua/repl/session.lua"));

/// The module: the loop, made of its parts.
pub fn open(lua: &Lua) -> mlua::Result<Table> {
    let native = native(lua)?;
    let show = SHOW.run(lua, ())?;
    let complete = COMPLETE.run(lua, &native)?;
    let commands = COMMANDS.run(lua, (&native, &show))?;
    SESSION.run(lua, (native, show, commands, complete))
}

fn native(lua: &Lua) -> mlua::Result<Table> {
    let native = lua.create_table()?;
    native.set("guard", driver::guard::function(lua)?)?;
    native.set("next", waiting(lua, next)?)?;
    native.set("reply", lua.create_function(reply)?)?;
    native.set("quit", lua.create_function(quit)?)?;
    native.set("prepare", lua.create_function(prepare)?)?;
    native.set("read", waiting(lua, read)?)?;
    native.set("write", waiting(lua, write)?)?;
    native.set("why", waiting(lua, why)?)?;
    native.set("inspect", waiting(lua, inspect)?)?;
    native.set("reload", waiting(lua, reload)?)?;
    native.set("forget", driver::forgetting(lua)?)?;
    native.set("parent", lua.create_function(parent)?)?;
    native.set("entries", lua.create_function(entries)?)?;
    native.set(
        "help",
        lua.create_function(|_, name: String| Ok(definitions::find(&name)))?,
    )?;
    native.set("methods", lua.create_function(|_, ()| Ok(definitions::methods()))?)?;
    native.set("now", lua.create_function(|_, ()| Ok(now()))?)?;
    native.set(
        "show_duration",
        lua.create_function(|_, taken: i64| Ok(duration::format(taken)))?,
    )?;
    Ok(native)
}

fn desk(lua: &Lua) -> mlua::Result<Arc<dyn Desk>> {
    let desk = context(lua)?.visible.desk.clone();
    desk.ok_or_else(|| raise(Error::unavailable("only a session can do this")))
}

/// The next request as a table, or nil at the end.
fn next(lua: &Lua, (): ()) -> mlua::Result<Call> {
    Ok(Call::wait(desk(lua)?.next(), |lua, request| match request {
        Some(request) => describe(lua, request).map(Some),
        None => Ok(None),
    }))
}

fn describe(lua: &Lua, request: Request) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    match request {
        Request::Input(text) => {
            table.set("kind", "input")?;
            table.set("text", text)?;
        }
        Request::Text { text, name } => {
            table.set("kind", "text")?;
            table.set("text", text)?;
            table.set("name", name)?;
        }
        Request::Complete { path, method } => {
            table.set("kind", "complete")?;
            table.set("path", path)?;
            table.set("method", method)?;
        }
    }
    Ok(table)
}

fn reply(lua: &Lua, names: Vec<String>) -> mlua::Result<()> {
    desk(lua)?.reply(names);
    Ok(())
}

fn quit(lua: &Lua, (): ()) -> mlua::Result<()> {
    desk(lua)?.quit();
    Ok(())
}

/// The program that an input means, and whether its values are to be shown. It may begin as a file may.
fn prepare(lua: &Lua, text: mlua::LuaString) -> mlua::Result<MultiValue> {
    let Ok(text) = text.to_str() else {
        return Err(raise(Error::invalid("the input is not UTF-8 text")));
    };
    let text = bare_text(&text);
    let expression = input::as_expression(text);
    let is_expression = expression.is_some();
    let program = expression.unwrap_or_else(|| input::keep_locals(text));
    mlua::IntoLuaMulti::into_lua_multi((program, is_expression), lua)
}

/// Does what blocks off the workers, and raises its error.
fn blocking<T>(lua: &Lua, work: impl FnOnce() -> Result<T> + Send + 'static) -> mlua::Result<Call>
where
    T: mlua::IntoLuaMulti + Send + 'static,
{
    let io = context(lua)?.process.kernel().io().clone();
    Ok(Call::wait(io.spawn_blocking(work), |_, done| match done {
        Ok(done) => done.map_err(raise),
        Err(failure) => Err(raise(Error::internal(failure.to_string()))),
    }))
}

/// A file's text, its path seen from the current folder. Raises when it cannot be read.
fn read(lua: &Lua, path: String) -> mlua::Result<Call> {
    blocking(lua, move || {
        let text = std::fs::read_to_string(&path);
        text.map_err(|error| Error::not_found(format!("cannot read {path}: {error}")))
    })
}

fn inspect(lua: &Lua, id: String) -> mlua::Result<Call> {
    let desk = desk(lua)?;
    blocking(lua, move || desk.inspect(&id))
}

fn reload(lua: &Lua, (): ()) -> mlua::Result<Call> {
    let desk = desk(lua)?;
    blocking(lua, move || desk.reload())
}

/// What a process is doing, as text of some lines.
fn why(lua: &Lua, pid: String) -> mlua::Result<Call> {
    let kernel = context(lua)?.process.kernel().clone();
    let pid = kernel.resolve(&pid).map_err(raise)?;
    let process = kernel.find(&pid);
    let process = process.ok_or_else(|| raise(Error::not_found(format!("process not found: {pid}"))))?;
    blocking(lua, move || Ok(reason(&process)))
}

fn reason(process: &Process) -> String {
    let doing = process.explain();
    let mut text = format!("{} {}: {}", process.pid(), process.entry(), process.state().as_str());
    if doing.is_empty() && process.state() == State::Waiting {
        text.push_str("\n  the guest waits for a call of its imports: time, a file, a message");
    }
    for Doing { what, at } in doing {
        text.push_str(&format!("\n  {what}"));
        let is_ours = |frame: &&Frame| frame.source.starts_with('[');
        for frame in at.iter().filter(|frame| !is_ours(frame)) {
            text.push_str(&format!("\n    at {frame}"));
        }
    }
    text
}

/// Writes a file, its path seen from the current folder. Raises when that fails.
fn write(lua: &Lua, (path, text): (String, String)) -> mlua::Result<Call> {
    blocking(lua, move || {
        let written = std::fs::write(&path, text);
        written.map_err(|error| Error::internal(format!("cannot write {path}: {error}")))
    })
}

/// The pid of the process that spawned a living one.
fn parent(lua: &Lua, pid: String) -> mlua::Result<Option<String>> {
    let Ok(pid) = Pid::parse(&pid) else { return Ok(None) };
    let process = context(lua)?.process.kernel().find(&pid);
    Ok(process.and_then(|process| process.parent().map(Pid::to_string)))
}

/// Id and kind of every entry.
fn entries(lua: &Lua, (): ()) -> mlua::Result<Vec<Table>> {
    let engine = context(lua)?.engine.clone();
    let describe = |entry: &Arc<crate::project::Entry>| {
        let row = lua.create_table()?;
        row.set("id", entry.id.as_str())?;
        row.set("kind", entry.kind.as_str())?;
        Ok(row)
    };
    engine.registry().iter().map(describe).collect()
}

/// Nanoseconds since some moment.
fn now() -> i64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = START.get_or_init(Instant::now);
    i64::try_from(start.elapsed().as_nanos()).unwrap_or(i64::MAX)
}
