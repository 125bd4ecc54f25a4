//! The kernel: processes, mailboxes, hosts and their scheduling, knowing neither Lua nor wasm.
//!
//! An engine gives it a [`Program`] for each entry; a [`Process`] steps the [`Body`] that the program made. What is
//! guaranteed, each sentence with a test of its name in `tests.rs`:
//!
//! - Messages from one sender arrive in the order in which they were sent.
//! - Nothing is lost for lack of a reader: what is sent before anybody reads stays queued.
//! - Every monitor gets exactly one EXIT, in every way of dying.
//! - Whoever has read the EXIT finds the pid and its names gone.
//! - EXIT comes after the last message that the process sent.
//! - The monitor of a monitored spawn is installed before the child's first step.
//! - After `unmonitor` no EXIT of that process is seen.
//! - The failure of a linked process ends its peer.
//! - Who traps links reads LINK_DOWN and lives on; a trapping member stops the cascade.
//! - A cycle of links falls as a whole, and each member once.
//! - A link tells nothing of a normal end.
//! - Who monitors and links a failing process gets both events; links are told after the monitors.
//! - After `unlink` nothing is delivered any more, what is queued neither.
//! - The link of a linked spawn is installed before the first step.
//! - A kill is not trapped.
//! - A full mailbox refuses messages and takes events.
//! - A doomed process never runs again, and terminate ends one that waits, runs or was never stepped.
//! - A deadline ends a process that waits and one that is busy.
//! - A panic in a body ends that process alone.
//! - A cancel is queued and can be ignored.
//! - A host runs no more of its processes at once than its bound says.
//! - A terminal host takes one process at a time.
//! - A stop of a host does not wait for idle orphans and terminates what outlives its timeout.
//! - A process that was just woken goes before one whose slice ended, and does not starve it.
//!
//! Rooms: `body` (what an engine provides), `control` (one process), `mailbox`, `names`, `host`, `kernel` (what is done
//! to processes), `scheduler` (workers), `timer`, `ticker` and `slice` (the beat and preemption), `context`.

mod body;
mod context;
mod control;
mod host;
mod kernel;
mod mailbox;
mod names;
mod scheduler;
pub mod slice;
mod ticker;
mod timer;

#[cfg(test)]
mod tests;

pub use body::{Body, Cause, Exit, Loading, Program, Programs, Progress, Resolved, Start, StepContext, Wait};
pub use context::Context;
pub use control::{Process, State};
pub use host::{Host, HostSpec};
pub use kernel::{Kernel, KernelOptions, Spawn, Ties};
pub use mailbox::{Bound, Event, EventKind, Mailbox, Message, Taken, Topic};
pub use names::Names;
pub use timer::Clock;
