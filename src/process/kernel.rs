//! The kernel: the table of processes and everything that is done to them from outside.
//!
//! Order of an end (`finish`): the body is dropped, a failure that nobody watches leaves its record, the pid stops
//! resolving, names are released, the mailbox is discarded; then EXIT goes to every monitor, then a failure goes to every
//! linked peer. Relations are closed under their own lock, so whoever monitors or links at the same moment either hears of
//! the end or gets the error that the process is gone, never neither. A body that is not dropped within [`GRACE`], because
//! it is in a long call or very large, is not waited for.

use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustc_hash::FxBuildHasher;
use tokio::runtime::Handle;

use super::clock::Clock;
use super::control::{Identity, phase};
use super::mailbox::{LinkDown, Refused};
use super::names::Refusal;
use super::pool::{Chain, Lease, Pool};
use super::scheduler::{Scheduler, panicked};
use super::ticker::{self, Ticked};
use super::timer::Timers;
use super::{
    Body, Bound, Cause, Context, Event, EventKind, Exit, Host, HostSpec, Mailbox, Message, Names, Policy, Process,
    Program, Programs, Received, Start, Topic, Upgrade,
};
use crate::error::{Error, Kind, Result};
use crate::id::{ById, EntryId, Pid};
use crate::log::{Level, Log, Record};
use crate::size;
use crate::value::{Packed, Value};

/// A body that held at least this much is dropped off the workers: freeing a large state takes longer than a slice.
const HEAVY: u64 = 4 << 20;

/// How long an end waits for its body, when it is in a long call or takes long to drop.
const GRACE: Duration = Duration::from_millis(50);

/// Why a process is asked to end with its host.
const STOPPING: &str = "scheduler shutdown";

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

/// A process to be.
#[derive(Clone)]
pub struct Spawn {
    pub program: Arc<dyn Program>,
    pub host: Arc<Host>,
    pub args: Packed,
    /// Who spawns.
    pub parent: Option<Arc<Process>>,
    /// What `parent` is to the child, before the child's first step.
    pub ties: Ties,
    /// Whoever spawns waits for the end and looks at it: a failure leaves no record, however soon it comes, and calls that
    /// wait for `parent` wait for it too.
    pub observed: bool,
    /// Registered for it before its first step.
    pub name: Option<String>,
    /// In its mailbox before its first step, as sent by `parent`.
    pub messages: Vec<(Topic, Packed)>,
    /// Words of the command line.
    pub words: Arc<[String]>,
    pub context: Arc<Context>,
}

impl Spawn {
    /// A process that nobody in here spawned, without arguments.
    pub fn new(program: Arc<dyn Program>, host: Arc<Host>) -> Spawn {
        Spawn {
            program,
            host,
            args: Packed::empty(),
            parent: None,
            ties: Ties::NONE,
            observed: true,
            name: None,
            messages: Vec::new(),
            words: Arc::default(),
            context: Arc::default(),
        }
    }
}

/// What a spawn under a name came to.
pub enum Joined {
    Started(Arc<Process>),
    /// The name was taken: nothing was spawned, the messages went to this process.
    Holder(Pid),
}

impl Joined {
    pub fn pid(&self) -> &Pid {
        match self {
            Joined::Started(process) => process.pid(),
            Joined::Holder(pid) => pid,
        }
    }
}

/// The relations that a spawn installs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ties {
    pub monitor: bool,
    pub link: bool,
}

impl Ties {
    pub const NONE: Ties = Ties::new(false, false);
    pub const MONITOR: Ties = Ties::new(true, false);
    pub const LINK: Ties = Ties::new(false, true);
    pub const BOTH: Ties = Ties::new(true, true);

    const fn new(monitor: bool, link: bool) -> Ties {
        Ties { monitor, link }
    }
}

/// Numbers are the kernel's own, so a quick hash will do.
type ByNumber = HashMap<u64, Arc<Process>, FxBuildHasher>;

