//! Futures: calls that were begun and not waited for.
//!
//! The Future is a userdata with its outcome inside and its channel beside it. While the call is on, the registry keeps
//! both; the driver polls the call and, when it is done, hands the result to the channel and closes it. A process that
//! returns leaves its pending calls to run on, as many as its host has room for; one that ends in another way takes them
//! with it.

use std::collections::btree_map::Entry;
use std::ffi::{CStr, c_int};
use std::task::Poll;

use super::channel::{self, Channel};
use super::raw::*;
use super::waiting::{Pending, Woken, Work};
use super::{Driver, Mark, Weight};
use crate::error::{Error, Kind, Result};
use crate::log::{Level, Record};
use crate::lua::modules::payload;
use crate::value::Packed;

const METHODS: [(&CStr, lua_CFunction); 7] = [
    (c"response", response),
    (c"channel", response),
    (c"is_complete", is_complete),
    (c"result", result),
    (c"error", error),
    (c"is_canceled", is_canceled),
    (c"cancel", cancel),
];

static FUTURE: u8 = 0;

/// How a call stands.
enum Outcome {
    /// The number by which the driver knows it.
    Pending(u64),
    /// The result is outside of the state.
    Done {
        result: Result<Packed>,
        _weight: Weight,
    },
    Canceled,
}

/// A call that is on.
pub struct Begun {
    pending: Pending,
    future: *mut Outcome,
    /// Keeps the Future alive.
    anchor: c_int,
    /// What it takes.
    bytes: usize,
}

/// Begins the call, which takes that many bytes, and pushes its Future, and nil.
///
/// # Safety
/// Inside [`host`].
pub unsafe fn begin(l: Lua, driver: &mut Driver, work: Work, bytes: usize) -> Act {
    // SAFETY: as stated; the channel is the Future's first user value.
    unsafe {
        let mut pending = Pending::new(driver, work);
        let number = pending.number();
        let future = push_object(l, &FUTURE, c"funcs.Future", &METHODS, Outcome::Pending(number), 1);
        let channel = channel::push_new(l, driver, 1);
        (*channel).awaited = true;
        lua_setiuservalue(l, -2, 1);
        lua_pushvalue(l, -1);
        let anchor = luaL_ref(l, LUA_REGISTRYINDEX);
        // The callee starts now, not when the caller next waits. What is over at once is told when it does.
        if let Poll::Ready(woken) = pending.poll() {
            pending = pending.over(woken);
            pending.ask();
        }
        let begun = Begun {
            pending,
            future,
            anchor,
            bytes,
        };
        driver.begun.insert(number, begun);
        lua_pushnil(l);
    }
    Act::Return(2)
}

impl Driver {
    /// Completes the Future of that call, if it is on and done.
    pub(super) fn poll_future(&mut self, number: u64) {
        let Entry::Occupied(mut begun) = self.begun.entry(number) else {
            return;
        };
        if let Poll::Ready(woken) = begun.get_mut().pending.poll() {
            let begun = begun.remove();
            // SAFETY: the limit is lifted, nothing of the state runs.
            unsafe { self.finish_future(begun, woken) };
        }
    }

    unsafe fn finish_future(&mut self, begun: Begun, woken: Woken) {
        let Woken::Ended(result) = woken else { return };
        let l = self.main_state;
        // SAFETY: the registry keeps the Future until the end of this function.
        unsafe {
            lua_rawgeti(l, LUA_REGISTRYINDEX, begun.anchor.into());
            let place = lua_gettop(l);
            lua_getiuservalue(l, place, 1);
            let channel: *mut Channel = lua_touserdata(l, -1).cast();
            self.push_outcome(l, &result);
            let _weight = self.weigh(result.as_ref().map_or_else(Error::weight, Packed::size));
            *begun.future = Outcome::Done { result, _weight };
            // A channel that the program has closed takes nothing.
            self.try_send(l, channel, place + 1, place + 2);
            self.end_channel(channel);
            lua_settop(l, place - 1);
            luaL_unref(l, LUA_REGISTRYINDEX, begun.anchor);
        }
    }

    unsafe fn end_channel(&mut self, channel: *mut Channel) {
        // SAFETY: the caller holds the channel.
        unsafe {
            (*channel).awaited = false;
            self.close_channel(channel);
        }
    }

    /// Pushes the wrapper of a value, a table of them for several, or the Error.
    unsafe fn push_outcome(&mut self, l: Lua, result: &Result<Packed>) {
        // SAFETY: inside `host` or `lifted`.
        unsafe {
            match result.clone().and_then(payload::each) {
                Ok(values) => {
                    let wrapped = payload::wrap_all(self.mlua(), values);
                    push_mlua(l, self, wrapped);
                }
                Err(error) => push_error(l, self, error),
            }
        }
    }

    /// The process has returned: its pending calls go on without it. Those that there is no room for are given up.
    pub(super) fn leave_calls(&mut self) {
        let mut given_up = 0;
        for (pending, bytes) in self.end_futures(0) {
            let process = self.process();
            let Some(left) = process.host().leave_call(bytes) else {
                given_up += 1;
                continue;
            };
            let work = pending.into_work();
            process.kernel().io().spawn(async {
                drop(work.await);
                drop(left);
            });
        }
        if given_up > 0 {
            self.tell_given_up(given_up);
        }
    }

