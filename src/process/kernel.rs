//! The kernel: the table of processes and hosts, and what is done to them from outside. How a process comes to be is in
//! `spawn`, how it ends in `end`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, RwLock, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustc_hash::FxBuildHasher;
use tokio::runtime::Handle;

use super::clock::Clock;
use super::mailbox::Refused;
use super::scheduler::Scheduler;
use super::ticker::{self, Ticked};
use super::timer::Timers;
use super::{Bound, Event, EventKind, Exit, Host, HostSpec, Mailbox, Message, Names, Policy, Process, Programs, Topic};
use crate::error::{Error, Kind, Result};
use crate::id::{ById, EntryId, Pid};
use crate::lock::{lock, read, write};
use crate::log::Log;
use crate::size;
use crate::value::Packed;

/// Why a process is asked to end with its host.
pub(super) const STOPPING: &str = "scheduler shutdown";

const SHARDS: usize = 64;

/// A handle to one kernel. Clones are the same kernel.
#[derive(Clone)]
pub struct Kernel(Arc<Core>);

/// What a kernel is made with.
pub struct KernelOptions {
    /// Threads that run processes; 0: one per processor.
    pub workers: usize,
    pub log: Log,
    /// Where guests' I/O, blocking calls and other futures run.
    pub io: Handle,
    pub programs: Arc<dyn Programs>,
    pub clock: Clock,
}

/// Numbers are the kernel's own, so a quick hash will do.
pub(super) type ByNumber = HashMap<u64, Arc<Process>, FxBuildHasher>;

/// A part of the table, in cache lines of its own: processes with neighbouring numbers run on different workers.
#[derive(Default)]
#[repr(align(128))]
struct Shard(Mutex<ByNumber>);

type TickHook = Arc<dyn Fn() + Send + Sync>;

struct Core {
    table: [Shard; SHARDS],
    numbers: AtomicU64,
    hosts: RwLock<ById<Arc<Host>>>,
    /// Where the calls of functions run. Not among the others: nothing can be spawned on it by its name.
    functions: Arc<Host>,
    names: Names,
    timers: Timers,
    scheduler: Scheduler,
    programs: Arc<dyn Programs>,
    io: Handle,
    log: Log,
    policy: OnceLock<Arc<dyn Policy>>,
    tick_hooks: RwLock<Vec<TickHook>>,
    /// Keeps the registration with the ticker alive.
    beat: OnceLock<Arc<Beat>>,
}

/// Passes the tick on without keeping the kernel alive.
struct Beat(Weak<Core>);

impl Ticked for Beat {
    fn tick(&self, now: u64) -> bool {
        self.0.upgrade().is_some_and(|core| Kernel(core).tick(now))
    }
}

impl Kernel {
    pub fn new(options: KernelOptions) -> Kernel {
        let kernel = Kernel::unmanned(options);
        let beat = kernel.0.beat.get_or_init(|| Arc::new(Beat(Arc::downgrade(&kernel.0))));
        let beat: Arc<dyn Ticked> = beat.clone();
        ticker::register(Arc::downgrade(&beat));
        kernel.0.scheduler.start(&kernel);
        kernel
    }

    /// Without threads: what is queued stays queued.
    pub(super) fn unmanned(options: KernelOptions) -> Kernel {
        let workers = match options.workers {
            0 => std::thread::available_parallelism().map_or(2, usize::from),
            count => count,
        };
        Kernel(Arc::new(Core {
            table: std::array::from_fn(|_| Shard::default()),
            numbers: AtomicU64::new(1),
            hosts: RwLock::default(),
            functions: Arc::new(Host::new(HostSpec::new(EntryId::new("wippy", "functions")))),
            names: Names::default(),
            timers: Timers::new(options.clock),
            scheduler: Scheduler::new(workers),
            programs: options.programs,
            io: options.io,
            log: options.log,
            policy: OnceLock::new(),
            tick_hooks: RwLock::default(),
            beat: OnceLock::new(),
        }))
    }

