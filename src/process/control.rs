//! The control block of one process: what the kernel knows of it, and the handle by which everybody else reaches it.
//!
//! Ways of ending and who is told live in [`Kernel`](super::Kernel); when a body is stepped, in `scheduler`.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, TryLockError};
use std::task::Wake;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::end::{End, close_late};
use super::pool::Chain;
use super::timer::Armed;
use super::{Body, Context, Doing, Exit, Host, Kernel, Mailbox, Program, Start, Upgrade, Wait};
use crate::error::Result;
use crate::id::{EntryId, Pid};
use crate::lock::lock;
use crate::system::terminal::Terminal;

/// What is found where the body of a process is.
pub(super) enum Taken {
    Body(Box<dyn Body>),
    /// Somebody took it before.
    Gone,
    /// Somebody is at it.
    Held,
}

impl Taken {
    pub(super) fn into_body(self) -> Option<Box<dyn Body>> {
        match self {
            Taken::Body(body) => Some(body),
            Taken::Gone | Taken::Held => None,
        }
    }
}

/// Slices after which a process that never waited counts as begun.
const MOST_FIRST: u64 = 100;

/// A process. Lives as long as somebody holds it; whether its program still runs is another matter.
pub struct Process {
    pub(super) identity: Identity,
    /// What it runs; an upgrade changes it.
    program: Mutex<Arc<dyn Program>>,
    pub(super) kernel: Kernel,
    /// A [`phase`].
    pub(super) phase: AtomicU8,
    /// Its slice ended: it goes on behind those that were woken.
    preempted: AtomicBool,
    /// …and then it had more messages than it had taken.
    behind: AtomicBool,
    /// It has a place of its host, which was kept for it.
    has_place: AtomicBool,
    /// What it waits for, while it waits: a [`Wait`] as number.
    waits_for: AtomicU8,
    steps: AtomicU64,
    /// What it does first is done.
    begun: AtomicBool,
    memory: AtomicU64,
    /// Whether a CANCEL would be read. A stop terminates the others.
    hears_cancel: AtomicBool,
    interrupted: AtomicBool,
    /// Told when a CANCEL arrives.
    pub(super) cancelled: Notify,
    /// Whether somebody will look at the exit though no process monitors it.
    observed: AtomicBool,
    mailbox: Mutex<Mailbox>,
    relations: Mutex<Relations>,
    armed: Mutex<Armed>,
    /// When the time began that a limit gives it; an upgrade does not begin it anew.
    timed_since: OnceLock<Instant>,
    /// It has had an entry among the timers.
    was_armed: AtomicBool,
    pub(super) body: Mutex<Option<Box<dyn Body>>>,
    /// Set once: the process is to end for this reason, and nothing of it runs again.
    doom: OnceLock<Box<Exit>>,
    /// How it ended, while its body takes its time to be dropped.
    ending: OnceLock<Box<End>>,
    /// Its end was told, or is about to be.
    settled: AtomicBool,
    exit: OnceLock<Arc<Exit>>,
    /// Told when its first step is over, and at its end, if anybody waits for that.
    told: Notify,
    awaited: AtomicBool,
}

pub(super) struct Identity {
    pub pid: Pid,
    pub host: Arc<Host>,
    pub context: Arc<Context>,
    pub words: Arc<[String]>,
    pub parent: Option<Pid>,
    pub started_at: SystemTime,
    pub is_call: bool,
    /// The calls that wait for its end.
    pub chain: Option<Arc<Chain>>,
}

/// Where a process is in the eyes of the scheduler.
pub(super) mod phase {
    /// Being made: not yet to be run.
    pub const NEW: u8 = 0;
    /// Waits; a wake puts it into a queue.
    pub const IDLE: u8 = 1;
    /// In a run queue.
    pub const QUEUED: u8 = 2;
    /// Being stepped.
    pub const RUNNING: u8 = 3;
    /// Being stepped, and woken meanwhile.
    pub const WOKEN: u8 = 4;
    pub const ENDED: u8 = 5;
}

/// What the program is doing, as `process.info` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Starting,
    /// Could run, waits for a worker.
    Ready,
    Running,
    Waiting,
    Exiting,
}

impl State {
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Ready => "ready",
            State::Running => "running",
            State::Waiting => "waiting",
            State::Exiting => "exiting",
        }
    }
}

/// Who has to hear of the end, and what is freed by it.
#[derive(Default)]
pub(super) struct Relations {
    closed: bool,
    /// Numbers of the processes that monitor this one.
    watchers: Vec<u64>,
    names: HashSet<String>,
}

impl Relations {
    /// False when the process has ended.
    pub(super) fn add_watcher(&mut self, watcher: u64) -> bool {
        if !self.closed {
            self.watchers.push(watcher);
        }
        !self.closed
    }

