//! Which process runs when, and on which worker.
//!
//! Workers are OS threads of our own. Each has a ready queue (`queue`), in which those that were just woken or have never
//! run go before those whose slice ended. A worker wakes and feeds its own neighbours' chatter itself (a message over threads costs more than a step), and calls an idle
//! neighbour only when more than one process waits behind the one it runs. Before it goes on with preempted ones, it helps
//! a neighbour who has a backlog of the others. The first worker has its thread from the start, each other one from its first
//! call, until which it counts as idle: a short program is over before it needs them.
//!
//! Why not a task per worker on tokio's threads: tokio's cooperative budget is counted per task and would be shared by
//! all processes of a worker, its driver is polled only between polls, and the thread to signal would move. Here tokio
//! keeps one thread for guests' I/O, and Lua's timers are fired by the workers themselves.
//!
//! A step ends within its slice, unless it is in code that cannot be interrupted: one long call of a C function, a full
//! collection. Then the tick **relieves** its thread: a new thread takes over the worker with its queue, and the old one
//! leaves when its step is done. So nobody waits behind such a step but its own process.
//!
//! Invariants: a process is in at most one queue, in phase QUEUED, or ENDED if it was abandoned there; whoever moves it out of IDLE queues it; a
//! pusher looks for idle workers after its push, a worker looks for work again after it has declared itself idle.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::control::phase;
use super::queue::Queue;
use super::slice::Slot;
use super::timer::Purpose;
use super::{Exit, Kernel, Process, Progress, StepContext, ticker};
use crate::error::Error;
use crate::lock::lock;

/// Woken and new processes that a worker must have for its neighbours to help though they have preempted ones to run.
const BACKLOG: usize = 8;

/// Beats that a step may last before its thread is relieved. More than an ordinary pause of the machine: a thread costs
/// more than a slice.
pub(super) const RELIEF: u64 = 20;

/// Relieved threads that there may be at once; beyond that processes wait, as they do for a worker.
const MOST_RELIEVED: usize = 64;

/// How long [`Scheduler::close`] waits for threads that cannot be relieved: there are too many of them already.
const PATIENCE: Duration = Duration::from_secs(2);

/// Own pops after which the common queue is looked at even though there is more of one's own.
const FAIRNESS: u64 = 16;

/// How a process gets its place in a queue, in that beat.
type Push = fn(&mut Queue, Arc<Process>, u64);

pub(super) struct Scheduler {
    workers: Box<[Worker]>,
    /// Woken from threads that are not workers.
    common: Mutex<VecDeque<Arc<Process>>>,
    common_len: AtomicUsize,
    idle: Mutex<Vec<usize>>,
    idle_count: AtomicUsize,
    closing: AtomicBool,
    /// Slots of threads that were relieved: what they step is still to be interrupted.
    relieved: Mutex<Vec<Arc<Slot>>>,
    /// Threads that serve a worker: those that have neither ended nor been relieved.
    serving: Mutex<usize>,
    left: Condvar,
}

/// In cache lines of its own: neighbours look at it now and then, its thread writes to it at each step.
#[derive(Default)]
#[repr(align(128))]
struct Worker {
    queue: Mutex<Queue>,
    /// Length of all lanes together, to look at without the lock.
    len: AtomicUsize,
    /// Length of the lanes of woken and new ones.
    urgent: AtomicUsize,
    /// The beat in which its current step began; 0 between steps. Whoever sets it back to 0 owns the worker from then on:
    /// its thread after the step, or the tick that relieves it.
    busy_since: AtomicU64,
    seat: Mutex<Seat>,
}

/// The thread that serves a worker.
#[derive(Default)]
struct Seat {
    slot: Arc<Slot>,
    thread: Option<JoinHandle<()>>,
}

/// Which worker of which scheduler the current thread is.
struct Here {
    scheduler: *const Scheduler,
    index: usize,
    slot: Arc<Slot>,
}

thread_local! {
    static HERE: RefCell<Option<Here>> = const { RefCell::new(None) };
}

impl Scheduler {
    pub(super) fn new(workers: usize) -> Scheduler {
        Scheduler {
            workers: (0..workers.max(1)).map(|_| Worker::default()).collect(),
            common: Mutex::default(),
            common_len: AtomicUsize::new(0),
            idle: Mutex::default(),
            idle_count: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            relieved: Mutex::default(),
            serving: Mutex::default(),
            left: Condvar::new(),
        }
    }

