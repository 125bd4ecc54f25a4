//! The module `supervisor`, the half in Rust: starting supervisor processes, calls to them, and their decisions
//! ([`strategy`]). What a specification may say and what is done about a child that ended is the half in Lua
//! (`lua/supervisor.lua`).
//!
//! A call is a message under a topic that Lua code cannot send to; its answer comes back through [`Calls`], because the
//! caller's mailbox is none of our business.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use mlua::{Function, Lua, MultiValue, Table, Value as LuaValue};
use tokio::sync::oneshot;

use super::part::Part;
use crate::duration;
use crate::error::{Error, Result};
use crate::id::{EntryId, Pid};
use crate::lock::lock;
use crate::log::{Level, Record};
use crate::lua::driver::{crossing, is_file};
use crate::lua::error::{LuaError, bad_argument};
use crate::lua::host::{Call, StateContext, context, outcome, waiting};
use crate::lua::tree;
use crate::process::{Host, Permission, Process, Spawn, Ties};
use crate::race::{First, first};
use crate::supervisor::strategy::{self, Decision, Intensity, Restart, Strategy};
use crate::value::{Packed, Value};

const SPEC: Part = Part::new("supervisor", "spec", include_str!("../../../lua/supervisor/spec.lua"));
const LOOP: Part = Part::new("supervisor", "loop", include_str!("../../../lua/supervisor/loop.lua"));
const SUPERVISOR: Part = Part::new("supervisor", "supervisor", include_str!("../../../lua/supervisor.lua"));

/// What a supervisor process runs; its arguments are the specification and the number of the call that started it.
pub const MAIN: &str = include_str!("../../../lua/supervisor/main.lua");

/// The kind of its processes, by which they are known.
pub const KIND: &str = "supervisor";

const TOPIC: &str = "@supervisor";

pub fn open(lua: &Lua) -> mlua::Result<Table> {
    let native = native(lua)?;
    let specs = SPEC.run(lua, &native)?;
    let steps = LOOP.run(lua, &native)?;
    SUPERVISOR.run(lua, (native, specs, steps))
}

fn native(lua: &Lua) -> mlua::Result<Table> {
    let native = lua.create_table()?;
    // What a specification says.
    native.set("duration", lua.create_function(duration_of)?)?;
    native.set("show_duration", lua.create_function(show_duration)?)?;
    native.set("host", lua.create_function(host)?)?;
    native.set("entry", lua.create_function(entry)?)?;
    // For those who talk to a supervisor.
    native.set("start", waiting(lua, start)?)?;
    native.set("call", waiting(lua, call)?)?;
    native.set("stop", waiting(lua, stop)?)?;
    // For the supervisor.
    native.set("parent", lua.create_function(parent)?)?;
    native.set("begun", waiting(lua, begun)?)?;
    native.set("reply", lua.create_function(reply)?)?;
    native.set("record", lua.create_function(record)?)?;
    native.set("decide", lua.create_function(decide)?)?;
    native.set("intensity", lua.create_function(intensity)?)?;
    native.set("now", now(lua)?)?;
    native.set("ask_to_stop", lua.create_function(ask_to_stop)?)?;
    native.set("is_stopping", lua.create_function(is_stopping)?)?;
    Ok(native)
}

/// A duration argument in nanoseconds, or nil and the error.
fn duration_of(lua: &Lua, value: LuaValue) -> mlua::Result<MultiValue> {
    outcome(lua, super::time::duration_argument(&value))
}

fn show_duration(_: &Lua, nanoseconds: i64) -> mlua::Result<String> {
    Ok(duration::format(nanoseconds))
}

/// The full id of the host of a child, as its specification names it; nil where hosts may be left out.
fn host(lua: &Lua, name: Option<String>) -> mlua::Result<MultiValue> {
    let context = context(lua)?;
    outcome(
        lua,
        found_host(&context, name).map(|host| host.id().as_str().to_owned()),
    )
}

fn found_host(context: &StateContext, name: Option<String>) -> Result<Arc<Host>> {
    let Some(name) = name else {
        return match context.is_free() {
            true => context.own_host(),
            false => Err(Error::invalid("host is required")),
        };
    };
    let id = EntryId::resolve(&name, context.namespace())?;
    let kernel = context.process.kernel();
    kernel.usable_host(&id, || format!("host not found: {id}"))
}

/// The entry of a child: an id, or a file where files may be named.
fn entry(lua: &Lua, id: String) -> mlua::Result<MultiValue> {
    let is_file = is_file(&id) && context(lua)?.is_free();
    let known = if is_file { Ok(()) } else { EntryId::parse(&id).map(drop) };
    outcome(lua, known.map(|()| id))
}

/// `start(spec, monitored)`: a supervisor process, linked to the caller, and monitored if `monitored`; its pid once its children run.
fn start(lua: &Lua, (spec, monitored): (LuaValue, bool)) -> mlua::Result<Call> {
    let context = context(lua)?;
    let ties = if monitored { Ties::BOTH } else { Ties::LINK };
    let waiting = Waiting::new(&context.engine.calls);
    let args = crossing::pack(lua, (spec, waiting.number))?;
    let started = started(&context, args, ties);
    answered(lua, started, waiting, |process, answer| {
        answer.map(|_| process.pid().to_string().as_str().into())
    })
}

