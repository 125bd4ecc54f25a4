//! Timers of one state: sleeps, timeouts of `receive`, and the channels of `time.after`, timers and tickers.
//!
//! They are kept here, sorted by time; the kernel is asked for one wake-up, at the first of them.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_int};
use std::time::{Duration, Instant};

use super::channel::{self, Channel};
use super::coroutine::type_error;
use super::raw::*;
use super::sandbox::push_library;
use super::{Driver, Waiter, What, mistake};
use crate::error::{Error, Result};
use crate::lua::modules::time;

/// Names a timer while it is armed.
pub type Key = (Instant, u64);

/// See the module page.
#[derive(Default)]
pub struct Timers {
    queue: BTreeMap<Key, Due>,
    count: u64,
}

/// What happens when a timer fires.
enum Due {
    /// A wait is over: a sleep, or a `receive` without a message.
    Wait(Waiter),
    /// A channel gets the time.
    Channel(Armed),
}

/// A channel that a timer will send into.
#[derive(Clone, Copy)]
struct Armed {
    channel: *mut Channel,
    /// Keeps the channel alive.
    anchor: c_int,
    period: Option<Duration>,
    /// The ticket at which it was made.
    born: u64,
}

impl Timers {
    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.keys().next().map(|key| key.0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The timer of a wait that is over.
    pub(super) fn cancel(&mut self, key: Key) {
        self.queue.remove(&key);
    }

    fn add(&mut self, at: Instant, due: Due) -> Key {
        self.count += 1;
        let key = (at, self.count);
        self.queue.insert(key, due);
        key
    }

    fn pop(&mut self, now: Instant) -> Option<(Key, Due)> {
        let entry = self.queue.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove_entry())
    }
}

/// A century: longer waits are as good as for ever, and `Instant` overflows somewhere.
pub(super) const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

impl Driver {
    /// Ends that wait after `delay`.
    pub(super) fn arm(&mut self, waiter: Waiter, delay: Duration) {
        let at = self.process().kernel().now() + delay.min(FOREVER);
        let key = self.timers.add(at, Due::Wait(waiter));
        if let Some(wait) = self.wait_of(waiter) {
            wait.timer = Some(key);
        }
    }

    /// Suspends the running task for `delay`.
    pub(super) unsafe fn sleep(&mut self, l: Lua, delay: Duration) -> Act {
        // SAFETY: inside `host`.
        let (act, waiter) = unsafe { self.wait(l, What::Sleep, slept) };
        if let Some(waiter) = waiter {
            self.arm(waiter, delay);
        }
        act
    }

    /// Has the channel at `index` get the time after `delay`, and with a period again and again.
    unsafe fn arm_channel(&mut self, l: Lua, index: c_int, delay: Duration, period: Option<Duration>) {
        // SAFETY: inside `host`; a channel is at `index`, and the registry keeps it while the timer is armed.
        unsafe {
            let channel: *mut Channel = lua_touserdata(l, index).cast();
            lua_pushvalue(l, index);
            let anchor = luaL_ref(l, LUA_REGISTRYINDEX);
            let at = self.process().kernel().now() + delay.min(FOREVER);
            let armed = Armed {
                channel,
                anchor,
                period,
                born: self.mark(),
            };
            (*channel).timer = Some(self.timers.add(at, Due::Channel(armed)));
        }
    }

    /// Takes a channel's timer away. False when none was armed.
    unsafe fn disarm_channel(&mut self, channel: *mut Channel) -> bool {
        // SAFETY: the caller holds the channel.
        let key = unsafe { (*channel).timer.take() };
        match key.and_then(|key| self.timers.queue.remove(&key)) {
            Some(Due::Channel(armed)) => {
                // SAFETY: inside `host`.
                unsafe { luaL_unref(self.main_state, LUA_REGISTRYINDEX, armed.anchor) };
                true
            }
            _ => false,
        }
    }

