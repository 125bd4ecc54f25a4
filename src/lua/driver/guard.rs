//! Guarded calls: a function that runs as a task of its own, and that its caller outlives whatever it does.
//!
//! The test runner (a deadline per test) and the REPL (Ctrl-C) are built on it. `guard(timeout, fn, …)`, a Lua function
//! that [`function`] makes, runs `fn(…)` in a new task (the *ward*) and gives
//!
//! | result | when |
//! |---|---|
//! | `"ok", …` | it returned |
//! | `"error", value, frames` | it raised, or a coroutine that was spawned meanwhile did, or all coroutines are blocked |
//! | `"timeout", nil, frames` | the time was up (nanoseconds of the machine's time; nil or 0: never) |
//! | `"interrupted", nil, frames` | [`Process::interrupt`](crate::process::Process::interrupt) was called, from whatever thread |
//!
//! `frames` are tables of `source`, `line`, `name`: where it was. A ward that has to end is **cut**: its task is
//! dropped wherever it stands, suspended or preempted. No error is raised, so there is nothing that `pcall` could catch, and
//! no `__close` runs, as after a terminate. Only where Lua cannot yield (below a C function) the stack has to be unwound
//! first, by the same hook and the same [`Driver::is_doomed`] that a doomed process has; [`Driver::cutting`] is its flag.
//!
//! No other task runs while one is preempted, but for this: of a process that uses `guard` a coroutine that never waits must
//! not keep the caller from its turn, so such coroutines take turns with all others. A ward, like main, does not.
//!
//! Coroutines that the ward spawned live on when it ends; [`Caller::sweep`](super::Caller::sweep) cuts those that were
//! started since a mark, and closes the mailbox channels and timers made since. A process that has used `guard` does not end by
//! an error of such a coroutine while no guarded call is on; it is logged.

use std::ffi::{CStr, c_int};
use std::time::Duration;

use super::raw::*;
use super::{Driver, Resumed, Waiter, What, protect};
use crate::error::{Error, Frame};
use crate::log::{Level, Record};

/// What there is at a moment, for a later [`Driver::sweep`].
pub type Mark = u64;

/// The Lua function `guard`.
///
/// # Errors
/// When the state has no memory for it.
pub fn function(lua: &mlua::Lua) -> mlua::Result<mlua::Function> {
    // SAFETY: a C function that keeps the rules of this room.
    unsafe { lua.create_c_function(guard) }
}

/// `guard(timeout, fn, …)`.
unsafe extern "C-unwind" fn guard(l: Lua) -> c_int {
    // SAFETY: the checks raise with nothing alive; the rest is host code that moves values it has room for.
    unsafe {
        let timeout = luaL_optinteger(l, 1, 0);
        luaL_checktype(l, 2, LUA_TFUNCTION);
        host(l, |driver| driver.guard(l, timeout))
    }
}

/// The ward has ended; everything above the height at which the caller waited is the result.
unsafe extern "C-unwind" fn ended(l: Lua, _: c_int, height: lua_KContext) -> c_int {
    // SAFETY: reads the height of the stack.
    unsafe { lua_gettop(l) - height as c_int }
}

impl Driver {
    unsafe fn guard(&mut self, l: Lua, timeout: i64) -> Act {
        // SAFETY: inside `host`; the stack is checked before values are moved.
        unsafe {
            let Some(ward) = self.task_of(l, lua_gettop(l) - 1, "guard") else {
                return Act::Raise;
            };
            lua_settop(l, 1);
            let (act, waiter) = self.wait(l, What::Guarded { ward }, ended);
            match waiter {
                Some(waiter) => self.begin_guard(waiter, ward, timeout),
                None => self.cut(ward),
            }
            act
        }
    }

    fn begin_guard(&mut self, waiter: Waiter, ward: u32, timeout: i64) {
        self.guarded = true;
        self.process().take_interrupt();
        if let Some(task) = self.task(ward) {
            task.caller = Some(waiter);
        }
        if timeout > 0 {
            self.set_alarm(waiter, Duration::from_nanos(timeout.unsigned_abs()));
        }
    }

    /// Whether others run when the slice of that task is over: it is a coroutine beside guarded calls.
    pub(super) fn yields_to_others(&mut self, number: u32) -> bool {
        self.guarded && number != 0 && self.task(number).is_some_and(|task| task.caller.is_none())
    }

    /// Who waits for that task's end, if it is a ward.
    fn caller_of(&mut self, number: u32) -> Option<Waiter> {
        let caller = self.task(number)?.caller?;
        self.waiting_on(caller).map(|_| caller)
    }

