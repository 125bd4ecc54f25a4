//! The global `process`: who one is, spawning, messages, events, names.
//!
//! Raw C functions, because they are the hot ones. Wrong Lua types raise before any Rust value exists; the rest happens in
//! `host`. Failures of the world are `nil, err` (`false, err` where the success is a boolean).

use std::ffi::{CStr, c_int};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::mailbox::{Source, check_topic};
use super::raw::*;
use super::sandbox::push_library;
use super::waiting::{Child, Woken};
use super::{Driver, channel};
use crate::duration;
use crate::error::{Error, Kind, Result};
use crate::id::{EntryId, Pid};
use crate::lua::modules::time;
use crate::lua::stack;
use crate::process::{self, Kernel, Process, Resolved, Spawn, Ties, Topic};
use crate::value::Packed;

const FUNCTIONS: [(&CStr, lua_CFunction); 23] = [
    (c"id", id),
    (c"pid", pid),
    (c"send", send),
    (c"spawn", spawn),
    (c"spawn_monitored", spawn_monitored),
    (c"spawn_linked", spawn_linked),
    (c"spawn_linked_monitored", spawn_linked_monitored),
    (c"exec", exec),
    (c"receive", receive),
    (c"inbox", inbox),
    (c"events", events),
    (c"listen", listen),
    (c"unlisten", unlisten),
    (c"terminate", terminate),
    (c"cancel", cancel),
    (c"monitor", monitor),
    (c"unmonitor", unmonitor),
    (c"link", link),
    (c"unlink", unlink),
    (c"get_options", get_options),
    (c"set_options", set_options),
    (c"info", info),
    (c"list", list),
];

const NAMES: [(&CStr, lua_CFunction); 3] = [
    (c"register", register),
    (c"lookup", lookup),
    (c"unregister", unregister),
];

const EVENTS: [(&CStr, &CStr); 4] = [
    (c"EXIT", c"pid.exit"),
    (c"LINK_DOWN", c"pid.link.down"),
    (c"CANCEL", c"pid.cancel"),
    (c"OUTDATED", c"pid.outdated"),
];

const SCOPES: [&CStr; 4] = [c"LOCAL", c"EVENTUAL", c"CONSISTENT", c"STRONG"];

/// Pushes the `process` table.
///
/// # Safety
/// With the memory limit lifted.
pub unsafe fn open(l: Lua) {
    // SAFETY: as stated.
    unsafe {
        push_library(l, &FUNCTIONS, 2);
        lua_createtable(l, 0, EVENTS.len() as c_int);
        for (name, kind) in EVENTS {
            lua_pushstring(l, kind.as_ptr());
            set_field(l, name);
        }
        set_field(l, c"event");
        push_library(l, &NAMES, SCOPES.len() as c_int);
        for (value, name) in SCOPES.iter().enumerate() {
            lua_pushinteger(l, value as i64);
            set_field(l, name);
        }
        set_field(l, c"registry");
    }
}

static PID: u8 = 0;

unsafe extern "C-unwind" fn pid(l: Lua) -> c_int {
    // SAFETY: the text is made once and kept in the registry.
    unsafe {
        host(l, |driver| {
            if lua_rawgetp(l, LUA_REGISTRYINDEX, key(&PID)) == LUA_TNIL {
                let process = driver.process().clone();
                driver.push_pid(l, process.pid());
                lua_pushvalue(l, -1);
                lua_rawsetp(l, LUA_REGISTRYINDEX, key(&PID));
            }
            Act::Return(1)
        })
    }
}

unsafe extern "C-unwind" fn id(l: Lua) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe {
        host(l, |driver| {
            push_bytes(l, driver.process().entry().as_str().as_bytes());
            Act::Return(1)
        })
    }
}