    pub(super) fn start(&self, kernel: &Kernel) {
        let others: Vec<usize> = (1..self.workers.len()).rev().collect();
        self.idle_count.store(others.len(), Ordering::SeqCst);
        *lock(&self.idle) = others;
        self.man(kernel, 0).expect("a thread for a worker");
    }

    /// Steps what was queued first, on this thread; false when nothing is queued. For a kernel without workers.
    #[cfg(test)]
    pub(super) fn step_first(&self, kernel: &Kernel) -> bool {
        let first = self.pop_common();
        if let Some(process) = &first {
            step(kernel, process);
        }
        first.is_some()
    }

    /// Gives a worker a new thread. The one that it had is left to itself.
    fn man(&self, kernel: &Kernel, index: usize) -> std::io::Result<()> {
        let kernel = kernel.clone();
        let slot = Arc::<Slot>::default();
        let own = slot.clone();
        let mut seat = lock(&self.workers[index].seat);
        *lock(&self.serving) += 1;
        let thread = thread::Builder::new()
            .name(format!("wippy-{index}"))
            .spawn(move || run(&kernel, index, own))
            .inspect_err(|_| self.leave())?;
        *seat = Seat {
            slot,
            thread: Some(thread),
        };
        Ok(())
    }

    /// A thread has ended, or was relieved.
    fn leave(&self) {
        *lock(&self.serving) -= 1;
        self.left.notify_all();
    }

