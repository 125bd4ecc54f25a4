//! Services on a kernel, with processes whose steps are told.

use std::pin::pin;
use std::sync::Barrier;
use std::task::{Context as TaskContext, Waker};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::*;
use crate::error::Result;
use crate::log::Log;
use crate::process::{
    Body, Clock, Exit, HostSpec, KernelOptions, Program, Programs, Progress, Resolved, Start, StepContext, Wait,
};
use crate::project::{Lifecycle, ServiceSpec};
use crate::value::Packed;

type Step = Arc<dyn Fn(&mut StepContext<'_>) -> Progress + Send + Sync>;

/// Every entry is a process that hears CANCEL and steps so.
#[derive(Clone)]
struct Steps(Step);

impl Programs for Steps {
    fn resolve(&self, id: &EntryId) -> Resolved {
        Resolved::Ready(Ok(Arc::new(Stepped(id.clone(), self.clone()))))
    }
}

struct Stepped(EntryId, Steps);

impl Program for Stepped {
    fn entry(&self) -> &EntryId {
        &self.0
    }

    fn kind(&self) -> &'static str {
        "process.test"
    }

    fn max_execution(&self) -> Option<Duration> {
        None
    }

    fn start(&self, start: Start) -> Result<Box<dyn Body>> {
        start.process.set_hears_cancel(true);
        Ok(Box::new(self.1.clone()))
    }
}

impl Body for Steps {
    fn step(&mut self, cx: &mut StepContext<'_>) -> Progress {
        (self.0)(cx)
    }

    fn memory(&self) -> u64 {
        0
    }
}

struct World {
    kernel: Kernel,
    io: Runtime,
}

impl World {
    fn new(step: impl Fn(&mut StepContext<'_>) -> Progress + Send + Sync + 'static) -> World {
        let io = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let kernel = Kernel::new(KernelOptions {
            workers: 2,
            log: Log::none(),
            io: io.handle().clone(),
            programs: Arc::new(Steps(Arc::new(step))),
            clock: Clock::real(),
        });
        kernel.add_host(HostSpec::new(id("host"))).unwrap();
        World { kernel, io }
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let patience = Duration::from_secs(30);
        self.io
            .block_on(async { timeout(patience, future).await })
            .expect("within the watchdog's time")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kernel.close();
    }
}

fn id(name: &str) -> EntryId {
    EntryId::new("app", name)
}

fn service(name: &str) -> (Entry, ServiceSpec) {
    let spec = ServiceSpec {
        process: id("main"),
        host: id("host"),
        input: Vec::new(),
    };
    let mut entry = Entry::made(id(name), "process.service", Spec::Service(spec.clone()));
    entry.lifecycle = Some(Lifecycle {
        stop_timeout: Duration::from_secs(3600),
        ..Lifecycle::default()
    });
    (entry, spec)
}

#[test]
fn a_stop_that_was_given_up_does_not_spare_the_next_one_the_wait() {
    // Ends when it gets a message, whatever it is asked.
    let world = World::new(|cx| match cx.process.mailbox().take_message() {
        Some(_) => Progress::Ended(Exit::returned(Packed::empty())),
        None => Progress::Waiting(Wait::Mailbox),
    });
    let (entry, spec) = service("stubborn");
    let service = Service::new(&world.kernel, &entry, Subject::Process(spec), Vec::new(), Level::Debug);
    world.wait(service.start());
    let process = world.kernel.processes().remove(0);
    let mut cx = TaskContext::from_waker(Waker::noop());
    assert!(pin!(service.stop()).poll(&mut cx).is_pending());
    let mut again = pin!(service.stop());
    assert!(again.as_mut().poll(&mut cx).is_pending(), "its process runs");
    let sent = world.kernel.send(None, process.pid(), "go".into(), Packed::empty());
    sent.unwrap();
    world.wait(again);
    assert!(process.exit().is_some());
}

#[test]
fn the_services_of_a_level_start_side_by_side() {
    let both = Barrier::new(2);
    let world = World::new(move |cx| {
        if cx.process.steps() == 0 {
            both.wait();
        }
        Progress::Waiting(Wait::Mailbox)
    });
    let registry = Registry::default().with([service("one").0, service("two").0]);
    let supervisor = Supervisor::new(&world.kernel, &registry, Level::Debug, |_| true);
    assert!(world.wait(supervisor.start()).is_ok());
    supervisor.abandon();
}
