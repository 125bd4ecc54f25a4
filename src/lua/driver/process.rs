//! The global `process`: who one is, messages, events, relations, names. Its spawn calls are in `spawn`.
//!
//! Raw C functions, because they are the hot ones. Wrong Lua types raise before any Rust value exists; the rest happens in
//! `host`. Failures of the world are `nil, err` (`false, err` where the success is a boolean).

use std::ffi::{CStr, c_int};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::mailbox::{Source, check_topic, topic_at};
use super::raw::*;
use super::sandbox::{add_functions, push_library};
use super::{Driver, channel, spawn, spawner, upgrade};
use crate::duration;
use crate::error::{Error, Result};
use crate::id::Pid;
use crate::lua::modules::time;
use crate::lua::stack;
use crate::process::acts::{self, Relation};
use crate::process::{Process, Topic, unresolved};

const FUNCTIONS: [(&CStr, lua_CFunction); 21] = [
    (c"id", id),
    (c"pid", pid),
    (c"send", send),
    (c"upgrade", upgrade::upgrade),
    (c"with_context", spawner::with_context),
    (c"with_options", spawner::with_options),
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

/// The type and the kind of an event.
pub type EventName = (&'static CStr, &'static CStr);

pub const EXIT: EventName = (c"EXIT", c"pid.exit");
pub const LINK_DOWN: EventName = (c"LINK_DOWN", c"pid.link.down");
pub const CANCEL: EventName = (c"CANCEL", c"pid.cancel");
const EVENTS: [EventName; 4] = [EXIT, LINK_DOWN, CANCEL, (c"OUTDATED", c"pid.outdated")];

const SCOPES: [&CStr; 4] = [c"LOCAL", c"EVENTUAL", c"CONSISTENT", c"STRONG"];

/// Pushes the `process` table.
///
/// # Safety
/// With the memory limit lifted.
pub unsafe fn open(l: Lua) {
    // SAFETY: as stated.
    unsafe {
        push_library(l, &FUNCTIONS, 2 + spawn::FUNCTIONS.len() as c_int);
        add_functions(l, &spawn::FUNCTIONS);
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

/// The state becomes that of another process.
///
/// # Safety
/// With the memory limit lifted.
pub unsafe fn forget_pid(l: Lua) {
    // SAFETY: as stated.
    unsafe {
        lua_pushnil(l);
        lua_rawsetp(l, LUA_REGISTRYINDEX, key(&PID));
    }
}

unsafe extern "C-unwind" fn id(l: Lua) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe {
        host(l, |driver| {
            push_bytes(l, driver.context.entry().as_str().as_bytes());
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
            if let Some(place) = driver.take_unclaimed(l) {
                lua_xmove(place, l, 1);
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
            let topic = topic_at(l, 1);
            let topic = match topic.and_then(|topic| check_topic(topic).map(|()| topic)) {
                Ok(topic) => topic,
                Err(error) => return nil_error(l, driver, error),
            };
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
            if driver.unbind(l, channel, Source::is_topic) {
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
            let result = driver.destination(l, 1);
            let result = result.and_then(|pid| acts::terminate(driver.process(), &pid));
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
            let reason = match lua_type(l, 2) {
                LUA_TSTRING | LUA_TNUMBER => String::from_utf8_lossy(string(l, 2)),
                _ => "".into(),
            };
            let result = driver.destination(l, 1);
            let result = result.and_then(|pid| acts::cancel(driver.process(), &pid, &reason));
            driver.reply_true(l, result)
        })
    }
}

unsafe extern "C-unwind" fn monitor(l: Lua) -> c_int {
    // SAFETY: see `relate`.
    unsafe { relate(l, Relation::Monitor) }
}

unsafe extern "C-unwind" fn unmonitor(l: Lua) -> c_int {
    // SAFETY: see `relate`.
    unsafe { relate(l, Relation::Unmonitor) }
}

unsafe extern "C-unwind" fn link(l: Lua) -> c_int {
    // SAFETY: see `relate`.
    unsafe { relate(l, Relation::Link) }
}

unsafe extern "C-unwind" fn unlink(l: Lua) -> c_int {
    // SAFETY: see `relate`.
    unsafe { relate(l, Relation::Unlink) }
}

/// What `process.<name>(dest)` does to the relation with that process.
unsafe fn relate(l: Lua, relation: Relation) -> c_int {
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
                    Error::invalid(format!("{} requires a destination argument", relation.name())),
                );
            }
            let result = driver.destination(l, 1);
            let result = result.and_then(|other| acts::relate(driver.process(), relation, &other));
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
            match acts::lookup(driver.process(), name) {
                Ok(pid) => {
                    driver.push_pid(l, &pid);
                    Act::Return(1)
                }
                Err(error) => nil_error(l, driver, error),
            }
        })
    }
}