    /// Ends the workers and waits for them, but not for ever: what is in a call that cannot be interrupted is left to
    /// itself, as relieved threads are. Processes that still live are dropped with the queues.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        for worker in &self.workers {
            worker.unpark();
        }
        let own = usize::from(self.here().is_some());
        let (serving, _) = self
            .left
            .wait_timeout_while(lock(&self.serving), PATIENCE, |serving| *serving > own)
            .unwrap_or_else(PoisonError::into_inner);
        drop(serving);
        for worker in &self.workers {
            let thread = lock(&worker.seat).thread.take();
            if let Some(thread) = thread.filter(JoinHandle::is_finished) {
                let joined = thread.join();
                debug_assert!(joined.is_ok(), "workers catch panics");
            }
        }
        lock(&self.common).clear();
        for worker in &self.workers {
            let mut queue = lock(&worker.queue);
            *queue = Queue::default();
        }
    }

    /// The nearest timer moved forward: a parked worker has to look at it.
    pub(super) fn timers_changed(&self, kernel: &Kernel) {
        if self.here().is_none() {
            self.call_idle(kernel);
        }
    }

    /// One beat: signals what overran its slice and wakes a neighbour for what waits behind a long step.
    pub(super) fn tick(&self, kernel: &Kernel, now: u64) -> bool {
        // First: they are at work though every worker may be idle.
        let relieved = self.check_relieved(now);
        let idle = self.idle_count.load(Ordering::SeqCst);
        if idle == self.workers.len() {
            return relieved;
        }
        for (index, worker) in self.workers.iter().enumerate() {
            lock(&worker.seat).slot.check(now);
            if let Some(since) = worker.overdue(now) {
                self.relieve(kernel, index, since);
            }
        }
        if idle > 0 && (self.has_waiting() || kernel.timers().is_due()) {
            self.call_idle(kernel);
        }
        true
    }

    /// Signals the relieved threads; false when there is none.
    fn check_relieved(&self, now: u64) -> bool {
        let relieved = lock(&self.relieved);
        relieved.iter().for_each(|slot| slot.check(now));
        !relieved.is_empty()
    }

    /// Has a new thread take over from one whose step, begun in that beat, does not end.
    pub(super) fn relieve(&self, kernel: &Kernel, index: usize, since: u64) {
        let worker = &self.workers[index];
        let slot = lock(&worker.seat).slot.clone();
        // Held to the end: the old thread looks for its slot here when it leaves.
        let mut relieved = lock(&self.relieved);
        if relieved.len() >= MOST_RELIEVED || !worker.give_up(since) {
            return;
        }
        // Before there is a thread that could go to sleep: from now on the old one wakes others for what it queues.
        slot.set_relieved(true);
        // What it queues has come before this, and is found, or it sees after this that it is relieved.
        drop(lock(&worker.queue));
        match self.man(kernel, index) {
            Ok(()) => {
                // When an earlier try had no thread to give, the old one may have left meanwhile.
                if !slot.is_empty() {
                    relieved.push(slot);
                }
                self.leave();
            }
            // The next beat tries again. Until then neighbours take what waits behind that step.
            Err(_) => {
                slot.set_relieved(false);
                worker.busy_since.store(since, Ordering::SeqCst);
            }
        }
    }

    /// Queues a process: with the worker of this thread, or for whoever comes first.
    pub(super) fn push(&self, kernel: &Kernel, process: Arc<Process>) {
        match self.here() {
            Some(index) => self.push_own(kernel, index, process, Queue::push),
            None => self.push_common(kernel, process),
        }
    }

    /// The same for one that the process which this worker steps has sent something: see [`Queue`].
    pub(super) fn push_next(&self, kernel: &Kernel, process: Arc<Process>) {
        match self.here() {
            Some(index) => self.push_own(kernel, index, process, Queue::push_next),
            None => self.push_common(kernel, process),
        }
    }

    /// Queues a process with the worker that this thread was a moment ago.
    pub(super) fn push_own(&self, kernel: &Kernel, index: usize, process: Arc<Process>, push: Push) {
        let worker = &self.workers[index];
        let mut queue = lock(&worker.queue);
        push(&mut queue, process, ticker::now());
        let len = queue.len();
        worker.publish(&queue);
        // Asked under the lock: who is relieved later leaves a queue in which the new thread finds this (see `relieve`).
        let is_own = self.here() == Some(index);
        drop(queue);
        if !is_own {
            // Relieved meanwhile: whoever serves that queue now may have gone to sleep before this came.
            worker.unpark();
        }
        if len > 1 {
            // The length before, who is idle after: see `park`.
            fence(Ordering::SeqCst);
            if self.idle_count.load(Ordering::SeqCst) > 0 {
                self.call_idle(kernel);
            }
        }
    }

    fn push_common(&self, kernel: &Kernel, process: Arc<Process>) {
        let mut common = lock(&self.common);
        common.push_back(process);
        self.common_len.store(common.len(), Ordering::SeqCst);
        drop(common);
        self.call_idle(kernel);
    }

    fn next(&self, index: usize, turn: u64) -> Option<Arc<Process>> {
        if turn.is_multiple_of(FAIRNESS)
            && let Some(process) = self.pop_common()
        {
            return Some(process);
        }
        self.pop(index, true)
            .or_else(|| self.pop_common())
            .or_else(|| self.steal(index, Worker::has_backlog, Queue::split_urgent))
            .or_else(|| self.pop(index, false))
            .or_else(|| self.steal(index, Worker::is_behind, Queue::split))
    }

    fn pop(&self, index: usize, only_urgent: bool) -> Option<Arc<Process>> {
        let worker = &self.workers[index];
        if worker.len.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let mut queue = lock(&worker.queue);
        let process = queue.pop(only_urgent, ticker::now());
        worker.publish(&queue);
        process
    }

    fn pop_common(&self) -> Option<Arc<Process>> {
        if self.common_len.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let mut common = lock(&self.common);
        let process = common.pop_front();
        self.common_len.store(common.len(), Ordering::SeqCst);
        process
    }

    /// A share of what the first neighbour has that needs help.
    fn steal(
        &self,
        thief: usize,
        needs_help: impl Fn(&Worker) -> bool,
        share: impl Fn(&mut Queue) -> Queue,
    ) -> Option<Arc<Process>> {
        let count = self.workers.len();
        for victim in (1..count).map(|offset| (thief + offset) % count) {
            let victim = &self.workers[victim];
            if !needs_help(victim) {
                continue;
            }
            let mut taken = {
                let mut queue = lock(&victim.queue);
                let taken = share(&mut queue);
                victim.publish(&queue);
                taken
            };
            let first = taken.pop_first(ticker::now());
            if first.is_some() {
                let mut own = lock(&self.workers[thief].queue);
                own.append(taken);
                self.workers[thief].publish(&own);
                return first;
            }
        }
        None
    }

    /// Whether something is queued that no worker comes to soon.
    fn has_waiting(&self) -> bool {
        self.common_len.load(Ordering::SeqCst) > 0 || self.workers.iter().any(Worker::is_behind)
    }

    /// Calls the worker that went to sleep last; one without a thread only when all others are at work.
    fn call_idle(&self, kernel: &Kernel) {
        if self.idle_count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let index = {
            let mut idle = lock(&self.idle);
            let index = idle.pop();
            self.idle_count.store(idle.len(), Ordering::SeqCst);
            index
        };
        if let Some(index) = index
            && !self.workers[index].unpark()
            && !self.closing.load(Ordering::SeqCst)
            && self.man(kernel, index).is_err()
        {
            // Somebody is at work, so the next beat calls it again if there is need.
            let mut idle = lock(&self.idle);
            idle.insert(0, index);
            self.idle_count.store(idle.len(), Ordering::SeqCst);
        }
    }

    /// Sleeps until called, or until the nearest timer.
    fn park(&self, kernel: &Kernel, index: usize) {
        {
            let mut idle = lock(&self.idle);
            idle.push(index);
            self.idle_count.store(idle.len(), Ordering::SeqCst);
        }
        // Whoever did not see that this worker is idle has published what it pushed.
        fence(Ordering::SeqCst);
        let own = self.workers[index].len.load(Ordering::SeqCst) > 0;
        let ready = own || self.has_waiting() || kernel.timers().is_due() || self.closing.load(Ordering::SeqCst);
        if !ready {
            match kernel.timers().until_next() {
                Some(wait) => thread::park_timeout(wait),
                None => thread::park(),
            }
        }
        let mut idle = lock(&self.idle);
        idle.retain(|parked| *parked != index);
        self.idle_count.store(idle.len(), Ordering::SeqCst);
        drop(idle);
        ticker::wake();
    }

    /// The worker of this thread; none elsewhere, and none any more once it was relieved.
    fn here(&self) -> Option<usize> {
        HERE.with_borrow(|here| {
            here.as_ref()
                .filter(|here| std::ptr::eq(here.scheduler, self) && !here.slot.is_relieved())
                .map(|here| here.index)
        })
    }
}