    fn tell_given_up(&self, count: i64) {
        let process = self.process();
        let record = Record::new(
            Level::Warn,
            "calls of a process that has returned are given up: too many wait",
        );
        let record = record.field("calls", count).about(process.pid(), &process.entry());
        process.kernel().log().record(record);
    }

    /// Stops the calls that were begun since the mark.
    pub(super) fn stop_calls(&mut self, mark: Mark) {
        drop(self.end_futures(mark));
    }

    /// Nobody will hear of the calls that were begun since the mark; gives them back, with what they take.
    fn end_futures(&mut self, mark: Mark) -> Vec<(Pending, usize)> {
        let l = self.main_state;
        let begun = self.begun.split_off(&(mark + 1));
        let end = |begun: Begun| {
            // SAFETY: the limit is lifted; the registry keeps the Future until it has been ended.
            unsafe {
                lua_rawgeti(l, LUA_REGISTRYINDEX, begun.anchor.into());
                let bytes = begun.bytes;
                let pending = self.end_future(l, begun);
                lua_pop(l, 1);
                (pending, bytes)
            }
        };
        begun.into_values().map(end).collect()
    }

    /// Stops the call of the Future at 1, if it is on.
    unsafe fn stop_call(&mut self, l: Lua, future: *mut Outcome) {
        // SAFETY: inside `host`; the Future is at 1.
        unsafe {
            let Outcome::Pending(number) = *future else { return };
            let Some(begun) = self.begun.remove(&number) else {
                return;
            };
            lua_pushvalue(l, 1);
            drop(self.end_future(l, begun));
        }
    }

    /// Nobody will hear of that call, whose Future is on top; gives it back.
    unsafe fn end_future(&mut self, l: Lua, begun: Begun) -> Pending {
        // SAFETY: inside `host` or `lifted`.
        unsafe {
            *begun.future = Outcome::Canceled;
            lua_getiuservalue(l, -1, 1);
            self.end_channel(lua_touserdata(l, -1).cast());
            lua_pop(l, 1);
            luaL_unref(l, LUA_REGISTRYINDEX, begun.anchor);
        }
        begun.pending
    }
}

/// Runs `act` on the outcome of the Future at 1, or raises a type error.
unsafe fn with_outcome(l: Lua, act: unsafe fn(Lua, &mut Driver, &Outcome) -> Act) -> c_int {
    // SAFETY: the metatable says that it is an Outcome.
    unsafe {
        check_object(l, &FUTURE, c"funcs.Future");
        host(l, |driver| act(l, driver, &*lua_touserdata(l, 1).cast::<Outcome>()))
    }
}

unsafe extern "C-unwind" fn response(l: Lua) -> c_int {
    // SAFETY: see `with_outcome`.
    unsafe {
        with_outcome(l, |l, _, _| {
            lua_getiuservalue(l, 1, 1);
            Act::Return(1)
        })
    }
}

unsafe extern "C-unwind" fn is_complete(l: Lua) -> c_int {
    // SAFETY: see `with_outcome`.
    unsafe {
        with_outcome(l, |l, _, outcome| {
            lua_pushboolean(l, c_int::from(!matches!(outcome, Outcome::Pending(_))));
            Act::Return(1)
        })
    }
}

unsafe extern "C-unwind" fn is_canceled(l: Lua) -> c_int {
    // SAFETY: see `with_outcome`.
    unsafe {
        with_outcome(l, |l, _, outcome| {
            lua_pushboolean(l, c_int::from(matches!(outcome, Outcome::Canceled)));
            Act::Return(1)
        })
    }
}

unsafe extern "C-unwind" fn result(l: Lua) -> c_int {
    // SAFETY: see `with_outcome`.
    unsafe {
        with_outcome(l, |l, driver, outcome| match outcome {
            Outcome::Canceled => nil_error(l, driver, Error::new(Kind::Canceled, "call canceled")),
            Outcome::Done { result: Err(error), .. } => nil_error(l, driver, error.clone()),
            Outcome::Done { result, .. } => {
                driver.push_outcome(l, result);
                lua_pushnil(l);
                Act::Return(2)
            }
            Outcome::Pending(_) => {
                lua_pushnil(l);
                lua_pushnil(l);
                Act::Return(2)
            }
        })
    }
}

unsafe extern "C-unwind" fn error(l: Lua) -> c_int {
    // SAFETY: see `with_outcome`.
    unsafe {
        with_outcome(l, |l, driver, outcome| {
            match outcome {
                Outcome::Done { result: Err(error), .. } => {
                    let error = error.clone().with_kind(Kind::Internal);
                    push_error(l, driver, error.context("async call failed"));
                    lua_pushboolean(l, 1);
                }
                _ => {
                    lua_pushnil(l);
                    lua_pushboolean(l, 0);
                }
            }
            Act::Return(2)
        })
    }
}

unsafe extern "C-unwind" fn cancel(l: Lua) -> c_int {
    // SAFETY: the check raises with nothing alive; the metatable says that it is an Outcome.
    unsafe {
        check_object(l, &FUTURE, c"funcs.Future");
        host(l, |driver| {
            let future = lua_touserdata(l, 1).cast::<Outcome>();
            driver.stop_call(l, future);
            lua_pushboolean(l, 1);
            lua_pushnil(l);
            Act::Return(2)
        })
    }
}
