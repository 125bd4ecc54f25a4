//! The kernel's time: the machine's, or one that can be stopped and moved by hand, for tests.
//!
//! Moved time goes from timer to timer: after each the processes run until all of them wait, so what is due later sees what
//! was done before. Only waiting for the kernel's timers takes such time: sleeps, timeouts, time limits, delays between the
//! attempts of a call. Files, guests' own clocks, and calls that wait for them go on in the machine's.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::scheduler::fire;
use super::{Kernel, Process};
use crate::lock::lock;

/// Where the kernel's time comes from.
#[derive(Clone)]
pub struct Clock {
    base: Instant,
    /// None: it is the machine's monotonic clock for ever.
    own: Option<Arc<Mutex<Stand>>>,
}

/// How a clock of our own stands to the machine's, in nanoseconds.
#[derive(Clone, Copy, Default)]
struct Stand {
    /// Since the base, while it stands still.
    stopped: Option<u64>,
    /// What calendars show at the base, as of when it was stopped: the machine's two clocks do not go alike, and time that
    /// stands still stands still in both.
    unix_base: i128,
    /// By how much it is ahead while it goes.
    ahead: i64,
}

impl Clock {
    /// The machine's monotonic clock.
    pub fn real() -> Clock {
        Clock {
            base: Instant::now(),
            own: None,
        }
    }

    /// A clock that goes like the machine's until it is stopped.
    pub fn stoppable() -> Clock {
        Clock {
            own: Some(Arc::default()),
            ..Clock::real()
        }
    }

    /// A clock that stands still from the beginning.
    pub fn manual() -> Clock {
        let clock = Clock::stoppable();
        clock.stop();
        clock
    }

    pub fn now(&self) -> Instant {
        match &self.own {
            None => Instant::now(),
            Some(own) => self.base + Duration::from_nanos(self.passed(&lock(own))),
        }
    }

    fn passed(&self, stand: &Stand) -> u64 {
        let real = nanos(self.base.elapsed());
        stand.stopped.unwrap_or_else(|| real.saturating_add_signed(stand.ahead))
    }

    /// False when it cannot be stopped.
    fn stop(&self) -> bool {
        let Some(own) = &self.own else { return false };
        let mut stand = lock(own);
        let passed = self.passed(&stand);
        if stand.stopped.replace(passed).is_none() {
            stand.unix_base = unix_nanoseconds() + i128::from(stand.ahead) - i128::from(passed);
        }
        true
    }

    fn go_on(&self) {
        let Some(own) = &self.own else { return };
        let mut stand = lock(own);
        if let Some(stopped) = stand.stopped.take() {
            let real = nanos(self.base.elapsed());
            stand.ahead = signed(stopped).saturating_sub(signed(real));
        }
    }

    /// Whether it is the machine's for ever.
    pub(super) fn is_real(&self) -> bool {
        self.own.is_none()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.own.as_ref().is_some_and(|own| lock(own).stopped.is_some())
    }

    /// What calendars show: nanoseconds since 1970.
    fn unix_nanoseconds(&self) -> i128 {
        let Some(own) = &self.own else {
            return unix_nanoseconds();
        };
        let stand = lock(own);
        match stand.stopped {
            Some(stopped) => stand.unix_base + i128::from(stopped),
            None => unix_nanoseconds() + i128::from(stand.ahead),
        }
    }

    /// Moves a clock that stands still forward.
    pub(super) fn advance(&self, by: Duration) {
        if let Some(own) = &self.own
            && let Some(stopped) = &mut lock(own).stopped
        {
            *stopped = stopped.saturating_add(nanos(by));
        }
    }

    fn advance_to(&self, at: Instant) {
        self.advance(at.saturating_duration_since(self.now()));
    }

    pub(super) fn since_base(&self, at: Instant) -> u64 {
        nanos(at.saturating_duration_since(self.base))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX - 1)
}

/// The machine's calendar.
pub fn unix_nanoseconds() -> i128 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    }
}

fn signed(nanos: u64) -> i64 {
    i64::try_from(nanos).unwrap_or(i64::MAX)
}

impl Kernel {
    /// Time stands still from now on. False when this kernel's clock cannot be stopped.
    pub fn stop_clock(&self) -> bool {
        self.timers().clock.stop()
    }

    /// Time goes on from where it stands.
    pub fn release_clock(&self) {
        self.timers().clock.go_on();
        self.scheduler().timers_changed(self);
    }

    pub fn is_clock_stopped(&self) -> bool {
        self.timers().clock.is_stopped()
    }

    /// What calendars show, in nanoseconds since 1970: the machine's, unless a test has stopped or moved this kernel's time.
    pub fn unix_nanoseconds(&self) -> i128 {
        self.timers().clock.unix_nanoseconds()
    }

    /// Moves a clock that stands still, from timer to timer: what is due fires in order, and before the next one all processes
    /// have come to wait. Done when they all wait at the end. A process that never waits keeps it from ever being done.
    pub async fn pass(&self, by: Duration) {
        let end = self.now() + by;
        self.quiet().await;
        while let Some(at) = self.timers().next_at().filter(|at| *at <= end) {
            self.timers().clock.advance_to(at);
            fire(self);
            self.quiet().await;
        }
        self.timers().clock.advance_to(end);
    }

    /// Waits until every process waits.
    async fn quiet(&self) {
        const SPINS: u32 = 200;
        let mut turns = 0;
        while !self.is_quiet() {
            turns += 1;
            match turns < SPINS {
                true => tokio::task::yield_now().await,
                false => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    }

    /// Whether there was a moment at which nothing was due and every process waited: two looks find the same ones, none of
    /// which has made a step between them. One look is not enough, because a process that is seen waiting can be woken by one
    /// that is looked at later.
    fn is_quiet(&self) -> bool {
        if self.timers().is_due() || self.timers().is_acting() {
            return false;
        }
        let all_wait = || -> Option<Vec<(u64, u64)>> {
            let look = |process: Arc<Process>| {
                let steps = process.steps();
                process.is_idle().then(|| (process.pid().number(), steps))
            };
            let mut seen = self.processes().into_iter().map(look).collect::<Option<Vec<_>>>()?;
            seen.sort();
            Some(seen)
        };
        let first = all_wait();
        first.is_some() && !self.timers().is_acting() && first == all_wait()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_stopped_goes_on_from_where_it_stands() {
        let clock = Clock::stoppable();
        assert!(!clock.is_stopped());
        assert!(clock.stop() && clock.is_stopped());
        let stopped = clock.now();
        assert_eq!(clock.now(), stopped);
        let shown = clock.unix_nanoseconds();
        assert!(
            (unix_nanoseconds() - shown).abs() < 3_000_000_000_000,
            "the calendar is the machine's"
        );
        clock.advance(Duration::from_secs(3600));
        assert_eq!(clock.now(), stopped + Duration::from_secs(3600));
        assert_eq!(clock.unix_nanoseconds() - shown, 3_600_000_000_000);
        clock.go_on();
        assert!(clock.now() >= stopped + Duration::from_secs(3600));
        assert!(clock.unix_nanoseconds() - unix_nanoseconds() > 3_000_000_000_000);
        assert!(!Clock::real().stop(), "the machine's cannot be stopped");
    }
}