    pub(super) fn remove_watcher(&mut self, watcher: u64) {
        if let Some(index) = self.watchers.iter().position(|number| *number == watcher) {
            self.watchers.swap_remove(index);
        }
    }

    pub(super) fn add_name(&mut self, name: &str) -> bool {
        if !self.closed {
            self.names.insert(name.to_owned());
        }
        !self.closed
    }

    pub(super) fn names(&self) -> usize {
        self.names.len()
    }

    pub(super) fn remove_name(&mut self, name: &str) {
        self.names.remove(name);
    }

    /// Watchers and names; nothing can be added from now on.
    pub(super) fn close(&mut self) -> (Vec<u64>, HashSet<String>) {
        self.closed = true;
        (std::mem::take(&mut self.watchers), std::mem::take(&mut self.names))
    }
}

impl Process {
    pub(super) fn new(identity: Identity, program: Arc<dyn Program>, kernel: Kernel) -> Arc<Process> {
        Arc::new(Process {
            identity,
            program: Mutex::new(program),
            kernel,
            phase: AtomicU8::new(phase::NEW),
            preempted: AtomicBool::new(false),
            behind: AtomicBool::new(false),
            has_place: AtomicBool::new(false),
            waits_for: AtomicU8::new(Wait::Other as u8),
            steps: AtomicU64::new(0),
            begun: AtomicBool::new(false),
            memory: AtomicU64::new(0),
            hears_cancel: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
            cancelled: Notify::new(),
            observed: AtomicBool::new(false),
            mailbox: Mutex::default(),
            relations: Mutex::default(),
            armed: Mutex::default(),
            timed_since: OnceLock::new(),
            was_armed: AtomicBool::new(false),
            body: Mutex::new(None),
            doom: OnceLock::new(),
            ending: OnceLock::new(),
            settled: AtomicBool::new(false),
            exit: OnceLock::new(),
            told: Notify::new(),
            awaited: AtomicBool::new(false),
        })
    }

    pub fn pid(&self) -> &Pid {
        &self.identity.pid
    }

    /// What it runs now.
    pub fn program(&self) -> Arc<dyn Program> {
        lock(&self.program).clone()
    }

    /// The entry that it runs now.
    pub fn entry(&self) -> EntryId {
        lock(&self.program).entry().clone()
    }

