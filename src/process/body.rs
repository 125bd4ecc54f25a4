//! What an engine gives to the kernel: a [`Program`] that can be started, and the [`Body`] of each process made from it.
//!
//! The kernel knows neither Lua nor wasm; both are bodies to it. A body lives through init (its first step), steps and
//! close (its drop). Invariant: a body is stepped by one thread at a time and never after it has ended or was doomed.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::call::{Target, no_handler};
use super::{Process, Topic};
use crate::error::{Error, Frame, Kind, Result};
use crate::id::{EntryId, Pid};
use crate::value::{Packed, Value};

/// Finds the program behind an entry id. Implemented where the engines meet (`runtime`).
pub trait Programs: Send + Sync {
    fn resolve(&self, id: &EntryId) -> Resolved;

    /// The program of a file below the first of these folders: `./worker.lua`, which may require files from all of them, or
    /// `./worker.wasm#method`. Scripts, sessions and tests may ask for it.
    fn resolve_file(&self, _folders: &[PathBuf], name: &str) -> Resolved {
        Resolved::Ready(Err(Error::unavailable(format!("files cannot be run here: {name}"))))
    }

    /// What stands behind an id that can be called.
    ///
    /// # Errors
    /// NotFound `no handler registered for <id>`; whatever is wrong with the entry.
    fn target(&self, id: &EntryId) -> Result<Target> {
        Err(no_handler(id))
    }

    /// What is wrong with the entry of a host that is not there for that reason.
    fn broken_host(&self, _id: &EntryId) -> Option<Error> {
        None
    }

    /// Lets go of what is kept for later calls: the kernel closes.
    fn close(&self) {}
}

/// The answer of [`Programs::resolve`].
pub enum Resolved {
    Ready(Result<Arc<dyn Program>>),
    /// The program has to be loaded first; whoever asked waits without holding a worker.
    Pending(Loading),
}

/// A program on its way.
pub type Loading = Pin<Box<dyn Future<Output = Result<Arc<dyn Program>>> + Send>>;

/// A loaded entry, ready to start any number of processes.
pub trait Program: Send + Sync {
    fn entry(&self) -> &EntryId;

    /// The entry's kind as written in YAML, `process.lua` for one.
    fn kind(&self) -> &'static str;

    /// Tells apart what an entry was loaded as at different times: an instance serves only the program that it was made from.
    fn identity(&self) -> usize {
        0
    }

    /// How long a process of it may live, waiting included. The kernel ends it at that time.
    fn max_execution(&self) -> Option<Duration>;

    /// Makes the body that gets an instance ready for later calls and ends.
    ///
    /// # Errors
    /// Unavailable when no instance of it outlives its call.
    fn warm(&self, _process: Arc<Process>) -> Result<Box<dyn Body>> {
        Err(Error::unavailable(format!("{} keeps no instances", self.entry())))
    }

    /// Makes the body. Quick and without waiting: it runs on the thread of the spawner. Making the state or instance
    /// belongs to the first step.
    ///
    /// # Errors
    /// Whatever makes a start impossible: arguments that do not fit, a required variable that is missing, no room left.
    fn start(&self, start: Start) -> Result<Box<dyn Body>>;
}

/// What a body is started with.
pub struct Start {
    pub process: Arc<Process>,
    /// The arguments of main.
    pub args: Packed,
}

/// Where a message came from that a program has taken: its sender, if a process, and its topic.
pub type Received = (Option<Pid>, Topic);

/// What only a body knows of its failure.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The messages that the program took last, oldest first.
    pub received: Vec<Received>,
    /// Whatever else helps, by the names of the record's fields.
    pub fields: Vec<(&'static str, Value)>,
}

/// One thing that a process does, or waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Doing {
    /// `main waits for a message`
    pub what: String,
    /// Where in the program, innermost first; empty when that is not known.
    pub at: Vec<Frame>,
}

/// The running side of a process. Dropping it closes everything it held.
pub trait Body: Send {
    /// Runs until it waits, ends, or its slice of about a millisecond is over.
    fn step(&mut self, cx: &mut StepContext<'_>) -> Progress;

    /// Bytes held: the Lua heap, or the guest's linear memories.
    fn memory(&self) -> u64;

    /// Called once in place of a further step when the process was doomed: a last chance to add what only the body knows
    /// (the last lines of stderr) to the reason.
    fn doomed(&mut self, exit: Exit) -> Exit {
        exit
    }

    /// What it knows of its failure, for the record of it. `cause`: of its end.
    fn evidence(&self, _cause: Cause) -> Evidence {
        Evidence::default()
    }

    /// What it is doing, for a person who asks: one line for each thing that it does at once. Called between two steps.
    fn explain(&self) -> Vec<Doing> {
        Vec::new()
    }

    /// What is left of it for another call of its function, after its end. Only asked when it was not doomed; none when it
    /// must not be used again.
    fn recycle(self: Box<Self>) -> Option<Box<dyn Instance>> {
        None
    }
}

/// The state of a function between two calls: belongs to no process, runs nothing.
pub trait Instance: Send {
    /// Begins another call, in what it is or, if it is not what `program` would make, in a new one.
    ///
    /// # Errors
    /// As [`Program::start`], with what can still serve another call.
    fn start(self: Box<Self>, program: &dyn Program, start: Start) -> std::result::Result<Box<dyn Body>, Declined>;
}

/// Why a call was not begun, and the instance, if another call may have it.
pub type Declined = (Error, Option<Box<dyn Instance>>);

/// What a step may use.
pub struct StepContext<'a> {
    pub process: &'a Arc<Process>,
}

