//! The tick: one OS thread of the program that beats once a millisecond while any kernel has a worker at work.
//!
//! At every beat each registered kernel lets its engines advance their epochs, signals the workers whose Lua process has
//! overrun its slice, and wakes an idle worker when work or a timer waits behind a long step. The thread sleeps while all
//! kernels are idle. What the signal (SIGURG) does is up to whoever installed its handler (`lua::driver`).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::lock::lock;

/// One beat.
pub const TICK: Duration = Duration::from_millis(1);

/// Beats without work after which the thread goes to sleep.
const PATIENCE: u32 = 20;

/// Something that wants to be told of beats.
pub(super) trait Ticked: Send + Sync {
    /// One beat has passed; false when there was nothing at work.
    fn tick(&self, now: u64) -> bool;
}

struct Ticker {
    thread: Thread,
    count: AtomicU64,
    asleep: AtomicBool,
    listeners: Mutex<Vec<Weak<dyn Ticked>>>,
}

static TICKER: OnceLock<Ticker> = OnceLock::new();

/// Registers for every beat until the listener is dropped.
pub(super) fn register(listener: Weak<dyn Ticked>) {
    let ticker = TICKER.get_or_init(start);
    lock(&ticker.listeners).push(listener);
}

/// The number of the current beat.
pub(super) fn now() -> u64 {
    TICKER.get().map_or(0, |ticker| ticker.count.load(Ordering::Relaxed))
}

/// Called by a worker that turns from idle to busy.
pub(super) fn wake() {
    if let Some(ticker) = TICKER.get()
        && ticker.asleep.load(Ordering::SeqCst)
        && ticker.asleep.swap(false, Ordering::SeqCst)
    {
        ticker.thread.unpark();
    }
}

fn start() -> Ticker {
    let handle = thread::Builder::new()
        .name("wippy-tick".to_owned())
        .spawn(|| run(TICKER.wait()))
        .expect("a thread for the ticker");
    Ticker {
        thread: handle.thread().clone(),
        count: AtomicU64::new(1),
        asleep: AtomicBool::new(false),
        listeners: Mutex::default(),
    }
}

fn run(ticker: &Ticker) {
    let mut idle = 0;
    loop {
        thread::sleep(TICK);
        idle = if beat(ticker) { 0 } else { idle + 1 };
        if idle >= PATIENCE {
            idle = 0;
            sleep(ticker);
        }
    }
}

fn beat(ticker: &Ticker) -> bool {
    let now = ticker.count.fetch_add(1, Ordering::Relaxed) + 1;
    let mut gone = false;
    let mut busy = false;
    let listeners: Vec<_> = lock(&ticker.listeners)
        .iter()
        .filter_map(|listener| {
            let listener = listener.upgrade();
            gone |= listener.is_none();
            listener
        })
        .collect();
    for listener in listeners {
        busy |= listener.tick(now);
    }
    if gone {
        lock(&ticker.listeners).retain(|listener| listener.strong_count() > 0);
    }
    busy
}

fn sleep(ticker: &Ticker) {
    ticker.asleep.store(true, Ordering::SeqCst);
    // A worker that became busy before it could see the flag is found by this beat; one that saw it unparks.
    if beat(ticker) {
        ticker.asleep.store(false, Ordering::SeqCst);
        return;
    }
    while ticker.asleep.load(Ordering::SeqCst) {
        thread::park();
    }
}