    /// The guarded call that began last.
    fn innermost(&self) -> Option<Waiter> {
        let tasks = self.tasks.iter().flatten();
        let callers = tasks.filter_map(|task| task.caller);
        callers.max_by_key(|caller| caller.ticket)
    }

    /// A task returned that many values. None when nobody waits for them.
    pub(super) unsafe fn ward_returned(&mut self, number: u32, thread: Lua, count: c_int) -> Option<Resumed> {
        let caller = self.caller_of(number)?;
        // SAFETY: the values are on top of the thread's stack.
        self.deliver(caller, |driver, l| unsafe {
            if lua_checkstack(l, count + 1) == 0 {
                driver.push_failure(l, Error::internal("too many results"));
                return;
            }
            push_bytes(l, b"ok");
            lua_xmove(thread, l, count);
        })
    }

    /// A task failed with the error on top of its stack, which still stands. None when it ends the process.
    pub(super) unsafe fn ward_failed(&mut self, number: u32, thread: Lua, status: c_int) -> Option<Resumed> {
        if number == 0 || !self.guarded {
            return None;
        }
        // SAFETY: a dead coroutine's stack may be looked at.
        unsafe {
            if !protect::settle(thread, status) {
                return None;
            }
            let places = frames(thread);
            let Some(caller) = self.caller_of(number).or_else(|| self.innermost()) else {
                return self.stray(number, thread);
            };
            let resumed = self.deliver(caller, |driver, l| {
                push_bytes(l, b"error");
                lua_xmove(thread, l, 1);
                driver.push_frames(l, &places);
            });
            self.cut(number);
            resumed
        }
    }

    /// A coroutine failed while no guarded call was on.
    unsafe fn stray(&mut self, number: u32, thread: Lua) -> Option<Resumed> {
        // SAFETY: the error is on top of the dead coroutine's stack.
        let error =
            self.lifted(|driver| unsafe { (!driver.begin_showing(thread, false)).then(|| driver.uncaught(thread)) })?;
        self.cut(number);
        if let Some(error) = error {
            self.tell_stray(&error);
        }
        Some(Resumed::Goes)
    }

    pub(super) fn tell_stray(&self, error: &Error) {
        let place = error.frames().first().map(Frame::to_string).unwrap_or_default();
        let record = Record::new(Level::Error, format!("uncaught error in a coroutine: {error}"));
        let record = record.field("at", place.as_str());
        let process = self.process();
        let record = record.about(process.pid(), &process.entry());
        process.kernel().log().record(record);
    }

    /// Ends a guarded call with what `push` leaves on the caller's stack.
    fn deliver(&mut self, caller: Waiter, push: impl FnOnce(&mut Driver, Lua)) -> Option<Resumed> {
        let l = self.waiting_on(caller)?;
        self.lifted(|driver| {
            // SAFETY: the caller waits in `guard`; a C function has room for these few values.
            let roomy = unsafe { lua_checkstack(l, 8) } != 0;
            if roomy {
                push(driver, l);
            }
            // This cuts the ward.
            driver.complete(caller);
        });
        Some(Resumed::Goes)
    }

    /// Every coroutine waits for another one: the innermost guarded call fails by it. False without one.
    pub(super) fn fail_blocked(&mut self, failure: &Error) -> bool {
        let Some(caller) = self.innermost() else {
            return false;
        };
        let places = failure.frames().to_vec();
        self.deliver(caller, |driver, l| {
            driver.push_failure(l, failure.clone());
            // SAFETY: inside `deliver`.
            unsafe {
                lua_pop(l, 1);
                driver.push_frames(l, &places);
            }
        });
        true
    }

    fn push_failure(&mut self, l: Lua, failure: Error) {
        // SAFETY: inside `deliver`.
        unsafe {
            push_bytes(l, b"error");
            push_error(l, self, failure);
            lua_createtable(l, 0, 0);
        }
    }

    /// The time of a guarded call is up, or it was interrupted.
    pub(super) fn end_guard(&mut self, caller: Waiter, why: &'static CStr) {
        let Some(What::Guarded { ward }) = self.wait_of(caller).map(|wait| &wait.what) else {
            return;
        };
        let ward = *ward;
        let places = self
            .task(ward)
            .map(|task| task.wait.as_ref().map_or(task.thread, |wait| wait.l));
        // SAFETY: the ward is suspended.
        let places = places.map(|l| unsafe { frames(l) }).unwrap_or_default();
        // SAFETY: inside `deliver`.
        self.deliver(caller, |driver, l| unsafe {
            push_bytes(l, why.to_bytes());
            lua_pushnil(l);
            driver.push_frames(l, &places);
        });
    }

