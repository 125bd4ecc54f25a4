//! Timers of the kernel: at most one wake-up, one deadline and one end of patience per process, fired by the workers between
//! two steps; and under a clock that can be stopped those of calls that wait.
//!
//! A body keeps its own timers and asks only for the nearest one ([`Process::wake_at`](super::Process::wake_at)); so the
//! number of entries here is bounded by the number of processes and calls. An entry that became too early is left in place: it
//! wakes its process once for nothing, which is cheaper than moving it at every receive with a timeout.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::options::FOREVER;
use super::{Kernel, Process};
use crate::lock::lock;

/// What an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    Wake,
    /// `max_execution_ms`.
    Deadline,
    /// An end that takes too long is not waited for any more.
    Abandon,
    /// A future waits, [`Kernel::sleep`].
    Sleep,
}

/// Whom an entry concerns.
enum Whom {
    Process(Arc<Process>),
    Future(Waker),
}

/// Behind the time the number of a process or of a future.
type Key = (Instant, u64, Purpose);

/// The nearest entry's time as nanoseconds since the clock's base; this stands for "none".
const NEVER: u64 = u64::MAX;

pub(super) struct Timers {
    pub(super) clock: Clock,
    entries: Mutex<BTreeMap<Key, Whom>>,
    next: AtomicU64,
    /// Futures that have waited so far.
    sleepers: AtomicU64,
    /// See [`Timers::acting`].
    acting: AtomicUsize,
}

/// See [`Timers::acting`].
pub(super) struct Acting<'a>(&'a AtomicUsize);

impl Drop for Acting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a process remembers of its entries, to find them again.
#[derive(Default)]
pub(super) struct Armed {
    wake: Option<Instant>,
    deadline: Option<Instant>,
    abandon: Option<Instant>,
}

impl Timers {
    pub(super) fn new(clock: Clock) -> Timers {
        Timers {
            clock,
            entries: Mutex::default(),
            next: AtomicU64::new(NEVER),
            sleepers: AtomicU64::new(0),
            acting: AtomicUsize::new(0),
        }
    }

    /// Wakes the process at that time or before. True when the nearest time of all moved forward.
    pub(super) fn wake_at(&self, process: &Arc<Process>, at: Instant) -> bool {
        let mut armed = process.armed();
        if armed.wake.is_some_and(|armed| armed <= at) {
            return false;
        }
        let mut entries = self.lock();
        if let Some(before) = armed.wake.replace(at) {
            entries.remove(&key(before, process, Purpose::Wake));
        }
        entries.insert(key(at, process, Purpose::Wake), Whom::Process(process.clone()));
        self.publish(&entries)
    }

    /// Ends the process at that time, and at no other that was set before. True when the nearest time of all moved forward.
    pub(super) fn deadline(&self, process: &Arc<Process>, at: Option<Instant>) -> bool {
        let before = std::mem::replace(&mut process.armed().deadline, at);
        if let Some(before) = before {
            self.lock().remove(&key(before, process, Purpose::Deadline));
        }
        at.is_some_and(|at| self.insert(process, Purpose::Deadline, at))
    }

    /// Gives up waiting for the end of the process at that time, if it is not to be at another one already. True when the nearest time of all moved forward.
    pub(super) fn abandon(&self, process: &Arc<Process>, at: Instant) -> bool {
        {
            let mut armed = process.armed();
            if armed.abandon.is_some() {
                return false;
            }
            armed.abandon = Some(at);
        }
        self.insert(process, Purpose::Abandon, at)
    }

    fn insert(&self, process: &Arc<Process>, purpose: Purpose, at: Instant) -> bool {
        let mut entries = self.lock();
        entries.insert(key(at, process, purpose), Whom::Process(process.clone()));
        self.publish(&entries)
    }

    /// Wakes a future at that time. True when the nearest time of all moved forward.
    fn sleep(&self, at: Instant, number: u64, waker: &Waker) -> bool {
        let mut entries = self.lock();
        entries.insert((at, number, Purpose::Sleep), Whom::Future(waker.clone()));
        self.publish(&entries)
    }

    /// Forgets a future that waits no longer.
    fn forget_sleep(&self, at: Instant, number: u64) {
        let mut entries = self.lock();
        entries.remove(&(at, number, Purpose::Sleep));
        self.publish(&entries);
    }

