//! The interface `time`: the wall clock, and sleep by the kernel's timers.

use std::future::poll_fn;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::runtime::time::Host;
use crate::process::Process;
use crate::wasm::state::State;

impl Host for State {
    fn now_unix_ms(&mut self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    async fn sleep_ms(&mut self, ms: u64) {
        let until = after(&self.process(), ms);
        poll_fn(|_| self.poll_time(until)).await;
    }
}

/// The time in so many milliseconds; none is beyond all times.
pub fn after(process: &Process, ms: u64) -> Option<Instant> {
    process.kernel().now().checked_add(Duration::from_millis(ms))
}