fn started(context: &StateContext, args: Packed, ties: Ties) -> Result<Arc<Process>> {
    let parent = &context.process;
    let host = context.own_host()?;
    context.authorize(Permission::SpawnLinked, KIND)?;
    context.authorize(Permission::Host, host.id())?;
    parent.kernel().spawn(Spawn {
        args,
        parent: Some(parent.clone()),
        ties,
        words: parent.words().clone(),
        context: parent.context().clone(),
        ..Spawn::new(context.engine.supervisor(context.visible.files.clone())?, host)
    })
}

/// `call(pid, request)`: what the supervisor answers.
fn call(lua: &Lua, (pid, request): (LuaValue, Table)) -> mlua::Result<Call> {
    let context = context(lua)?;
    let pid = destination(&pid)?;
    let waiting = Waiting::new(&context.engine.calls);
    request.raw_set("call", waiting.number)?;
    let sent = send(&context, &pid, crossing::pack(lua, request)?);
    answered(lua, sent, waiting, |_, answer| answer)
}

/// `stop(pid, request)`: true when the supervisor has ended.
fn stop(lua: &Lua, (pid, request): (LuaValue, Table)) -> mlua::Result<Call> {
    let context = context(lua)?;
    let request = crossing::pack(lua, request)?;
    match send(&context, &destination(&pid)?, request) {
        Ok(supervisor) => Ok(Call::wait(supervisor.exited(), |lua, _| outcome(lua, Ok(true)))),
        Err(error) => Ok(Call::Ready(outcome(lua, Err::<bool, _>(error))?)),
    }
}

fn destination(pid: &LuaValue) -> mlua::Result<String> {
    match pid {
        LuaValue::String(pid) => Ok(pid.to_string_lossy()),
        other => Err(bad_argument(1, "supervisor", "string", other)),
    }
}

/// Sends a request to a living supervisor, by its pid or name.
fn send(context: &StateContext, destination: &str, request: Packed) -> Result<Arc<Process>> {
    let kernel = context.process.kernel();
    let pid = kernel.resolve(destination)?;
    let process = kernel.find(&pid);
    let process = process.ok_or_else(|| Error::not_found(format!("process not found: {pid}")))?;
    if process.kind() != KIND {
        return Err(Error::invalid(format!("not a supervisor: {pid} ({})", process.entry())));
    }
    kernel.send(Some(context.process.pid()), &pid, TOPIC.into(), request)?;
    Ok(process)
}

/// Waits for the answer of a supervisor, or for its end.
fn answered(
    lua: &Lua,
    supervisor: Result<Arc<Process>>,
    waiting: Waiting,
    read: impl FnOnce(&Process, Result<Value>) -> Result<Value> + Send + 'static,
) -> mlua::Result<Call> {
    let supervisor = match supervisor {
        Ok(supervisor) => supervisor,
        Err(error) => return Ok(Call::Ready(outcome(lua, Err::<bool, _>(error))?)),
    };
    let Waiting { answer, listed, .. } = waiting;
    let answer = async move {
        let _listed = listed;
        let answer = match first(answer, supervisor.exited()).await {
            First::Left(Ok(answer)) => answer,
            First::Left(Err(_)) | First::Right(_) => Err(gone(supervisor.pid())),
        };
        read(&supervisor, answer)
    };
    Ok(Call::wait(answer, |lua, answer| {
        let answer = match answer {
            Ok(value) => Ok(tree::to_lua(lua, &value)?),
            Err(error) => Err(error),
        };
        outcome(lua, answer)
    }))
}

fn gone(pid: &Pid) -> Error {
    Error::not_found(format!("process not found: {pid}"))
}

type Answer = Result<Value>;

/// The calls that wait for an answer, in one runtime.
#[derive(Default)]
pub struct Calls {
    waiting: Mutex<Pending>,
}

#[derive(Default)]
struct Pending {
    last: i64,
    calls: HashMap<i64, oneshot::Sender<Answer>>,
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        lock(&self.waiting)
    }
}

/// A call that waits. Its end, however it comes, strikes it off the list.
struct Waiting {
    number: i64,
    answer: oneshot::Receiver<Answer>,
    listed: Listed,
}

struct Listed(Arc<Calls>, i64);

impl Drop for Listed {
    fn drop(&mut self) {
        self.0.lock().calls.remove(&self.1);
    }
}

impl Waiting {
    fn new(calls: &Arc<Calls>) -> Waiting {
        let (sender, answer) = oneshot::channel();
        let mut pending = calls.lock();
        pending.last += 1;
        let number = pending.last;
        pending.calls.insert(number, sender);
        drop(pending);
        Waiting {
            number,
            answer,
            listed: Listed(calls.clone(), number),
        }
    }
}