    /// Forgets a process that ended.
    pub(super) fn forget(&self, process: &Process) {
        let armed = std::mem::take(&mut *process.armed());
        if armed.is_empty() {
            return;
        }
        let mut entries = self.lock();
        let keys = [
            armed.wake.map(|at| key(at, process, Purpose::Wake)),
            armed.deadline.map(|at| key(at, process, Purpose::Deadline)),
            armed.abandon.map(|at| key(at, process, Purpose::Abandon)),
        ];
        for key in keys.into_iter().flatten() {
            entries.remove(&key);
        }
        self.publish(&entries);
    }

    /// Whether something is due. Costs one load when nothing is armed.
    pub(super) fn is_due(&self) -> bool {
        let next = self.next.load(Ordering::SeqCst);
        next != NEVER && next <= self.clock.since_base(self.clock.now())
    }

    /// Takes what is due, earliest first.
    fn take_due(&self) -> Vec<(Key, Whom)> {
        let now = self.clock.now();
        let mut entries = self.lock();
        let later = entries.split_off(&(now, u64::MAX, Purpose::Sleep));
        let due = std::mem::replace(&mut *entries, later);
        self.publish(&entries);
        due.into_iter().collect()
    }

    /// Wakes the futures that are due and does `act` to the processes that are, earliest first.
    pub(super) fn fire(&self, mut act: impl FnMut(Purpose, &Arc<Process>)) {
        let _acting = self.acting();
        let due = self.take_due();
        for ((at, _, purpose), whom) in &due {
            if let Whom::Process(process) = whom {
                process.armed().disarm(*purpose, *at);
            }
        }
        for ((_, _, purpose), whom) in due {
            match whom {
                Whom::Process(process) => act(purpose, &process),
                Whom::Future(waker) => waker.wake(),
            }
        }
    }

    /// To be held from the moment at which something can no longer be seen until those are woken whom it concerns.
    pub(super) fn acting(&self) -> Acting<'_> {
        self.acting.fetch_add(1, Ordering::SeqCst);
        Acting(&self.acting)
    }

    /// Whether somebody is about to wake processes.
    pub(super) fn is_acting(&self) -> bool {
        self.acting.load(Ordering::SeqCst) > 0
    }

    /// When the nearest entry is due.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.lock().first_key_value().map(|((at, ..), _)| *at)
    }

    /// How long until the nearest entry; none when there is none, or when time stands still.
    pub(super) fn until_next(&self) -> Option<Duration> {
        let next = self.next.load(Ordering::SeqCst);
        if next == NEVER || self.clock.is_stopped() {
            return None;
        }
        let now = self.clock.since_base(self.clock.now());
        Some(Duration::from_nanos(next.saturating_sub(now)))
    }

    fn publish(&self, entries: &BTreeMap<Key, Whom>) -> bool {
        let next = entries
            .first_key_value()
            .map_or(NEVER, |((at, ..), _)| self.clock.since_base(*at));
        self.next.swap(next, Ordering::SeqCst) > next
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Whom>> {
        lock(&self.entries)
    }
}

impl Armed {
    fn is_empty(&self) -> bool {
        self.wake.is_none() && self.deadline.is_none() && self.abandon.is_none()
    }

    fn disarm(&mut self, purpose: Purpose, at: Instant) {
        let slot = match purpose {
            Purpose::Wake => &mut self.wake,
            Purpose::Deadline => &mut self.deadline,
            Purpose::Abandon => &mut self.abandon,
            // No process has one.
            Purpose::Sleep => return,
        };
        if *slot == Some(at) {
            *slot = None;
        }
    }
}

fn key(at: Instant, process: &Process, purpose: Purpose) -> Key {
    (at, process.pid().number(), purpose)
}

impl Kernel {
    /// Waits in the kernel's time: for ever under a clock that stands still and is not moved.
    pub(super) async fn sleep(&self, duration: Duration) {
        match self.timers().clock.is_real() {
            // tokio's timers are made for many, and cost the workers nothing.
            true => tokio::time::sleep(duration).await,
            false => Sleep::of(self.clone(), duration).await,
        }
    }
}

/// See [`Kernel::sleep`].
struct Sleep {
    kernel: Kernel,
    at: Instant,
    number: u64,
}

impl Sleep {
    fn of(kernel: Kernel, duration: Duration) -> Sleep {
        Sleep {
            at: kernel.now() + duration.min(FOREVER),
            number: kernel.timers().sleepers.fetch_add(1, Ordering::Relaxed),
            kernel,
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.kernel.now() >= self.at {
            return Poll::Ready(());
        }
        if self.kernel.timers().sleep(self.at, self.number, context.waker()) {
            self.kernel.scheduler().timers_changed(&self.kernel);
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.kernel.timers().forget_sleep(self.at, self.number);
    }
}
