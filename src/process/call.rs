//! Calls: how one process has an entry run and gets its result, whichever engine the two of them use.
//!
//! A call is a process for its duration. A function's runs in an instance of its [`Pool`], on a host of the kernel's own; an
//! entry of a process kind is started on its default host (the *bridge*). A [`Call`] that is dropped before its end, because
//! its caller ended or time was up, stops its process: with a CANCEL if it would read one, else at once.

use std::sync::Arc;
use std::time::Duration;

use super::options::{Options, Retry};
use super::pool::{Chain, Lease, Pool};
use super::{Context, Process, Program, Resolved, Spawn, acts};
use crate::duration;
use crate::error::{Error, Kind, Result};
use crate::id::EntryId;
use crate::race::{First, first};
use crate::value::Packed;

/// What the process of a call that nobody waits for any more is told.
const GIVEN_UP: &str = "caller context canceled";

/// An entry that can be called.
pub struct Target {
    pub id: EntryId,
    pub program: Resolved,
    pub place: Place,
    /// Its `meta.options`.
    pub options: Options,
}

/// Where the process of a call runs.
#[derive(Clone)]
pub enum Place {
    /// A function: in its pool.
    Pool(Arc<Pool>),
    /// A process entry: on its default host.
    Host(EntryId),
}

/// That nothing stands behind an id.
pub fn no_handler(id: &EntryId) -> Error {
    Error::not_found(format!("no handler registered for {id}"))
}

/// The id of something to be called, as code writes it.
///
/// # Errors
/// Invalid `function ID required`, or for a missing part.
pub fn parse_target(id: &str) -> Result<EntryId> {
    match id {
        "" => Err(Error::invalid("function ID required")),
        id => EntryId::parse(id),
    }
}

/// A call to be made. Nothing of it runs before [`Call::run`] is polled.
pub struct Call {
    pub caller: Arc<Process>,
    pub target: Target,
    pub args: Packed,
    pub context: Arc<Context>,
    /// In place of those of the target that have the same name.
    pub options: Options,
}

impl Call {
    /// Waits for the result.
    ///
    /// # Errors
    /// That of the callee; Timeout when the option `timeout` is exceeded; what makes a start impossible; Canceled when the
    /// caller of a process got a CANCEL.
    pub async fn run(self) -> Result<Packed> {
        let options = self.target.options.overridden_by(&self.options);
        let (id, kernel) = (self.target.id.clone(), self.caller.kernel().clone());
        let work = async { Attempts::of(self).await?.run(options.retry()).await };
        match options.timeout() {
            None => work.await,
            Some(allowed) => match first(work, kernel.sleep(allowed)).await {
                First::Left(result) => result,
                First::Right(()) => Err(out_of_time(&id, allowed)),
            },
        }
    }
}

fn out_of_time(id: &EntryId, allowed: Duration) -> Error {
    let allowed = i64::try_from(allowed.as_nanos()).unwrap_or(i64::MAX);
    let message = format!("call of {id} timed out after {}", duration::format(allowed));
    Error::new(Kind::Timeout, message)
}

/// A call whose program is loaded.
struct Attempts {
    caller: Arc<Process>,
    program: Arc<dyn Program>,
    place: Place,
    args: Packed,
    context: Arc<Context>,
    chain: Arc<Chain>,
}

impl Attempts {
    async fn of(call: Call) -> Result<Attempts> {
        let program = match call.target.program {
            Resolved::Ready(program) => program?,
            Resolved::Pending(loading) => loading.await?,
        };
        let chain = Chain::new(call.target.id, call.caller.chain().cloned());
        chain.check()?;
        Ok(Attempts {
            caller: call.caller,
            program,
            place: call.target.place,
            args: call.args,
            context: call.context,
            chain: Arc::new(chain),
        })
    }

    async fn run(mut self, retry: Option<&Retry>) -> Result<Packed> {
        if let Some(retry) = retry {
            for attempt in 1..retry.max_attempts {
                match self.attempt(self.args.clone()).await {
                    Err(error) if retry.wants_another(&error) => {
                        self.caller.kernel().sleep(retry.delay(attempt)).await;
                    }
                    result => return result,
                }
            }
        }
        let args = std::mem::take(&mut self.args);
        self.attempt(args).await
    }

    async fn attempt(&self, args: Packed) -> Result<Packed> {
        match &self.place {
            Place::Pool(pool) => {
                let lease = pool.lease(&self.chain).await?;
                self.callee(self.in_pool(lease, args)?).result().await
            }
            Place::Host(host) => {
                // Listened for from before the start: the callee may be heard of before this goes on.
                let cancelled = self.caller.cancelled();
                let callee = self.callee(self.on_host(host, args)?);
                match first(callee.result(), cancelled).await {
                    First::Left(result) => result,
                    First::Right(()) => Err(Error::new(Kind::Canceled, GIVEN_UP)),
                }
            }
        }
    }

    fn in_pool(&self, lease: Lease, args: Packed) -> Result<Arc<Process>> {
        let kernel = self.caller.kernel();
        let host = kernel.functions();
        if host.is_stopping() {
            return Err(Error::not_found(format!("pool not found: {}", self.program.entry())));
        }
        kernel.call(self.spawn(host.clone(), args), self.chain.clone(), Some(lease))
    }

    fn on_host(&self, host: &EntryId, args: Packed) -> Result<Arc<Process>> {
        let kernel = self.caller.kernel();
        let host = acts::host(kernel, host)?;
        kernel.call(self.spawn(host, args), self.chain.clone(), None)
    }

    fn callee(&self, process: Arc<Process>) -> Callee {
        Callee {
            process,
            caller: self.caller.clone(),
        }
    }

    fn spawn(&self, host: Arc<super::Host>, args: Packed) -> Spawn {
        Spawn {
            args,
            parent: Some(self.caller.clone()),
            context: self.context.clone(),
            ..Spawn::new(self.program.clone(), host)
        }
    }
}

/// The process of a call. Dropped before its end, it has no purpose any more.
struct Callee {
    process: Arc<Process>,
    caller: Arc<Process>,
}

impl Callee {
    async fn result(self) -> Result<Packed> {
        self.process.exited().await.result.clone()
    }
}

impl Drop for Callee {
    fn drop(&mut self) {
        if self.process.exit().is_none() {
            self.process
                .kernel()
                .ask_to_stop(Some(self.caller.pid()), &self.process, GIVEN_UP);
        }
    }
}
