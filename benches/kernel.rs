//! What the kernel alone costs, with the smallest bodies there are: the floor under every process, Lua or wasm.
//!
//! `cargo bench --bench kernel`. Each figure is the median of several rounds in this one run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wippy::error::{Error, Result};
use wippy::id::{EntryId, Pid};
use wippy::log::Log;
use wippy::process::{
    Body, Clock, Exit, Host, HostSpec, Kernel, KernelOptions, Program, Programs, Progress, Resolved, Spawn, Start,
    StepContext, Taken, Ties, Topic, Wait,
};
use wippy::value::{Packed, Value};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 7;

type Step = Box<dyn FnMut(&mut StepContext<'_>) -> Progress + Send>;

/// A program whose bodies are closures.
struct Closures<F>(EntryId, F);

struct Closure(Step);

impl<F: Fn() -> Step + Send + Sync> Program for Closures<F> {
    fn entry(&self) -> &EntryId {
        &self.0
    }
    fn kind(&self) -> &'static str {
        "bench"
    }
    fn max_execution(&self) -> Option<Duration> {
        None
    }
    fn start(&self, _: Start) -> Result<Box<dyn Body>> {
        Ok(Box::new(Closure((self.1)())))
    }
}

impl Body for Closure {
    fn step(&mut self, cx: &mut StepContext<'_>) -> Progress {
        (self.0)(cx)
    }
    fn memory(&self) -> u64 {
        0
    }
}

struct Nothing;

impl Programs for Nothing {
    fn resolve(&self, _: &EntryId) -> Resolved {
        Resolved::Ready(Err(Error::not_found("no entries")))
    }
}

fn program(make: impl Fn() -> Step + Send + Sync + 'static) -> Arc<dyn Program> {
    Arc::new(Closures(EntryId::new("bench", "body"), make))
}

struct World {
    kernel: Kernel,
    host: Arc<Host>,
    io: tokio::runtime::Runtime,
}

impl World {
    fn new(workers: usize) -> World {
        let io = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a tokio runtime");
        let kernel = Kernel::new(KernelOptions {
            workers,
            log: Log::none(),
            io: io.handle().clone(),
            programs: Arc::new(Nothing),
            clock: Clock::real(),
        });
        let host = kernel
            .add_host(HostSpec::new(EntryId::new("bench", "host")))
            .expect("a host");
        World { kernel, host, io }
    }

    fn spawn(&self, program: Arc<dyn Program>) -> Pid {
        let process = self.kernel.spawn(spawn(&self.host, program));
        process.expect("a process").pid().clone()
    }

    /// Runs one body to its end.
    fn run(&self, program: Arc<dyn Program>) {
        let process = self.kernel.spawn(spawn(&self.host, program)).expect("a process");
        self.io.block_on(process.exited());
    }
}

fn spawn(host: &Arc<Host>, program: Arc<dyn Program>) -> Spawn {
    Spawn::new(program, host.clone())
}

fn done() -> Progress {
    Progress::Ended(Exit::returned(Packed::empty()))
}

/// One spawner keeps `flight` monitored children alive until `total` have ended.
fn lives(flight: usize, total: usize) -> Arc<dyn Program> {
    program(move || {
        let child = program(|| Box::new(|_| done()));
        let (mut started, mut ended) = (0, 0);
        Box::new(move |cx| {
            let kernel = cx.process.kernel();
            while cx.process.mailbox().take_event().is_some() {
                ended += 1;
            }
            while started < total && started - ended < flight {
                let mut request = spawn(cx.process.host(), child.clone());
                request.parent = Some(cx.process.clone());
                request.ties = Ties::MONITOR;
                kernel.spawn(request).expect("a child");
                started += 1;
            }
            if ended == total {
                done()
            } else {
                Progress::Waiting(Wait::Mailbox)
            }
        })
    })
}

/// Sends `total` messages to and fro with a partner that echoes.
fn ping_pong(total: usize) -> Arc<dyn Program> {
    program(move || {
        let topic: Topic = "ping".into();
        let payload = Packed::from_value(&Value::map([("n", Value::Int(1)), ("kind", Value::from("ping"))]));
        let mut partner = None;
        let mut left = total;
        Box::new(move |cx| {
            let kernel = cx.process.kernel();
            let me = cx.process.pid();
            let to = partner.get_or_insert_with(|| {
                let echo = program(|| Box::new(echo));
                let pid = kernel
                    .spawn(spawn(cx.process.host(), echo))
                    .expect("a partner")
                    .pid()
                    .clone();
                kernel
                    .send(Some(me), &pid, topic.clone(), payload.clone())
                    .expect("sent");
                pid
            });
            while let Some(Taken::Message(message)) = take(cx) {
                left -= 1;
                if left == 0 {
                    kernel.terminate(to).expect("the partner lives");
                    return done();
                }
                kernel.send(Some(me), to, message.topic, message.payload).expect("sent");
            }
            Progress::Waiting(Wait::Mailbox)
        })
    })
}

fn take(cx: &StepContext<'_>) -> Option<Taken> {
    cx.process.mailbox().take_any(true, true)
}

fn echo(cx: &mut StepContext<'_>) -> Progress {
    while let Some(Taken::Message(message)) = take(cx) {
        let to = message.from.expect("from a process");
        let sent = cx
            .process
            .kernel()
            .send(Some(cx.process.pid()), &to, message.topic, message.payload);
        if sent.is_err() {
            return done();
        }
    }
    Progress::Waiting(Wait::Mailbox)
}

/// Nanoseconds per item, the median of several rounds.
fn measure(items: usize, mut round: impl FnMut()) -> f64 {
    round();
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed().as_nanos() as f64 / items as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}

fn main() {
    println!(
        "{:<52} {:>10} {:>10}",
        "kernel alone, ns per item", "1 worker", "2 workers"
    );
    let worlds = [World::new(1), World::new(2)];
    let row = |name: &str, figure: &dyn Fn(&World) -> f64| {
        let figures = worlds.each_ref().map(figure);
        println!("{name:<52} {:>10.0} {:>10.0}", figures[0], figures[1]);
    };
    row("spawn_monitored to EXIT, one after another", &|world| {
        measure(20_000, || world.run(lives(1, 20_000)))
    });
    row("spawn_monitored to EXIT, 1 000 in flight", &|world| {
        measure(50_000, || world.run(lives(1_000, 50_000)))
    });
    row("message to and fro, one pair", &|world| {
        measure(100_000, || world.run(ping_pong(100_000))) / 2.0
    });
    row("message to and fro, eight pairs", &|world| {
        measure(800_000, || {
            let pairs: Vec<_> = (0..8).map(|_| world.spawn(ping_pong(100_000))).collect();
            for pid in pairs {
                if let Some(process) = world.kernel.find(&pid) {
                    world.io.block_on(process.exited());
                }
            }
        }) / 2.0
    });
    for world in worlds {
        world.kernel.close();
    }
}