unsafe extern "C-unwind" fn send(l: Lua) -> c_int {
    // SAFETY: type errors raise with nothing alive.
    unsafe {
        if lua_gettop(l) >= 2 {
            luaL_checktype(l, 1, LUA_TSTRING);
            luaL_checktype(l, 2, LUA_TSTRING);
        }
        host(l, |driver| {
            let result = driver.send(l);
            driver.reply_true(l, result)
        })
    }
}

unsafe extern "C-unwind" fn spawn(l: Lua) -> c_int {
    // SAFETY: see `start`.
    unsafe { start(l, "spawn", Ties::NONE) }
}

unsafe extern "C-unwind" fn spawn_monitored(l: Lua) -> c_int {
    // SAFETY: see `start`.
    unsafe { start(l, "spawn_monitored", Ties::MONITOR) }
}

unsafe extern "C-unwind" fn spawn_linked(l: Lua) -> c_int {
    // SAFETY: see `start`.
    unsafe { start(l, "spawn_linked", Ties::LINK) }
}

unsafe extern "C-unwind" fn spawn_linked_monitored(l: Lua) -> c_int {
    // SAFETY: see `start`.
    unsafe { start(l, "spawn_linked_monitored", Ties::BOTH) }
}

unsafe fn start(l: Lua, name: &'static str, ties: Ties) -> c_int {
    // SAFETY: type errors raise with nothing alive.
    unsafe {
        let enough = check_spawn(l);
        host(l, move |driver| {
            if !enough {
                let message = format!("{name} requires at least id and host arguments");
                return nil_error(l, driver, Error::invalid(message));
            }
            driver.spawn(l, ties)
        })
    }
}

/// Whether it names a file and not an entry.
fn is_file(id: &str) -> bool {
    id.starts_with("./")
}

/// Checks the types of id and host. True when there are enough arguments: a file is enough where files may be named, and
/// nil is a host there.
unsafe fn check_spawn(l: Lua) -> bool {
    // SAFETY: in a C function, nothing with a destructor alive.
    unsafe {
        let free = (*Driver::of(l)).is_free();
        if lua_gettop(l) == 1 && free && text(l, 1).is_some_and(is_file) {
            lua_settop(l, 2);
        }
        if lua_gettop(l) < 2 {
            return false;
        }
        luaL_checktype(l, 1, LUA_TSTRING);
        if lua_type(l, 2) != LUA_TNIL || !free {
            luaL_checktype(l, 2, LUA_TSTRING);
        }
        true
    }
}

/// The spawn of an entry that had to be loaded is done.
unsafe extern "C-unwind" fn spawned(l: Lua, _: c_int, _: lua_KContext) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe {
        host(l, |driver| match driver.take_woken() {
            Some(Woken::Spawned(Ok(process))) => {
                driver.push_pid(l, process.pid());
                lua_pushnil(l);
                Act::Return(2)
            }
            Some(Woken::Spawned(Err(error))) => nil_error(l, driver, error),
            _ => Act::Return(0),
        })
    }
}

unsafe extern "C-unwind" fn exec(l: Lua) -> c_int {
    // SAFETY: type errors raise with nothing alive.
    unsafe {
        check_spawn(l);
        host(l, |driver| match driver.exec(l) {
            Ok(act) => act,
            Err(error) => nil_error(l, driver, error),
        })
    }
}

/// The process of an `exec` has ended.
unsafe extern "C-unwind" fn executed(l: Lua, _: c_int, _: lua_KContext) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe {
        host(l, |driver| match driver.take_woken() {
            Some(Woken::Ended(Ok(values))) => {
                let top = lua_gettop(l);
                stack::push(l, driver, &values);
                // One value and no error, whatever main returned.
                lua_settop(l, top + 1);
                lua_pushnil(l);
                Act::Return(2)
            }
            Some(Woken::Ended(Err(error))) => nil_error(l, driver, error),
            _ => Act::Return(0),
        })
    }
}