unsafe extern "C-unwind" fn unregister(l: Lua) -> c_int {
    // SAFETY: type errors raise with nothing alive.
    unsafe {
        luaL_checktype(l, 1, LUA_TSTRING);
        lua_settop(l, 2);
        host(l, |driver| match driver.unregister(l) {
            Ok(known) => {
                lua_pushboolean(l, c_int::from(known));
                Act::Return(1)
            }
            Err(error) => false_error(l, driver, error),
        })
    }
}

/// Only the local scope is there; nil means it.
unsafe fn check_scope(l: Lua, index: c_int) -> Result<()> {
    // SAFETY: reads.
    unsafe {
        if lua_type(l, index) == LUA_TNIL {
            return Ok(());
        }
        if lua_type(l, index) != LUA_TNUMBER {
            return Err(Error::invalid("scope must be a number"));
        }
        let mut is_integer = 0;
        match lua_tointegerx(l, index, &mut is_integer) {
            0 if is_integer != 0 => Ok(()),
            1 => Err(Error::internal("eventual registry not available")),
            2 | 3 => Err(Error::internal("global registry not available")),
            _ => Err(Error::invalid(format!(
                "unknown registry scope: {}",
                lua_tonumber(l, index)
            ))),
        }
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

impl Driver {
    /// `true, nil`, or `nil, err`.
    unsafe fn reply_true(&mut self, l: Lua, result: Result<()>) -> Act {
        // SAFETY: inside `host`.
        unsafe {
            match result {
                Ok(()) => {
                    lua_pushboolean(l, 1);
                    lua_pushnil(l);
                    Act::Return(2)
                }
                Err(error) => nil_error(l, self, error),
            }
        }
    }

    /// The process that a destination names.
    unsafe fn destination(&mut self, l: Lua, index: c_int) -> Result<Pid> {
        // SAFETY: a string is at `index`.
        let name = unsafe { bytes(l, index) }.unwrap_or_default();
        match &self.last_target {
            Some((text, recipient)) if text == name => Ok(recipient.pid().clone()),
            _ => self.find_named(name),
        }
    }

    fn find_named(&self, name: &[u8]) -> Result<Pid> {
        match std::str::from_utf8(name) {
            Ok(name) => self.process().kernel().resolve(name),
            Err(_) => Err(unresolved(&String::from_utf8_lossy(name))),
        }
    }

    unsafe fn send(&mut self, l: Lua) -> Result<()> {
        // SAFETY: inside `host`; destination and topic are strings.
        unsafe {
            let count = lua_gettop(l) - 2;
            if count < 0 {
                let message = "send requires at least destination and topic arguments";
                return Err(Error::invalid(message));
            }
            let topic = topic_at(l, 2)?;
            acts::check_topic(topic)?;
            let name = bytes(l, 1).unwrap_or_default();
            let (text, mut recipient) = match self.last_target.take() {
                Some((text, recipient)) if text == name => (text, recipient),
                _ => (name.to_vec(), self.find_named(name)?.into()),
            };
            let topic = self.topic(topic);
            let payload = stack::pack(l, self, 3, count)?;
            acts::send(self.process(), &mut recipient, topic, payload)?;
            // A name may come to mean another process; a pid never does.
            if text.starts_with(b"{") {
                self.last_target = Some((text, recipient));
            }
            Ok(())
        }
    }

    /// The topic as a shared text; the last one is remembered.
    fn topic(&mut self, name: &str) -> Topic {
        match &self.last_topic {
            Some(topic) if **topic == *name => topic.clone(),
            _ => self.last_topic.insert(Topic::from(name)).clone(),
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
            let name = text(l, 1).ok_or_else(|| Error::invalid("name must be UTF-8 text"))?;
            acts::register(self.process(), name, &pid)
        }
    }

    unsafe fn unregister(&mut self, l: Lua) -> Result<bool> {
        // SAFETY: inside `host`; a string is at 1.
        unsafe {
            check_scope(l, 2)?;
            let name = text(l, 1).unwrap_or_default();
            acts::unregister(self.process(), name)
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
