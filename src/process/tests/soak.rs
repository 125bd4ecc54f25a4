//! Many processes that come and go in every way leave nothing behind.

use std::ops::Range;
use std::sync::Weak;

use super::*;

/// Children alive at once.
const FLIGHT: usize = 100;

/// Children of one parent; counts are multiples of it.
const PART: usize = 5_000;

/// About so many are watched for being freed, however many there are: a weak reference keeps the memory.
const SAMPLES: usize = 1_000;

/// The main of the child of that number: each ends in its own way.
async fn live(process: Arc<Process>, way: usize) -> Exit {
    match way % 5 {
        0 => return done(),
        1 => return Exit::failed(Error::invalid("no")),
        2 => process.kernel().terminate(process.pid()).unwrap(),
        3 => assert_eq!(number(receive(&process).await), 0),
        _ => {
            // It falls with one that it is linked to.
            let program = World::program(|_, _| async { Exit::failed(Error::invalid("no")) });
            process.kernel().spawn(child_of(&process, program, Ties::LINK)).unwrap();
            std::future::pending().await
        }
    }
    done()
}

/// Starts a child for each number and waits for all of them; `freed` gets one in so many.
async fn spawn_all(parent: Arc<Process>, ways: Range<usize>, stride: usize, freed: Arc<Mutex<Vec<Weak<Process>>>>) {
    let kernel = parent.kernel().clone();
    trap_links(&parent);
    let (mut alive, mut exits) = (0, 0);
    let count = ways.len();
    for way in ways {
        let program = Plain {
            max_execution: (way % 3 == 0).then_some(Duration::from_secs(3600)),
            ..World::program(move |process, _| live(process, way))
        };
        let child = kernel.spawn(Spawn {
            name: (way % 7 == 0).then(|| format!("child {way}")),
            messages: vec![("n".into(), Packed::from_value(&Value::Int(0)))],
            ..child_of(&parent, program, [Ties::MONITOR, Ties::BOTH][way % 2])
        });
        if way % stride == 0 {
            freed.lock().unwrap().push(Arc::downgrade(&child.unwrap()));
        }
        alive += 1;
        while alive == FLIGHT {
            alive -= exits_of(receive(&parent).await);
        }
    }
    exits += count - alive;
    while exits < count {
        exits += exits_of(receive(&parent).await);
    }
}

fn exits_of(taken: Taken) -> usize {
    match taken {
        Taken::Event(Event {
            kind: EventKind::Exit(_),
            ..
        }) => 1,
        Taken::Event(_) => 0,
        Taken::Message(message) => panic!("an event expected: {message:?}"),
    }
}

/// Waits until that is so: a worker may still be busy with the last moments of a process.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let patience = std::time::Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(std::time::Instant::now() < patience, "{what}");
        std::thread::yield_now();
    }
}

fn soak(world: &World, count: usize) {
    let freed = Arc::<Mutex<Vec<Weak<Process>>>>::default();
    // Odd, and no multiple of five: samples end in all ways.
    let stride = (count / SAMPLES) | 1;
    // In parts: each has the patience of one event.
    for begin in (0..count).step_by(PART) {
        let sample = freed.clone();
        world.run(move |parent| spawn_all(parent, begin..begin + PART, stride, sample.clone()));
    }
    let kernel = &world.kernel;
    eventually("no process is left", || {
        kernel.processes().is_empty() && world.host.alive() == 0
    });
    eventually("no timer is left", || kernel.timers().until_next().is_none());
    for way in 0..count {
        assert_eq!(kernel.names().lookup(&format!("child {way}")), None);
    }
    let freed = freed.lock().unwrap();
    assert_eq!(freed.len(), count.div_ceil(stride));
    eventually("every process is freed", || {
        freed.iter().all(|process| process.strong_count() == 0)
    });
}

#[test]
fn twenty_thousand_processes_leave_nothing_behind() {
    soak(&World::new(), 20_000);
}

/// Alone in its program, so that its memory is what is measured: `cargo test --lib a_million -- --ignored`.
#[test]
#[ignore = "takes a minute, and wants the program for itself"]
fn a_million_processes_come_back_to_the_memory_handles_and_threads_of_the_start() {
    let world = World::new();
    soak(&world, 50_000);
    let before = Resources::now();
    soak(&world, 1_000_000);
    let after = Resources::now();
    assert!(after.memory < before.memory + (16 << 20), "{before:?} {after:?}");
    assert_eq!((after.files, after.threads), (before.files, before.threads));
}

/// What the program holds.
#[derive(Debug)]
struct Resources {
    /// Resident bytes.
    memory: usize,
    files: usize,
    threads: usize,
}

impl Resources {
    fn now() -> Resources {
        let count = |folder: &str| std::fs::read_dir(folder).unwrap().count();
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
        Resources {
            memory: pages * 4096,
            files: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
        }
    }
}