/// A part of the table, in cache lines of its own: processes with neighbouring numbers run on different workers.
#[derive(Default)]
#[repr(align(128))]
struct Shard(Mutex<ByNumber>);

/// Makes the body of a process.
trait Make: FnOnce(&dyn Program, Start) -> Result<Box<dyn Body>> {}

impl<F: FnOnce(&dyn Program, Start) -> Result<Box<dyn Body>>> Make for F {}

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
        self.0.scheduler.timers_changed();
    }

    /// Has `hook` called at every beat while a worker is busy. It must be quick.
    pub fn on_tick(&self, hook: impl Fn() + Send + Sync + 'static) {
        let mut hooks = self.0.tick_hooks.write().unwrap_or_else(PoisonError::into_inner);
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
            let hooks = self.0.tick_hooks.read().unwrap_or_else(PoisonError::into_inner);
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
        let mut hosts = self.0.hosts.write().unwrap_or_else(PoisonError::into_inner);
        if hosts.contains_key(&spec.id) {
            return Err(Error::already_exists(format!("host {} is already running", spec.id)));
        }
        let host = Arc::new(Host::new(spec));
        hosts.insert(host.id().clone(), host.clone());
        Ok(host)
    }

    pub fn host(&self, id: &EntryId) -> Option<Arc<Host>> {
        let hosts = self.0.hosts.read().unwrap_or_else(PoisonError::into_inner);
        hosts.get(id).cloned()
    }

    /// The host of the calls of functions.
    pub fn functions(&self) -> &Arc<Host> {
        &self.0.functions
    }

    pub fn hosts(&self) -> Vec<Arc<Host>> {
        let hosts = self.0.hosts.read().unwrap_or_else(PoisonError::into_inner);
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
        let mut hosts = self.0.hosts.write().unwrap_or_else(PoisonError::into_inner);
        hosts.retain(|_, other| !Arc::ptr_eq(other, host));
    }

    /// Sends CANCEL to a process that would read it, and ends one that would not.
    pub fn ask_to_stop(&self, from: Option<&Pid>, process: &Arc<Process>, reason: &str) {
        if process.hears_cancel() {
            self.push_event(process, EventKind::Cancel(reason.into()), from.cloned());
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
    /// Starts a process.
    ///
    /// # Errors
    /// Unavailable when the host takes none; AlreadyExists when its name is taken; NotFound when the parent that it is to be
    /// linked to has ended; whatever [`Program::start`] refuses.
    pub fn spawn(&self, spawn: Spawn) -> Result<Arc<Process>> {
        self.admit(spawn, None, begin).map_err(Error::from)
    }

    /// Starts a process under its name, if it is to have one, or finds the one that has it.
    ///
    /// # Errors
    /// As [`Kernel::spawn`] and, for the messages, [`Kernel::send`].
    pub fn join(&self, spawn: Spawn) -> Result<Joined> {
        let from = spawn.parent.as_ref().map(|parent| parent.pid().clone());
        loop {
            let name = spawn.name.as_deref();
            let holder = name.and_then(|name| self.0.names.lookup(name).filter(|pid| self.lives(pid)));
            let holder = match holder.map_or_else(
                || self.admit(spawn.clone(), None, begin),
                |pid| Err(Refusal::Taken(pid)),
            ) {
                Ok(process) => return Ok(Joined::Started(process)),
                Err(Refusal::Taken(holder)) => holder,
                Err(Refusal::Other(error)) => return Err(error),
            };
            let mut messages = spawn.messages.iter().cloned();
            let sent = messages.try_for_each(|(topic, payload)| self.send(from.as_ref(), &holder, topic, payload));
            match sent {
                // It has ended meanwhile, so the name is free.
                Err(error) if error.kind() == Kind::NotFound => {}
                sent => return sent.map(|()| Joined::Holder(holder)),
            }
        }
    }

    /// Starts the process of a call, in the instance that was leased for it.
    pub(super) fn call(&self, spawn: Spawn, chain: Arc<Chain>, lease: Option<Lease>) -> Result<Arc<Process>> {
        self.admit(spawn, Some(chain), |program, start| match lease {
            Some(lease) => lease.start(program, start),
            None => program.start(start),
        })
        .map_err(Error::from)
    }

    /// Makes the instances that a pool wants at boot, as many as there is room for. A failure leaves a log record.
    pub fn warm(&self, pool: &Arc<Pool>, program: &Arc<dyn Program>) {
        let leases = std::iter::from_fn(|| pool.vacant());
        for lease in leases.take(pool.warm()).collect::<Vec<_>>() {
            let spawn = Spawn::new(program.clone(), self.functions().clone());
            let started = self.admit(spawn, None, |program, start| lease.warm(program, start));
            let (log, entry) = (self.log().clone(), program.entry().clone());
            self.io().spawn(async move {
                let failure = match started {
                    Ok(process) => process.exited().await.error().cloned(),
                    Err(refusal) => Some(Error::from(refusal)),
                };
                if let Some(error) = failure {
                    let record = Record::new(Level::Warn, format!("warm start of {entry} failed"));
                    log.record(record.field("error", error.to_string()));
                }
            });
        }
    }

    fn admit(&self, spawn: Spawn, chain: Option<Arc<Chain>>, make: impl Make) -> Result<Arc<Process>, Refusal> {
        spawn.host.admit()?;
        let host = spawn.host.clone();
        let result = self.start(spawn, chain, make);
        if result.is_err() {
            host.dismiss();
        }
        result
    }

    fn start(&self, spawn: Spawn, chain: Option<Arc<Chain>>, make: impl Make) -> Result<Arc<Process>, Refusal> {
        let is_call = chain.is_some();
        let chain = match spawn.parent.as_ref().filter(|_| spawn.observed) {
            Some(parent) if !is_call => {
                let chain = Chain::new(spawn.program.entry().clone(), parent.chain().cloned());
                chain.check()?;
                Some(Arc::new(chain))
            }
            _ => chain,
        };
        let number = self.0.numbers.fetch_add(1, Ordering::Relaxed);
        let identity = Identity {
            pid: Pid::new(spawn.host.name(), number),
            host: spawn.host,
            context: spawn.context,
            words: spawn.words,
            parent: spawn.parent.as_ref().map(|parent| parent.pid().clone()),
            started_at: SystemTime::now(),
            is_call,
            chain,
        };
        let process = Arc::new(Process::new(identity, spawn.program.clone(), self.clone()));
        let start = Start {
            process: process.clone(),
            args: spawn.args,
        };
        // Whoever calls a process looks at its end too; after the first step it would be late to say so.
        if spawn.observed || is_call {
            process.set_observed();
        }
        let body = make(&*spawn.program, start)?;
        let name = spawn.name.as_deref();
        let reserved = name.map(|name| self.0.names.reserve(name, |pid| self.lives(pid)));
        let reserved = reserved.transpose()?;
        for (topic, payload) in spawn.messages {
            self.queue(process.parent(), &process, topic, payload)?;
        }
        self.shard(number).insert(number, process.clone());
        let tied = spawn.parent.map_or(Ok(()), |parent| tie(&parent, &process, spawn.ties));
        let named = tied.and_then(|()| reserved.map_or(Ok(()), |reserved| reserved.give(&process)));
        if let Err(error) = named {
            self.shard(number).remove(&number);
            return Err(error.into());
        }
        // The body holds the process: from here on only its end takes it out again.
        *process.body.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        if spawn.program.max_execution().is_some() {
            self.set_deadline(&process);
        }
        process.phase.store(phase::IDLE, Ordering::SeqCst);
        process.wake();
        if process.host().is_stopping() {
            // The stop began after it was admitted, and may have looked for processes before it was one.
            self.ask_to_stop(None, &process, STOPPING);
        }
        Ok(process)
    }

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
    /// NotFound `could not resolve '<x>' as PID or registered name`.
    pub fn resolve(&self, destination: &str) -> Result<Pid> {
        if let Ok(pid) = Pid::parse(destination) {
            return Ok(pid);
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
    fn reader(&self, pid: &Pid) -> Option<Arc<Process>> {
        self.find(pid).filter(|process| !process.is_doomed())
    }

    fn lives(&self, pid: &Pid) -> bool {
        self.reader(pid).is_some()
    }

    /// Queues a message.
    ///
    /// # Errors
    /// NotFound for a pid that does not live; Unavailable and retryable when its mailbox is full; LimitExceeded for a message
    /// that is larger than the whole mailbox.
    pub fn send(&self, from: Option<&Pid>, to: &Pid, topic: Topic, payload: Packed) -> Result<()> {
        let target = self.reader(to).ok_or_else(|| not_found(to))?;
        self.queue(from, &target, topic, payload)?;
        target.wake();
        Ok(())
    }

    fn queue(&self, from: Option<&Pid>, target: &Process, topic: Topic, payload: Packed) -> Result<()> {
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
    /// Invalid for oneself; NotFound for a pid that does not live.
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
        let room = process.mailbox().has_room_for_cancel(reason, bound);
        room.map_err(|refused| refusal(target, refused, bound))?;
        if self.push_event(&process, EventKind::Cancel(reason.into()), from.cloned()) {
            Ok(())
        } else {
            Err(not_found(target))
        }
    }

    /// Ends every process at once, then the workers. Must not be called from a process.
    pub fn close(&self) {
        for process in self.processes() {
            process.doom(Exit::terminated());
        }
        self.0.scheduler.close();
        for process in self.processes() {
            self.finish(&process, Exit::terminated(), true);
        }
        self.0.programs.close();
    }

    fn push_event(&self, process: &Arc<Process>, kind: EventKind, from: Option<Pid>) -> bool {
        let at = unix_seconds();
        let cancels = matches!(kind, EventKind::Cancel(_));
        let pushed = process.mailbox().push_event(Event { kind, from, at }).is_ok();
        process.wake();
        if cancels {
            process.cancelled.notify_waiters();
        }
        pushed
    }

    fn find_number(&self, number: u64) -> Option<Arc<Process>> {
        self.shard(number).get(&number).cloned()
    }

    fn shard(&self, number: u64) -> MutexGuard<'_, ByNumber> {
        let shard = &self.0.table[(number % SHARDS as u64) as usize];
        shard.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn living(&self, wanted: impl Fn(&Process) -> bool) -> Vec<Arc<Process>> {
        let mut processes = Vec::new();
        for shard in &self.0.table {
            let shard = shard.0.lock().unwrap_or_else(PoisonError::into_inner);
            processes.extend(shard.values().filter(|process| wanted(process)).cloned());
        }
        processes.sort_by_key(|process| process.pid().number());
        processes
    }
}

/// What a process runs.
impl Kernel {
    /// Its time runs from now on, if it has a limit.
    fn set_deadline(&self, process: &Arc<Process>) {
        let at = process.max_execution().map(|allowed| self.now() + allowed);
        if self.0.timers.deadline(process, at) {
            self.0.scheduler.timers_changed();
        }
    }

    /// Has a process that was just stepped go on as something else.
    ///
    /// # Errors
    /// What [`Program::start`] says: the process has nothing to run any more.
    pub(super) fn upgrade(&self, process: &Arc<Process>, upgrade: Upgrade) -> Result<()> {
        let before = process.take_body();
        if process.memory() >= HEAVY {
            self.0.io.spawn_blocking(move || drop(before));
        } else {
            drop(before);
        }
        process.become_other(upgrade)?;
        self.set_deadline(process);
        Ok(())
    }
}

/// The end of a process.
impl Kernel {
    pub(super) fn out_of_time(&self, process: &Arc<Process>) {
        let Some(allowed) = process.max_execution() else { return };
        process.doom(Exit::out_of_time(allowed));
    }

    /// Ends a process: its body is dropped, then its end is told. `doomed`: the reason came from outside its body.
    pub(super) fn finish(&self, process: &Arc<Process>, exit: Exit, doomed: bool) {
        let first = process.phase.swap(phase::ENDED, Ordering::SeqCst) != phase::ENDED;
        let body = process.take_body();
        let heavy = body.is_some() && process.memory() >= HEAVY && Handle::try_current().is_ok();
        if heavy && first {
            process.set_ending(exit.clone());
            self.wait_for_end(process);
        }
        if heavy {
            let (kernel, ended) = (self.clone(), process.clone());
            let close = move || kernel.settle(&ended, drop_body(body, exit, doomed));
            self.0.io.spawn_blocking(close);
        } else {
            self.settle(process, drop_body(body, exit, doomed));
        }
    }

    /// From now on the end of the process has [`GRACE`]; then it is told, whatever its body is at.
    pub(super) fn wait_for_end(&self, process: &Arc<Process>) {
        if self.0.timers.abandon(process, self.now() + GRACE) {
            self.0.scheduler.timers_changed();
        }
    }

    /// Tells the end of a process whose body is still busy, in a call that cannot be interrupted or with being dropped.
    /// Whoever steps it drops it afterwards.
    pub(super) fn abandon(&self, process: &Arc<Process>) {
        if let Some(exit) = process.ending().or(process.reason()) {
            self.finish(process, exit.clone(), true);
        }
    }

    fn settle(&self, process: &Arc<Process>, (exit, received): (Exit, Vec<Received>)) {
        if !process.settle() {
            return;
        }
        let _acting = self.0.timers.acting();
        let number = process.pid().number();
        let (watchers, names) = process.relations().close();
        let exit = Arc::new(exit);
        // The record comes first: whoever finds the pid gone can rely on it.
        self.report(process, &exit, &received, &watchers);
        self.shard(number).remove(&number);
        self.0.names.release(&names, process.pid());
        let links = self.close_mailbox(process);
        self.0.timers.forget(process);
        process.host().dismiss();
        process.set_exit(exit.clone());
        for watcher in watchers {
            self.tell_exit(watcher, process, &exit);
        }
        for peer in links {
            self.break_link(peer, process, &exit);
        }
    }

    /// Discards the mailbox and takes the process off the lists of those it monitored. Gives back whom it was linked to.
    fn close_mailbox(&self, process: &Process) -> BTreeSet<u64> {
        let closed = process.mailbox().close();
        for target in closed.watching {
            if let Some(target) = self.find_number(target) {
                target.relations().remove_watcher(process.pid().number());
            }
        }
        closed.links
    }

    /// Takes the ended process off the links of a peer; if it failed the peer ends too, or is told. The peer is doomed under
    /// the lock of its mailbox, so that after an `unlink` nothing comes of the link any more.
    fn break_link(&self, peer: u64, ended: &Process, exit: &Arc<Exit>) {
        // A peer that ended meanwhile has closed its own end.
        let Some(peer) = self.find_number(peer) else { return };
        let number = ended.pid().number();
        let mut mailbox = peer.mailbox();
        if exit.error().is_none() {
            return mailbox.unlink(number);
        }
        let event = || Event {
            kind: EventKind::LinkDown(exit.clone()),
            from: Some(ended.pid().clone()),
            at: unix_seconds(),
        };
        match mailbox.push_link_down(number, event) {
            LinkDown::Told => peer.wake(),
            LinkDown::Ends => peer.doom(Exit::link_broken(ended.pid(), exit)),
            LinkDown::Unlinked => {}
        }
    }

    fn tell_exit(&self, watcher: u64, ended: &Process, exit: &Arc<Exit>) {
        // A watcher that ended meanwhile has nobody left to tell.
        let Some(watcher) = self.find_number(watcher) else {
            return;
        };
        let event = Event {
            kind: EventKind::Exit(exit.clone()),
            from: Some(ended.pid().clone()),
            at: unix_seconds(),
        };
        let owed = watcher.mailbox().push_exit(event);
        if owed {
            watcher.wake();
        }
    }

    /// The record of a failure: an error when nobody is told of it, else for those who want to know everything. `received`:
    /// the messages that it took last.
    fn report(&self, process: &Process, exit: &Exit, received: &[Received], watchers: &[u64]) {
        let Some(error) = exit.error() else { return };
        let (links, unread) = {
            let mailbox = process.mailbox();
            (mailbox.links().collect::<Vec<u64>>(), mailbox.len())
        };
        let stopped = exit.cause == Cause::Terminated && process.host().is_stopping();
        let unobserved = watchers.is_empty() && links.is_empty() && !process.is_observed();
        let level = if unobserved && !stopped {
            Level::Error
        } else {
            Level::Debug
        };
        if !self.0.log.enabled(level) {
            return;
        }
        let mut record = Record::new(level, "process failed")
            .about(process.pid(), &process.entry())
            .because(error);
        if let Some(first) = error.details().filter(|_| exit.cause == Cause::LinkBroken) {
            record = record.field("first", first.clone());
        }
        let told = watchers
            .iter()
            .chain(&links)
            .filter_map(|number| self.find_number(*number));
        record = list_field(record, "received", received.iter().map(shown_message));
        record = list_field(record, "told", told.map(|told| told.pid().to_string()));
        if unread > 0 {
            record = record.field("unread", unread as i64);
        }
        self.0.log.record(record);
    }
}

/// The record with a list of texts, if there are any.
fn list_field(record: Record, name: &str, texts: impl Iterator<Item = String>) -> Record {
    let texts: Vec<Value> = texts.map(Value::from).collect();
    match texts.is_empty() {
        true => record,
        false => record.field(name, Value::array(texts)),
    }
}

/// A message in the record of a failure.
fn shown_message((from, topic): &Received) -> String {
    match from {
        Some(from) => format!("{topic} from {from}"),
        None => topic.to_string(),
    }
}

/// Closes a body; a panic while it does so is that process's own fault. Of a failure the messages that it took last come
/// back too.
fn drop_body(body: Option<Box<dyn Body>>, exit: Exit, doomed: bool) -> (Exit, Vec<Received>) {
    let Some(mut body) = body else {
        return (exit, Vec::new());
    };
    let closed = catch_unwind(AssertUnwindSafe(|| {
        let exit = if doomed { body.doomed(exit) } else { exit };
        let received = if exit.error().is_some() {
            body.last_received()
        } else {
            Vec::new()
        };
        drop(body);
        (exit, received)
    }));
    closed.unwrap_or_else(|panic| (Exit::failed(panicked(&*panic)), Vec::new()))
}

/// Makes the body of an ordinary process.
fn begin(program: &dyn Program, start: Start) -> Result<Box<dyn Body>> {
    program.start(start)
}

/// Installs what the parent wants to be to its child.
fn tie(parent: &Arc<Process>, child: &Arc<Process>, ties: Ties) -> Result<()> {
    if ties.link {
        link(parent, child)?;
    }
    if ties.monitor {
        parent.mailbox().watch(child.pid().number());
        child.relations().add_watcher(parent.pid().number());
    }
    Ok(())
}

/// Makes both ends of a link.
fn link(one: &Arc<Process>, two: &Arc<Process>) -> Result<()> {
    let (mut of_one, mut of_two) = mailboxes(one, two);
    for (process, mailbox) in [(one, &of_one), (two, &of_two)] {
        if mailbox.is_closed() {
            return Err(not_found(process.pid()));
        }
    }
    of_one.link(two.pid().number());
    of_two.link(one.pid().number());
    Ok(())
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

/// What the sender of a message or a CANCEL is told.
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

fn not_found(pid: &Pid) -> Error {
    Error::new(Kind::NotFound, format!("process not found: {pid}"))
}

fn unix_seconds() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() as i64)
}
