//! Processes that go on as something else.

use super::*;

/// A body that becomes what `next` says in its first step.
struct Upgrading(EntryId, Upgrade);

impl Program for Upgrading {
    fn entry(&self) -> &EntryId {
        &self.0
    }

    fn kind(&self) -> &'static str {
        "process.before"
    }

    fn max_execution(&self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }

    fn start(&self, _: Start) -> Result<Box<dyn Body>> {
        struct Becoming(Upgrade);
        impl Body for Becoming {
            fn step(&mut self, _: &mut StepContext<'_>) -> Progress {
                Progress::Upgraded(self.0.clone())
            }
            fn memory(&self) -> u64 {
                0
            }
        }
        Ok(Box::new(Becoming(self.1.clone())))
    }
}

impl World {
    /// Starts a process that becomes one of `program`, with a message and a link from the time before.
    fn upgrading(&self, program: Arc<dyn Program>) -> (Arc<Process>, Arc<Process>) {
        let args = Packed::from_value(&Value::Int(5));
        let before = Upgrading(EntryId::new("test", "before"), Upgrade { program, args });
        let parent = self.sleeper();
        let process = self.kernel.spawn(Spawn {
            parent: Some(parent.clone()),
            ties: Ties::LINK,
            name: Some("same".to_owned()),
            messages: vec![("n".into(), Packed::from_value(&Value::Int(37)))],
            ..Spawn::new(Arc::new(before), self.host.clone())
        });
        (process.unwrap(), parent)
    }
}

#[test]
fn an_upgraded_process_keeps_pid_mailbox_names_monitors_and_links() {
    let world = World::with(Clock::manual(), |_| {});
    let program = World::program(|process, args| async move {
        let Value::Int(argument) = args.to_value().unwrap() else {
            panic!("{args:?}");
        };
        let sum = argument + number(receive(&process).await);
        while process.mailbox().is_empty() {
            yield_now(&process).await;
        }
        Exit::returned(Packed::from_value(&Value::Int(sum)))
    });
    let (process, parent) = world.upgrading(Arc::new(program));
    let watcher = world.sleeper();
    world.kernel.monitor(&watcher, process.pid()).unwrap();
    while process.kind() != "process.test" {
        std::thread::yield_now();
    }
    assert_eq!(process.entry(), EntryId::new("test", "plain"));
    assert_eq!(world.kernel.resolve("same").unwrap(), *process.pid());
    assert_eq!(world.kernel.links_of(&parent), [process.pid().clone()]);
    // The time limit of what it was is over.
    world.kernel.advance(Duration::from_secs(2));
    world
        .kernel
        .send(None, process.pid(), "go".into(), Packed::empty())
        .unwrap();
    assert_eq!(world.exit(&process).result, Ok(Packed::from_value(&Value::Int(42))));
    let told = async {
        while !watcher.mailbox().has_event() {
            tokio::task::yield_now().await;
        }
    };
    world.wait(told);
}

#[test]
fn an_upgrade_that_fails_ends_the_process_with_the_error() {
    struct Impossible(EntryId);
    impl Program for Impossible {
        fn entry(&self) -> &EntryId {
            &self.0
        }
        fn kind(&self) -> &'static str {
            "process.test"
        }
        fn max_execution(&self) -> Option<Duration> {
            None
        }
        fn start(&self, _: Start) -> Result<Box<dyn Body>> {
            Err(Error::invalid("arguments do not fit"))
        }
    }
    let world = World::new();
    let (process, parent) = world.upgrading(Arc::new(Impossible(EntryId::new("test", "impossible"))));
    assert_eq!(world.exit(&process).error().unwrap().message(), "arguments do not fit");
    assert_eq!(world.exit(&parent).cause, Cause::LinkBroken);
}

#[test]
fn a_process_that_is_preempted_first_has_not_begun() {
    let world = World::unmanned(|_| {});
    let program = Plain {
        preempting: true,
        ..World::program(|_, _| std::future::pending())
    };
    let process = world.kernel.spawn(world.request(program)).unwrap();
    let mut begun = std::pin::pin!(process.begun());
    let mut cx = TaskContext::from_waker(std::task::Waker::noop());
    let mut slices = 0;
    while begun.as_mut().poll(&mut cx).is_pending() {
        assert!(world.kernel.scheduler().step_first(&world.kernel), "it goes on");
        slices += 1;
    }
    assert_eq!(slices, 100, "one that never waits has begun at some time");
}

#[test]
fn a_process_has_begun_when_it_first_waits_or_has_ended() {
    let world = World::new();
    for _ in 0..100 {
        let reached = Arc::new(AtomicBool::new(false));
        let process = world.spawn({
            let reached = reached.clone();
            move |_, _| {
                let reached = reached.clone();
                async move {
                    reached.store(true, Ordering::SeqCst);
                    std::future::pending().await
                }
            }
        });
        world.wait(process.begun());
        assert!(reached.load(Ordering::SeqCst));
        world.kernel.terminate(process.pid()).unwrap();
        let ended = world.spawn(|_, _| async { done() });
        world.exit(&ended);
        world.wait(ended.begun());
    }
}