    /// Fires what is due.
    pub(super) fn fire_timers(&mut self) {
        if self.timers.is_empty() {
            return;
        }
        let now = self.process().kernel().now();
        while let Some((key, due)) = self.timers.pop(now) {
            match due {
                // SAFETY: the limit is lifted, nothing of the state runs.
                Due::Wait(waiter) => unsafe { self.time_out(waiter) },
                // SAFETY: as above.
                Due::Channel(armed) => unsafe { self.tick(key, armed, now) },
            }
        }
    }

    unsafe fn time_out(&mut self, waiter: Waiter) {
        if let Some(wait) = self.wait_of(waiter)
            && matches!(wait.what, What::Receive)
        {
            // SAFETY: a coroutine that waits in one of our functions has room for a value.
            unsafe { lua_pushnil(wait.l) };
        }
        self.complete(waiter);
    }

    /// Stops the timers whose channels were made since the mark, and closes these.
    pub(super) fn stop_timers(&mut self, mark: super::Mark) {
        let due = |due: &Due| match due {
            Due::Channel(armed) if armed.born > mark => Some(armed.channel),
            _ => None,
        };
        let channels: Vec<*mut Channel> = self.timers.queue.values().filter_map(due).collect();
        for channel in channels {
            // SAFETY: the limit is lifted; an armed timer keeps its channel, which is closed before it is let go.
            unsafe {
                self.close_channel(channel);
                self.disarm_channel(channel);
            }
        }
    }

    unsafe fn tick(&mut self, key: Key, armed: Armed, now: Instant) {
        let l = self.main_state;
        let Armed { channel, anchor, .. } = armed;
        // SAFETY: the limit is lifted; the registry keeps the channel.
        unsafe {
            lua_rawgeti(l, LUA_REGISTRYINDEX, anchor.into());
            let place = lua_gettop(l);
            let now_unix = self.process().kernel().unix_nanoseconds();
            let now_unix = i64::try_from(now_unix).unwrap_or(i64::MAX);
            let value = time::time_value(self.mlua(), now_unix);
            push_mlua(l, self, value);
            // A tick that finds the buffer full is dropped.
            self.try_send(l, channel, place, place + 1);
            lua_settop(l, place - 1);
            match armed.period {
                Some(period) => {
                    // Ticks that were missed are not made up for.
                    let next = key.0 + period;
                    let at = if next <= now { now + period } else { next };
                    (*channel).timer = Some(self.timers.add(at, Due::Channel(armed)));
                }
                None => {
                    (*channel).timer = None;
                    self.close_channel(channel);
                    luaL_unref(l, LUA_REGISTRYINDEX, anchor);
                }
            }
        }
    }

    /// The positive duration at 1.
    unsafe fn positive_duration(&mut self, l: Lua, function: &str) -> Result<Duration> {
        // SAFETY: inside `host`.
        let nanoseconds = unsafe { self.duration_at(l, 1) }?.unwrap_or(0);
        if nanoseconds <= 0 {
            return Err(Error::invalid(format!("{function}: duration must be > 0")));
        }
        Ok(Duration::from_nanos(nanoseconds.unsigned_abs()))
    }

    /// Pushes a Timer or Ticker around a new channel.
    unsafe fn push_timer(&mut self, l: Lua, delay: Duration, period: Option<Duration>) {
        // SAFETY: inside `host`; the object holds nothing but its channel.
        unsafe {
            lua_newuserdatauv(l, 0, 1);
            let capacity = if period.is_some() { TICKS } else { 1 };
            channel::push_new(l, self, capacity);
            self.arm_channel(l, -1, delay, period);
            lua_setiuservalue(l, -2, 1);
            let (name, place, methods) = match period {
                Some(_) => (c"time.Ticker", &TICKER, &METHODS[..3]),
                None => (c"time.Timer", &TIMER, &METHODS[..]),
            };
            if lua_rawgetp(l, LUA_REGISTRYINDEX, key(place)) == LUA_TNIL {
                lua_pop(l, 1);
                channel::make_meta(l, name, place, None);
                push_library(l, methods, 0);
                lua_setfield(l, -2, c"__index".as_ptr());
            }
            lua_setmetatable(l, -2);
        }
    }
}

