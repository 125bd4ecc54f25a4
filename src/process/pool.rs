//! Pools: the instances in which the calls of one function run.
//!
//! A call takes a [`Lease`]: a place in the pool and, if one lies idle, an instance that an earlier call left behind. The
//! lease goes into the body of the call's process. When that body is dropped the place is given back, and the instance too
//! if its engine says that it can serve another call ([`Body::recycle`]); what an instance is, only the engine knows.
//!
//! Invariant: at most `size` places are taken at once. Only a call that a call of the same function waits for, directly or
//! not, gets one beyond that when all are taken: it would wait for itself.

use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::{Body, Cause, Doing, Evidence, Exit, Instance, Program, Progress, Start, StepContext};
use crate::error::{Error, Kind, Result};
use crate::id::EntryId;
use crate::lock::lock;
use crate::project::PoolSpec;

/// How long an instance of an elastic pool lies idle before it is dropped.
const IDLE: Duration = Duration::from_secs(30);

/// How deep a function may call itself through a full pool.
const DEPTH: usize = 64;

/// Calls that may wait for each other, one within the other.
pub(super) const NESTED: usize = 1000;

/// What a pool is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolOptions {
    /// Calls that run at once.
    pub size: usize,
    /// Whether an instance serves more than one call.
    pub reuse: bool,
    /// How long an instance may lie idle; none: as long as the pool lives.
    pub idle: Option<Duration>,
    /// Instances to make at boot.
    pub warm: usize,
}

impl From<PoolSpec> for PoolOptions {
    fn from(spec: PoolSpec) -> PoolOptions {
        let elastic = |max_size: u64, warm_start: bool| PoolOptions {
            size: bounded(max_size),
            reuse: true,
            idle: Some(IDLE),
            warm: usize::from(warm_start),
        };
        match spec {
            PoolSpec::Inline => PoolOptions {
                size: Semaphore::MAX_PERMITS,
                reuse: false,
                idle: None,
                warm: 0,
            },
            PoolSpec::Lazy { max_size, warm_start } | PoolSpec::Adaptive { max_size, warm_start } => {
                elastic(max_size, warm_start)
            }
            // Its queue has no bound: whoever finds all busy waits, however many do.
            PoolSpec::Static {
                workers, warm_start, ..
            } => PoolOptions {
                size: bounded(workers),
                reuse: true,
                idle: None,
                warm: if warm_start { bounded(workers) } else { 0 },
            },
        }
    }
}

fn bounded(count: u64) -> usize {
    usize::try_from(count).map_or(Semaphore::MAX_PERMITS, |count| count.clamp(1, Semaphore::MAX_PERMITS))
}

/// See the module page.
pub struct Pool {
    options: PoolOptions,
    places: Arc<Semaphore>,
    shelf: Mutex<Shelf>,
    /// Where idle instances are waited for and dropped.
    io: Handle,
}

/// The idle instances, the one used last at the end.
#[derive(Default)]
struct Shelf {
    idle: Vec<Idle>,
    /// Somebody will drop what lies idle for too long.
    watched: bool,
    /// Nothing is kept any more.
    closed: bool,
}

struct Idle {
    instance: Box<dyn Instance>,
    since: Instant,
}

impl Pool {
    pub fn new(options: PoolOptions, io: Handle) -> Arc<Pool> {
        Arc::new(Pool {
            places: Arc::new(Semaphore::new(options.size)),
            options,
            shelf: Mutex::default(),
            io,
        })
    }

    /// Instances to make at boot.
    pub fn warm(&self) -> usize {
        self.options.warm
    }

    /// How many instances lie idle.
    pub fn idle(&self) -> usize {
        self.shelf().idle.len()
    }

    /// Drops all idle instances and keeps none from now on.
    pub fn close(&self) {
        let idle = {
            let mut shelf = self.shelf();
            shelf.closed = true;
            std::mem::take(&mut shelf.idle)
        };
        drop(idle);
    }

