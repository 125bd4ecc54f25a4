//! The module `test`, the half in Rust: deadlines, what a test left behind, entries of a test file, and the way to the
//! reporters. Blocks, assertions and the order in which things run are the half in Lua (`lua/test.lua`, `lua/test/`).
//!
//! Behind a test file stands a [`Bench`]. In a process without one (an entry that declares the module) the assertions work, and
//! what would need a bench fails as Unavailable. Nothing here knows what a report looks like.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use mlua::{Function, Lua, Table, UserData, UserDataRef, Value as LuaValue};

use crate::error::{Error, Result};
use crate::id::{EntryId, Pid};
use crate::lua::driver;
use crate::lua::host::{Call, StateContext, context, raise, waiting};
use crate::lua::modules::part::Part;
use crate::lua::tree;
use crate::process::Process;
use crate::value::Value;

/// What the runner gives to the process of a test file.
pub trait Bench: Send + Sync {
    /// Takes an event of `lua/test/suite.lua`.
    fn report(&self, event: Value);

    /// Whether no further test is wanted.
    fn is_stopped(&self) -> bool;

    /// The folder of the test file.
    fn folder(&self) -> &Path;

    /// Keeps a module's bytes for as long as the file runs; gives the fields `fs`, `path` and `hash` of an entry for it.
    ///
    /// # Errors
    /// When it cannot be stored.
    fn keep(&self, module: &[u8]) -> Result<Vec<(&'static str, Value)>>;

    /// Makes an entry of its fields as YAML would have them, known to this file's runtime alone. Blocks.
    ///
    /// # Errors
    /// What is wrong with the entry.
    fn declare(&self, fields: Value) -> Result<EntryId>;
}

const SHOW: Part = Part::show("test");
const DIFF: Part = Part::new("test", "diff", include_str!("../../../lua/test/diff.lua"));
const SPY: Part = Part::new("test", "spy", include_str!("../../../lua/test/spy.lua"));
const ASSERT: Part = Part::new("test", "assert", include_str!("../../../lua/test/assert.lua"));
const SUITE: Part = Part::new("test", "suite", include_str!("../../../lua/test/suite.lua"));
const TEST: Part = Part::new("test", "test", include_str!("../../../lua/test.lua"));

/// What the process of a test file runs; its arguments are the file's text, its name, and the options.
pub const MAIN: &str = include_str!("../../../lua/test/main.lua");

/// How long a process that is about to end by itself has for that, before it counts as left behind.
const GRACE: Duration = Duration::from_millis(20);

/// The module.
pub fn open(lua: &Lua) -> mlua::Result<Table> {
    assemble(lua, &native(lua)?)
}

/// Puts the parts in Lua together.
fn assemble(lua: &Lua, native: &Table) -> mlua::Result<Table> {
    let show = SHOW.run(lua, ())?;
    let diff = DIFF.run(lua, &show)?;
    let doubles = SPY.run(lua, (&diff, &show))?;
    let asserts = ASSERT.run(lua, (&show, &diff, &doubles))?;
    let failure: Table = asserts.get("Failure")?;
    let suite = SUITE.run(lua, (native, failure, &show, &doubles))?;
    let checks: Table = asserts.get("checks")?;
    let object: LuaValue = asserts.get("assert")?;
    // The tests of this crate, and nobody else, find `native` in the metatable.
    let shown = cfg!(test).then_some(native);
    TEST.run(lua, (native, checks, object, suite, doubles, shown))
}

fn native(lua: &Lua) -> mlua::Result<Table> {
    let native = lua.create_table()?;
    let started = Instant::now();
    native.set("guard", driver::guard::function(lua)?)?;
    #[cfg(test)]
    native.set("faults", driver::faults::table(lua)?)?;
    #[cfg(test)]
    native.set("busy", lua.create_function(|_, ()| Ok(busy()))?)?;
    #[cfg(test)]
    native.set("collector", lua.create_function(collector)?)?;
    native.set("where", lua.create_function(where_is)?)?;
    native.set(
        "now",
        lua.create_function(move |_, ()| Ok(nanoseconds(started.elapsed())))?,
    )?;
    native.set("duration", lua.create_function(duration)?)?;
    native.set("show_duration", lua.create_function(show_duration)?)?;
    native.set("emit", lua.create_function(emit)?)?;
    native.set("stopped", lua.create_function(stopped)?)?;
    native.set("mark", lua.create_function(mark)?)?;
    native.set("sweep", sweep(lua)?)?;
    native.set("stop_clock", lua.create_function(stop_clock)?)?;
    native.set("release_clock", lua.create_function(release_clock)?)?;
    native.set("advance_clock", waiting(lua, advance_clock)?)?;
    native.set("entry", waiting(lua, entry)?)?;
    native.set("wat", waiting(lua, wat)?)?;
    native.set("wasm", waiting(lua, wasm)?)?;
    Ok(native)
}

/// How the collector of the state goes on from now on: "generational", or in steps, one each time that two bytes were allocated,
/// that are as long as a number says.
#[cfg(test)]
fn collector(lua: &Lua, mode: mlua::Either<i32, String>) -> mlua::Result<()> {
    use mlua::state::{GcGenParams, GcIncParams, GcMode};
    lua.gc_set_mode(match mode {
        mlua::Either::Left(length) => {
            GcMode::Incremental(GcIncParams::default().pause(1).step_multiplier(length).step_size(1))
        }
        mlua::Either::Right(_) => GcMode::Generational(GcGenParams::default()),
    });
    Ok(())
}

/// The time that all threads of this program have computed for.
#[cfg(test)]
fn busy() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is there to be written.
    assert_eq!(
        unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) },
        0
    );
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Source and line of the caller at that level.
fn where_is(lua: &Lua, level: usize) -> mlua::Result<(Option<String>, Option<usize>)> {
    let found = lua.inspect_stack(level, |debug| {
        let source = debug.source().short_src.map(|source| source.into_owned());
        (source, debug.current_line())
    });
    Ok(found.unwrap_or_default())
}