    /// The entry's kind, `process.lua` for one.
    pub fn kind(&self) -> &'static str {
        lock(&self.program).kind()
    }

    pub fn host(&self) -> &Arc<Host> {
        &self.identity.host
    }

    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    pub fn context(&self) -> &Arc<Context> {
        &self.identity.context
    }

    /// The words of the command line it was started with.
    pub fn words(&self) -> &Arc<[String]> {
        &self.identity.words
    }

    /// Who spawned it.
    pub fn parent(&self) -> Option<&Pid> {
        self.identity.parent.as_ref()
    }

    /// Whether it is the call of a function.
    pub fn is_call(&self) -> bool {
        self.identity.is_call
    }

    /// The calls that wait for its end, itself included; none if no call does.
    pub(super) fn chain(&self) -> Option<&Arc<Chain>> {
        self.identity.chain.as_ref()
    }

    /// Waits for the next CANCEL to arrive after this call.
    pub(super) fn cancelled(&self) -> Notified<'_> {
        self.cancelled.notified()
    }

    pub fn started_at(&self) -> SystemTime {
        self.identity.started_at
    }

    /// When the time began that a limit gives it: now, unless it has begun.
    pub(super) fn timed_since(&self, now: Instant) -> Instant {
        *self.timed_since.get_or_init(|| now)
    }

    pub(super) fn max_execution(&self) -> Option<Duration> {
        lock(&self.program).max_execution()
    }

    /// The terminal, on a terminal host.
    pub fn terminal(&self) -> Option<&Arc<Terminal>> {
        self.host().terminal()
    }

    pub fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        lock(&self.mailbox)
    }

    /// Makes it ready, if it waits. A wake while it runs makes it run once more.
    pub fn wake(self: &Arc<Self>) {
        if self.leaves_rest() {
            self.kernel.scheduler().push(&self.kernel, self.clone());
        }
    }

    /// The part of a wake that is the process's own: true when whoever asks has to queue it.
    pub(super) fn leaves_rest(&self) -> bool {
        let mut seen = self.phase.load(Ordering::SeqCst);
        loop {
            let next = match seen {
                phase::IDLE => phase::QUEUED,
                phase::RUNNING => phase::WOKEN,
                _ => return false,
            };
            match self
                .phase
                .compare_exchange_weak(seen, next, Ordering::SeqCst, Ordering::SeqCst)
            {
                Ok(woken) => return woken == phase::IDLE,
                Err(now) => seen = now,
            }
        }
    }

    /// Whether it was woken since its step began: something may have come. Asked by its own step.
    pub fn is_woken(&self) -> bool {
        self.phase.load(Ordering::SeqCst) == phase::WOKEN
    }

    /// Asks to be woken at that time, or a little before it for nothing; one such wish is kept. `None` changes nothing.
    pub fn wake_at(self: &Arc<Self>, at: Option<Instant>) {
        if let Some(at) = at
            && self.kernel.timers().wake_at(self, at)
        {
            self.kernel.scheduler().timers_changed(&self.kernel);
        }
    }

    /// Whether it is to end: nothing of its program may run any more.
    pub fn is_doomed(&self) -> bool {
        self.doom.get().is_some()
    }

    /// Ends it, whatever it does. The first reason stays.
    pub fn doom(self: &Arc<Self>, exit: Exit) {
        if self.doom.set(Box::new(exit)).is_ok() {
            // Also where it only waits for its turn, which may be far off.
            self.kernel.wait_for_end(self);
            self.wake();
        }
    }

    /// Gives the body to whoever ends the process; none while it is being stepped.
    pub(super) fn take_body(&self) -> Taken {
        let body = match self.body.try_lock() {
            Ok(mut body) => body.take(),
            Err(TryLockError::Poisoned(body)) => body.into_inner().take(),
            Err(TryLockError::WouldBlock) => return Taken::Held,
        };
        body.map_or(Taken::Gone, Taken::Body)
    }

    /// It ended so; what is left is to drop its body.
    pub(super) fn set_ending(&self, end: End) {
        let first = self.ending.set(Box::new(end)).is_ok();
        debug_assert!(first, "a process ends once");
    }

    pub(super) fn ending(&self) -> Option<&End> {
        self.ending.get().map(Box::as_ref)
    }

    /// Whether its end is still to be told; from now on it is not.
    pub(super) fn settle(&self) -> bool {
        !self.settled.swap(true, Ordering::SeqCst)
    }

    pub(super) fn reason(&self) -> Option<&Exit> {
        self.doom.get().map(Box::as_ref)
    }

    /// Whether it would read a CANCEL. A stop terminates a process that would not.
    pub fn set_hears_cancel(&self, hears: bool) {
        // Said at every wait, and hardly ever something new.
        if self.hears_cancel() != hears {
            self.hears_cancel.store(hears, Ordering::SeqCst);
        }
    }

    pub(super) fn hears_cancel(&self) -> bool {
        self.hears_cancel.load(Ordering::SeqCst)
    }

    /// Asks it to give up what it is doing at the moment, not its life. Only a body that has such moments looks (a test
    /// file, a REPL session: `lua::driver::guard`); it stays asked until then.
    pub fn interrupt(self: &Arc<Self>) {
        self.interrupted.store(true, Ordering::SeqCst);
        self.wake();
    }

    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    /// Whether somebody asked; nobody has asked any more.
    pub fn take_interrupt(&self) -> bool {
        self.interrupted.swap(false, Ordering::SeqCst)
    }

    /// Somebody will look at its exit: a failure needs no log record.
    pub fn set_observed(&self) {
        self.observed.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_observed(&self) -> bool {
        self.observed.load(Ordering::SeqCst)
    }

    /// Puts what it is to run from now on in place of what it ran, whose body was taken.
    pub(super) fn become_other(self: &Arc<Self>, upgrade: Upgrade) -> Result<()> {
        *lock(&self.program) = upgrade.program.clone();
        self.mailbox().unlisten_all();
        self.set_hears_cancel(false);
        self.set_memory(0);
        let start = Start {
            process: self.clone(),
            args: upgrade.args,
        };
        *lock(&self.body) = Some(upgrade.program.start(start)?);
        Ok(())
    }

    pub(super) fn set_preempted(&self, preempted: bool) {
        self.preempted.store(preempted, Ordering::Relaxed);
    }

    pub(super) fn is_preempted(&self) -> bool {
        self.preempted.load(Ordering::Relaxed)
    }

    /// Its slice is over: notes whether it falls behind with its messages.
    pub(super) fn note_slice(&self) {
        let behind = self.mailbox().falls_behind();
        self.behind.store(behind, Ordering::Relaxed);
    }

    /// Whether it fell behind with its messages when it was last preempted.
    pub(super) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    /// Keeps a place of its host for it.
    pub(super) fn give_place(&self) {
        self.has_place.store(true, Ordering::SeqCst);
    }

    /// Whether one was kept for it, which it takes.
    pub(super) fn take_place(&self) -> bool {
        self.has_place.swap(false, Ordering::SeqCst)
    }

    pub(super) fn set_wait(&self, wait: Wait) {
        // Seen by whoever sees that it waits.
        self.waits_for.store(wait as u8, Ordering::Relaxed);
    }

    pub(super) fn set_memory(&self, bytes: u64) {
        self.memory.store(bytes, Ordering::Relaxed);
    }

    /// Whether nothing but a message or an event can wake it, and it has left its CANCEL unread.
    pub(super) fn is_idle_orphan(&self) -> bool {
        self.phase.load(Ordering::SeqCst) == phase::IDLE
            && self.waits_for.load(Ordering::Relaxed) == Wait::Mailbox as u8
            && self.mailbox().has_cancel()
    }

    /// Whether it waits, and nothing has woken it.
    pub(super) fn is_idle(&self) -> bool {
        self.phase.load(Ordering::SeqCst) == phase::IDLE
    }

    pub fn state(&self) -> State {
        match self.phase.load(Ordering::SeqCst) {
            phase::ENDED => State::Exiting,
            _ if self.is_doomed() => State::Exiting,
            phase::RUNNING | phase::WOKEN => State::Running,
            _ if self.steps() == 0 => State::Starting,
            phase::IDLE => State::Waiting,
            _ => State::Ready,
        }
    }

    /// What it is doing. Blocks until its step is over, if it is in one; so it must not be called from within.
    pub fn explain(&self) -> Vec<Doing> {
        let doing = {
            let body = lock(&self.body);
            body.as_ref().map(|body| body.explain()).unwrap_or_default()
        };
        if self.phase.load(Ordering::SeqCst) == phase::ENDED {
            // Its end may have found the body locked, and then nobody else takes it.
            close_late(self.take_body());
        }
        doing
    }

    /// How often it was scheduled.
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::SeqCst)
    }

    /// Bytes held after its last step.
    pub fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// How it ended, once it has.
    pub fn exit(&self) -> Option<&Arc<Exit>> {
        self.exit.get()
    }

    /// Waits for the end. Counts as looking at it.
    pub fn exited(self: &Arc<Self>) -> impl Future<Output = Arc<Exit>> + Send + 'static {
        self.set_observed();
        self.told(|process| process.exit.get().cloned())
    }

    /// Waits until it has begun: it has reached its first wait or its end, so that what main does before is done; or it has
    /// used up [`MOST_FIRST`] slices, and may never wait.
    pub fn begun(self: &Arc<Self>) -> impl Future<Output = ()> + Send + 'static {
        self.told(|process| (process.begun.load(Ordering::SeqCst) || process.exit.get().is_some()).then_some(()))
    }

    fn told<T: 'static>(
        self: &Arc<Self>,
        wanted: fn(&Process) -> Option<T>,
    ) -> impl Future<Output = T> + Send + 'static {
        let process = self.clone();
        async move {
            process.awaited.store(true, Ordering::SeqCst);
            fence(Ordering::SeqCst);
            loop {
                let told = process.told.notified();
                if let Some(found) = wanted(&process) {
                    return found;
                }
                told.await;
            }
        }
    }

    pub(super) fn count_step(&self, preempted: bool) {
        // Nobody else counts them.
        let steps = self.steps.load(Ordering::Relaxed) + 1;
        self.steps.store(steps, Ordering::Relaxed);
        if !self.begun.load(Ordering::Relaxed) && (!preempted || steps >= MOST_FIRST) {
            self.begun.store(true, Ordering::Release);
            self.tell();
        }
    }

    /// It ended so; [`Process::tell`] says it to those that wait. Gives back what is kept of that.
    pub(super) fn set_exit(&self, exit: Arc<Exit>) -> &Arc<Exit> {
        debug_assert!(self.exit.get().is_none(), "a process ends once");
        self.exit.get_or_init(|| exit)
    }

    /// Wakes those that wait for what was just set.
    pub(super) fn tell(&self) {
        // Either who waits has said so before this, or finds what was set.
        fence(Ordering::SeqCst);
        if self.awaited.load(Ordering::SeqCst) {
            self.told.notify_waiters();
        }
    }

    pub(super) fn relations(&self) -> MutexGuard<'_, Relations> {
        lock(&self.relations)
    }

    pub(super) fn armed(&self) -> MutexGuard<'_, Armed> {
        self.was_armed.store(true, Ordering::Release);
        lock(&self.armed)
    }

    pub(super) fn was_armed(&self) -> bool {
        self.was_armed.load(Ordering::Acquire)
    }
}

impl Wake for Process {
    fn wake(self: Arc<Self>) {
        Process::wake(&self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        Process::wake(self);
    }
}
