//! How a process comes to be: what is asked for, in which order it is checked and installed, and what of it is there before
//! the first step.
//!
//! Everything that can be refused is refused before anything of the process has run, and then nothing of it is left.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use super::control::{Identity, phase};
use super::kernel::{STOPPING, link, not_found};
use super::names::Refusal;
use super::pool::{Chain, Lease, Pool};
use super::{Body, Context, Host, Kernel, Process, Program, Start, Topic};
use crate::error::{Error, Kind, Result};
use crate::id::Pid;
use crate::lock::lock;
use crate::log::{Level, Record};
use crate::value::Packed;

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

/// Makes the body of a process.
trait Make: FnOnce(&dyn Program, Start) -> Result<Box<dyn Body>> {}

impl<F: FnOnce(&dyn Program, Start) -> Result<Box<dyn Body>>> Make for F {}

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
            let holder = name.and_then(|name| self.names().lookup(name).filter(|pid| self.lives(pid)));
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
        let place = spawn.host.admit()?;
        let is_call = chain.is_some();
        let chain = match spawn.parent.as_ref().filter(|_| spawn.observed) {
            Some(parent) if !is_call => {
                let chain = Chain::new(spawn.program.entry().clone(), parent.chain().cloned());
                chain.check()?;
                Some(Arc::new(chain))
            }
            _ => chain,
        };
        let number = self.next_number();
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
        let process = Process::new(identity, spawn.program.clone(), self.clone());
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
        let reserved = name.map(|name| self.names().reserve(name, |pid| self.lives(pid)));
        let reserved = reserved.transpose()?;
        for (topic, payload) in spawn.messages {
            self.queue(process.parent(), &process, topic, payload)?;
        }
        // The body holds the process: only its end takes it out again.
        *lock(&process.body) = Some(body);
        self.shard(number).insert(number, process.clone());
        // From here on it may be ended at any moment, and then its end gives the place back.
        if let Some(parent) = spawn.parent
            && let Err(error) = tie(&parent, &process, spawn.ties)
        {
            match process.settle() {
                true => self.undo(&process),
                false => place.keep(),
            }
            return Err(error.into());
        }
        place.keep();
        if let Some(reserved) = reserved {
            // It has no name yet: this fails only if it has ended, and who has ended needs none.
            let _ = reserved.give(&process);
        }
        let started = process
            .phase
            .compare_exchange(phase::NEW, phase::QUEUED, Ordering::SeqCst, Ordering::SeqCst);
        if started.is_ok() {
            if spawn.program.max_execution().is_some() {
                self.set_deadline(&process);
            }
            self.scheduler().push(self, process.clone());
        }
        if process.host().is_stopping() {
            // The stop began after it was admitted, and may have looked for processes before it was one.
            self.ask_to_stop(None, &process, STOPPING);
        }
        Ok(process)
    }

    /// Takes a process back that has not begun, and whose end nobody tells.
    fn undo(&self, process: &Process) {
        let number = process.pid().number();
        self.shard(number).remove(&number);
        drop(process.take_body().into_body());
    }
}

/// Makes the body of an ordinary process.
fn begin(program: &dyn Program, start: Start) -> Result<Box<dyn Body>> {
    program.start(start)
}

/// Installs what the parent wants to be to its child.
///
/// # Errors
/// NotFound when one of them has ended: the child, when its host was stopped meanwhile.
fn tie(parent: &Arc<Process>, child: &Arc<Process>, ties: Ties) -> Result<()> {
    if ties.link {
        link(parent, child)?;
    }
    if ties.monitor {
        parent.mailbox().watch(child.pid().number());
        if !child.relations().add_watcher(parent.pid().number()) {
            parent.mailbox().unwatch(child.pid().number());
            return Err(not_found(child.pid()));
        }
    }
    Ok(())
}