unsafe extern "C-unwind" fn receive(l: Lua) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe {
        host(l, |driver| {
            let timeout = match driver.duration_at(l, 1) {
                Ok(timeout) => timeout,
                Err(error) => return nil_error(l, driver, error),
            };
            lua_settop(l, 0);
            if driver.others_receive() {
                driver.deliver_mail();
            }
            if driver.take_unclaimed(l) {
                return Act::Return(1);
            }
            match timeout {
                Some(nanoseconds) if nanoseconds <= 0 => {
                    lua_pushnil(l);
                    Act::Return(1)
                }
                Some(nanoseconds) => {
                    let timeout = Duration::from_nanos(nanoseconds.unsigned_abs());
                    driver.park_receive(l, Some(timeout), got)
                }
                None => driver.park_receive(l, None, got),
            }
        })
    }
}

/// The item, or nil, is on top.
unsafe extern "C-unwind" fn got(_: Lua, _: c_int, _: lua_KContext) -> c_int {
    1
}

unsafe extern "C-unwind" fn inbox(l: Lua) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe { window(l, Source::Inbox) }
}

unsafe extern "C-unwind" fn events(l: Lua) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe { window(l, Source::Events) }
}

/// `source` owns nothing for these two, so raising past it would leak nothing; it is moved into `host` all the same.
unsafe fn window(l: Lua, source: Source) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe {
        host(l, move |driver| {
            if source == Source::Events {
                driver.process().set_hears_cancel(true);
            }
            driver.push_window(l, source);
            Act::Return(1)
        })
    }
}

unsafe extern "C-unwind" fn listen(l: Lua) -> c_int {
    // SAFETY: type errors raise with nothing alive.
    unsafe {
        luaL_checktype(l, 1, LUA_TSTRING);
        lua_settop(l, 2);
        host(l, |driver| {
            let topic = text(l, 1).unwrap_or_default();
            if let Err(error) = check_topic(topic) {
                return nil_error(l, driver, error);
            }
            let messages = wants_messages(l);
            driver.push_topic_window(l, topic, messages);
            Act::Return(1)
        })
    }
}

/// Whether the options at 2 have `message = true`.
unsafe fn wants_messages(l: Lua) -> bool {
    // SAFETY: inside `host`; a raw read.
    unsafe {
        if lua_type(l, 2) != LUA_TTABLE {
            return false;
        }
        lua_pushstring(l, c"message".as_ptr());
        lua_rawget(l, 2);
        let wants = lua_toboolean(l, -1) != 0;
        lua_pop(l, 1);
        wants
    }
}

unsafe extern "C-unwind" fn unlisten(l: Lua) -> c_int {
    // SAFETY: type errors raise with nothing alive.
    unsafe {
        if channel::at(l, Driver::of(l), 1).is_null() {
            return super::coroutine::type_error(l, 1, c"channel");
        }
        host(l, |driver| {
            let channel = channel::at(l, driver, 1);
            if driver.unbind(l, channel) {
                driver.close_channel(channel);
                lua_pushboolean(l, 1);
                return Act::Return(1);
            }
            lua_pushboolean(l, 0);
            push_error(l, driver, Error::invalid("channel is not a subscription"));
            Act::Return(2)
        })
    }
}

unsafe extern "C-unwind" fn terminate(l: Lua) -> c_int {
    // SAFETY: type errors raise with nothing alive.
    unsafe {
        luaL_checktype(l, 1, LUA_TSTRING);
        host(l, |driver| {
            let result = driver.destination(l, 1).and_then(|pid| {
                let result = driver.process().kernel().terminate(&pid);
                result.map_err(|error| within(&error, "terminate failed"))
            });
            if driver.process().is_doomed() {
                return Act::Die;
            }
            driver.reply_true(l, result)
        })
    }
}

