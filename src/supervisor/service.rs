//! One service: the task that asks the policy what to do and does it to the kernel.
//!
//! At any time exactly one thing is awaited ([`Keeper::next`]): a start, an end, the end of a delay. An order from outside
//! may come before it. Every change of status leaves a log record, and is seen through a watch.

use std::future::{pending, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::policy::{Action, Event, State, Status, Verdict, decide};
use crate::backoff::luck;
use crate::duration;
use crate::error::{Error, Kind, Result};
use crate::id::EntryId;
use crate::lock::lock;
use crate::log::{Level, Record};
use crate::process::{Actor, Context, Exit, Host, Kernel, Process, Program, Resolved, Spawn};
use crate::project::{Entry, Lifecycle, ServiceSpec};
use crate::race::{First, first};
use crate::value::Packed;

/// What a service keeps running.
pub(super) enum Subject {
    Process(ServiceSpec),
    Host,
    /// Its entry cannot be used.
    Broken(Error),
}

/// What can be seen of a service from outside.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub status: Status,
    /// Why it does not run, in the states `exited` and `failed`.
    pub error: Option<Error>,
    /// It waits for what it requires.
    pub is_blocked: bool,
    /// It ran at least once.
    pub has_run: bool,
    /// It has ended, and will not be started again.
    pub is_over: bool,
}

impl Seen {
    /// Whether its start has come to an end, or will not before others have started.
    pub fn is_settled(&self) -> bool {
        self.is_blocked || !matches!(self.status, Status::Unknown | Status::Starting)
    }
}

enum Order {
    /// To run as soon as what it requires does.
    Start,
    Stop,
}

/// A service that another one requires.
pub(super) type Requirement = (EntryId, watch::Receiver<Seen>);