    pub fn programs(&self) -> &Arc<dyn Programs> {
        &self.0.programs
    }

    /// tokio, for what has to wait elsewhere.
    pub fn io(&self) -> &Handle {
        &self.0.io
    }

    pub fn log(&self) -> &Log {
        &self.0.log
    }

    pub fn names(&self) -> &Names {
        &self.0.names
    }

    /// The kernel's clock, the one that timers follow.
    pub fn now(&self) -> Instant {
        self.0.timers.clock.now()
    }

    /// Moves a manual clock and fires what is due. Does nothing to a real one.
    pub fn advance(&self, by: Duration) {
        self.0.timers.clock.advance(by);
        self.0.scheduler.timers_changed(self);
    }

    /// Has `hook` called at every beat while a worker is busy. It must be quick.
    pub fn on_tick(&self, hook: impl Fn() + Send + Sync + 'static) {
        let mut hooks = write(&self.0.tick_hooks);
        hooks.push(Arc::new(hook));
    }

    pub(super) fn policy(&self) -> &OnceLock<Arc<dyn Policy>> {
        &self.0.policy
    }

    pub(super) fn timers(&self) -> &Timers {
        &self.0.timers
    }

    pub(super) fn scheduler(&self) -> &Scheduler {
        &self.0.scheduler
    }

    fn tick(&self, now: u64) -> bool {
        let busy = self.0.scheduler.tick(self, now);
        if busy {
            let hooks = read(&self.0.tick_hooks);
            hooks.iter().for_each(|hook| hook());
        }
        busy
    }
}

/// Hosts.
impl Kernel {
    /// Adds a host and has it take processes.
    ///
    /// # Errors
    /// AlreadyExists when one of that id runs.
    pub fn add_host(&self, spec: HostSpec) -> Result<Arc<Host>> {
        let mut hosts = write(&self.0.hosts);
        if hosts.contains_key(&spec.id) {
            return Err(Error::already_exists(format!("host {} is already running", spec.id)));
        }
        let host = Arc::new(Host::new(spec));
        hosts.insert(host.id().clone(), host.clone());
        Ok(host)
    }

    pub fn host(&self, id: &EntryId) -> Option<Arc<Host>> {
        let hosts = read(&self.0.hosts);
        hosts.get(id).cloned()
    }

    /// The host of that id, to run something on.
    ///
    /// # Errors
    /// That of its entry if it is broken; else NotFound with those words.
    pub fn usable_host(&self, id: &EntryId, missing: impl FnOnce() -> String) -> Result<Arc<Host>> {
        let broken = || self.programs().broken_host(id);
        let refused = || broken().unwrap_or_else(|| Error::not_found(missing()));
        self.host(id).ok_or_else(refused)
    }

    /// The host of the calls of functions.
    pub fn functions(&self) -> &Arc<Host> {
        &self.0.functions
    }

    pub fn hosts(&self) -> Vec<Arc<Host>> {
        let hosts = read(&self.0.hosts);
        hosts.values().cloned().collect()
    }

    /// Stops a host: CANCEL `scheduler shutdown` to every process that would read it, the end to the others; what is
    /// left after the host's stop timeout is terminated. The wait ends early when only processes are left that wait for
    /// their mailbox alone and have not taken their CANCEL.
    pub async fn stop_host(&self, host: &Arc<Host>) {
        host.begin_stop();
        for process in self.processes_of(host) {
            self.ask_to_stop(None, &process, STOPPING);
        }
        let emptied = self.wait_until(host, |left| left.iter().all(|process| process.is_idle_orphan()));
        // A timeout is an outcome here, not an error: what is left is terminated below.
        let _ = tokio::time::timeout(host.stop_timeout, emptied).await;
        for process in self.processes_of(host) {
            process.doom(Exit::terminated());
        }
        self.wait_until(host, |left| left.is_empty()).await;
        let mut hosts = write(&self.0.hosts);
        hosts.retain(|_, other| !Arc::ptr_eq(other, host));
    }