    /// A place for an instance to be made at boot; none when all are taken.
    pub(super) fn vacant(self: &Arc<Self>) -> Option<Lease> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        Some(Lease {
            pool: self.clone(),
            instance: None,
            _place: Some(place),
        })
    }

    /// Waits for a place, in the order of asking.
    ///
    /// # Errors
    /// LimitExceeded for a function that calls itself through a full pool too deeply.
    pub async fn lease(self: &Arc<Self>, chain: &Chain) -> Result<Lease> {
        let place = match self.places.clone().try_acquire_owned() {
            Ok(place) => Some(place),
            Err(_) => self.wait(chain).await?,
        };
        let instance = self.shelf().idle.pop().map(|idle| idle.instance);
        Ok(Lease {
            pool: self.clone(),
            instance,
            _place: place,
        })
    }

    async fn wait(&self, chain: &Chain) -> Result<Option<OwnedSemaphorePermit>> {
        match chain.depth() {
            0 => self
                .places
                .clone()
                .acquire_owned()
                .await
                .map(Some)
                .map_err(|closed| Error::unavailable(closed.to_string())),
            depth if depth <= DEPTH => Ok(None),
            _ => Err(Error::new(
                Kind::LimitExceeded,
                format!(
                    "{} calls itself through a full pool more than {DEPTH} calls deep",
                    chain.function
                ),
            )),
        }
    }

    fn keep(self: &Arc<Self>, instance: Box<dyn Instance>) {
        let since = Instant::now();
        let mut shelf = self.shelf();
        // A call beyond the size had to make one of its own.
        if shelf.closed || shelf.idle.len() >= self.options.size {
            drop(shelf);
            return drop(instance);
        }
        shelf.idle.push(Idle { instance, since });
        if let Some(after) = self.options.idle
            && !std::mem::replace(&mut shelf.watched, true)
        {
            self.io.spawn(Pool::watch(Arc::downgrade(self), since + after));
        }
    }

    /// Drops instances that lie idle for too long, until none is left.
    async fn watch(pool: Weak<Pool>, mut next: Instant) {
        loop {
            sleep_until(next).await;
            let Some(pool) = pool.upgrade() else { return };
            let expired = pool.expired();
            if !expired.is_empty() {
                // Closing a large state takes long.
                pool.io.spawn_blocking(move || drop(expired));
            }
            match pool.next_expiry() {
                Some(at) => next = at,
                None => return,
            }
        }
    }

    fn expired(&self) -> Vec<Idle> {
        let Some(after) = self.options.idle else {
            return Vec::new();
        };
        let now = Instant::now();
        let mut shelf = self.shelf();
        let count = shelf.idle.partition_point(|idle| idle.since + after <= now);
        shelf.idle.drain(..count).collect()
    }

    /// When the oldest idle instance expires; nobody watches any more if there is none.
    fn next_expiry(&self) -> Option<Instant> {
        let mut shelf = self.shelf();
        let oldest = shelf.idle.first().map(|idle| idle.since);
        shelf.watched = oldest.is_some();
        oldest.zip(self.options.idle).map(|(since, after)| since + after)
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        lock(&self.shelf)
    }
}

/// The calls that wait for the end of a process, the innermost first; `exec` counts as one.
#[derive(Clone, Debug)]
pub struct Chain {
    function: EntryId,
    caller: Option<Arc<Chain>>,
    /// Calls in it.
    length: usize,
}

impl Chain {
    pub fn new(function: EntryId, caller: Option<Arc<Chain>>) -> Chain {
        let length = caller.as_ref().map_or(0, |chain| chain.length) + 1;
        Chain {
            function,
            caller,
            length,
        }
    }

    /// Refuses a call that goes on within itself, directly or through others.
    ///
    /// # Errors
    /// LimitExceeded for a chain that is too long.
    pub(super) fn check(&self) -> Result<()> {
        if self.length <= NESTED {
            return Ok(());
        }
        let message = format!("{} is nested more than {NESTED} calls deep", self.function);
        Err(Error::new(Kind::LimitExceeded, message))
    }

    /// How many calls of the same function wait for this one.
    fn depth(&self) -> usize {
        let callers = std::iter::successors(self.caller.as_ref(), |chain| chain.caller.as_ref());
        callers.filter(|chain| chain.function == self.function).count()
    }
}

/// One link after the other: a long chain must not take native stack.
impl Drop for Chain {
    fn drop(&mut self) {
        let mut next = self.caller.take();
        while let Some(chain) = next {
            next = Arc::into_inner(chain).and_then(|mut chain| chain.caller.take());
        }
    }
}