unsafe extern "C-unwind" fn cancel(l: Lua) -> c_int {
    // SAFETY: type errors raise with nothing alive.
    unsafe {
        if lua_gettop(l) >= 1 {
            luaL_checktype(l, 1, LUA_TSTRING);
        }
        host(l, |driver| {
            if lua_gettop(l) == 0 {
                return nil_error(
                    l,
                    driver,
                    Error::invalid("cancel requires at least destination argument"),
                );
            }
            let reason = text(l, 2).unwrap_or_default();
            let result = driver.destination(l, 1).and_then(|pid| {
                let process = driver.process();
                let result = process.kernel().cancel(Some(process.pid()), &pid, reason);
                result.map_err(|error| within(&error, "cancel failed"))
            });
            driver.reply_true(l, result)
        })
    }
}

unsafe extern "C-unwind" fn monitor(l: Lua) -> c_int {
    // SAFETY: see `relate`.
    unsafe {
        relate(l, "monitor", |kernel, own, other| {
            let result = kernel.monitor(own, other);
            result.map_err(|error| within(&error, "monitor failed"))
        })
    }
}

unsafe extern "C-unwind" fn unmonitor(l: Lua) -> c_int {
    // SAFETY: see `relate`.
    unsafe {
        relate(l, "unmonitor", |kernel, own, other| {
            kernel.unmonitor(own, other);
            Ok(())
        })
    }
}

unsafe extern "C-unwind" fn link(l: Lua) -> c_int {
    // SAFETY: see `relate`.
    unsafe {
        relate(l, "link", |kernel, own, other| {
            let result = kernel.link(own, other);
            result.map_err(|error| within(&error, "link failed"))
        })
    }
}

unsafe extern "C-unwind" fn unlink(l: Lua) -> c_int {
    // SAFETY: see `relate`.
    unsafe {
        relate(l, "unlink", |kernel, own, other| {
            kernel.unlink(own, other);
            Ok(())
        })
    }
}

/// What `process.<name>(dest)` does to the relation with that process.
unsafe fn relate(l: Lua, name: &'static str, act: fn(&Kernel, &Arc<Process>, &Pid) -> Result<()>) -> c_int {
    // SAFETY: type errors raise with nothing alive.
    unsafe {
        if lua_gettop(l) >= 1 {
            luaL_checktype(l, 1, LUA_TSTRING);
        }
        host(l, move |driver| {
            if lua_gettop(l) == 0 {
                return nil_error(
                    l,
                    driver,
                    Error::invalid(format!("{name} requires a destination argument")),
                );
            }
            let result = driver.destination(l, 1);
            let process = driver.process();
            let result = result.and_then(|other| act(process.kernel(), process, &other));
            driver.reply_true(l, result)
        })
    }
}

unsafe extern "C-unwind" fn get_options(l: Lua) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe {
        host(l, |driver| {
            let traps = driver.process().mailbox().traps_links();
            lua_createtable(l, 0, 1);
            lua_pushboolean(l, c_int::from(traps));
            set_field(l, c"trap_links");
            Act::Return(1)
        })
    }
}

unsafe extern "C-unwind" fn set_options(l: Lua) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe {
        lua_settop(l, 1);
        host(l, |driver| match driver.set_options(l) {
            Ok(()) => {
                lua_pushboolean(l, 1);
                lua_pushnil(l);
                Act::Return(2)
            }
            Err(error) => false_error(l, driver, error),
        })
    }
}

unsafe extern "C-unwind" fn info(l: Lua) -> c_int {
    // SAFETY: type errors raise with nothing alive.
    unsafe {
        lua_settop(l, 1);
        if lua_type(l, 1) != LUA_TNIL {
            luaL_checktype(l, 1, LUA_TSTRING);
        }
        host(l, |driver| {
            let found = match lua_type(l, 1) {
                LUA_TNIL => Ok(driver.process().clone()),
                _ => driver.destination(l, 1).and_then(|pid| {
                    let found = driver.process().kernel().find(&pid);
                    found.ok_or_else(|| Error::not_found(format!("process not found: {pid}")))
                }),
            };
            match found {
                Ok(process) => {
                    driver.push_info(l, &process);
                    Act::Return(1)
                }
                Err(error) => nil_error(l, driver, error),
            }
        })
    }
}