    /// Sends CANCEL to a process that would read it, and ends one that would not.
    pub fn ask_to_stop(&self, from: Option<&Pid>, process: &Arc<Process>, reason: &str) {
        if process.hears_cancel() {
            let pushed = process.mailbox().push_event(cancel(from, reason));
            // One that has ended meanwhile needs no telling.
            if pushed.is_ok() {
                announce_cancel(process);
            }
        } else {
            process.doom(Exit::terminated());
        }
    }

    async fn wait_until(&self, host: &Arc<Host>, done: impl Fn(&[Arc<Process>]) -> bool) {
        loop {
            let changed = host.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let left = self.processes_of(host);
            if left.is_empty() && host.alive() == 0 || !left.is_empty() && done(&left) {
                return;
            }
            changed.await;
        }
    }

    fn processes_of(&self, host: &Arc<Host>) -> Vec<Arc<Process>> {
        self.living(|process| Arc::ptr_eq(process.host(), host))
    }
}

/// Processes.
impl Kernel {
    /// The living process of that pid.
    pub fn find(&self, pid: &Pid) -> Option<Arc<Process>> {
        let process = self.find_number(pid.number())?;
        (process.pid() == pid).then_some(process)
    }

    /// Every living process, oldest first.
    pub fn processes(&self) -> Vec<Arc<Process>> {
        self.living(|_| true)
    }

    /// Reads a destination: a pid, else a registered name.
    ///
    /// # Errors
    /// NotFound `process not found: <pid>` for a pid that no process can have, else `could not resolve '<x>' as PID or
    /// registered name`.
    pub fn resolve(&self, destination: &str) -> Result<Pid> {
        if Pid::has_form(destination) {
            return Pid::parse(destination);
        }
        self.0.names.lookup(destination).ok_or_else(|| unresolved(destination))
    }

    /// Registers a name for a living process; see [`Names`].
    ///
    /// # Errors
    /// Invalid, AlreadyExists, NotFound.
    pub fn register(&self, name: &str, pid: &Pid) -> Result<()> {
        let process = self.find(pid).ok_or_else(|| not_found(pid))?;
        self.0.names.register(name, &process, |pid| self.lives(pid))
    }

    /// Frees a name; false when nobody held it.
    pub fn unregister(&self, name: &str) -> bool {
        self.0.names.unregister(name, |holder| {
            if let Some(holder) = self.find(holder) {
                holder.relations().remove_name(name);
            }
        })
    }

    /// The process of that pid, if it will read what is sent to it. A doomed one reads nothing any more, though it may take
    /// a moment to go.
    ///
    /// # Errors
    /// NotFound.
    pub(super) fn reader(&self, pid: &Pid) -> Result<Arc<Process>> {
        let found = self.find(pid).filter(|process| !process.is_doomed());
        found.ok_or_else(|| not_found(pid))
    }

    pub(super) fn lives(&self, pid: &Pid) -> bool {
        self.find(pid).is_some_and(|process| !process.is_doomed())
    }

    /// Queues a message.
    ///
    /// # Errors
    /// NotFound for a pid that does not live; Unavailable and retryable when its mailbox is full; LimitExceeded for a message
    /// that is larger than the whole mailbox.
    pub fn send(&self, from: Option<&Pid>, to: &Pid, topic: Topic, payload: Packed) -> Result<()> {
        self.deliver(from, self.reader(to)?, topic, payload)
    }

    /// [`Kernel::send`] to a process that was found. It goes on next if the process that sends it runs here.
    pub(super) fn deliver(&self, from: Option<&Pid>, to: Arc<Process>, topic: Topic, payload: Packed) -> Result<()> {
        self.queue(from, &to, topic, payload)?;
        if to.leaves_rest() {
            self.scheduler().push_next(self, to);
        }
        Ok(())
    }