/// `reply(call, value, err)`: answers a call, if somebody still waits for it.
fn reply(lua: &Lua, (number, value, error): (i64, LuaValue, Option<Failure>)) -> mlua::Result<()> {
    let answer = match error {
        Some(failure) => Err(failure.error.clone()),
        None => Ok(tree::from_lua(&value)?),
    };
    let waiting = context(lua)?.engine.calls.lock().calls.remove(&number);
    if let Some(waiting) = waiting {
        // Whoever asked may have ended meanwhile.
        let _ = waiting.send(answer);
    }
    Ok(())
}

/// The pid of whoever started this process.
fn parent(lua: &Lua, (): ()) -> mlua::Result<Option<String>> {
    Ok(context(lua)?.process.parent().map(Pid::to_string))
}

/// The one of that name; specifications were checked before.
fn named<T: Copy>(names: &[(&str, T)], name: &str) -> mlua::Result<T> {
    let found = names.iter().find(|(known, _)| *known == name);
    found
        .map(|(_, value)| *value)
        .ok_or_else(|| mlua::Error::runtime(format!("unknown word: {name}")))
}

/// `decide(strategy, restarts, ended, failed)`, children by their place from 1: a table with `is_restart` and the arrays
/// `stop`, `start` and `forget`.
fn decide(lua: &Lua, (name, restarts, ended, failed): (String, Vec<String>, usize, bool)) -> mlua::Result<Table> {
    let kinds = restarts.iter().map(|name| named(&Restart::NAMES, name));
    let kinds = kinds.collect::<mlua::Result<Vec<_>>>()?;
    let Decision {
        is_restart,
        stop,
        start,
        forget,
    } = strategy::decide(named(&Strategy::NAMES, &name)?, &kinds, ended - 1, failed);
    let from_one = |places: Vec<usize>| lua.create_sequence_from(places.into_iter().map(|at| at + 1));
    let decision = lua.create_table()?;
    decision.set("is_restart", is_restart)?;
    decision.set("stop", from_one(stop)?)?;
    decision.set("start", from_one(start)?)?;
    decision.set("forget", from_one(forget)?)?;
    Ok(decision)
}

type Failure = mlua::UserDataRef<LuaError>;

/// `record(id, entry, pid, err)`: leaves a record of a child that failed, or could not be started and has no pid. Nobody
/// else would: its end was told to the supervisor.
fn record(lua: &Lua, (id, entry, pid, error): (String, Option<String>, Option<String>, Failure)) -> mlua::Result<()> {
    let supervisor = context(lua)?.process.clone();
    let record = Record::new(Level::Warn, "child failed")
        .field("child", id)
        .field("supervisor", supervisor.pid().to_string())
        .because(&error.error);
    let pid = pid.and_then(|pid| Pid::parse(&pid).ok());
    let entry = entry.and_then(|entry| EntryId::parse(&entry).ok());
    supervisor.kernel().log().record(match (pid, entry) {
        (Some(pid), Some(entry)) => record.about(&pid, &entry),
        _ => record,
    });
    Ok(())
}

/// `intensity(allowed, period)`: a function that notes a restart, and gives their number when there are too many.
fn intensity(lua: &Lua, (allowed, period): (usize, i64)) -> mlua::Result<Function> {
    let mut intensity = Intensity::new(allowed, Duration::from_nanos(period.unsigned_abs()));
    lua.create_function_mut(move |lua, ()| {
        let now = context(lua)?.process.kernel().now();
        Ok(intensity.exceeded(now))
    })
}

/// `now()`: nanoseconds since it was first called, on the clock that timers follow.
fn now(lua: &Lua) -> mlua::Result<Function> {
    let first = OnceLock::new();
    lua.create_function(move |lua, ()| {
        let now = context(lua)?.process.kernel().now();
        let passed = now.duration_since(*first.get_or_init(|| now));
        Ok(i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX))
    })
}

/// Waits until a child has begun, so that the next one finds what it registers first thing.
fn begun(lua: &Lua, pid: String) -> mlua::Result<Call> {
    match found(&*context(lua)?, &pid) {
        Some(process) => Ok(Call::wait(process.begun(), |_, ()| Ok(()))),
        None => Call::ready(lua, ()),
    }
}

/// A living process.
fn found(context: &StateContext, pid: &str) -> Option<Arc<Process>> {
    let pid = Pid::parse(pid).ok()?;
    context.process.kernel().find(&pid)
}

/// Sends CANCEL to a process that would read it, and ends one that would not.
fn ask_to_stop(lua: &Lua, (pid, reason): (String, String)) -> mlua::Result<()> {
    let context = context(lua)?;
    // One that has ended needs no asking.
    if let Some(process) = found(&context, &pid) {
        let from = Some(context.process.pid());
        process.kernel().ask_to_stop(from, &process, &reason);
    }
    Ok(())
}

/// Whether a host is being stopped, or is gone already: nothing can be started on it again.
fn is_stopping(lua: &Lua, host: String) -> mlua::Result<bool> {
    let context = context(lua)?;
    let host = EntryId::parse(&host)
        .ok()
        .and_then(|id| context.process.kernel().host(&id));
    Ok(host.is_none_or(|host| host.is_stopping()))
}
