//! The kernel's guarantees, one test each, with plain futures for bodies: no Lua, no wasm.

mod bounds;
mod calls;
mod hosts;
mod links;
mod model;
mod races;
mod soak;
mod spawn;
mod states;
mod steps;
mod turns;
mod upgrade;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::*;
use crate::error::{Error, Kind, Result};
use crate::id::{EntryId, Pid};
use crate::log::Log;
use crate::system::terminal::Terminal;
use crate::value::{Packed, Value};

type Main = Pin<Box<dyn Future<Output = Exit> + Send>>;
type Make = Box<dyn Fn(Arc<Process>, Packed) -> Main + Send + Sync>;

/// A program whose main is a Rust future. `preempting`: a pending main that was woken meanwhile counts as preempted.
struct Plain {
    entry: EntryId,
    make: Make,
    max_execution: Option<Duration>,
    wait: Wait,
    preempting: bool,
}

struct PlainBody {
    main: Main,
    wait: Wait,
    preempting: bool,
    closed: Option<Arc<AtomicBool>>,
}

impl Program for Plain {
    fn entry(&self) -> &EntryId {
        &self.entry
    }

    fn kind(&self) -> &'static str {
        "process.test"
    }

    fn max_execution(&self) -> Option<Duration> {
        self.max_execution
    }

    fn start(&self, start: Start) -> Result<Box<dyn Body>> {
        Ok(Box::new(PlainBody {
            main: (self.make)(start.process, start.args),
            wait: self.wait,
            preempting: self.preempting,
            closed: None,
        }))
    }
}

impl Body for PlainBody {
    fn step(&mut self, cx: &mut StepContext<'_>) -> Progress {
        match self.main.as_mut().poll(&mut TaskContext::from_waker(&cx.waker())) {
            Poll::Ready(exit) => Progress::Ended(exit),
            Poll::Pending if self.preempting => Progress::Preempted,
            Poll::Pending => Progress::Waiting(self.wait),
        }
    }

    fn memory(&self) -> u64 {
        0
    }
}

impl Drop for PlainBody {
    fn drop(&mut self) {
        if let Some(closed) = &self.closed {
            closed.store(true, Ordering::SeqCst);
        }
    }
}

struct NoPrograms;

impl Programs for NoPrograms {
    fn resolve(&self, id: &EntryId) -> Resolved {
        Resolved::Ready(Err(Error::not_found(format!("entry not found: {id}"))))
    }
}

#[test]
fn each_guarantee_has_a_test_of_its_name() {
    let tests = [
        include_str!("tests.rs"),
        include_str!("tests/bounds.rs"),
        include_str!("tests/calls.rs"),
        include_str!("tests/hosts.rs"),
        include_str!("tests/links.rs"),
        include_str!("tests/spawn.rs"),
        include_str!("tests/steps.rs"),
        include_str!("tests/turns.rs"),
        include_str!("tests/upgrade.rs"),
    ]
    .concat();
    let sentences = include_str!("mod.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! - "));
    let mut count = 0;
    for sentence in sentences {
        let words = sentence
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty());
        let name = words.map(str::to_lowercase).collect::<Vec<_>>().join("_");
        assert!(
            tests.contains(&format!("#[test]\nfn {name}() {{")),
            "no test named {name}"
        );
        count += 1;
    }
    assert!(count > 40, "{count} sentences found");
}

/// A kernel of its own with one host.
struct World {
    kernel: Kernel,
    host: Arc<Host>,
    io: Runtime,
}

impl World {
    fn new() -> World {
        World::with(Clock::real(), |_| {})
    }

    fn with(clock: Clock, change: impl FnOnce(&mut HostSpec)) -> World {
        World::made(clock, Kernel::new, change)
    }

    /// Without workers: nothing runs by itself.
    fn unmanned(change: impl FnOnce(&mut HostSpec)) -> World {
        World::made(Clock::manual(), Kernel::unmanned, change)
    }

    fn made(clock: Clock, make: fn(KernelOptions) -> Kernel, change: impl FnOnce(&mut HostSpec)) -> World {
        let io = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let kernel = make(KernelOptions {
            workers: 2,
            log: Log::none(),
            io: io.handle().clone(),
            programs: Arc::new(NoPrograms),
            clock,
        });
        let mut spec = HostSpec::new(EntryId::new("test", "host"));
        change(&mut spec);
        let host = kernel.add_host(spec).unwrap();
        World { kernel, host, io }
    }