    pub(super) fn queue(&self, from: Option<&Pid>, target: &Process, topic: Topic, payload: Packed) -> Result<()> {
        let message = Message {
            from: from.cloned(),
            topic,
            payload,
        };
        let bound = target.host().mailbox;
        let pushed = target.mailbox().push_message(message, bound);
        pushed.map_err(|refused| refusal(target.pid(), refused, bound))
    }

    /// Has `watcher` told of the end of `target`, once.
    ///
    /// # Errors
    /// Invalid for oneself; NotFound for a pid that does not live; AlreadyExists when it is monitored already.
    pub fn monitor(&self, watcher: &Arc<Process>, target: &Pid) -> Result<()> {
        if watcher.pid() == target {
            return Err(Error::invalid("a process cannot monitor itself"));
        }
        let target = self.find(target).ok_or_else(|| not_found(target))?;
        if !watcher.mailbox().watch(target.pid().number()) {
            return Err(Error::already_exists(format!("already monitoring {}", target.pid())));
        }
        if !target.relations().add_watcher(watcher.pid().number()) {
            watcher.mailbox().unwatch(target.pid().number());
            return Err(not_found(target.pid()));
        }
        Ok(())
    }

    /// Undoes [`Kernel::monitor`]: no EXIT of that process is seen any more, not even one that is queued already.
    pub fn unmonitor(&self, watcher: &Arc<Process>, target: &Pid) {
        watcher.mailbox().unwatch(target.number());
        if let Some(target) = self.find(target) {
            target.relations().remove_watcher(watcher.pid().number());
        }
    }

    /// Links two processes: when one of them fails, the other ends too, or is told if it traps links. Once is enough.
    ///
    /// # Errors
    /// Invalid for oneself; NotFound for a pid that does not live; Unavailable and retryable when others have asked it for as
    /// many links as its mailbox may hold messages.
    pub fn link(&self, process: &Arc<Process>, peer: &Pid) -> Result<()> {
        if process.pid() == peer {
            return Err(Error::invalid("a process cannot link to itself"));
        }
        let peer = self.find(peer).ok_or_else(|| not_found(peer))?;
        link(process, &peer)
    }

    /// Undoes [`Kernel::link`]: the end of either is nothing to the other any more, and a LINK_DOWN that is queued already
    /// is not seen.
    pub fn unlink(&self, process: &Arc<Process>, peer: &Pid) {
        match self.find(peer).filter(|peer| !Arc::ptr_eq(peer, process)) {
            Some(peer) => {
                let (mut own, mut other) = mailboxes(process, &peer);
                own.unlink(peer.pid().number());
                other.unlink(process.pid().number());
            }
            None => process.mailbox().unlink(peer.number()),
        }
    }

    /// The living processes that it is linked to, oldest first.
    pub fn links_of(&self, process: &Process) -> Vec<Pid> {
        let numbers: Vec<u64> = process.mailbox().links().collect();
        self.pids(numbers)
    }

    /// The living processes that it monitors, oldest first.
    pub fn monitors_of(&self, process: &Process) -> Vec<Pid> {
        let mut numbers: Vec<u64> = process.mailbox().watching().collect();
        numbers.sort_unstable();
        self.pids(numbers)
    }

    fn pids(&self, numbers: Vec<u64>) -> Vec<Pid> {
        let living = numbers.into_iter().filter_map(|number| self.find_number(number));
        living.map(|process| process.pid().clone()).collect()
    }

    /// Ends a process, whatever it does.
    ///
    /// # Errors
    /// NotFound for a pid that does not live.
    pub fn terminate(&self, target: &Pid) -> Result<()> {
        let target = self.find(target).ok_or_else(|| not_found(target))?;
        target.doom(Exit::terminated());
        Ok(())
    }

    /// Queues a CANCEL event.
    ///
    /// # Errors
    /// NotFound for a pid that does not live; Unavailable and retryable when as many CANCELs lie there unread as the mailbox
    /// may hold messages; LimitExceeded for a reason that is larger than the whole mailbox.
    pub fn cancel(&self, from: Option<&Pid>, target: &Pid, reason: &str) -> Result<()> {
        let process = self.find(target).ok_or_else(|| not_found(target))?;
        let bound = process.host().mailbox;
        let pushed = process.mailbox().push_cancel(cancel(from, reason), bound);
        pushed.map_err(|refused| refusal(target, refused, bound))?;
        announce_cancel(&process);
        Ok(())
    }