/// The handle of a service. Dropping it gives the service up: its process is left to whoever ends the kernel.
pub(super) struct Service {
    pub id: EntryId,
    /// The boot fails when it cannot be started.
    is_required: bool,
    orders: mpsc::UnboundedSender<Order>,
    seen: watch::Receiver<Seen>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Service {
    /// A service at rest. `usual`: the level of records about changes that nobody needs to worry about.
    pub fn new(kernel: &Kernel, entry: &Entry, subject: Subject, requires: Vec<Requirement>, usual: Level) -> Service {
        let (orders, inbox) = mpsc::unbounded_channel();
        let (publish, seen) = watch::channel(Seen::default());
        let lifecycle = entry.lifecycle.clone().unwrap_or_default();
        let (id, is_required) = (entry.id.clone(), !lifecycle.optional);
        let keeper = Keeper {
            work: Arc::new(Work {
                kernel: kernel.clone(),
                id: id.clone(),
                lifecycle,
                subject,
            }),
            requires,
            usual,
            state: State::default(),
            running: None,
            next: Box::pin(pending()),
            publish,
        };
        let task = kernel.io().spawn(keeper.keep(inbox));
        Service {
            id,
            is_required,
            orders,
            seen,
            task: Mutex::new(Some(task)),
        }
    }

    pub fn requirement(&self) -> Requirement {
        (self.id.clone(), self.seen.clone())
    }

    /// Starts it, after what it requires, and waits until that has led to something.
    pub async fn start(&self) {
        // A keeper that is gone was stopped meanwhile: there is nothing to wait for.
        let _ = self.orders.send(Order::Start);
        let _ = self.seen.clone().wait_for(Seen::is_settled).await;
    }

    /// Waits until it is over for good; gives the error, if it ended with one.
    pub async fn over(&self) -> Option<Error> {
        let mut seen = self.seen.clone();
        // A keeper that is gone has brought it to rest.
        let over = seen.wait_for(|seen| seen.is_over).await;
        over.ok().and_then(|seen| seen.error.clone())
    }

    /// Why the boot has failed, if it is this one's fault.
    pub fn blame(&self) -> Option<Error> {
        let seen = self.seen.borrow();
        seen.error.clone().filter(|_| self.is_required && !seen.has_run)
    }

    /// Stops it, and waits until nothing of it runs.
    pub async fn stop(&self) {
        // One that has ended already needs no order.
        let _ = self.orders.send(Order::Stop);
        // Not by the task, which only one could wait for: whoever has stopped it before may have given up waiting.
        let mut seen = self.seen.clone();
        while seen.changed().await.is_ok() {}
        let task = lock(&self.task).take();
        if let Some(task) = task
            && let Err(failure) = task.await
            && failure.is_panic()
        {
            std::panic::resume_unwind(failure.into_panic());
        }
    }

    /// Gives it up: it is neither restarted nor asked to stop any more.
    pub fn abandon(&self) {
        let task = lock(&self.task).take();
        if let Some(task) = task {
            task.abort();
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// What there is of a service while it runs.
#[derive(Clone)]
enum Running {
    Process(Arc<Process>, Instant),
    Host(Arc<Host>),
}

/// What the keeper waited for.
enum Happening {
    Start,
    Spawned(Running),
    /// What was spawned has begun.
    Started,
    Refused(Error),
    /// A host ends only when it is stopped, and without a result.
    Ended(Option<Arc<Exit>>),
    StopTimedOut,
}

type Next = Pin<Box<dyn Future<Output = Happening> + Send>>;

struct Keeper {
    work: Arc<Work>,
    requires: Vec<Requirement>,
    usual: Level,
    state: State,
    running: Option<Running>,
    next: Next,
    publish: watch::Sender<Seen>,
}

impl Keeper {
    /// Until it was stopped.
    async fn keep(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            match first(orders.recv(), &mut self.next).await {
                First::Left(Some(Order::Start)) => self.start_when_possible(),
                First::Left(Some(Order::Stop) | None) => break,
                First::Right(happening) => self.take(happening).await,
            }
        }
        if self.state.status == Status::Starting && self.running.is_some() {
            // There is something to stop already.
            self.started().await;
        }
        self.happened(Event::Stop, None).await;
        while !self.state.status.is_at_rest() {
            let happening = (&mut self.next).await;
            self.take(happening).await;
        }
    }

    fn start_when_possible(&mut self) {
        let requires = std::mem::take(&mut self.requires);
        // Not whether it runs: one that had little to do is over by now.
        let is_missing = |(_, seen): &&Requirement| !seen.borrow().has_run;
        let missing: Vec<&str> = requires.iter().filter(is_missing).map(|(id, _)| id.as_str()).collect();
        if !missing.is_empty() {
            let record = Record::new(Level::Warn, "service waits for what it requires")
                .field("service", self.work.id.as_str())
                .field("requires", missing.join(", "));
            self.work.kernel.log().record(record);
            self.publish.send_modify(|seen| seen.is_blocked = true);
        }
        self.next = Box::pin(async move {
            for (_, mut seen) in requires {
                if seen.wait_for(|seen| seen.has_run).await.is_err() {
                    // It was stopped before it ever ran, and so will this one be.
                    return pending().await;
                }
            }
            Happening::Start
        });
    }

    async fn started(&mut self) {
        if let Some(running) = &self.running {
            self.next = running.ended();
        }
        self.happened(Event::Started, None).await;
    }

    async fn take(&mut self, happening: Happening) {
        self.next = Box::pin(pending());
        let luck = luck();
        match happening {
            Happening::Start => self.happened(Event::Start, None).await,
            Happening::Spawned(running) => {
                self.next = running.begun();
                self.running = Some(running);
            }
            Happening::Started => self.started().await,
            Happening::Refused(error) => {
                let verdict = Verdict::of_refusal(&error);
                self.happened(Event::Refused { verdict, luck }, Some(error)).await;
            }
            Happening::Ended(exit) => {
                let verdict = exit.as_ref().map_or(Verdict::Final, |exit| Verdict::of_exit(exit));
                let ran = self.running.as_ref().map_or(Duration::ZERO, Running::ran);
                let error = exit.and_then(|exit| exit.error().cloned());
                self.happened(Event::Ended { verdict, ran, luck }, error).await;
                self.running = None;
            }
            Happening::StopTimedOut => {
                let error = self.work.stop_timed_out();
                self.happened(Event::StopTimedOut, Some(error)).await;
            }
        }
    }

    /// Asks the policy, tells about it, does it.
    async fn happened(&mut self, event: Event, error: Option<Error>) {
        let (state, action) = decide(&self.work.lifecycle, self.state, event);
        let is_change = state.status != self.state.status;
        self.state = state;
        if is_change {
            self.record(error.as_ref(), action);
            self.publish.send_modify(|seen| {
                *seen = Seen {
                    status: state.status,
                    error,
                    is_blocked: false,
                    has_run: seen.has_run || state.status == Status::Running,
                    is_over: state.status.is_at_rest() && !state.is_waiting,
                };
            });
        }
        match action {
            None | Some(Action::GiveUp) => {}
            Some(Action::Start) => self.next = self.work.clone().start(),
            Some(Action::RestartAfter(delay)) => {
                self.next = Box::pin(async move {
                    sleep(delay).await;
                    Happening::Start
                });
            }
            Some(Action::AskToStop) => self.next = self.ask_to_stop(),
            Some(Action::Terminate) => {
                if let Some(Running::Process(process, _)) = &self.running {
                    process.doom(Exit::terminated());
                    process.exited().await;
                }
            }
        }
        if state.status.is_at_rest() && !state.is_waiting {
            self.next = Box::pin(pending());
        }
    }

    fn ask_to_stop(&self) -> Next {
        let kernel = self.work.kernel.clone();
        match self.running.clone() {
            // Its own stop knows the timeout.
            Some(Running::Host(host)) => Box::pin(async move {
                kernel.stop_host(&host).await;
                Happening::Ended(None)
            }),
            Some(running @ Running::Process(..)) => {
                let patience = self.work.lifecycle.stop_timeout;
                Box::pin(async move {
                    if let Running::Process(process, _) = &running {
                        kernel.ask_to_stop(None, process, "service stopping");
                    }
                    timeout(patience, running.ended())
                        .await
                        .unwrap_or(Happening::StopTimedOut)
                })
            }
            None => Box::pin(async { Happening::Ended(None) }),
        }
    }

    fn record(&self, error: Option<&Error>, action: Option<Action>) {
        let status = self.state.status;
        let level = match (status, action) {
            (Status::Failed, Some(Action::RestartAfter(_))) => Level::Warn,
            (Status::Failed | Status::Exited, _) if error.is_some() => Level::Error,
            _ => self.usual,
        };
        let mut record = Record::new(level, format!("service {}", status.as_str()));
        record = record.field("service", self.work.id.as_str());
        match action {
            Some(Action::RestartAfter(delay)) => record = record.field("restart_in", shown(delay)),
            Some(Action::GiveUp) => record = record.field("not_restarted", self.work.used_up()),
            _ => {}
        }
        if let Some(error) = error {
            record = record.because(error);
        }
        if let Some(Running::Process(process, _)) = &self.running {
            record = record.about(process.pid(), &process.entry());
        }
        self.work.kernel.log().record(record);
    }
}

impl Running {
    /// Who requires it is started afterwards, and finds what it registers first thing.
    fn begun(&self) -> Next {
        match self {
            Running::Process(process, _) => {
                let begun = process.begun();
                Box::pin(async move {
                    begun.await;
                    Happening::Started
                })
            }
            Running::Host(_) => Box::pin(ready(Happening::Started)),
        }
    }

    fn ended(&self) -> Next {
        match self {
            Running::Process(process, _) => {
                let exited = process.exited();
                Box::pin(async move { Happening::Ended(Some(exited.await)) })
            }
            Running::Host(_) => Box::pin(pending()),
        }
    }

    fn ran(&self) -> Duration {
        match self {
            Running::Process(_, since) => since.elapsed(),
            Running::Host(_) => Duration::ZERO,
        }
    }
}

/// What stays the same over all runs.
struct Work {
    kernel: Kernel,
    id: EntryId,
    lifecycle: Lifecycle,
    subject: Subject,
}

impl Work {
    fn start(self: Arc<Self>) -> Next {
        Box::pin(async move {
            let patience = self.lifecycle.start_timeout;
            let started = timeout(patience, self.run()).await;
            match started.unwrap_or_else(|_| Err(start_timed_out(patience))) {
                Ok(running) => Happening::Spawned(running),
                Err(error) => Happening::Refused(error),
            }
        })
    }

    async fn run(&self) -> Result<Running> {
        match &self.subject {
            Subject::Host => self.host(&self.id).map(Running::Host),
            Subject::Process(spec) => {
                let (began, patience) = (Instant::now(), self.lifecycle.start_timeout);
                let program = self.program(&spec.process).await?;
                // On a busy machine the program and its deadline are seen together.
                if began.elapsed() >= patience {
                    return Err(start_timed_out(patience));
                }
                // Its run begins here, however late this thread goes on when the process does.
                let began = Instant::now();
                Ok(Running::Process(self.spawn(spec, program)?, began))
            }
            Subject::Broken(error) => Err(error.clone()),
        }
    }

    async fn program(&self, id: &EntryId) -> Result<Arc<dyn Program>> {
        match self.kernel.programs().resolve(id) {
            Resolved::Ready(result) => result,
            Resolved::Pending(loading) => loading.await,
        }
    }

    fn spawn(&self, spec: &ServiceSpec, program: Arc<dyn Program>) -> Result<Arc<Process>> {
        let context = match self.lifecycle.actor.clone() {
            Some((id, meta)) => Context::default().with_actor(Arc::new(Actor { id, meta })),
            None => Context::default(),
        };
        self.kernel.spawn(Spawn {
            args: Packed::from_values(&spec.input),
            context: Arc::new(context),
            ..Spawn::new(program, self.host(&spec.host)?)
        })
    }

    fn host(&self, id: &EntryId) -> Result<Arc<Host>> {
        self.kernel.usable_host(id, || format!("host not found: {id}"))
    }

    fn stop_timed_out(&self) -> Error {
        let patience = shown(self.lifecycle.stop_timeout);
        Error::new(Kind::Timeout, format!("stop timeout after {patience}"))
    }

    fn used_up(&self) -> String {
        match self.lifecycle.restart.max_attempts {
            1 => "its only start is used up".to_owned(),
            most => format!("all {most} starts are used up"),
        }
    }
}

/// Another start may be quicker.
fn start_timed_out(patience: Duration) -> Error {
    let message = format!("start timeout after {}", shown(patience));
    Error::new(Kind::Timeout, message).with_retryable(Some(true))
}

/// To the millisecond: jitter has more digits than anybody reads.
fn shown(time: Duration) -> String {
    let milliseconds = i64::try_from(time.as_millis()).unwrap_or(i64::MAX / duration::MILLISECOND);
    duration::format(milliseconds.saturating_mul(duration::MILLISECOND))
}