/// Ticks that a ticker's channel holds.
const TICKS: usize = 16;

static TIMER: u8 = 0;
static TICKER: u8 = 1;

/// The methods of a Timer; a Ticker has all but the last.
const METHODS: [(&CStr, lua_CFunction); 4] = [
    (c"channel", timer_channel),
    (c"response", timer_channel),
    (c"stop", stop),
    (c"reset", reset),
];

/// The part of the module `time` that waits.
pub const FUNCTIONS: [(&CStr, lua_CFunction); 4] = [
    (c"sleep", sleep),
    (c"after", after),
    (c"timer", timer),
    (c"ticker", ticker),
];

unsafe extern "C-unwind" fn sleep(l: Lua) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe {
        host(l, |driver| match driver.duration_at(l, 1) {
            Ok(Some(nanoseconds)) if nanoseconds > 0 => {
                driver.sleep(l, Duration::from_nanos(nanoseconds.unsigned_abs()))
            }
            Ok(Some(_)) => Act::Return(0),
            Ok(None) => nil_error(l, driver, Error::invalid("time.sleep: duration required")),
            Err(error) => nil_error(l, driver, error),
        })
    }
}

unsafe extern "C-unwind" fn after(l: Lua) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe {
        host(l, |driver| match driver.positive_duration(l, "time.after") {
            Ok(delay) => {
                channel::push_new(l, driver, 1);
                driver.arm_channel(l, -1, delay, None);
                Act::Return(1)
            }
            Err(error) => nil_error(l, driver, error),
        })
    }
}

unsafe extern "C-unwind" fn timer(l: Lua) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe {
        host(l, |driver| match driver.positive_duration(l, "time.timer") {
            Ok(delay) => {
                driver.push_timer(l, delay, None);
                Act::Return(1)
            }
            Err(error) => nil_error(l, driver, error),
        })
    }
}

unsafe extern "C-unwind" fn ticker(l: Lua) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe {
        host(l, |driver| match driver.positive_duration(l, "time.ticker") {
            Ok(period) => {
                driver.push_timer(l, period, Some(period));
                Act::Return(1)
            }
            Err(error) => nil_error(l, driver, error),
        })
    }
}

/// Replaces the Timer or Ticker at 1 by its channel, or raises a type error. True for a Ticker.
unsafe fn own_channel(l: Lua) -> bool {
    // SAFETY: nothing with a destructor is alive.
    unsafe {
        let is_ticker = is_object(l, &TICKER);
        if !is_ticker && !is_object(l, &TIMER) {
            type_error(l, 1, c"time.Timer");
        }
        lua_getiuservalue(l, 1, 1);
        lua_replace(l, 1);
        is_ticker
    }
}

unsafe extern "C-unwind" fn timer_channel(l: Lua) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe {
        own_channel(l);
        lua_settop(l, 1);
    }
    1
}

unsafe extern "C-unwind" fn stop(l: Lua) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe {
        let is_ticker = own_channel(l);
        host(l, |driver| {
            let channel = channel::at(l, driver, 1);
            let pending = driver.disarm_channel(channel);
            driver.close_channel(channel);
            lua_pushboolean(l, c_int::from(pending || is_ticker));
            Act::Return(1)
        })
    }
}

unsafe extern "C-unwind" fn reset(l: Lua) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe {
        own_channel(l);
        lua_settop(l, 2);
        host(l, |driver| {
            lua_insert(l, 1);
            match driver.positive_duration(l, "timer:reset") {
                Ok(delay) => {
                    let channel = channel::at(l, driver, 2);
                    let pending = driver.disarm_channel(channel);
                    (*channel).reopen();
                    driver.arm_channel(l, 2, delay, None);
                    lua_pushboolean(l, c_int::from(pending));
                    Act::Return(1)
                }
                Err(error) => mistake(l, error.message()),
            }
        })
    }
}

/// A sleep returns nothing.
unsafe extern "C-unwind" fn slept(_: Lua, _: c_int, _: lua_KContext) -> c_int {
    0
}
