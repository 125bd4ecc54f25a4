//! The interface `process`: mailbox, messages, relations, names and children of a guest.
//!
//! A guest that waits is polled again with each step of its process, which comes with every item of its mailbox and with
//! its timer; so nothing has to be woken here.

use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Instant;

use super::payload;
use super::runtime::process::{Host, SpawnOptions};
use super::runtime::types::{Ended, Error, Event as Seen, Message as SeenMessage, Outcome, Payload};
use super::time::after;
use crate::error::Result;
use crate::id::{EntryId, Pid};
use crate::process::acts::{self, Relation};
use crate::process::{Event, EventKind, Exit, Joined, Message, Process, Resolved, Spawn, Taken, Ties};
use crate::size;
use crate::wasm::limits::exceeded;
use crate::wasm::state::State;

impl Host for State {
    fn self_(&mut self) -> String {
        self.process().pid().to_string()
    }

    fn args(&mut self) -> wasmtime::Result<Vec<Payload>> {
        let args = payload::of_each(&self.started_with());
        self.check_transfer(args.iter().map(payload::size).sum())?;
        Ok(args)
    }

    fn send(&mut self, dest: String, topic: String, payload: Payload) -> Result<(), Error> {
        acts::check_topic(&topic)?;
        let target = self.destination(&dest)?;
        let payload = payload::to_message(payload)?;
        Ok(acts::send(&self.process(), &mut target.into(), topic.into(), payload)?)
    }

    async fn receive(&mut self, timeout_ms: Option<u64>) -> wasmtime::Result<Option<Seen>> {
        let until = timeout_ms.and_then(|ms| after(&self.process(), ms));
        match poll_fn(|_| self.poll_mail(until)).await {
            Some(Taken::Message(message)) => self.message(message).map(Some),
            Some(Taken::Event(event)) => self.event(&event).map(Some),
            None => Ok(None),
        }
    }

    async fn spawn(
        &mut self,
        entry: String,
        host: String,
        args: Vec<Payload>,
        options: SpawnOptions,
    ) -> Result<String, Error> {
        let own = self.process();
        Ok(spawn(&own, &entry, &host, args, options).await?.pid().to_string())
    }

    fn monitor(&mut self, dest: String) -> Result<(), Error> {
        self.relate(Relation::Monitor, &dest)
    }

    fn unmonitor(&mut self, dest: String) -> Result<(), Error> {
        self.relate(Relation::Unmonitor, &dest)
    }

    fn link(&mut self, dest: String) -> Result<(), Error> {
        self.relate(Relation::Link, &dest)
    }

    fn unlink(&mut self, dest: String) -> Result<(), Error> {
        self.relate(Relation::Unlink, &dest)
    }

    fn trap_links(&mut self, on: bool) {
        self.process().mailbox().set_trap_links(on);
    }

    fn cancel(&mut self, dest: String, reason: Option<String>) -> Result<(), Error> {
        let target = self.destination(&dest)?;
        Ok(acts::cancel(&self.process(), &target, &reason.unwrap_or_default())?)
    }

    async fn terminate(&mut self, dest: String) -> Result<(), Error> {
        let target = self.destination(&dest)?;
        let result = acts::terminate(&self.process(), &target);
        if self.process().is_doomed() {
            // It has ended itself: the kernel takes it from here.
            pending().await
        }
        Ok(result?)
    }

    fn register(&mut self, name: String) -> Result<(), Error> {
        let own = self.process();
        Ok(acts::register(&own, &name, own.pid())?)
    }

    fn unregister(&mut self, name: String) -> Result<bool, Error> {
        Ok(acts::unregister(&self.process(), &name)?)
    }

    fn lookup(&mut self, name: String) -> Result<String, Error> {
        Ok(acts::lookup(&self.process(), &name)?.to_string())
    }
}

async fn spawn(
    own: &Arc<Process>,
    entry: &str,
    host: &str,
    args: Vec<Payload>,
    options: SpawnOptions,
) -> Result<Joined> {
    let kernel = own.kernel();
    let id = EntryId::parse(entry)?;
    let host = acts::host(kernel, &EntryId::resolve(host, own.entry().namespace())?)?;
    let ties = Ties {
        monitor: options.monitored,
        link: options.linked,
    };
    acts::may_start(own, acts::of_spawn(ties), entry, &host)?;
    let args = payload::to_values(args)?;
    let program = match kernel.programs().resolve(&id) {
        Resolved::Ready(program) => program?,
        Resolved::Pending(loading) => loading.await?,
    };
    kernel.join(Spawn {
        name: options.name,
        ..acts::child(own, program, host, args, ties)
    })
}

impl State {
    fn destination(&self, dest: &str) -> Result<Pid> {
        self.process().kernel().resolve(dest)
    }

    fn relate(&self, relation: Relation, dest: &str) -> Result<(), Error> {
        let other = self.destination(dest)?;
        Ok(acts::relate(&self.process(), relation, &other)?)
    }

    /// The oldest item of the mailbox, or nothing at that time. Takes the state as a whole, because shared it could not move
    /// to another thread.
    fn poll_mail(&mut self, until: Option<Instant>) -> Poll<Option<Taken>> {
        if let Some(item) = self.process().mailbox().take_any(true, true) {
            return Poll::Ready(Some(item));
        }
        let waited = self.poll_time(until);
        self.memory.gauge().only_mail.store(until.is_none(), Ordering::Relaxed);
        waited.map(|()| None)
    }

    /// Ready at that time.
    pub(super) fn poll_time(&mut self, until: Option<Instant>) -> Poll<()> {
        let process = self.process();
        match until {
            Some(at) if process.kernel().now() >= at => return Poll::Ready(()),
            at => process.wake_at(at),
        }
        Poll::Pending
    }

    fn message(&self, message: Message) -> wasmtime::Result<Seen> {
        let payload = payload::of_message(&message.payload);
        self.check_transfer(payload::size(&payload))?;
        let seen = SeenMessage {
            topic: message.topic.to_string(),
            sender: message.from.as_ref().map(Pid::to_string).unwrap_or_default(),
            payload,
        };
        self.memory.gauge().received().note(message.from, message.topic);
        Ok(Seen::Message(seen))
    }

    fn event(&self, event: &Event) -> wasmtime::Result<Seen> {
        Ok(match &event.kind {
            EventKind::Exit(exit) => Seen::Exit(self.ended(event, exit)?),
            EventKind::LinkDown(exit) => Seen::LinkDown(self.ended(event, exit)?),
            EventKind::Cancel(reason) => Seen::Cancel(reason.to_string()),
        })
    }

    fn ended(&self, event: &Event, exit: &Exit) -> wasmtime::Result<Ended> {
        let outcome = payload::of_exit(exit);
        self.check_transfer(match &outcome {
            Outcome::Value(value) => payload::size(value),
            Outcome::Failed(error) => error.message.len() + error.details.as_ref().map_or(0, String::len),
        })?;
        Ok(Ended {
            pid: event.from.as_ref().map(Pid::to_string).unwrap_or_default(),
            outcome,
        })
    }

    /// Ends the run for a value that takes more than the entry allows.
    fn check_transfer(&self, bytes: usize) -> wasmtime::Result<()> {
        let allowed = self.given().max_transfer;
        if bytes as u64 > allowed {
            let stop = exceeded("max_transfer", allowed, size::format);
            return Err(wasmtime::Error::new(stop));
        }
        Ok(())
    }
}