/// Step by step.
#[cfg(test)]
impl Scheduler {
    /// Has a thread that does this serve a worker.
    pub(super) fn seat(&self, index: usize, serve: impl FnOnce() + Send + 'static) {
        lock(&self.workers[index].seat).thread = Some(thread::spawn(serve));
    }

    /// Counts a thread that serves a worker.
    pub(super) fn count_serving(&self) {
        *lock(&self.serving) += 1;
    }

    pub(super) fn serving(&self) -> usize {
        *lock(&self.serving)
    }

    pub(super) fn relieved(&self) -> usize {
        lock(&self.relieved).len()
    }

    pub(super) fn set_busy_since(&self, index: usize, beat: u64) {
        self.workers[index].busy_since.store(beat, Ordering::SeqCst);
    }

    pub(super) fn busy_since(&self, index: usize) -> u64 {
        self.workers[index].busy_since.load(Ordering::SeqCst)
    }
}

impl Worker {
    /// False when it has no thread yet.
    fn unpark(&self) -> bool {
        let seat = lock(&self.seat);
        if let Some(thread) = &seat.thread {
            thread.thread().unpark();
        }
        seat.thread.is_some()
    }

    /// When the step began that has lasted too long, if it has.
    fn overdue(&self, now: u64) -> Option<u64> {
        let since = self.busy_since.load(Ordering::SeqCst);
        (since != 0 && now > since + RELIEF).then_some(since)
    }

    /// Ends the step that began in that beat. False when somebody else did.
    fn give_up(&self, since: u64) -> bool {
        let ended = self
            .busy_since
            .compare_exchange(since, 0, Ordering::SeqCst, Ordering::SeqCst);
        since != 0 && ended.is_ok()
    }

    /// Says how long its queue is, which is locked. Whoever pushed looks for idle workers behind a fence; others may hear
    /// a little later that there is less to take.
    fn publish(&self, queue: &Queue) {
        self.len.store(queue.len(), Ordering::Release);
        self.urgent.store(queue.urgent(), Ordering::Release);
    }

    fn has_backlog(&self) -> bool {
        self.urgent.load(Ordering::SeqCst) >= BACKLOG
    }

    /// Whether it has more queued than the next process, or its step has lasted over a beat.
    fn is_behind(&self) -> bool {
        match self.len.load(Ordering::SeqCst) {
            0 => false,
            1 => {
                let since = self.busy_since.load(Ordering::SeqCst);
                since != 0 && since < ticker::now()
            }
            _ => true,
        }
    }
}