    fn program<F>(make: impl Fn(Arc<Process>, Packed) -> F + Send + Sync + 'static) -> Plain
    where
        F: Future<Output = Exit> + Send + 'static,
    {
        Plain {
            entry: EntryId::new("test", "plain"),
            make: Box::new(move |process, args| Box::pin(make(process, args))),
            max_execution: None,
            wait: Wait::Mailbox,
            preempting: false,
        }
    }

    fn request(&self, program: Plain) -> Spawn {
        Spawn::new(Arc::new(program), self.host.clone())
    }

    fn spawn<F>(&self, make: impl Fn(Arc<Process>, Packed) -> F + Send + Sync + 'static) -> Arc<Process>
    where
        F: Future<Output = Exit> + Send + 'static,
    {
        self.kernel.spawn(self.request(World::program(make))).unwrap()
    }

    /// A process that waits for its mailbox for ever.
    fn sleeper(&self) -> Arc<Process> {
        self.spawn(|_, _| std::future::pending())
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let patience = Duration::from_secs(30);
        self.io
            .block_on(async { tokio::time::timeout(patience, future).await })
            .expect("within the watchdog's time")
    }

    fn exit(&self, process: &Arc<Process>) -> Arc<Exit> {
        self.wait(process.exited())
    }

    /// Runs `main` as a process and gives back what it returned.
    fn run<F, T>(&self, main: impl Fn(Arc<Process>) -> F + Send + Sync + 'static) -> T
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let sender = Arc::new(Mutex::new(Some(sender)));
        self.spawn(move |process, _| {
            let (result, sender) = (main(process), sender.clone());
            async move {
                let result = result.await;
                let sender = sender.lock().unwrap().take().expect("main runs once");
                assert!(sender.send(result).is_ok());
                done()
            }
        });
        self.wait(receiver).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kernel.close();
    }
}

fn done() -> Exit {
    Exit::returned(Packed::empty())
}

async fn receive(process: &Arc<Process>) -> Taken {
    poll_fn(|_| {
        process
            .mailbox()
            .take_any(true, true)
            .map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

async fn yield_now(process: &Arc<Process>) {
    let mut yielded = false;
    poll_fn(|_| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        process.wake();
        Poll::Pending
    })
    .await
}

/// What `parent` asks for to have `program` run beside it.
fn child_of(parent: &Arc<Process>, program: Plain, ties: Ties) -> Spawn {
    Spawn {
        parent: Some(parent.clone()),
        ties,
        observed: false,
        context: parent.context().clone(),
        ..Spawn::new(Arc::new(program), parent.host().clone())
    }
}

fn trap_links(process: &Process) {
    process.mailbox().set_trap_links(true);
}

fn send(process: &Arc<Process>, to: &Pid, number: i64) -> Result<()> {
    let payload = Packed::from_value(&Value::Int(number));
    process.kernel().send(Some(process.pid()), to, "n".into(), payload)
}

fn number(taken: Taken) -> i64 {
    match taken {
        Taken::Message(message) => match message.payload.to_value() {
            Ok(Value::Int(number)) => number,
            other => panic!("a number expected: {other:?}"),
        },
        Taken::Event(event) => panic!("a message expected: {event:?}"),
    }
}

fn exit_of(taken: Taken) -> (Pid, Arc<Exit>) {
    match taken {
        Taken::Event(Event {
            kind: EventKind::Exit(exit),
            from: Some(from),
            ..
        }) => (from, exit),
        other => panic!("an EXIT expected: {other:?}"),
    }
}

#[test]
fn messages_from_one_sender_arrive_in_order() {
    const COUNT: i64 = 10_000;
    let world = World::new();
    let received = world.run(|receiver| async move {
        for sender in 0..2 {
            let me = receiver.pid().clone();
            let program = World::program(move |process, _| {
                let me = me.clone();
                async move {
                    for index in 0..COUNT {
                        send(&process, &me, sender * COUNT + index).unwrap();
                        if index % 100 == 0 {
                            yield_now(&process).await;
                        }
                    }
                    done()
                }
            });
            receiver
                .kernel()
                .spawn(child_of(&receiver, program, Ties::NONE))
                .unwrap();
        }
        let mut lanes = [Vec::new(), Vec::new()];
        for _ in 0..2 * COUNT {
            let number = number(receive(&receiver).await);
            lanes[(number / COUNT) as usize].push(number % COUNT);
        }
        lanes
    });
    for lane in received {
        assert_eq!(lane, (0..COUNT).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_sent_before_anybody_reads_stays_queued() {
    let world = World::new();
    let (open, gate) = oneshot::channel::<()>();
    let gate = Arc::new(Mutex::new(Some(gate)));
    let target = world.spawn(move |process, _| {
        let gate = gate.lock().unwrap().take().unwrap();
        async move {
            gate.await.unwrap();
            Exit::returned(Packed::from_value(&Value::Int(number(receive(&process).await))))
        }
    });
    let payload = Packed::from_value(&Value::Int(7));
    world.kernel.send(None, target.pid(), "n".into(), payload).unwrap();
    open.send(()).unwrap();
    assert_eq!(world.exit(&target).result, Ok(Packed::from_value(&Value::Int(7))));
}

/// A watcher that monitors a child made by `make`, and what it read.
fn watch_child<F>(world: &World, make: impl Fn(Arc<Process>, Packed) -> F + Send + Sync + Clone + 'static) -> Arc<Exit>
where
    F: Future<Output = Exit> + Send + 'static,
{
    world.run(move |watcher| {
        let make = make.clone();
        async move {
            let program = World::program(make);
            let child = watcher
                .kernel()
                .spawn(child_of(&watcher, program, Ties::MONITOR))
                .unwrap();
            let (from, exit) = exit_of(receive(&watcher).await);
            assert_eq!(&from, child.pid());
            assert!(watcher.kernel().find(child.pid()).is_none(), "the pid is gone");
            let again = watcher.kernel().monitor(&watcher, child.pid());
            assert_eq!(again.unwrap_err().kind(), Kind::NotFound);
            assert!(!watcher.mailbox().has_event(), "exactly one EXIT");
            exit
        }
    })
}

#[test]
fn every_monitor_gets_exactly_one_exit_in_every_way_of_dying() {
    let world = World::new();
    let exit = watch_child(&world, |_, _| async { done() });
    assert_eq!(*exit, done());
    let exit = watch_child(&world, |_, _| async { Exit::failed(Error::invalid("no")) });
    assert_eq!(exit.error().unwrap().message(), "no");
    let exit = watch_child(&world, |process, _| async move {
        process.kernel().terminate(process.pid()).unwrap();
        std::future::pending().await
    });
    assert_eq!(exit.error().unwrap().message(), "process terminated");
    assert_eq!(exit.error().unwrap().retryable(), None);
    let exit = watch_child(&world, |_, _| async { panic!("boom") });
    assert!(exit.error().unwrap().message().ends_with("boom"));
}

#[test]
fn a_panic_in_a_body_ends_that_process_alone() {
    let world = World::new();
    let bystander = world.sleeper();
    let broken = world.spawn(|_, _| async { panic!("boom") });
    assert_eq!(world.exit(&broken).error().unwrap().kind(), Kind::Internal);
    assert!(world.kernel.find(bystander.pid()).is_some());
    assert_eq!(world.run(|_| async { 5 }), 5, "the worker goes on");
}

#[test]
fn whoever_has_read_the_exit_finds_the_pid_and_its_names_gone() {
    let world = World::new();
    world.run(|watcher| async move {
        let kernel = watcher.kernel().clone();
        for _ in 0..200 {
            let program = World::program(|process, _| async move {
                process.kernel().register("worker", process.pid()).unwrap();
                done()
            });
            let child = kernel.spawn(child_of(&watcher, program, Ties::MONITOR)).unwrap();
            exit_of(receive(&watcher).await);
            assert_eq!(kernel.names().lookup("worker"), None);
            assert!(kernel.find(child.pid()).is_none());
            let sent = kernel.send(None, child.pid(), "n".into(), Packed::empty());
            assert_eq!(sent.unwrap_err().kind(), Kind::NotFound);
        }
    });
}

#[test]
fn names_have_one_holder_and_cannot_look_like_pids() {
    let world = World::new();
    let (one, two) = (world.sleeper(), world.sleeper());
    world.kernel.register("a", one.pid()).unwrap();
    world.kernel.register("a", one.pid()).unwrap();
    let taken = world.kernel.register("a", two.pid()).unwrap_err();
    assert_eq!(
        (taken.kind(), taken.message()),
        (Kind::AlreadyExists, "name already registered")
    );
    let pid_like = world.kernel.register("{x|0x1}", two.pid()).unwrap_err();
    assert_eq!(pid_like.kind(), Kind::Invalid);
    assert_eq!(world.kernel.resolve("a").unwrap(), *one.pid());
    assert_eq!(
        world.kernel.resolve("b").unwrap_err().message(),
        "could not resolve 'b' as PID or registered name"
    );
    assert!(world.kernel.unregister("a") && !world.kernel.unregister("a"));
    let (_, kept) = one.relations().close();
    assert!(
        kept.is_empty(),
        "a process does not remember names that it gave up: {kept:?}"
    );
}

#[test]
fn exit_comes_after_the_last_message_that_the_process_sent() {
    let world = World::new();
    world.run(|watcher| async move {
        for round in 0..500 {
            let parent = watcher.pid().clone();
            let program = World::program(move |process, _| {
                let parent = parent.clone();
                async move {
                    send(&process, &parent, round).unwrap();
                    done()
                }
            });
            watcher
                .kernel()
                .spawn(child_of(&watcher, program, Ties::MONITOR))
                .unwrap();
            assert_eq!(number(receive(&watcher).await), round);
            exit_of(receive(&watcher).await);
        }
    });
}

#[test]
fn after_unmonitor_no_exit_is_seen() {
    let world = World::new();
    let child = world.sleeper();
    let quiet = world.run({
        let child = child.clone();
        move |watcher| {
            let child = child.clone();
            async move {
                let kernel = watcher.kernel();
                kernel.monitor(&watcher, child.pid()).unwrap();
                let twice = kernel.monitor(&watcher, child.pid()).unwrap_err();
                assert_eq!(twice.kind(), Kind::AlreadyExists);
                kernel.terminate(child.pid()).unwrap();
                while !watcher.mailbox().has_event() {
                    yield_now(&watcher).await;
                }
                kernel.unmonitor(&watcher, child.pid());
                !watcher.mailbox().has_event()
            }
        }
    });
    assert!(quiet);
}

#[test]
fn a_full_mailbox_refuses_messages_and_takes_events() {
    let world = World::with(Clock::real(), |host| host.mailbox.messages = 2);
    let target = world.sleeper();
    let payload = || Packed::from_value(&Value::Int(1));
    let send = || world.kernel.send(None, target.pid(), "n".into(), payload());
    send().unwrap();
    send().unwrap();
    let full = send().unwrap_err();
    assert_eq!((full.kind(), full.retryable()), (Kind::Unavailable, Some(true)));
    assert_eq!(full.message(), format!("mailbox of {} is full", target.pid()));
    world.kernel.cancel(None, target.pid(), "why").unwrap();
    assert_eq!(target.mailbox().len(), 3);
}

#[test]
fn sending_to_an_ended_process_is_not_found() {
    let world = World::new();
    let target = world.spawn(|_, _| async { done() });
    world.exit(&target);
    let gone = world
        .kernel
        .send(None, target.pid(), "n".into(), Packed::empty())
        .unwrap_err();
    assert_eq!(gone.message(), format!("process not found: {}", target.pid()));
}

#[test]
fn a_terminated_process_is_not_found_by_the_next_send() {
    let world = World::new();
    for _ in 0..100 {
        let target = world.sleeper();
        world.kernel.terminate(target.pid()).unwrap();
        let sent = world.kernel.send(None, target.pid(), "n".into(), Packed::empty());
        assert_eq!(sent.unwrap_err().kind(), Kind::NotFound);
    }
}

#[test]
fn a_doomed_process_never_runs_again() {
    let world = World::new();
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let target = world.spawn(|process, _| async move {
        poll_fn(|_| {
            RUNS.fetch_add(1, Ordering::SeqCst);
            process.wake();
            Poll::<Exit>::Pending
        })
        .await
    });
    while RUNS.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    world.kernel.terminate(target.pid()).unwrap();
    assert_eq!(world.exit(&target).cause, Cause::Terminated);
    // The end of one that is in a long step is told without it: this waits for the step.
    target.explain();
    let after = RUNS.load(Ordering::SeqCst);
    assert_eq!(world.run(|_| async { 1 }), 1);
    assert_eq!(RUNS.load(Ordering::SeqCst), after);
}

#[test]
fn terminate_ends_a_process_that_waits_runs_or_was_never_stepped() {
    let world = World::with(Clock::real(), |host| host.workers = 1);
    let waits = world.sleeper();
    while waits.steps() == 0 {
        std::thread::yield_now();
    }
    let runs = world.spawn(|process, _| async move {
        loop {
            yield_now(&process).await;
        }
    });
    while runs.steps() < 10 {
        std::thread::yield_now();
    }
    for process in [waits, runs] {
        world.kernel.terminate(process.pid()).unwrap();
        assert_eq!(world.exit(&process).cause, Cause::Terminated);
    }
    static STEPS: AtomicUsize = AtomicUsize::new(0);
    let unmanned = World::unmanned(|_| {});
    let never = unmanned.spawn(|_, _| async {
        STEPS.fetch_add(1, Ordering::SeqCst);
        done()
    });
    unmanned.kernel.terminate(never.pid()).unwrap();
    unmanned.kernel.close();
    assert_eq!(never.exit().unwrap().cause, Cause::Terminated);
    assert_eq!(STEPS.load(Ordering::SeqCst), 0);
}

#[test]
fn a_deadline_ends_a_process_that_waits_and_one_that_is_busy() {
    let world = World::with(Clock::manual(), |_| {});
    let limited = |preempting| Plain {
        max_execution: Some(Duration::from_millis(5000)),
        preempting,
        ..World::program(|_, _| std::future::pending())
    };
    let waiting = world.kernel.spawn(world.request(limited(false))).unwrap();
    let busy = world.kernel.spawn(world.request(limited(true))).unwrap();
    world.kernel.advance(Duration::from_millis(4999));
    assert_eq!(world.run(|_| async { 1 }), 1);
    assert!(waiting.exit().is_none() && busy.exit().is_none());
    world.kernel.advance(Duration::from_millis(1));
    for process in [waiting, busy] {
        let exit = world.exit(&process);
        let error = exit.error().unwrap();
        assert_eq!((exit.cause, error.kind()), (Cause::TimeLimit, Kind::Timeout));
        assert_eq!(error.message(), "execution time limit exceeded: 5000 ms");
        assert_eq!(error.details().unwrap().get("allowed"), Some(&Value::Int(5000)));
    }
}

#[test]
fn a_process_is_woken_at_its_time_and_keeps_one_timer() {
    let world = World::with(Clock::manual(), |_| {});
    let target = world.spawn(|process, _| async move {
        let kernel = process.kernel().clone();
        let due = kernel.now() + Duration::from_secs(3600);
        process.wake_at(Some(due + Duration::from_secs(1)));
        process.wake_at(Some(due));
        poll_fn(|_| {
            if kernel.now() >= due {
                return Poll::Ready(());
            }
            process.wake_at(Some(due));
            Poll::Pending
        })
        .await;
        done()
    });
    while target.steps() == 0 {
        std::thread::yield_now();
    }
    world.kernel.advance(Duration::from_secs(3600));
    assert_eq!(world.exit(&target).cause, Cause::Returned);
    assert!(!world.kernel.timers().is_due());
}

#[test]
fn a_cancel_is_queued_and_can_be_ignored() {
    let world = World::new();
    let target = world.spawn(|process, _| async move {
        let mut reasons = Vec::new();
        loop {
            match receive(&process).await {
                Taken::Event(Event {
                    kind: EventKind::Cancel(reason),
                    ..
                }) => reasons.push(Value::from(&*reason)),
                _ => return Exit::returned(Packed::from_values(&reasons)),
            }
        }
    });
    world.kernel.cancel(None, target.pid(), "one").unwrap();
    world.kernel.cancel(None, target.pid(), "").unwrap();
    world
        .kernel
        .send(None, target.pid(), "n".into(), Packed::empty())
        .unwrap();
    let reasons = Packed::from_values(&[Value::from("one"), Value::from("")]);
    assert_eq!(world.exit(&target).result, Ok(reasons));
}

#[test]
fn two_kernels_live_side_by_side() {
    let (one, two) = (World::new(), World::new());
    let first = one.sleeper();
    assert_eq!(two.run(|process| async move { process.kernel().processes().len() }), 1);
    drop(two);
    assert!(one.kernel.find(first.pid()).is_some());
    assert_eq!(one.run(|_| async { 3 }), 3);
}