unsafe extern "C-unwind" fn list(l: Lua) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe {
        host(l, |driver| {
            let processes = driver.process().kernel().processes();
            lua_createtable(l, processes.len().min(1 << 20) as c_int, 0);
            for (index, process) in processes.iter().enumerate() {
                driver.push_info(l, process);
                lua_rawseti(l, -2, index as i64 + 1);
            }
            Act::Return(1)
        })
    }
}

unsafe extern "C-unwind" fn register(l: Lua) -> c_int {
    // SAFETY: type errors raise with nothing alive.
    unsafe {
        luaL_checktype(l, 1, LUA_TSTRING);
        lua_settop(l, 3);
        host(l, |driver| match driver.register(l) {
            Ok(()) => {
                lua_pushboolean(l, 1);
                Act::Return(1)
            }
            Err(error) => false_error(l, driver, error),
        })
    }
}

unsafe extern "C-unwind" fn lookup(l: Lua) -> c_int {
    // SAFETY: type errors raise with nothing alive.
    unsafe {
        luaL_checktype(l, 1, LUA_TSTRING);
        host(l, |driver| {
            let name = text(l, 1).unwrap_or_default();
            match driver.process().kernel().names().lookup(name) {
                Some(pid) => {
                    driver.push_pid(l, &pid);
                    Act::Return(1)
                }
                None => nil_error(l, driver, Error::not_found("name not registered")),
            }
        })
    }
}

unsafe extern "C-unwind" fn unregister(l: Lua) -> c_int {
    // SAFETY: type errors raise with nothing alive.
    unsafe {
        luaL_checktype(l, 1, LUA_TSTRING);
        lua_settop(l, 2);
        host(l, |driver| {
            if let Err(error) = check_scope(l, 2) {
                return false_error(l, driver, error);
            }
            let name = text(l, 1).unwrap_or_default();
            let known = driver.process().kernel().names().unregister(name);
            lua_pushboolean(l, c_int::from(known));
            Act::Return(1)
        })
    }
}

/// Only the local scope is there; nil means it.
unsafe fn check_scope(l: Lua, index: c_int) -> Result<()> {
    // SAFETY: reads.
    unsafe {
        match (lua_type(l, index), lua_tointegerx(l, index, std::ptr::null_mut())) {
            (LUA_TNIL, _) | (LUA_TNUMBER, 0) => Ok(()),
            (LUA_TNUMBER, 1) => Err(Error::internal("eventual registry not available")),
            (LUA_TNUMBER, 2 | 3) => Err(Error::internal("global registry not available")),
            (LUA_TNUMBER, scope) => Err(Error::invalid(format!("unknown registry scope: {scope}"))),
            _ => Err(Error::invalid("scope must be a number")),
        }
    }
}

/// The id that a text means, from the last time if it was the same one.
fn remembered(last: &mut Option<EntryId>, text: &str, read: impl FnOnce(&str) -> Result<EntryId>) -> Result<EntryId> {
    match last {
        Some(id) if id.as_str() == text => Ok(id.clone()),
        _ => Ok(last.insert(read(text)?).clone()),
    }
}

/// Pushes `false, err`.
unsafe fn false_error(l: Lua, driver: &mut Driver, error: Error) -> Act {
    // SAFETY: inside `host`.
    unsafe {
        lua_pushboolean(l, 0);
        push_error(l, driver, error);
    }
    Act::Return(2)
}

/// The failure of an operation on another process: Internal, saying which; a mistake of the caller stays Invalid.
fn within(error: &Error, what: &str) -> Error {
    let kind = match error.kind() {
        Kind::Invalid => Kind::Invalid,
        _ => Kind::Internal,
    };
    error.clone().with_kind(kind).context(what)
}