fn run(kernel: &Kernel, index: usize, slot: Arc<Slot>) {
    let scheduler = kernel.scheduler();
    let worker = &scheduler.workers[index];
    let _io = kernel.io().enter();
    slot.enter();
    HERE.set(Some(Here {
        scheduler,
        index,
        slot: slot.clone(),
    }));
    ticker::wake();
    let mut turn = 0;
    let mut relieved = false;
    while !relieved && !scheduler.closing.load(Ordering::SeqCst) {
        if kernel.timers().is_due() {
            // As a step: ending a process may wait for what holds its mailbox.
            let since = ticker::now();
            worker.busy_since.store(since, Ordering::Release);
            fire(kernel);
            if !worker.give_up(since) {
                relieved = true;
                break;
            }
        }
        turn += 1;
        match scheduler.next(index, turn) {
            Some(process) => relieved = !serve(kernel, worker, process),
            None => scheduler.park(kernel, index),
        }
    }
    HERE.set(None);
    slot.leave();
    if relieved {
        lock(&scheduler.relieved).retain(|left| !Arc::ptr_eq(left, &slot));
    } else {
        scheduler.leave();
    }
}

pub(super) fn fire(kernel: &Kernel) {
    kernel.timers().fire(|purpose, process| match purpose {
        Purpose::Wake => process.wake(),
        Purpose::Deadline => kernel.out_of_time(process),
        Purpose::Abandon => kernel.abandon(process),
        // No process has one.
        Purpose::Sleep => {}
    });
}

/// Steps one process, within its host's bound. False when the thread was relieved meanwhile: the worker is not its own
/// any more.
fn serve(kernel: &Kernel, worker: &Worker, process: Arc<Process>) -> bool {
    let host = process.host();
    let since = ticker::now();
    if !host.enter(&process, since) {
        return true;
    }
    // The tick may see it a little later.
    worker.busy_since.store(since, Ordering::Release);
    step(kernel, &process);
    let own = worker.give_up(since);
    if let Some(next) = host.leave(ticker::now()) {
        kernel.scheduler().push(kernel, next);
    }
    own
}

fn step(kernel: &Kernel, process: &Arc<Process>) {
    process.set_preempted(false);
    let taken = process
        .phase
        .compare_exchange(phase::QUEUED, phase::RUNNING, Ordering::SeqCst, Ordering::SeqCst);
    if taken.is_err() {
        // It was abandoned in the queue: whoever did that ends it.
        return;
    }
    let progress = match process.reason() {
        Some(_) => None,
        None => Some(step_body(process)),
    };
    match (progress, process.reason()) {
        (_, Some(reason)) => kernel.finish(process, reason.clone(), true),
        (Some(Progress::Ended(exit)), None) => kernel.finish(process, exit, false),
        (Some(Progress::Upgraded(upgrade)), None) => {
            let upgraded = catch_unwind(AssertUnwindSafe(|| kernel.upgrade(process, upgrade)));
            match upgraded.unwrap_or_else(|panic| Err(panicked(&*panic))) {
                Ok(()) => requeue(kernel, process, false),
                Err(error) => kernel.finish(process, Exit::failed(error), false),
            }
        }
        (Some(Progress::Waiting(wait)), None) => rest(kernel, process, wait),
        (Some(Progress::Preempted) | None, None) => requeue(kernel, process, true),
    }
}

/// Has it stepped again, behind those that were woken if its slice was over.
fn requeue(kernel: &Kernel, process: &Arc<Process>, preempted: bool) {
    process.set_preempted(preempted);
    if preempted {
        process.note_slice();
    }
    process.phase.store(phase::QUEUED, Ordering::SeqCst);
    kernel.scheduler().push(kernel, process.clone());
}

fn step_body(process: &Arc<Process>) -> Progress {
    let mut cx = StepContext { process };
    let mut body = lock(&process.body);
    let Some(body) = body.as_mut() else {
        return Progress::Ended(Exit::failed(Error::internal("process has no body")));
    };
    let progress = catch_unwind(AssertUnwindSafe(|| body.step(&mut cx)));
    process.count_step(matches!(progress, Ok(Progress::Preempted)));
    process.set_memory(body.memory());
    progress.unwrap_or_else(|panic| Progress::Ended(Exit::failed(panicked(&*panic))))
}

/// Puts a process that waits to rest, unless it was woken meanwhile.
fn rest(kernel: &Kernel, process: &Arc<Process>, wait: super::Wait) {
    process.set_wait(wait);
    let idle = process
        .phase
        .compare_exchange(phase::RUNNING, phase::IDLE, Ordering::SeqCst, Ordering::SeqCst);
    if idle.is_err() {
        requeue(kernel, process, false);
    } else if process.host().is_stopping() {
        process.host().changed.notify_waiters();
    }
}

/// The error of a process whose body panicked: a fault of ours, felt by that process alone.
pub(super) fn panicked(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("unknown panic");
    Error::internal(format!("internal fault of the runtime, please report it: {text}"))
}