    /// Ends every process at once, then the workers. Must not be called from a process.
    pub fn close(&self) {
        for process in self.processes() {
            process.doom(Exit::terminated());
        }
        self.0.scheduler.close();
        for process in self.processes() {
            self.finish_now(&process, Exit::terminated());
        }
        self.0.programs.close();
    }

    pub(super) fn find_number(&self, number: u64) -> Option<Arc<Process>> {
        self.shard(number).get(&number).cloned()
    }

    pub(super) fn shard(&self, number: u64) -> MutexGuard<'_, ByNumber> {
        let shard = &self.0.table[(number % SHARDS as u64) as usize];
        lock(&shard.0)
    }

    /// A number that no process had.
    pub(super) fn next_number(&self) -> u64 {
        self.0.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn living(&self, wanted: impl Fn(&Process) -> bool) -> Vec<Arc<Process>> {
        let mut processes = Vec::new();
        for shard in &self.0.table {
            let shard = lock(&shard.0);
            processes.extend(shard.values().filter(|process| wanted(process)).cloned());
        }
        processes.sort_by_key(|process| process.pid().number());
        processes
    }
}

/// Makes both ends of a link that one process asks another one for.
pub(super) fn link(asks: &Arc<Process>, peer: &Arc<Process>) -> Result<()> {
    let (mut of_asking, mut of_peer) = mailboxes(asks, peer);
    if of_asking.is_closed() {
        return Err(not_found(asks.pid()));
    }
    let (number, bound) = (asks.pid().number(), peer.host().mailbox);
    let linked = of_peer.link(number, false, bound);
    linked.map_err(|refused| refusal(peer.pid(), refused, bound))?;
    let linked = of_asking.link(peer.pid().number(), true, asks.host().mailbox);
    debug_assert!(linked.is_ok(), "it is open, and what it asks for has no bound");
    Ok(())
}

fn cancel(from: Option<&Pid>, reason: &str) -> Event {
    Event {
        kind: EventKind::Cancel(reason.into()),
        from: from.cloned(),
        at: unix_seconds(),
    }
}

/// A CANCEL was queued.
fn announce_cancel(process: &Arc<Process>) {
    process.wake();
    process.cancelled.notify_waiters();
}

/// The mailboxes of two different processes; the older one's is locked first, wherever two are.
fn mailboxes<'a>(one: &'a Process, two: &'a Process) -> (MutexGuard<'a, Mailbox>, MutexGuard<'a, Mailbox>) {
    if one.pid().number() < two.pid().number() {
        let of_one = one.mailbox();
        (of_one, two.mailbox())
    } else {
        let of_two = two.mailbox();
        (one.mailbox(), of_two)
    }
}

/// What the sender of a message or a CANCEL is told, and who asks for a link.
fn refusal(to: &Pid, refused: Refused, bound: Bound) -> Error {
    match refused {
        Refused::Closed => not_found(to),
        Refused::Full => Error::unavailable(format!("mailbox of {to} is full")).with_retryable(Some(true)),
        Refused::TooLarge(bytes) => {
            let (bytes, most) = (size::format(bytes as u64), size::format(bound.bytes as u64));
            let message = format!("message of {bytes} is larger than the whole mailbox of {to}: {most}");
            Error::new(Kind::LimitExceeded, message)
        }
    }
}

/// What a destination that names no process is refused with.
pub fn unresolved(destination: &str) -> Error {
    Error::not_found(format!("could not resolve '{destination}' as PID or registered name"))
}

pub(super) fn not_found(pid: &Pid) -> Error {
    Error::new(Kind::NotFound, format!("process not found: {pid}"))
}

pub(super) fn unix_seconds() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() as i64)
}