    /// Ends the innermost guarded call if somebody asked for it.
    pub(super) fn heed_interrupt(&mut self) {
        if self.guarded
            && self.process().take_interrupt()
            && let Some(caller) = self.innermost()
        {
            self.end_guard(caller, c"interrupted");
        }
    }

    /// Whether the task that runs must be unwound because its guarded call is over. Asked where it cannot be suspended.
    pub(super) fn must_cut(&mut self) -> bool {
        if self.guarded && !self.cutting && self.current != 0 && self.last.is_none() {
            self.cutting = self.process().is_interrupted() || self.is_overdue();
        }
        self.cutting
    }

    /// The stack of the running task was unwound by [`Driver::must_cut`]: its guarded call ends now.
    pub(super) unsafe fn was_cut(&mut self, number: u32, thread: Lua) -> Resumed {
        self.cutting = false;
        // SAFETY: what is left on its stack is of no interest any more.
        unsafe { self.stuck(number, thread, 0) };
        let is_ward = self.caller_of(number).is_some();
        self.lifted(|driver| {
            driver.heed_interrupt();
            driver.ring_alarms();
            driver.fire_timers();
        });
        if !is_ward {
            self.cut(number);
        }
        Resumed::Goes
    }

    /// Drops a suspended task, wherever it stands, and the ward that it waits for, which goes first. Guarded calls may be
    /// nested as deeply as there is memory for.
    pub(super) fn cut(&mut self, number: u32) {
        let mut cut = Vec::new();
        let mut next = Some(number);
        while let Some(number) = next
            && let Some(task) = self.task(number)
        {
            let (wait, shows) = (task.wait.take(), task.shows.take());
            cut.push((number, shows));
            next = wait.and_then(|wait| {
                let waiter = Waiter {
                    task: number,
                    ticket: wait.ticket,
                    case: 0,
                };
                self.withdraw(waiter, wait)
            });
        }
        for (number, shows) in cut.into_iter().rev() {
            if let Some(shown) = shows {
                self.tell_stray(&shown.error(None));
            }
            // SAFETY: nobody resumes it any more.
            unsafe { self.remove_task(number) };
        }
    }

    /// For a later [`Driver::sweep`].
    pub(super) fn mark(&mut self) -> Mark {
        self.tickets += 1;
        self.tickets
    }

    /// Cuts the coroutines that were started since the mark, stops the calls begun since, and closes the timers and mailbox
    /// channels made since.
    pub(super) fn sweep(&mut self, mark: Mark) {
        let current = self.current;
        let since = |(number, task): (usize, &Option<super::Task>)| {
            let born = task.as_ref()?.born;
            (born > mark && number as u32 != current).then_some(number as u32)
        };
        let left: Vec<u32> = self.tasks.iter().enumerate().filter_map(since).collect();
        left.into_iter().for_each(|number| self.cut(number));
        self.stop_calls(mark);
        self.stop_timers(mark);
        self.close_windows(mark);
    }

