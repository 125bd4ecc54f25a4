//! The calls that start processes: those of `process`, and the same ones of a [`Spawner`], which comes before their
//! arguments. `spawn` and its kind give the pid, `exec` waits for the end.

use std::borrow::Cow;
use std::ffi::{CStr, c_int};
use std::sync::Arc;

use super::raw::*;
use super::spawner::Spawner;
use super::waiting::{Child, Woken};
use super::{Driver, mistake};
use crate::error::{Error, Kind, Result};
use crate::id::{EntryId, Pid};
use crate::lua::stack;
use crate::process::{Host, Joined, Permission, Process, Program, Resolved, Spawn, Ties, acts};
use crate::value::{Packed, Value};

/// Where the id stands on the stack: first, or behind a spawner or an Executor.
pub const PLAIN: c_int = 1;
pub const METHOD: c_int = 2;

type Functions = [(&'static CStr, lua_CFunction); 5];

/// Those of `process`.
pub const FUNCTIONS: Functions = functions::<PLAIN>();

/// Those of a spawner.
pub const METHODS: Functions = functions::<METHOD>();

const fn functions<const ID: c_int>() -> Functions {
    [
        (c"spawn", spawn::<ID, false, false>),
        (c"spawn_monitored", spawn::<ID, true, false>),
        (c"spawn_linked", spawn::<ID, false, true>),
        (c"spawn_linked_monitored", spawn::<ID, true, true>),
        (c"exec", exec::<ID>),
    ]
}

/// What a process is to run.
pub(super) enum Runs<'a> {
    Entry(EntryId),
    File(&'a str),
}

/// What a call asks for.
struct Order {
    host: Arc<Host>,
    args: Packed,
    ties: Ties,
    /// The caller waits for its end.
    observed: bool,
    spawner: Option<Spawner>,
}

unsafe extern "C-unwind" fn spawn<const ID: c_int, const MONITOR: bool, const LINK: bool>(l: Lua) -> c_int {
    let ties = Ties {
        monitor: MONITOR,
        link: LINK,
    };
    // SAFETY: type errors raise with nothing alive.
    unsafe {
        check(l, ID);
        host(l, move |driver| {
            let act = driver.spawn(l, ID, ties);
            act.unwrap_or_else(|error| refuse(l, driver, ID, error))
        })
    }
}

fn missing(ties: Ties) -> Error {
    let name = match (ties.link, ties.monitor) {
        (false, false) => "spawn",
        (false, true) => "spawn_monitored",
        (true, false) => "spawn_linked",
        (true, true) => "spawn_linked_monitored",
    };
    Error::invalid(format!("{name} requires at least id and host arguments"))
}

/// Whether it names a file and not an entry.
pub fn is_file(id: &str) -> bool {
    id.starts_with("./")
}

/// Checks the types of the id at `first` and of the host, if both are there. Where files may be named a file is enough, and
/// nil is a host.
unsafe fn check(l: Lua, first: c_int) {
    // SAFETY: in a C function, nothing with a destructor alive.
    unsafe {
        let free = (*Driver::of(l)).is_free();
        if lua_gettop(l) == first && free && text(l, first).is_some_and(is_file) {
            lua_settop(l, first + 1);
        }
        if lua_gettop(l) <= first {
            return;
        }
        luaL_checktype(l, first, LUA_TSTRING);
        if lua_type(l, first + 1) != LUA_TNIL || !free {
            luaL_checktype(l, first + 1, LUA_TSTRING);
        }
    }
}

/// The answer to what cannot be done: the methods of a spawner raise what is wrong with the call.
unsafe fn refuse(l: Lua, driver: &mut Driver, id: c_int, error: Error) -> Act {
    // SAFETY: inside `host`.
    unsafe {
        let is_wrong_use = error.kind() == Kind::PermissionDenied || lua_gettop(l) <= id;
        if id == METHOD && is_wrong_use {
            push_error(l, driver, error);
            return Act::Raise;
        }
        nil_error(l, driver, error)
    }
}

/// The spawn of an entry that had to be loaded is done.
unsafe extern "C-unwind" fn spawned(l: Lua, _: c_int, _: lua_KContext) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe {
        host(l, |driver| match driver.take_woken() {
            Some(Woken::Spawned(result)) => driver.reply_pid(l, result),
            _ => Act::Return(0),
        })
    }
}

unsafe extern "C-unwind" fn exec<const ID: c_int>(l: Lua) -> c_int {
    // SAFETY: type errors raise with nothing alive.
    unsafe {
        check(l, ID);
        host(l, |driver| {
            let act = driver.exec(l, ID);
            act.unwrap_or_else(|error| refuse(l, driver, ID, error))
        })
    }
}

/// The process of an `exec` or a call has ended.
pub(super) unsafe extern "C-unwind" fn executed(l: Lua, _: c_int, _: lua_KContext) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe {
        host(l, |driver| match driver.take_woken() {
            Some(Woken::Ended(Ok(values))) => {
                // One value and no error, whatever main returned.
                stack::push_first(l, driver, &values);
                lua_pushnil(l);
                Act::Return(2)
            }
            Some(Woken::Ended(Err(error))) => nil_error(l, driver, error),
            _ => Act::Return(0),
        })
    }
}