impl Driver {
    /// `true`, or `nil, err`.
    unsafe fn reply_true(&mut self, l: Lua, result: Result<()>) -> Act {
        // SAFETY: inside `host`.
        unsafe {
            match result {
                Ok(()) => {
                    lua_pushboolean(l, 1);
                    Act::Return(1)
                }
                Err(error) => nil_error(l, self, error),
            }
        }
    }

    /// The process that a destination names.
    unsafe fn destination(&mut self, l: Lua, index: c_int) -> Result<Pid> {
        // SAFETY: a string is at `index`.
        let name = unsafe { bytes(l, index) }.unwrap_or(b"?");
        if let Some((text, pid)) = &self.last_target
            && text == name
        {
            return Ok(pid.clone());
        }
        let pid = self
            .process()
            .kernel()
            .resolve(std::str::from_utf8(name).unwrap_or("?"))?;
        // A name may come to mean another process; a pid never does.
        if name.starts_with(b"{") {
            self.last_target = Some((name.to_vec(), pid.clone()));
        }
        Ok(pid)
    }

    unsafe fn send(&mut self, l: Lua) -> Result<()> {
        // SAFETY: inside `host`; destination and topic are strings.
        unsafe {
            let count = lua_gettop(l) - 2;
            if count < 0 {
                let message = "send requires at least destination and topic arguments";
                return Err(Error::invalid(message));
            }
            let topic = text(l, 2).ok_or_else(|| Error::invalid("topic must be UTF-8 text"))?;
            if topic.starts_with('@') {
                return Err(Error::invalid("cannot send to @ topics"));
            }
            let target = self.destination(l, 1)?;
            let topic = self.topic(topic);
            let payload = stack::pack(l, self, 3, count)?;
            let process = self.process();
            process.kernel().send(Some(process.pid()), &target, topic, payload)
        }
    }

    /// The topic as a shared text; the last one is remembered.
    fn topic(&mut self, name: &str) -> Topic {
        match &self.last_topic {
            Some(topic) if **topic == *name => topic.clone(),
            _ => self.last_topic.insert(Topic::from(name)).clone(),
        }
    }

    /// Reads id, host and arguments of a spawn.
    unsafe fn read_spawn(&mut self, l: Lua) -> Result<(Resolved, Arc<process::Host>, Packed)> {
        // SAFETY: inside `host`; a string is at 1, a string or nil at 2.
        unsafe {
            let id = text(l, 1).unwrap_or_default();
            let named = match is_file(id) && self.is_free() {
                true => Err(id),
                false => Ok(remembered(&mut self.last_spawned, id, EntryId::parse)?),
            };
            let host = self.host_at(l, 2)?;
            let args = stack::pack(l, self, 3, lua_gettop(l) - 2)?;
            let programs = self.process().kernel().programs();
            let folders = self.context.visible.files.as_deref().unwrap_or_default();
            let resolved = match named {
                Ok(id) => programs.resolve(&id),
                Err(file) => programs.resolve_file(folders, file),
            };
            Ok((resolved, host, args))
        }
    }

    /// Whether files can be named as processes, and hosts be left out: in a script, a session, a test.
    fn is_free(&self) -> bool {
        self.context.visible.files.is_some()
    }

    /// The host of a spawn; nil is the process's own one, or the first if it runs on a terminal.
    unsafe fn host_at(&mut self, l: Lua, index: c_int) -> Result<Arc<process::Host>> {
        let process = &self.context.process;
        // SAFETY: reads.
        let name = unsafe { (lua_type(l, index) == LUA_TSTRING).then(|| text(l, index).unwrap_or_default()) };
        let host = match name {
            Some(name) => {
                let resolve = |name: &str| EntryId::resolve(name, process.entry().namespace());
                process.kernel().host(&remembered(&mut self.last_host, name, resolve)?)
            }
            None if process.terminal().is_none() => Some(process.host().clone()),
            None => {
                let registry = self.context.engine.registry();
                let first = registry.of_kind("process.host").next();
                first.and_then(|entry| process.kernel().host(&entry.id))
            }
        };
        host.ok_or_else(|| Error::not_found("host not found"))
    }

