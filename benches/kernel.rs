//! What the kernel alone costs, with the smallest bodies there are: the floor under every process, Lua or wasm.
//!
//! `cargo bench --bench kernel`. Each figure is the median of several rounds in this one run.

mod world;

use std::sync::Arc;
use std::time::Duration;

use wippy::error::Result;
use wippy::id::EntryId;
use wippy::process::{Body, Exit, Program, Progress, Start, StepContext, Taken, Ties, Topic, Wait};
use wippy::value::{Packed, Value};
use world::{Nothing, World, each, spawn};

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

fn program(make: impl Fn() -> Step + Send + Sync + 'static) -> Arc<dyn Program> {
    Arc::new(Closures(EntryId::new("bench", "body"), make))
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
                let mut request = spawn(cx.process.host(), child.clone(), Packed::empty());
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
                    .spawn(spawn(cx.process.host(), echo, Packed::empty()))
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

/// Runs so many of that program at once, to their ends.
fn run(world: &World, program: Arc<dyn Program>, count: usize) {
    let start = |_| world.spawn(program.clone(), Packed::empty()).expect("a process");
    let processes: Vec<_> = (0..count).map(start).collect();
    processes.iter().for_each(|process| world.wait(process));
}

fn main() {
    println!(
        "{:<52} {:>10} {:>10}",
        "kernel alone, ns per item", "1 worker", "2 workers"
    );
    let worlds = [1, 2].map(|workers| World::new(workers, Arc::new(Nothing)));
    let row = |name: &str, figure: &dyn Fn(&World) -> f64| {
        let figures = worlds.each_ref().map(figure);
        println!("{name:<52} {:>10.0} {:>10.0}", figures[0], figures[1]);
    };
    row("spawn_monitored to EXIT, one after another", &|world| {
        each(20_000, || run(world, lives(1, 20_000), 1))
    });
    row("spawn_monitored to EXIT, 1 000 in flight", &|world| {
        each(50_000, || run(world, lives(1_000, 50_000), 1))
    });
    row("message to and fro, one pair", &|world| {
        each(100_000, || run(world, ping_pong(100_000), 1)) / 2.0
    });
    row("message to and fro, eight pairs", &|world| {
        each(800_000, || run(world, ping_pong(100_000), 8)) / 2.0
    });
    for world in worlds {
        world.kernel.close();
    }
}