impl Driver {
    unsafe fn reply_pid(&mut self, l: Lua, result: Result<Pid>) -> Act {
        // SAFETY: inside `host`.
        unsafe {
            match result {
                Ok(pid) => {
                    self.push_pid(l, &pid);
                    lua_pushnil(l);
                    Act::Return(2)
                }
                Err(error) => nil_error(l, self, error),
            }
        }
    }

    unsafe fn spawn(&mut self, l: Lua, id: c_int, ties: Ties) -> Result<Act> {
        // SAFETY: inside `host`.
        unsafe {
            let Some(spawner) = self.spawner_at(l, id) else {
                return Ok(no_spawner(l));
            };
            if lua_gettop(l) <= id {
                return Err(missing(ties));
            }
            let (resolved, host, args) = self.read(l, id, acts::of_spawn(ties))?;
            let order = Order {
                host,
                args,
                ties,
                observed: false,
                spawner,
            };
            let parent = self.process().clone();
            match resolved {
                Resolved::Ready(program) => {
                    let started = launch(&parent, program?, order)?;
                    Ok(self.reply_pid(l, Ok(started.pid().clone())))
                }
                Resolved::Pending(loading) => {
                    let work = async move {
                        let started = loading.await.and_then(|program| launch(&parent, program, order));
                        Woken::Spawned(started.map(|started| started.pid().clone()))
                    };
                    Ok(self.wait_for(l, Box::pin(work), spawned))
                }
            }
        }
    }

    unsafe fn exec(&mut self, l: Lua, id: c_int) -> Result<Act> {
        // SAFETY: inside `host`.
        unsafe {
            let Some(spawner) = self.spawner_at(l, id) else {
                return Ok(no_spawner(l));
            };
            self.check_exec(l, id)?;
            let (resolved, host, args) = self.read(l, id, [Permission::Exec])?;
            let order = Order {
                host,
                args,
                ties: Ties::NONE,
                observed: true,
                spawner,
            };
            let parent = self.process().clone();
            let child = Child::default();
            let known = child.clone();
            let work = async move {
                let program = match resolved {
                    Resolved::Ready(program) => program,
                    Resolved::Pending(loading) => loading.await,
                };
                match program.and_then(|program| launch(&parent, program, order)) {
                    Ok(Joined::Started(process)) => {
                        // Set once: here.
                        let _ = known.set(process.clone());
                        Woken::Ended(process.exited().await.result.clone())
                    }
                    Ok(Joined::Holder(pid)) => Woken::Ended(Ok(Packed::from_value(&Value::from(pid.to_string())))),
                    Err(error) => Woken::Ended(Err(error)),
                }
            };
            let act = self.wait_for(l, Box::pin(work), executed);
            self.waits_for_child(child);
            Ok(act)
        }
    }

    /// What only `exec` says about its arguments.
    unsafe fn check_exec(&self, l: Lua, id: c_int) -> Result<()> {
        // SAFETY: reads of arguments.
        unsafe {
            if lua_gettop(l) <= id {
                return Err(Error::invalid("exec requires id and host arguments"));
            }
            match (&*shown(l, id), text(l, id + 1)) {
                ("", _) => Err(Error::invalid("process ID required")),
                (_, Some("")) => Err(Error::invalid("host ID required")),
                (name, _) if self.is_free() && is_file(name) => Ok(()),
                (name, _) if EntryId::parse(name).is_err() => {
                    let message = "invalid process ID format (namespace:name required)";
                    Err(Error::invalid(message))
                }
                _ => Ok(()),
            }
        }
    }

