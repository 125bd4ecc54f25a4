//! Steps that take long, and ends that do not wait for them.

use super::*;

/// A program whose bodies say when they are dropped; their main blocks the thread until the gate has something for it,
/// then rests once.
struct Blocking {
    entry: EntryId,
    gate: Arc<Mutex<std::sync::mpsc::Receiver<()>>>,
    closed: Arc<AtomicBool>,
}

impl Blocking {
    /// The program, what opens its gate, and whether its body was dropped.
    fn new() -> (Blocking, std::sync::mpsc::Sender<()>, Arc<AtomicBool>) {
        let (open, gate) = std::sync::mpsc::channel();
        let closed = Arc::new(AtomicBool::new(false));
        let program = Blocking {
            entry: EntryId::new("test", "blocking"),
            gate: Arc::new(Mutex::new(gate)),
            closed: closed.clone(),
        };
        (program, open, closed)
    }
}

impl Program for Blocking {
    fn entry(&self) -> &EntryId {
        &self.entry
    }

    fn kind(&self) -> &'static str {
        "process.test"
    }

    fn max_execution(&self) -> Option<Duration> {
        None
    }

    fn start(&self, start: Start) -> Result<Box<dyn Body>> {
        let (gate, process) = (self.gate.clone(), start.process);
        Ok(Box::new(PlainBody {
            main: Box::pin(async move {
                gate.lock().unwrap().recv().unwrap();
                yield_now(&process).await;
                done()
            }),
            wait: Wait::Other,
            preempting: false,
            closed: Some(self.closed.clone()),
        }))
    }
}

impl World {
    fn spawn_blocking(&self, program: Blocking) -> Arc<Process> {
        let mut request = self.request(World::program(|_, _| async { done() }));
        request.program = Arc::new(program);
        let process = self.kernel.spawn(request).unwrap();
        while process.state() != State::Running {
            std::thread::yield_now();
        }
        process
    }
}

#[test]
fn the_beat_goes_on_for_a_step_that_lost_its_worker() {
    let world = World::new();
    let beats = Arc::new(AtomicU64::new(0));
    let counted = beats.clone();
    world.kernel.on_tick(move || {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let (program, open, _) = Blocking::new();
    let process = world.spawn_blocking(program);
    // Long after both workers are idle again: whoever waits for its slice to end is signalled at a beat.
    let patience = Instant::now() + Duration::from_secs(60);
    while beats.load(Ordering::SeqCst) < 20 * super::scheduler::RELIEF {
        assert!(Instant::now() < patience, "no beats any more");
        std::thread::sleep(Duration::from_millis(1));
    }
    open.send(()).unwrap();
    assert_eq!(*world.exit(&process), done());
}

#[test]
fn a_worker_gets_its_thread_when_the_others_are_at_work() {
    let world = World::new();
    let serving = || world.kernel.scheduler().serving();
    assert_eq!(serving(), 1);
    let patience = Instant::now() + Duration::from_secs(60);
    let mut blocked = Vec::new();
    // On a slow machine one at work may be relieved before there is more to do.
    while serving() < 2 {
        assert!(Instant::now() < patience, "nobody was called");
        let (program, open, _) = Blocking::new();
        blocked.push((world.spawn_blocking(program), open));
    }
    for (process, open) in blocked {
        open.send(()).unwrap();
        assert_eq!(*world.exit(&process), done());
    }
}

#[test]
fn a_body_is_closed_before_its_exit_is_seen() {
    let world = World::new();
    let (program, open, closed) = Blocking::new();
    open.send(()).unwrap();
    let mut request = world.request(World::program(|_, _| async { done() }));
    request.program = Arc::new(program);
    let process = world.kernel.spawn(request).unwrap();
    world.exit(&process);
    assert!(closed.load(Ordering::SeqCst));
}

#[test]
fn a_process_that_waits_for_its_turn_ends_when_it_is_told_to() {
    let world = World::with(Clock::real(), |host| host.workers = 1);
    let (program, open, _) = Blocking::new();
    let blocked = world.spawn_blocking(program);
    let waiting = world.sleeper();
    world.kernel.terminate(waiting.pid()).unwrap();
    assert_eq!(world.exit(&waiting).cause, Cause::Terminated);
    assert_eq!(blocked.state(), State::Running, "its turn never came");
    open.send(()).unwrap();
    assert_eq!(*world.exit(&blocked), done());
}

#[test]
fn a_step_that_cannot_be_interrupted_holds_up_nobody_else() {
    let world = World::new();
    let blocked: Vec<_> = (0..4)
        .map(|_| {
            let (program, open, _) = Blocking::new();
            (world.spawn_blocking(program), open)
        })
        .collect();
    // There are two workers.
    assert_eq!(world.run(|_| async { 7 }), 7);
    for (process, open) in blocked {
        open.send(()).unwrap();
        assert_eq!(world.exit(&process).cause, Cause::Returned);
    }
    assert_eq!(world.run(|_| async { 8 }), 8);
}

#[test]
fn terminate_is_told_in_time_though_the_step_cannot_be_interrupted() {
    let world = World::new();
    let (program, open, closed) = Blocking::new();
    let process = world.spawn_blocking(program);
    let pid = process.pid().clone();
    let (_, exit) = {
        let pid = pid.clone();
        world.run(move |watcher| {
            let pid = pid.clone();
            async move {
                watcher.kernel().monitor(&watcher, &pid).unwrap();
                watcher.kernel().terminate(&pid).unwrap();
                exit_of(receive(&watcher).await)
            }
        })
    };
    assert_eq!(exit.cause, Cause::Terminated);
    assert!(world.kernel.find(&pid).is_none() && !closed.load(Ordering::SeqCst));
    open.send(()).unwrap();
    while !closed.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    assert_eq!(process.exit().unwrap().cause, Cause::Terminated, "the first end stays");
}

#[test]
fn a_step_that_does_not_return_does_not_keep_the_kernel_from_closing() {
    let world = World::new();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (entered, inside) = std::sync::mpsc::channel();
    let stuck = Mutex::new(Some((entered, released)));
    let process = world.spawn(move |_, _| {
        let (entered, released) = stuck.lock().unwrap().take().expect("it runs once");
        async move {
            entered.send(()).unwrap();
            released.recv().unwrap_err();
            done()
        }
    });
    inside.recv().unwrap();
    world.kernel.close();
    assert_eq!(*world.exit(&process), Exit::terminated());
    drop(release);
}
