//! Hosts: where processes live. A host bounds how many of its processes run at once, how full their mailboxes get, and
//! how long it waits for them when it stops. A terminal host takes one process at a time and lends it the terminal.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;

use super::Process;
use super::mailbox::Bound;
use super::queue::Queue;
use crate::error::{Error, Result};
use crate::id::{EntryId, HostName};
use crate::lock::lock;
use crate::system::terminal::Terminal;

/// What a host is made from.
pub struct HostSpec {
    pub id: EntryId,
    /// How many of its processes run at once; 0: as many as there are workers.
    pub workers: usize,
    pub mailbox: Bound,
    /// How many processes may live on it.
    pub most: usize,
    /// How long a stop waits for processes to answer CANCEL.
    pub stop_timeout: Duration,
    /// Makes it a terminal host.
    pub terminal: Option<Arc<Terminal>>,
    /// Its processes should take little room rather than start quickly: a wish to the engines.
    pub dense: bool,
}

impl HostSpec {
    pub fn new(id: EntryId) -> HostSpec {
        HostSpec {
            id,
            workers: 0,
            mailbox: Bound::default(),
            most: most_processes(),
            stop_timeout: Duration::from_secs(10),
            terminal: None,
            dense: false,
        }
    }
}

/// As many processes as half of the machine's memory holds, at the 20 KiB of an idle one: 10 000 at least, and no more than
/// Erlang allows.
fn most_processes() -> usize {
    static MOST: OnceLock<usize> = OnceLock::new();
    *MOST.get_or_init(|| {
        // SAFETY: reads of two figures of the system; -1 for one that it does not tell.
        let (pages, size) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
        let memory = pages.max(0) as u64 * size.max(0) as u64;
        ((memory / 2 / (20 << 10)) as usize).clamp(10_000, 1 << 20)
    })
}

/// A running host.
pub struct Host {
    id: EntryId,
    name: HostName,
    workers: usize,
    pub(super) mailbox: Bound,
    most: usize,
    pub(super) stop_timeout: Duration,
    terminal: Option<Arc<Terminal>>,
    dense: bool,
    /// Set for good when the host begins to stop; nothing is spawned on it any more.
    stopping: AtomicBool,
    /// Told when a process of it ends or begins to wait, while it stops.
    pub(super) changed: Notify,
    inner: Mutex<Inner>,
    /// Calls that their callers have left behind: how many, and their bytes.
    left: Mutex<(usize, usize)>,
}

/// The place of a process to be. Dropping it gives it back.
pub(super) struct Place(Option<Arc<Host>>);

impl Place {
    /// The process is there: its end gives the place back.
    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(host) = self.0.take() {
            host.dismiss(|| ());
        }
    }
}

/// The room of a call that its caller has left behind. Dropping it gives the room back.
pub struct LeftCall {
    host: Arc<Host>,
    bytes: usize,
}

impl Drop for LeftCall {
    fn drop(&mut self) {
        let mut left = lock(&self.host.left);
        left.0 -= 1;
        left.1 -= self.bytes;
    }
}

#[derive(Default)]
struct Inner {
    alive: usize,
    running: usize,
    /// Ready, but the host's bound is reached.
    held_back: Queue,
}

impl Host {
    pub(super) fn new(spec: HostSpec) -> Host {
        Host {
            name: HostName::keep(spec.id.as_str()),
            id: spec.id,
            workers: spec.workers,
            mailbox: spec.mailbox,
            most: spec.most,
            stop_timeout: spec.stop_timeout,
            terminal: spec.terminal,
            dense: spec.dense,
            stopping: AtomicBool::new(false),
            changed: Notify::new(),
            inner: Mutex::default(),
            left: Mutex::default(),
        }
    }

    pub fn id(&self) -> &EntryId {
        &self.id
    }

    /// The id as the host part of a pid.
    pub(super) fn name(&self) -> HostName {
        self.name.clone()
    }

    pub fn terminal(&self) -> Option<&Arc<Terminal>> {
        self.terminal.as_ref()
    }

    /// Whether its processes should take little room.
    pub fn is_dense(&self) -> bool {
        self.dense
    }

    /// Living processes.
    pub fn alive(&self) -> usize {
        self.lock().alive
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    pub(super) fn begin_stop(&self) {
        let _inner = self.lock();
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Counts a new process in.
    pub(super) fn admit(self: &Arc<Self>) -> Result<Place> {
        let mut inner = self.lock();
        if self.is_stopping() {
            return Err(Error::unavailable(format!("host {} is stopping", self.id)));
        }
        if self.terminal.is_some() && inner.alive > 0 {
            return Err(Error::unavailable("terminal host is busy"));
        }
        if inner.alive >= self.most {
            let message = format!("host {} is full: {} processes live on it", self.id, self.most);
            return Err(Error::unavailable(message).with_retryable(Some(true)));
        }
        inner.alive += 1;
        Ok(Place(Some(self.clone())))
    }

    /// One process less, whose end `settle` makes known.
    pub(super) fn dismiss<T>(&self, settle: impl FnOnce() -> T) -> T {
        let mut inner = self.lock();
        let settled = settle();
        inner.alive -= 1;
        drop(inner);
        // Who stops it has said so under that lock, or finds what was counted.
        if self.is_stopping() {
            self.changed.notify_waiters();
        }
        settled
    }

    /// Room for a call that goes on without its caller, which has returned. Nobody answers for it any more, so what all
    /// processes of the host leave behind is no more than one mailbox of it may hold; none beyond that.
    pub fn leave_call(self: &Arc<Self>, bytes: usize) -> Option<LeftCall> {
        let mut left = lock(&self.left);
        self.mailbox.check(left.0, left.1, bytes).ok()?;
        left.0 += 1;
        left.1 += bytes;
        Some(LeftCall {
            host: self.clone(),
            bytes,
        })
    }

    /// Takes one of the host's places, or keeps the process until one is free.
    pub(super) fn enter(&self, process: &Arc<Process>, now: u64) -> bool {
        if self.workers == 0 || process.take_place() {
            return true;
        }
        let mut inner = self.lock();
        let free = inner.running < self.workers;
        if free {
            inner.running += 1;
        } else {
            inner.held_back.push(process.clone(), now);
        }
        free
    }

    /// Gives the place back, or hands it on: the process that may go on instead. It keeps the place until it does, or
    /// whoever is quicker would send it back to where it was.
    pub(super) fn leave(&self, now: u64) -> Option<Arc<Process>> {
        if self.workers == 0 {
            return None;
        }
        let mut inner = self.lock();
        let next = inner.held_back.pop(false, now);
        match &next {
            Some(next) => next.give_place(),
            None => inner.running -= 1,
        }
        next
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}