    /// Reads id, host and arguments; all of those permissions are required.
    unsafe fn read(
        &mut self,
        l: Lua,
        id: c_int,
        required: impl IntoIterator<Item = Permission>,
    ) -> Result<(Resolved, Arc<Host>, Packed)> {
        // SAFETY: inside `host`; a string is at `id`, a string or nil behind it.
        unsafe {
            let name = shown(l, id);
            let runs = self.what_runs(&name)?;
            let host = self.host_at(l, id + 1)?;
            acts::may_start(self.process(), required, &name, &host)?;
            let args = stack::pack(l, self, id + 2, lua_gettop(l) - id - 1)?;
            Ok((self.resolve(&runs), host, args))
        }
    }

    /// Reads the first argument of a spawn: an id, or a file where files may be named.
    ///
    /// # Errors
    /// Invalid for what is no id.
    pub(super) fn what_runs<'a>(&mut self, name: &'a str) -> Result<Runs<'a>> {
        match is_file(name) && self.is_free() {
            true => Ok(Runs::File(name)),
            false => remembered(&mut self.last_spawned, name, EntryId::parse).map(Runs::Entry),
        }
    }

    /// Finds its program.
    pub(super) fn resolve(&self, runs: &Runs<'_>) -> Resolved {
        let programs = self.process().kernel().programs();
        match runs {
            Runs::Entry(id) => programs.resolve(id),
            Runs::File(name) => {
                let folders = self.context.visible.files.as_deref().unwrap_or_default();
                programs.resolve_file(folders, name)
            }
        }
    }

    pub(super) fn is_free(&self) -> bool {
        self.context.is_free()
    }

    /// The host of a spawn; nil is the process's own one.
    unsafe fn host_at(&mut self, l: Lua, index: c_int) -> Result<Arc<Host>> {
        // SAFETY: reads.
        let name = unsafe { (lua_type(l, index) == LUA_TSTRING).then(|| shown(l, index)) };
        let Some(name) = name else {
            return self.context.own_host();
        };
        // One that stops may soon be another one.
        if let Some((id, host)) = &self.last_host
            && id.as_str() == name
            && !host.is_stopping()
        {
            return Ok(host.clone());
        }
        if name.is_empty() {
            return Err(Error::invalid("host ID required"));
        }
        let id = EntryId::resolve(&name, self.context.namespace())?;
        let host = acts::host(self.process().kernel(), &id)?;
        self.last_host = Some((id, host.clone()));
        Ok(host)
    }

    /// The spawner before the id: none for a call of `process`. The outer none is for a method that was called without one.
    unsafe fn spawner_at(&mut self, l: Lua, id: c_int) -> Option<Option<Spawner>> {
        if id == PLAIN {
            return Some(None);
        }
        // SAFETY: inside `host`.
        let value = unsafe { to_mlua(l, self, 1) }.ok()?;
        let spawner = value.as_userdata()?.borrow::<Spawner>().ok()?.clone();
        Some(Some(spawner))
    }
}

/// The string at an index as text: what is not UTF-8 names nothing, and is shown in the message that says so.
pub(super) unsafe fn shown<'a>(l: Lua, index: c_int) -> Cow<'a, str> {
    // SAFETY: the text lives as long as the string stays on the stack.
    let bytes = unsafe { bytes(l, index) }.unwrap_or_default();
    // Several times quicker than looking for what is not UTF-8.
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

unsafe fn no_spawner(l: Lua) -> Act {
    // SAFETY: inside `host`.
    unsafe {
        mistake(
            l,
            "a method of a Spawner is called with a colon: spawner:spawn(id, host)",
        )
    }
}

/// The id that a text means, from the last time if it was the same one.
fn remembered(last: &mut Option<EntryId>, text: &str, read: impl FnOnce(&str) -> Result<EntryId>) -> Result<EntryId> {
    match last {
        Some(id) if id.as_str() == text => Ok(id.clone()),
        _ => Ok(last.insert(read(text)?).clone()),
    }
}

/// Starts a process in the name of another.
fn launch(parent: &Arc<Process>, program: Arc<dyn Program>, order: Order) -> Result<Joined> {
    let spawn = Spawn {
        observed: order.observed,
        ..acts::child(parent, program, order.host, order.args, order.ties)
    };
    match order.spawner {
        Some(spawner) => parent.kernel().join(spawner.apply(spawn)),
        None => parent.kernel().spawn(spawn).map(Joined::Started),
    }
}