/// A place in a pool, and an instance if one lay idle. Dropping it gives the place back.
pub struct Lease {
    pool: Arc<Pool>,
    instance: Option<Box<dyn Instance>>,
    /// None for a place beyond the pool's size.
    _place: Option<OwnedSemaphorePermit>,
}

impl Lease {
    /// The body of a call: in the idle instance, else in a new one.
    ///
    /// # Errors
    /// What [`Program::start`] refuses.
    pub(super) fn start(mut self, program: &dyn Program, start: Start) -> Result<Box<dyn Body>> {
        let Some(instance) = self.instance.take() else {
            let body = program.start(start)?;
            return Ok(self.held_by(body));
        };
        match instance.start(program, start) {
            Ok(body) => Ok(self.held_by(body)),
            Err((error, instance)) => {
                if let Some(instance) = instance {
                    self.pool.keep(instance);
                }
                Err(error)
            }
        }
    }

    /// The body that gets an instance ready.
    ///
    /// # Errors
    /// As [`Program::warm`].
    pub(super) fn warm(self, program: &dyn Program, start: Start) -> Result<Box<dyn Body>> {
        Ok(self.held_by(program.warm(start.process)?))
    }

    fn held_by(self, body: Box<dyn Body>) -> Box<dyn Body> {
        Box::new(Leased {
            body: Some(body),
            doomed: false,
            lease: self,
        })
    }
}

/// A body that gives its instance back to the pool.
struct Leased {
    /// None while it is dropped.
    body: Option<Box<dyn Body>>,
    doomed: bool,
    lease: Lease,
}

impl Body for Leased {
    fn step(&mut self, cx: &mut StepContext<'_>) -> Progress {
        match &mut self.body {
            Some(body) => body.step(cx),
            None => Progress::Ended(Exit::failed(Error::internal("stepped after its end"))),
        }
    }

    fn memory(&self) -> u64 {
        self.body.as_ref().map_or(0, |body| body.memory())
    }

    fn explain(&self) -> Vec<Doing> {
        self.body.as_ref().map_or_else(Vec::new, |body| body.explain())
    }

    fn evidence(&self, cause: Cause) -> Evidence {
        let body = self.body.as_ref();
        body.map_or_else(Evidence::default, |body| body.evidence(cause))
    }

    fn doomed(&mut self, exit: Exit) -> Exit {
        self.doomed = true;
        match &mut self.body {
            Some(body) => body.doomed(exit),
            None => exit,
        }
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        let body = self
            .body
            .take()
            .filter(|_| !self.doomed && self.lease.pool.options.reuse);
        if let Some(instance) = body.and_then(|body| body.recycle()) {
            self.lease.pool.keep(instance);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_of_any_length_can_be_dropped() {
        let function = EntryId::new("app", "f");
        let longer = |caller, _| Some(Arc::new(Chain::new(function.clone(), caller)));
        let chain = (0..1_000_000).fold(None, longer);
        assert_eq!(chain.unwrap().depth(), 999_999);
    }

    #[test]
    fn a_pool_is_what_its_entry_says() {
        let options = |size, idle, warm| PoolOptions {
            size,
            reuse: true,
            idle,
            warm,
        };
        let fixed = |workers, warm_start| PoolSpec::Static {
            workers,
            buffer: 1,
            warm_start,
        };
        let adaptive = PoolSpec::Adaptive {
            max_size: 16,
            warm_start: true,
        };
        let lazy = PoolSpec::Lazy {
            max_size: 4,
            warm_start: false,
        };
        for (spec, expected) in [
            (PoolSpec::default(), options(100, Some(IDLE), 0)),
            (adaptive, options(16, Some(IDLE), 1)),
            (lazy, options(4, Some(IDLE), 0)),
            (fixed(8, false), options(8, None, 0)),
            (fixed(3, true), options(3, None, 3)),
        ] {
            assert_eq!(PoolOptions::from(spec), expected, "{spec:?}");
        }
        let inline = PoolOptions::from(PoolSpec::Inline);
        assert!(!inline.reuse && inline.size == Semaphore::MAX_PERMITS);
        assert_eq!(PoolOptions::from(fixed(u64::MAX, false)).size, Semaphore::MAX_PERMITS);
    }
}