    unsafe fn spawn(&mut self, l: Lua, ties: Ties) -> Act {
        // SAFETY: inside `host`.
        unsafe {
            let (resolved, host, args) = match self.read_spawn(l) {
                Ok(read) => read,
                Err(error) => return nil_error(l, self, error),
            };
            let parent = self.process().clone();
            let started = match resolved {
                Resolved::Ready(program) => program.and_then(|program| child(&parent, program, host, args, ties)),
                Resolved::Pending(loading) => {
                    let work = async move {
                        let program = loading.await;
                        let started = program.and_then(|program| child(&parent, program, host, args, ties));
                        Woken::Spawned(started)
                    };
                    return self.wait_for(l, Box::pin(work), spawned);
                }
            };
            match started {
                Ok(process) => {
                    self.push_pid(l, process.pid());
                    lua_pushnil(l);
                    Act::Return(2)
                }
                Err(error) => nil_error(l, self, error),
            }
        }
    }

    unsafe fn exec(&mut self, l: Lua) -> Result<Act> {
        // SAFETY: inside `host`.
        unsafe {
            if lua_gettop(l) < 2 {
                return Err(Error::invalid("exec requires id and host arguments"));
            }
            let free = self.is_free();
            match (text(l, 1).unwrap_or_default(), text(l, 2)) {
                ("", _) => return Err(Error::invalid("process ID required")),
                (_, Some("")) => return Err(Error::invalid("host ID required")),
                (id, _) if free && is_file(id) => {}
                (id, _) if EntryId::parse(id).is_err() => {
                    let message = "invalid process ID format (namespace:name required)";
                    return Err(Error::invalid(message));
                }
                _ => {}
            }
            let (resolved, host, args) = self.read_spawn(l)?;
            let parent = self.process().clone();
            let started = Child::default();
            let known = started.clone();
            let work = async move {
                let program = match resolved {
                    Resolved::Ready(program) => program,
                    Resolved::Pending(loading) => loading.await,
                };
                match program.and_then(|program| child(&parent, program, host, args, Ties::NONE)) {
                    Ok(process) => {
                        // Set once: here.
                        let _ = known.set(process.clone());
                        Woken::Ended(process.exited().await.result.clone())
                    }
                    Err(error) => Woken::Ended(Err(error)),
                }
            };
            let act = self.wait_for(l, Box::pin(work), executed);
            self.waits_for_child(started);
            Ok(act)
        }
    }

    unsafe fn register(&mut self, l: Lua) -> Result<()> {
        // SAFETY: inside `host`; a string is at 1.
        unsafe {
            let own = self.process().pid();
            let pid = match lua_type(l, 2) {
                LUA_TNIL => own.clone(),
                LUA_TSTRING => Pid::parse(text(l, 2).unwrap_or_default())?,
                _ => return Err(Error::invalid("pid must be a string")),
            };
            check_scope(l, 3)?;
            let name = text(l, 1).unwrap_or_default();
            self.process().kernel().register(name, &pid)
        }
    }

    /// Sets every option of the table at 1 that is right; the error is about one that is not.
    unsafe fn set_options(&mut self, l: Lua) -> Result<()> {
        let mut wrong = None;
        // SAFETY: inside `host`; raw reads, and keys are not converted.
        unsafe {
            if lua_type(l, 1) != LUA_TTABLE {
                return Err(Error::invalid("options parameter must be a table"));
            }
            lua_pushnil(l);
            while lua_next(l, 1) != 0 {
                let is_flag = lua_type(l, -1) == LUA_TBOOLEAN;
                match text(l, -2) {
                    Some("trap_links") if is_flag => {
                        let trap = lua_toboolean(l, -1) != 0;
                        self.process().mailbox().set_trap_links(trap);
                    }
                    Some("upgradable") if is_flag => {}
                    Some(name @ ("trap_links" | "upgradable")) => {
                        wrong = Some(format!("{name} must be a boolean"));
                    }
                    Some(name) => wrong = Some(format!("option {name} is not supported")),
                    None => wrong = Some("option names must be strings".to_owned()),
                }
                lua_pop(l, 1);
            }
        }
        wrong.map_or(Ok(()), |message| Err(Error::invalid(message)))
    }

