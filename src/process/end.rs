//! How a process ends, or goes on as something else.
//!
//! Order of an end (`finish`): the body is dropped, a failure that nobody watches leaves its record, names are released, the
//! mailbox is discarded, the pid stops resolving; then EXIT goes to every monitor, then a failure goes to every linked peer. Relations are closed under their own lock, so whoever monitors or links at the same moment either hears of
//! the end or gets the error that the process is gone, never neither. A body that is not dropped within [`GRACE`], because
//! it is in a long call or very large, is not waited for.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;

use super::control::{Taken, phase};
use super::kernel::unix_seconds;
use super::mailbox::LinkDown;
use super::scheduler::panicked;
use super::{Body, Cause, Event, EventKind, Evidence, Exit, Kernel, Process, Received, Upgrade};
use crate::error::Result;
use crate::log::{Level, Record};
use crate::value::Value;

/// What the record of a failure says.
pub const FAILED: &str = "process failed";

/// A body that held at least this much is dropped off the workers: freeing a large state takes longer than a slice.
const HEAVY: u64 = 4 << 20;

/// How long an end waits for its body, when it is in a long call or takes long to drop.
const GRACE: Duration = Duration::from_millis(50);

/// What a process runs.
impl Kernel {
    /// Its time runs from now on, if it has a limit and did not have one before: then from when that began.
    pub(super) fn set_deadline(&self, process: &Arc<Process>) {
        let at = process
            .max_execution()
            .map(|allowed| process.timed_since(self.now()) + allowed);
        if self.timers().deadline(process, at) {
            self.scheduler().timers_changed(self);
        }
    }

    /// Has a process that was just stepped go on as something else.
    ///
    /// # Errors
    /// What [`Program::start`](super::Program::start) says: the process has nothing to run any more.
    pub(super) fn upgrade(&self, process: &Arc<Process>, upgrade: Upgrade) -> Result<()> {
        let before = process.take_body().into_body();
        if process.memory() >= HEAVY {
            self.io().spawn_blocking(move || drop(before));
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
        self.end(process, exit, doomed, false);
    }

    /// The same at once, whatever somebody else does with its body: a long call that cannot be interrupted, or dropping it.
    pub(super) fn finish_now(&self, process: &Arc<Process>, exit: Exit) {
        self.end(process, exit, true, true);
    }

    fn end(&self, process: &Arc<Process>, exit: Exit, doomed: bool, now: bool) {
        let first = process.phase.swap(phase::ENDED, Ordering::SeqCst) != phase::ENDED;
        match process.take_body() {
            Taken::Body(body) => self.close_body(process, body, exit, doomed, first),
            // Whoever took it has more to tell of the end.
            Taken::Gone if !first && !now => {}
            Taken::Gone | Taken::Held => self.settle(process, (exit, Evidence::default())),
        }
    }

    fn close_body(&self, process: &Arc<Process>, mut body: Box<dyn Body>, exit: Exit, doomed: bool, first: bool) {
        let end = last_words(&mut body, exit, doomed);
        if process.memory() < HEAVY || Handle::try_current().is_err() {
            return self.settle(process, dropped(body, end));
        }
        if first {
            process.set_ending(end.clone());
            self.wait_for_end(process);
        }
        let (kernel, ended) = (self.clone(), process.clone());
        self.io()
            .spawn_blocking(move || kernel.settle(&ended, dropped(body, end)));
    }

    /// From now on the end of the process has [`GRACE`]; then it is told, whatever its body is at.
    pub(super) fn wait_for_end(&self, process: &Arc<Process>) {
        if self.timers().abandon(process, self.now() + GRACE) {
            self.scheduler().timers_changed(self);
        }
    }

    /// Tells the end of a process whose body is still busy, in a call that cannot be interrupted or with being dropped.
    /// Whoever steps it drops it afterwards.
    pub(super) fn abandon(&self, process: &Arc<Process>) {
        match (process.ending(), process.reason()) {
            (Some(end), _) => self.settle(process, end.clone()),
            (None, Some(exit)) => self.finish_now(process, exit.clone()),
            (None, None) => {}
        }
    }

    fn settle(&self, process: &Arc<Process>, (exit, evidence): End) {
        if !process.settle() {
            return;
        }
        let _acting = self.timers().acting();
        let number = process.pid().number();
        let (watchers, names) = process.relations().close();
        let exit = Arc::new(exit);
        // The record comes first: whoever finds the pid gone can rely on it.
        self.report(process, &exit, evidence, &watchers);
        self.names().release(&names, process.pid());
        let links = self.close_mailbox(process);
        self.timers().forget(process);
        // One step for whoever looks: the pid is gone, the end is known and the place is free.
        let exit = process.host().dismiss(|| {
            self.shard(number).remove(&number);
            process.set_exit(exit)
        });
        process.tell();
        for watcher in watchers {
            self.tell_exit(watcher, process, exit);
        }
        for peer in links.into_keys() {
            self.break_link(peer, process, exit);
        }
    }

    /// Discards the mailbox and takes the process off the lists of those it monitored. Gives back whom it was linked to.
    fn close_mailbox(&self, process: &Process) -> BTreeMap<u64, bool> {
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
        match mailbox.push_link_down(ended.pid(), exit, unix_seconds(), peer.host().mailbox) {
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

    /// The record of a failure: an error when nobody is told of it, else for those who want to know everything.
    fn report(&self, process: &Process, exit: &Exit, evidence: Evidence, watchers: &[u64]) {
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
        if !self.log().enabled(level) {
            return;
        }
        let mut record = Record::new(level, FAILED)
            .about(process.pid(), &process.entry())
            .because(error);
        if let Some(first) = error.details().filter(|_| exit.cause == Cause::LinkBroken) {
            record = record.field("first", first.clone());
        }
        let told = watchers
            .iter()
            .chain(&links)
            .filter_map(|number| self.find_number(*number));
        for (name, value) in evidence.fields {
            record = record.field(name, value);
        }
        record = list_field(record, "received", evidence.received.iter().map(shown_message));
        record = list_field(record, "told", told.map(|told| told.pid().to_string()));
        if unread > 0 {
            record = record.field("unread", unread as i64);
        }
        self.log().record(record);
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

/// How a process ended, and what its body knows of a failure.
pub(super) type End = (Exit, Evidence);

/// What a body says of its end. A panic while it does so is that process's own fault, as in [`dropped`].
fn last_words(body: &mut Box<dyn Body>, exit: Exit, doomed: bool) -> End {
    let words = catch_unwind(AssertUnwindSafe(|| {
        let exit = if doomed { body.doomed(exit) } else { exit };
        let evidence = match exit.error() {
            Some(_) => body.evidence(exit.cause),
            None => Evidence::default(),
        };
        (exit, evidence)
    }));
    words.unwrap_or_else(failed)
}

/// Closes a body that ended so.
fn dropped(body: Box<dyn Body>, end: End) -> End {
    match catch_unwind(AssertUnwindSafe(|| drop(body))) {
        Ok(()) => end,
        Err(panic) => failed(panic),
    }
}

/// Closes the body of a process whose end was told without it, if nobody else has it.
pub(super) fn close_late(taken: Taken) {
    if let Some(body) = taken.into_body() {
        // Told already: a panic is nobody's news any more.
        let _ = dropped(body, (Exit::terminated(), Evidence::default()));
    }
}

fn failed(panic: Box<dyn std::any::Any + Send>) -> End {
    (Exit::failed(panicked(&*panic)), Evidence::default())
}
