//! The kernel: processes, mailboxes, hosts and their scheduling, knowing neither Lua nor wasm.
//!
//! An engine gives it a [`Program`] for each entry; a [`Process`] steps the [`Body`] that the program made. What is
//! guaranteed, each sentence with a test of its name:
//!
//! Messages and events
//!
//! - Messages from one sender arrive in order.
//! - What is sent before anybody reads stays queued.
//! - A full mailbox refuses messages and takes events.
//! - Every monitor gets exactly one EXIT in every way of dying.
//! - Whoever has read the EXIT finds the pid and its names gone.
//! - EXIT comes after the last message that the process sent.
//! - The monitor of a monitored spawn is installed before the first step.
//! - After unmonitor no EXIT is seen.
//! - A cancel is queued and can be ignored.
//!
//! Links
//!
//! - The failure of a linked process ends its peer.
//! - Who traps links reads LINK_DOWN and lives on.
//! - A trapping member stops the cascade.
//! - A cycle of links falls as a whole and each member once.
//! - A link tells nothing of a normal end.
//! - Who monitors and links a failing process gets both events.
//! - Links are told after the monitors.
//! - After unlink nothing is delivered any more.
//! - An unlink that races the failure is either before it or too late.
//! - The link of a linked spawn is installed before the first step.
//!
//! Life and death
//!
//! - A name and messages of a spawn are there before the first step.
//! - A spawn under a taken name finds the holder.
//! - An upgraded process keeps pid, mailbox, names, monitors and links.
//! - A kill is not trapped.
//! - A doomed process never runs again.
//! - Terminate ends a process that waits, runs or was never stepped.
//! - Terminate is told in time though the step cannot be interrupted.
//! - A deadline ends a process that waits and one that is busy.
//! - A panic in a body ends that process alone.
//! - A policy decides and without one everything is allowed.
//!
//! Calls
//!
//! - A call is a process.
//! - A pool runs no more calls at once than its size and the others in order.
//! - An instance serves one call after the other, failed ones too.
//! - The instance of a doomed call is not used again.
//! - A call that is given up is stopped and gives its place back.
//! - Calls are nested no deeper than the bound.
//!
//! Hosts and workers
//!
//! - A host runs no more of its processes at once than its bound.
//! - A host takes no more processes than it has room for.
//! - A terminal host takes one process at a time.
//! - A stop of a host does not wait for idle orphans.
//! - A stop of a host waits for who may still answer.
//! - A stop of a host terminates what outlives its timeout.
//! - Where an end is known the place on the host is free, and the other way round.
//! - A step that cannot be interrupted holds up nobody else.
//! - A woken process goes before preempted ones and does not starve them.
//! - Who falls behind with its messages goes on before others, and leaves them a beat of seven.
//! - Who was sent a message goes next and no pair keeps the others waiting.
//! - What a host holds back goes on in the order of its turns.
//!
//! What one process may pile up
//!
//! - A message larger than the whole mailbox is refused for good.
//! - Cancels that nobody reads have a bound and those of a stop have not.
//! - Ends that nobody reads and relations are held by who wanted them.
//! - Links that others ask for have a bound and cost nothing.
//! - Calls that returned processes leave behind have a bound.
//! - Names have a length and a number at most.
//!
//! All of it together is held against a small model under random interleavings (`tests/model.rs`), and a million processes
//! that come and go leave nothing behind (`tests/soak.rs`).
//!
//! Rooms: `acts` (what a program does to others), `body` (what an engine provides), `control` (one process), `mailbox`, `names`, `host`, `kernel` (what is done
//! to processes), `spawn` and `end` (how they come to be and end), `call`, `pool` and `options` (processes that are calls), `scheduler` and `queue` (workers and whose turn it is), `timer`, `clock`, `ticker` and
//! `slice` (the time, the beat and preemption), `context` (what is inherited), `policy` (permissions).

pub mod acts;
mod body;
mod call;
mod clock;
mod context;
mod control;
mod end;
mod host;
mod kernel;
mod mailbox;
mod names;
mod options;
mod policy;
mod pool;
mod queue;
mod scheduler;
pub mod slice;
mod spawn;
mod ticker;
mod timer;

#[cfg(test)]
mod tests;

pub use body::{
    Body, Cause, Declined, Doing, Evidence, Exit, Instance, Loading, Program, Programs, Progress, Received, Resolved,
    Start, StepContext, Upgrade, Wait,
};
pub use call::{Call, Place, Target, no_handler, parse_target};
pub use clock::{Clock, unix_nanoseconds};
pub use context::{Actor, Context, Scope};
pub use control::{Process, State};
pub use end::FAILED;
pub use host::{Host, HostSpec, LeftCall};
pub use kernel::{Kernel, KernelOptions, unresolved};
pub use mailbox::{Bound, Event, EventKind, Mailbox, Message, Taken, Topic, Trail};
pub use names::Names;
pub use options::Options;
pub use policy::{Permission, Policy};
pub use pool::{Pool, PoolOptions};
pub use spawn::{Joined, Spawn, Ties};
