//! The state of a function between two calls.
//!
//! Globals and what the chunks hold live on. Everything that belongs to one call goes with it: its coroutines, timers,
//! subscriptions, pending calls and open files. A state is used again after a call that failed too, but not if it never
//! got as far as main, or its process was doomed, or host code panicked in it.

use std::sync::Arc;

use super::raw::*;
use super::{Driver, What, boot, process as own, waiting};
use crate::lua::host::StateContext;
use crate::process::Process;
use crate::value::Packed;

/// Bytes that an idle state may hold for nothing.
const GARBAGE: usize = 1 << 20;

impl Driver {
    /// Drops what is left of a call that has ended. False when the state must not be used again.
    pub fn reset(&mut self) -> bool {
        self.booted && !self.in_step && !self.is_over() && self.lifted(Driver::forget_call).is_some() && !self.is_over()
    }

    fn forget_call(&mut self) {
        for number in 0..self.tasks.len() as u32 {
            self.let_child_live(number);
            self.cut(number);
        }
        self.tasks.clear();
        self.free.clear();
        self.ready.clear();
        self.waiting = waiting::Calls::default();
        self.alarms.clear();
        self.stop_calls(0);
        self.stop_timers(0);
        self.close_windows(0);
        self.forget_received();
        self.context.close();
        (self.host_yield, self.preempted, self.guarded, self.cutting) = (false, false, false, false);
        self.midway = false;
        self.last = None;
        self.pinned = 0;
        self.memory.set_kept(0);
        self.collect_garbage();
        // SAFETY: the limit is lifted.
        unsafe { own::forget_pid(self.main_state) };
    }

    /// An idle state does not hold on to the garbage of its last call, if it is much. What lives is not looked at each time.
    fn collect_garbage(&mut self) {
        if self.memory.used() > 2 * self.lives + GARBAGE {
            // SAFETY: the limit is lifted; a collection runs no Lua code.
            unsafe { lua_gc(self.main_state, LUA_GCCOLLECT) };
            self.lives = self.memory.used();
        }
    }

    /// The process of a pending `exec` lives on, as at the end of every other process.
    fn let_child_live(&mut self, number: u32) {
        let wait = self.task(number).and_then(|task| task.wait.as_mut());
        if let Some(What::Host(pending)) = wait.map(|wait| &mut wait.what) {
            pending.let_child_live();
        }
    }

    /// Begins another call, as that process. Only after [`Driver::reset`].
    pub fn begin(&mut self, process: Arc<Process>, args: Packed) {
        self.inherited = process.context().weight();
        let last = &self.context;
        self.context = Arc::new(StateContext::new(process, last.engine.clone(), last.visible.clone()));
        self.boot.args = Some(args);
        let begun = self.lifted(|driver| {
            if let Some(lua) = driver.mlua {
                lua.set_app_data(driver.context.clone());
            }
            let l = driver.main_state;
            // SAFETY: the limit is lifted; nothing of the state runs.
            unsafe {
                let thread = lua_newthread(l);
                lua_pushcfunction(thread, boot::again);
                driver.add_task(l, thread, 0);
                lua_settop(l, 0);
            }
        });
        debug_assert!(
            begun.is_some() || self.fatal.is_some(),
            "a panic ends the call in its first step"
        );
    }
}