impl StepContext<'_> {
    /// Makes the process ready again. A wake during the step is not lost.
    pub fn waker(&self) -> Waker {
        self.process.clone().into()
    }
}

/// How a step ended.
#[derive(Debug)]
pub enum Progress {
    Waiting(Wait),
    /// The slice is over; there is more to do.
    Preempted,
    /// The process goes on as something else.
    Upgraded(Upgrade),
    Ended(Exit),
}

/// What a process wants to run in place of what it runs now. It keeps pid, mailbox, names, monitors, links and context.
#[derive(Clone)]
pub struct Upgrade {
    pub program: Arc<dyn Program>,
    pub args: Packed,
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade")
            .field("entry", self.program.entry())
            .field("args", &self.args)
            .finish()
    }
}

/// What a waiting process waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Messages or events alone: nothing but its mailbox can wake it.
    Mailbox,
    /// A timer, a file, a host call …
    Other,
}

/// Bytes of an error's message that are kept of one that has no room.
const FEW_WORDS: usize = 200;

/// Bytes of an error beyond which it is not carried on by processes that end with the one that failed.
const LARGE: usize = 64 << 10;

/// Kind and the beginning of the message.
fn in_few_words(error: &Error) -> Error {
    let message = error.message();
    let beginning = &message[..message.floor_char_boundary(FEW_WORDS)];
    Error::new(error.kind(), beginning).with_retryable(error.retryable())
}

/// How a process ended, and with what.
#[derive(Clone, Debug, PartialEq)]
pub struct Exit {
    pub cause: Cause,
    /// The value of main, or the error. Several values are several items.
    pub result: Result<Packed>,
}

/// Why a process ended. Programs see only the result; the command line turns the cause into its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Main returned, with a value or with an error.
    Returned,
    /// An error that nobody caught.
    Failed,
    Terminated,
    /// A linked process failed, and links are not trapped.
    LinkBroken,
    /// `max_execution_ms`.
    TimeLimit,
    /// Memory, fuel, stack or another limit.
    Limit,
    /// A trap of a guest.
    Trap,
    /// The exit code that a guest chose.
    Code(i32),
}

impl Exit {
    /// About how many bytes it holds.
    pub(super) fn weight(&self) -> usize {
        self.result.as_ref().map_or_else(Error::weight, Packed::size)
    }

    /// The same end without what can be large.
    pub(super) fn in_few_words(&self) -> Exit {
        let result = self.result.as_ref();
        Exit {
            cause: self.cause,
            result: result.map(|_| Packed::empty()).map_err(in_few_words),
        }
    }

    pub fn returned(result: Packed) -> Exit {
        Exit {
            cause: Cause::Returned,
            result: Ok(result),
        }
    }

    /// An uncaught error.
    pub fn failed(error: Error) -> Exit {
        Exit::because(Cause::Failed, error)
    }

    pub fn because(cause: Cause, error: Error) -> Exit {
        Exit {
            cause,
            result: Err(error.crossing()),
        }
    }

    pub fn terminated() -> Exit {
        let error = Error::internal("process terminated").with_retryable(None);
        Exit::because(Cause::Terminated, error)
    }

    /// A linked process failed. The details say which one did so first, and how.
    pub(super) fn link_broken(peer: &Pid, exit: &Exit) -> Exit {
        let error = Error::internal("linked process failed").with_retryable(None);
        let first = match (exit.cause, exit.error()) {
            (Cause::LinkBroken, Some(earlier)) => earlier.details().cloned(),
            (_, Some(error)) => Some(Value::map([
                ("pid", Value::from(peer.to_string())),
                // Whoever hears of this end has not asked for that one.
                (
                    "error",
                    Value::Error(match error.weight() > LARGE {
                        true => in_few_words(error),
                        false => error.clone(),
                    }),
                ),
            ])),
            (_, None) => None,
        };
        let error = match first {
            Some(first) => error.with_details(first),
            None => error,
        };
        Exit::because(Cause::LinkBroken, error)
    }

    /// A limit of the entry was exceeded: `Timeout` for [`Cause::TimeLimit`], else `LimitExceeded`.
    pub fn limit(cause: Cause, name: &str, allowed: i64, message: impl Into<String>) -> Exit {
        let kind = match cause {
            Cause::TimeLimit => Kind::Timeout,
            _ => Kind::LimitExceeded,
        };
        let details = Value::map([("limit", Value::from(name)), ("allowed", Value::Int(allowed))]);
        let error = Error::new(kind, message).with_retryable(None).with_details(details);
        Exit::because(cause, error)
    }

    /// The process outlived its `max_execution_ms`.
    pub fn out_of_time(allowed: Duration) -> Exit {
        let allowed = i64::try_from(allowed.as_millis()).unwrap_or(i64::MAX);
        let message = format!("execution time limit exceeded: {allowed} ms");
        Exit::limit(Cause::TimeLimit, "max_execution_ms", allowed, message)
    }

    /// The error, when it failed.
    pub fn error(&self) -> Option<&Error> {
        self.result.as_ref().err()
    }
}