/// A duration argument in nanoseconds.
fn duration(_: &Lua, value: LuaValue) -> mlua::Result<i64> {
    super::time::duration_argument(&value).map_err(raise)
}

fn show_duration(_: &Lua, nanoseconds: i64) -> mlua::Result<String> {
    Ok(crate::duration::format(nanoseconds))
}

fn bench(context: &StateContext) -> Result<Arc<dyn Bench>> {
    let bench = context.engine.bench.get().cloned();
    bench.ok_or_else(|| Error::unavailable("only a test file can do this"))
}

fn emit(lua: &Lua, event: LuaValue) -> mlua::Result<()> {
    let bench = bench(&*context(lua)?).map_err(raise)?;
    bench.report(tree::from_lua(&event)?);
    Ok(())
}

fn stopped(lua: &Lua, (): ()) -> mlua::Result<bool> {
    Ok(bench(&*context(lua)?).is_ok_and(|bench| bench.is_stopped()))
}

/// A moment in the life of a test file's process, for what came after it.
#[derive(Clone, Copy)]
struct Mark {
    /// The process that began last.
    newest: u64,
    /// Items that had arrived in the mailbox.
    arrivals: u64,
    /// Of the state.
    state: u64,
    is_clock_stopped: bool,
}

impl Mark {
    fn now(lua: &Lua, own: &Process) -> Mark {
        let processes = own.kernel().processes();
        let newest = processes.iter().map(|process| process.pid().number()).max();
        Mark {
            newest: newest.unwrap_or(0),
            arrivals: own.mailbox().arrivals(),
            state: driver::attached(lua).map_or(0, |driver| driver.mark()),
            is_clock_stopped: own.kernel().is_clock_stopped(),
        }
    }