    /// Pushes an array of tables with `source`, `line`, `name`.
    unsafe fn push_frames(&mut self, l: Lua, places: &[Frame]) {
        // SAFETY: inside `deliver`.
        unsafe {
            lua_createtable(l, places.len() as c_int, 0);
            for (index, place) in places.iter().enumerate() {
                lua_createtable(l, 0, 3);
                push_bytes(l, place.source.as_bytes());
                set_field(l, c"source");
                lua_pushinteger(l, place.line.into());
                set_field(l, c"line");
                push_bytes(l, place.name.as_bytes());
                set_field(l, c"name");
                lua_rawseti(l, -2, index as i64 + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lua::test_support::{World, passes};
    use crate::value::Value;

    /// Runs a text that has `guard`.
    fn guarded(text: &str) {
        passes(&format!(
            "local guard = getmetatable(require('test')).native.guard\n{text}"
        ));
    }

    #[test]
    fn results_and_errors_come_back() {
        guarded(
            r##"
            local function pack(...) return {n = select("#", ...), ...} end
            local got = pack(guard(nil, function(a, b) return a + b, nil end, 1, 2))
            assert(got.n == 3 and got[1] == "ok" and got[2] == 3 and got[3] == nil)
            local status, err, frames = guard(0, function() error({code = 7}) end)
            assert(status == "error" and err.code == 7)
            assert(frames[1].source == "main.lua" and frames[1].line == 6, frames[1].line)
            local status, err = guard(0, function() error("boom") end)
            assert(status == "error" and err:find("boom"))
            local status, err = guard(0, function() process.send(1, 2) end)
            assert(status == "error" and type(err) == "string", type(err))
            "##,
        );
    }

    #[test]
    fn the_time_ends_every_kind_of_wait() {
        guarded(
            r##"
            local time = require("time")
            local function over(fn)
                local status, value, frames = guard(5000000, fn)
                assert(status == "timeout" and value == nil, status)
                assert(#frames > 0)
            end
            over(function() time.sleep("1h") end)
            over(function() pcall(time.sleep, "1h") error("never") end)
            over(function() process.receive() end)
            over(function() while true do end end)
            over(function() while true do pcall(function() while true do end end) end end)
            over(function() coroutine.wrap(function() while true do end end)() end)
            over(function() coroutine.wrap(function() time.sleep("1h") end)() end)
            over(function() time.after("1h"):receive() end)
            over(function() process.inbox():receive() end)
            over(function() guard(nil, function() time.sleep("1h") end) end)
            over(function() for _ in function() time.sleep("1h") end do end end)
            process.send(process.pid(), "hello", 1)
            assert(process.receive(0).value == 1)
            "##,
        );
    }

    #[test]
    fn the_time_ends_a_loop_below_a_c_function() {
        guarded(
            r##"
            local function over(fn)
                local status = guard(5000000, fn)
                assert(status == "timeout", status)
            end
            local endless = setmetatable({}, {__tostring = function() while true do end end})
            over(function() string.format("%s", endless) end)
            over(function() pcall(string.format, "%s", endless) while true do end end)
            over(function() coroutine.wrap(function() pcall(string.format, "%s", endless) end)() while true do end end)
            -- by a coroutine beside the ward
            over(function()
                coroutine.spawn(function() string.format("%s", endless) end)
                channel.new():receive()
            end)
            assert(guard(0, function() return 1 end) == "ok")
            "##,
        );
    }

    #[test]
    fn a_coroutine_that_was_cut_is_resumed_by_nobody() {
        guarded(
            r##"
            local time = require("time")
            local cut, late
            local status = guard(5000000, function()
                cut = coroutine.running()
                process.receive()
            end)
            assert(status == "timeout")
            local mark, sweep = getmetatable(require("test")).native.mark, getmetatable(require("test")).native.sweep
            local since = mark()
            late = coroutine.spawn(function() error("never") end)
            sweep(since)
            for _, co in ipairs({cut, late}) do
                local ok, message = coroutine.resume(co)
                assert(not ok and message == "cannot resume non-suspended coroutine", message)
                assert(not pcall(coroutine.close, co) and coroutine.status(co) == "normal")
            end
            -- one that came to its end is dead, whatever it returned
            local done = coroutine.spawn(function() return print, 1 end)
            time.sleep("1ms")
            assert(coroutine.status(done) == "dead" and not coroutine.resume(done))
            "##,
        );
    }

    #[test]
    fn the_tostring_of_a_stray_error_keeps_nobody() {
        guarded(
            r##"
            local time = require("time")
            guard(0, function() end)
            local shown = channel.new(1)
            coroutine.spawn(error, setmetatable({}, {__tostring = function() shown:send(true) while true do end end}))
            assert(shown:receive())
            time.sleep("5ms")
            "##,
        );
    }

    #[test]
    fn an_error_beside_the_ward_is_its_error() {
        guarded(
            r##"
            local time = require("time")
            local status, err = guard(0, function()
                coroutine.spawn(function() error("beside") end)
                time.sleep("1h")
            end)
            assert(status == "error" and err:find("beside"))
            -- without a guarded call it is logged, and the process lives
            coroutine.spawn(function() error("stray") end)
            time.sleep("1ms")
            "##,
        );
    }

    #[test]
    fn blocked_coroutines_fail_the_call_at_once() {
        guarded(
            r##"
            local status, err, frames = guard(3600000000000, function() channel.new():receive() end)
            assert(status == "error" and tostring(err):find("all coroutines blocked"), tostring(err))
            assert(frames[1].line == 3, frames[1].line)
            "##,
        );
    }

    #[test]
    fn a_strike_interrupts_from_another_thread() {
        for body in [
            "while true do end",
            "process.receive()",
            "pcall(require('time').sleep, '1h')",
        ] {
            let world = World::new();
            let text = format!(
                "local guard = getmetatable(require('test')).native.guard
                local status = guard(nil, function() {body} end)
                return status"
            );
            let process = world.spawn(world.program("main", &text), &[]).unwrap();
            let exit = std::thread::scope(|scope| {
                // One that comes before the guard has nothing to interrupt.
                scope.spawn(|| {
                    while process.exit().is_none() {
                        std::thread::sleep(std::time::Duration::from_millis(5));
                        process.interrupt();
                    }
                });
                world.end(&process)
            });
            let value = exit.result.as_ref().unwrap().to_value().unwrap();
            assert_eq!(value, Value::from("interrupted"), "{body}");
        }
    }
}
