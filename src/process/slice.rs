//! Time slices of code that has to be interrupted by a signal: which worker runs such code since which beat.
//!
//! A body brackets that code with [`signalled`]; the kernel's tick sends SIGURG to the worker's thread once the bracket is
//! older than a slice. Invariant: a thread is only signalled while its slot is registered, and it unregisters under the
//! same lock before it ends, so no signal is ever sent to a thread that is gone.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::ticker;
use crate::lock::lock;

/// Beats that a bracket may last: one full millisecond and what was left of the beat in which it began.
pub(super) const SLICE: u64 = 2;

/// The slot of one thread that serves a worker.
#[derive(Default)]
pub(super) struct Slot {
    /// The beat in which the bracket began; 0 outside of one.
    since: AtomicU64,
    /// The thread to signal, while it lives.
    thread: Mutex<Option<libc::pthread_t>>,
    /// Another thread has taken over the worker.
    relieved: AtomicBool,
}

thread_local! {
    static SLOT: RefCell<Option<Arc<Slot>>> = const { RefCell::new(None) };
}

/// Runs `code`; if it outlasts a slice, this thread gets SIGURG until it is done. Outside of a worker it just runs.
pub fn signalled<T>(code: impl FnOnce() -> T) -> T {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            begin_at(0);
        }
    }
    begin_at(ticker::now());
    let _reset = Reset;
    code()
}

/// Notes the beat in which the bracket of this thread begins; 0 for its end.
fn begin_at(beat: u64) {
    SLOT.with_borrow(|slot| {
        if let Some(slot) = slot {
            slot.since.store(beat, Ordering::Release);
        }
    });
}

impl Slot {
    /// Makes the calling thread the one to signal.
    pub(super) fn enter(self: &Arc<Self>) {
        // SAFETY: pthread_self has no preconditions.
        let thread = unsafe { libc::pthread_self() };
        *lock(&self.thread) = Some(thread);
        SLOT.set(Some(self.clone()));
    }

    /// Must be called by the thread before it ends.
    pub(super) fn leave(&self) {
        *lock(&self.thread) = None;
        SLOT.set(None);
    }

    /// Whether there is no thread to signal: it has not begun, or has left.
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.thread).is_none()
    }

    pub(super) fn set_relieved(&self, relieved: bool) {
        self.relieved.store(relieved, Ordering::SeqCst);
    }

    /// Whether the thread has no worker any more, only what it is at.
    pub(super) fn is_relieved(&self) -> bool {
        self.relieved.load(Ordering::SeqCst)
    }

    /// Signals the thread when its bracket has outlasted a slice.
    pub(super) fn check(&self, now: u64) {
        let since = self.since.load(Ordering::Acquire);
        if since == 0 || now < since + SLICE {
            return;
        }
        if let Some(thread) = *lock(&self.thread) {
            // SAFETY: the thread is alive: it clears its slot under this lock before it ends.
            unsafe { libc::pthread_kill(thread, libc::SIGURG) };
        }
    }
}