    /// Pushes the channel of a topic. The same topic gives the same channel, whatever the options say.
    unsafe fn push_topic_window(&mut self, l: Lua, topic: &str, messages: bool) {
        let topic = Topic::from(topic);
        let other = Source::Topic {
            topic: topic.clone(),
            messages: !messages,
        };
        // SAFETY: inside `host`.
        unsafe {
            match self.has_window(&other) {
                true => self.push_window(l, other),
                false => self.push_window(l, Source::Topic { topic, messages }),
            }
        }
    }

    /// Nanoseconds of the duration argument at `index`; none for nil.
    ///
    /// # Errors
    /// Invalid for what is no duration.
    pub(super) unsafe fn duration_at(&mut self, l: Lua, index: c_int) -> Result<Option<i64>> {
        // SAFETY: inside `host`.
        unsafe {
            match lua_type(l, index) {
                LUA_TNIL | LUA_TNONE => Ok(None),
                LUA_TNUMBER if lua_isinteger(l, index) != 0 => Ok(Some(lua_tointeger(l, index))),
                LUA_TSTRING => duration::parse(text(l, index).unwrap_or_default()).map(Some),
                _ => {
                    let value = to_mlua(l, self, index).map_err(|error| Error::internal(error.to_string()))?;
                    time::duration_argument(&value).map(Some)
                }
            }
        }
    }

    /// Pushes what `process.info` tells about a process.
    unsafe fn push_info(&mut self, l: Lua, process: &Arc<Process>) {
        // SAFETY: inside `host`; the table has no metatable.
        unsafe {
            lua_createtable(l, 0, 11);
            self.push_pid(l, process.pid());
            set_field(l, c"pid");
            push_bytes(l, process.entry().as_str().as_bytes());
            set_field(l, c"entry");
            push_bytes(l, process.host().id().as_str().as_bytes());
            set_field(l, c"host");
            push_bytes(l, process.kind().as_bytes());
            set_field(l, c"kind");
            push_bytes(l, process.state().as_str().as_bytes());
            set_field(l, c"state");
            let started = process.started_at().duration_since(UNIX_EPOCH).unwrap_or_default();
            let numbers = [
                (c"steps", process.steps()),
                (c"mailbox", process.mailbox().len() as u64),
                (c"memory", process.memory()),
                (c"started_at", started.as_secs()),
            ];
            for (name, number) in numbers {
                lua_pushinteger(l, i64::try_from(number).unwrap_or(i64::MAX));
                set_field(l, name);
            }
            self.push_relations(l, process);
        }
    }

    unsafe fn push_relations(&mut self, l: Lua, process: &Arc<Process>) {
        let kernel = process.kernel();
        let relations = [
            (c"links", kernel.links_of(process)),
            (c"monitors", kernel.monitors_of(process)),
        ];
        // SAFETY: inside `host`.
        unsafe {
            for (name, pids) in relations {
                lua_createtable(l, pids.len().min(1 << 20) as c_int, 0);
                for (index, pid) in pids.iter().enumerate() {
                    self.push_pid(l, pid);
                    lua_rawseti(l, -2, index as i64 + 1);
                }
                set_field(l, name);
            }
        }
    }
}

/// Starts a process in the name of another.
fn child(
    parent: &Arc<Process>,
    program: Arc<dyn process::Program>,
    host: Arc<process::Host>,
    args: Packed,
    ties: Ties,
) -> Result<Arc<Process>> {
    parent.kernel().spawn(Spawn {
        program,
        host,
        args,
        parent: Some(parent.clone()),
        ties,
        words: parent.words().into(),
        context: parent.context().clone(),
    })
}
