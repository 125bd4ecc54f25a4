//! Deadlines of guarded calls, in the machine's time: a test that has stopped its timers ends in time all the same.

use std::ffi::CStr;
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use super::timer::FOREVER;
use super::{Driver, Waiter};

/// A deadline, and the call that wakes the process for it.
pub(super) struct Alarm {
    at: Instant,
    caller: Waiter,
    call: AbortHandle,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.call.abort();
    }
}

/// What a guarded call gives that was ended by its alarm.
const TIMEOUT: &CStr = c"timeout";

impl Driver {
    /// Ends that guarded call after a time, unless it has ended before.
    pub(super) fn set_alarm(&mut self, caller: Waiter, after: Duration) {
        self.drop_silent_alarms();
        let after = after.min(FOREVER);
        let at = Instant::now() + after;
        let process = self.process().clone();
        let io = process.kernel().io().clone();
        let call = io.spawn(async move {
            tokio::time::sleep(after).await;
            process.wake();
        });
        self.alarms.push(Alarm {
            at,
            caller,
            call: call.abort_handle(),
        });
    }

    /// Ends the guarded calls whose time is up.
    pub(super) fn ring_alarms(&mut self) {
        let due = self.due_alarms();
        if due.is_empty() {
            return;
        }
        for caller in due {
            self.end_guard(caller, TIMEOUT);
        }
        self.drop_silent_alarms();
    }

    /// Whether the time of a guarded call is up that has not ended yet.
    pub(super) fn is_overdue(&mut self) -> bool {
        let due = self.due_alarms();
        due.into_iter().any(|caller| self.waiting_on(caller).is_some())
    }

    fn due_alarms(&self) -> Vec<Waiter> {
        if self.alarms.is_empty() {
            return Vec::new();
        }
        let now = Instant::now();
        let due = self.alarms.iter().filter(|alarm| alarm.at <= now);
        due.map(|alarm| alarm.caller).collect()
    }

    /// Those of calls that have ended.
    fn drop_silent_alarms(&mut self) {
        let alarms = std::mem::take(&mut self.alarms);
        self.alarms = alarms
            .into_iter()
            .filter(|alarm| self.waiting_on(alarm.caller).is_some())
            .collect();
    }
}