    /// Ends what the state has begun since, lets a clock go on that was stopped since, drops what came since from the process
    /// itself or from one that began since, and has the ends of these be nothing to it: one may be about to be told. What
    /// those send that were there before is not this test's alone.
    fn sweep(self, lua: &Lua, own: &Process) {
        if let Some(driver) = driver::attached(lua) {
            driver.sweep(self.state);
        }
        if !self.is_clock_stopped {
            own.kernel().release_clock();
        }
        let unwanted = |from: &Pid| from.number() > self.newest || from == own.pid();
        let mut mailbox = own.mailbox();
        mailbox.part_from_newer(self.newest);
        mailbox.forget(self.arrivals, unwanted);
    }
}

impl UserData for Mark {}

/// `mark()`: what there is now.
fn mark(lua: &Lua, (): ()) -> mlua::Result<Mark> {
    Ok(Mark::now(lua, &context(lua)?.process))
}

/// `sweep(mark)`: ends what was begun since, and gives the processes that were left running as an array of texts.
fn sweep(lua: &Lua) -> mlua::Result<Function> {
    waiting(lua, |lua, mark: UserDataRef<Mark>| {
        let mark = *mark;
        let own = context(lua)?.process.clone();
        mark.sweep(lua, &own);
        let process = own.clone();
        let left = async move { end_since(&process, mark.newest).await };
        Ok(Call::wait(left, move |lua, left: Vec<String>| {
            // What they sent while they ended.
            mark.sweep(lua, &own);
            lua.create_sequence_from(left)
        }))
    })
}

/// `stop_clock()`: the timers of the file stand still.
fn stop_clock(lua: &Lua, (): ()) -> mlua::Result<()> {
    match context(lua)?.process.kernel().stop_clock() {
        true => Ok(()),
        false => Err(raise(Error::unavailable("only a test file can stop its timers"))),
    }
}

fn release_clock(lua: &Lua, (): ()) -> mlua::Result<()> {
    context(lua)?.process.kernel().release_clock();
    Ok(())
}

/// `advance_clock(duration)`: returns when everything has happened that is due by then.
fn advance_clock(lua: &Lua, by: LuaValue) -> mlua::Result<Call> {
    let nanoseconds = super::time::duration_argument(&by).map_err(raise)?;
    let nanoseconds = u64::try_from(nanoseconds).map_err(|_| raise(Error::invalid("time goes forward only")))?;
    let kernel = context(lua)?.process.kernel().clone();
    if !kernel.is_clock_stopped() {
        let error = Error::invalid("this clock has been released: the test or block that stopped it has ended");
        return Err(raise(error));
    }
    let io = kernel.io().clone();
    // Not as a part of the process's own step: it has to be seen waiting.
    let passing = Passing(io.spawn(async move { kernel.pass(Duration::from_nanos(nanoseconds)).await }));
    Ok(Call::wait(passing, |_, ()| Ok(())))
}

/// Time that passes as long as somebody waits for it.
struct Passing(tokio::task::JoinHandle<()>);

impl Future for Passing {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        match Pin::new(&mut self.0).poll(cx) {
            Poll::Ready(Err(failure)) if failure.is_panic() => std::panic::resume_unwind(failure.into_panic()),
            polled => polled.map(drop),
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn started_since(own: &Process, newest: u64) -> Vec<Arc<Process>> {
    let mut processes = own.kernel().processes();
    processes.retain(|process| process.pid().number() > newest && process.pid() != own.pid());
    processes
}

async fn end_since(own: &Arc<Process>, newest: u64) -> Vec<String> {
    let ending = started_since(own, newest);
    if ending.is_empty() {
        return Vec::new();
    }
    // That some do not end by themselves is what this is about.
    let _ = tokio::time::timeout(GRACE, all_ended(ending)).await;
    let mut left = Vec::new();
    loop {
        let processes = started_since(own, newest);
        if processes.is_empty() {
            return left;
        }
        for process in &processes {
            // Its end must not be ours.
            own.kernel().unlink(own, process.pid());
        }
        for process in &processes {
            left.push(format!("{} {}", process.entry(), process.pid()));
            // One that has ended meanwhile is what we want.
            let _ = own.kernel().terminate(process.pid());
        }
        all_ended(processes).await;
    }
}

async fn all_ended(processes: Vec<Arc<Process>>) {
    for process in processes {
        process.exited().await;
    }
}

/// Runs something that blocks, off the workers; its id or `raise`d error comes back.
fn blocking(lua: &Lua, work: impl FnOnce(&dyn Bench) -> Result<EntryId> + Send + 'static) -> mlua::Result<Call> {
    let context = context(lua)?;
    let bench = bench(&context).map_err(raise)?;
    let done = context.process.kernel().io().spawn_blocking(move || work(&*bench));
    Ok(Call::wait(done, |_, done| match done {
        Ok(Ok(id)) => Ok(id.as_str().to_owned()),
        Ok(Err(error)) => Err(raise(error)),
        Err(failure) => Err(raise(Error::internal(failure.to_string()))),
    }))
}

/// `entry(fields)`.
fn entry(lua: &Lua, fields: Table) -> mlua::Result<Call> {
    let fields = tree::from_lua(&LuaValue::Table(fields))?;
    blocking(lua, move |bench| bench.declare(fields))
}

/// `wat(text, method, fields)`.
fn wat(lua: &Lua, (text, method, fields): (String, String, Table)) -> mlua::Result<Call> {
    let fields = tree::from_lua(&LuaValue::Table(fields))?;
    blocking(lua, move |bench| {
        let bytes = ::wat::parse_str(&text).map_err(|error| Error::invalid(error.to_string()))?;
        module(bench, &bytes, method, fields)
    })
}

/// `wasm(path, method, fields)`, the path seen from the test file's folder.
fn wasm(lua: &Lua, (path, method, fields): (String, String, Table)) -> mlua::Result<Call> {
    let fields = tree::from_lua(&LuaValue::Table(fields))?;
    let uses = context(lua)?.engine.uses.clone();
    blocking(lua, move |bench| {
        let full: PathBuf = bench.folder().join(&path);
        if let Some(uses) = uses {
            uses.file(&full);
        }
        let bytes = std::fs::read(full).map_err(|error| Error::not_found(format!("{path}: {error}")))?;
        module(bench, &bytes, method, fields)
    })
}

/// Declares a process of a module.
fn module(bench: &dyn Bench, bytes: &[u8], method: String, fields: Value) -> Result<EntryId> {
    let own = [("kind", Value::from("process.wasm")), ("method", Value::from(method))];
    let own = own.into_iter().chain(bench.keep(bytes)?);
    let Value::Table(mut table) = fields else {
        return Err(Error::invalid("fields must be a table"));
    };
    for (name, value) in own {
        table.pairs.retain(|(key, _)| *key != Value::from(name));
        table.pairs.push((Value::from(name), value));
    }
    bench.declare(Value::Table(table))
}

#[cfg(test)]
mod tests {
    use crate::lua::test_support::World;
    use crate::process::Cause;
    use crate::value::Packed;

    #[test]
    fn nothing_comes_of_the_end_of_what_is_swept() {
        let world = World::new();
        let sweeping = r#"
            local native = getmetatable(require("test")).native
            local since = native.mark()
            process.registry.register("marked")
            process.receive()
            native.sweep(since)
            process.registry.register("swept")
            process.receive()
        "#;
        let own = world.spawn(world.program("sweeping", sweeping), &[]).unwrap();
        let reaches = |name: &str| {
            while world.kernel.names().lookup(name).is_none() {
                assert!(own.exit().is_none(), "{name}: {:?}", own.exit());
                std::thread::yield_now();
            }
        };
        reaches("marked");
        let left = world.spawn(world.program("left", "process.receive()"), &[]).unwrap();
        world.kernel.monitor(&own, left.pid()).unwrap();
        world.kernel.link(&own, left.pid()).unwrap();
        let sent = world.kernel.send(None, own.pid(), "go".into(), Packed::empty());
        sent.unwrap();
        reaches("swept");
        assert_eq!(world.end(&left).cause, Cause::Terminated);
        // The message alone has come: an EXIT would have, too, though the sweep takes one out again that is in time.
        assert_eq!(own.mailbox().arrivals(), 1);
    }
}
