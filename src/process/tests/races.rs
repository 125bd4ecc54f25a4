//! What happens to come at the same moment, one thing after the other.

use std::sync::mpsc;

use super::*;
use crate::process::queue::Queue;

#[test]
fn a_spawn_in_flight_when_its_host_stops_is_asked_to_end_too() {
    let world = World::unmanned(|_| {});
    // The stop begins after it was admitted, and looks for processes before it is one.
    let in_flight = |hears: bool| {
        let program = World::program(move |process, _| {
            process.set_hears_cancel(hears);
            process.host().begin_stop();
            std::future::pending()
        });
        let host = HostSpec::new(EntryId::new("test", if hears { "hears" } else { "deaf" }));
        let host = world.kernel.add_host(host).unwrap();
        let request = Spawn::new(Arc::new(program), host);
        world.kernel.spawn(request).unwrap()
    };
    assert!(in_flight(false).is_doomed());
    let asked = in_flight(true);
    assert!(!asked.is_doomed() && asked.mailbox().has_cancel());
}

/// A body whose end takes until it may.
struct EndsLate {
    ending: mpsc::Sender<()>,
    may: mpsc::Receiver<()>,
}

impl Body for EndsLate {
    fn step(&mut self, _: &mut StepContext<'_>) -> Progress {
        Progress::Waiting(Wait::Mailbox)
    }

    fn memory(&self) -> u64 {
        0
    }

    fn doomed(&mut self, _: Exit) -> Exit {
        self.ending.send(()).unwrap();
        self.may.recv().unwrap();
        Exit::failed(Error::internal("with all that is known of it"))
    }
}

#[test]
fn who_closes_a_body_tells_the_end_and_not_who_finds_it_gone() {
    let world = World::unmanned(|_| {});
    let process = world.sleeper();
    let ((ending, ends), (allow, may)) = (mpsc::channel(), mpsc::channel());
    *process.body.lock().unwrap() = Some(Box::new(EndsLate { ending, may }));
    process.doom(Exit::terminated());
    std::thread::scope(|scope| {
        scope.spawn(|| world.kernel.abandon(&process));
        ends.recv().unwrap();
        while world.kernel.scheduler().step_first(&world.kernel) {}
        assert!(process.exit().is_none(), "it is being closed");
        allow.send(()).unwrap();
    });
    let error = process.exit().expect("it was closed").error().cloned().unwrap();
    assert_eq!(error.message(), "with all that is known of it");
}

/// A body that takes until it may to be dropped.
struct DropsLate(mpsc::Receiver<()>);

impl Body for DropsLate {
    fn step(&mut self, _: &mut StepContext<'_>) -> Progress {
        Progress::Waiting(Wait::Mailbox)
    }

    fn memory(&self) -> u64 {
        0
    }

    fn doomed(&mut self, _: Exit) -> Exit {
        Exit::failed(Error::internal("with all that is known of it"))
    }
}

impl Drop for DropsLate {
    fn drop(&mut self) {
        self.0.recv().unwrap();
    }
}

#[test]
fn a_large_body_says_what_it_knows_before_it_is_dropped() {
    let world = World::unmanned(|_| {});
    let process = world.sleeper();
    let (allow, may) = mpsc::channel();
    *process.body.lock().unwrap() = Some(Box::new(DropsLate(may)));
    process.set_memory(1 << 30);
    let _in_io = world.io.enter();
    world.kernel.finish(&process, Exit::terminated(), true);
    assert!(process.exit().is_none(), "it is given time");
    world.kernel.abandon(&process);
    let error = process.exit().expect("no more time").error().cloned().unwrap();
    assert_eq!(error.message(), "with all that is known of it");
    allow.send(()).unwrap();
}

#[test]
fn who_is_ended_while_it_is_spawned_gives_its_place_back_once() {
    let world = World::unmanned(|_| {});
    let parent = world.sleeper();
    for ties in [Ties::LINK, Ties::MONITOR] {
        let program = World::program(|_, _| std::future::pending());
        let request = child_of(&parent, program, ties);
        // Its parent's mailbox is what the spawn waits for, when the child is one of the processes already.
        let mailbox = parent.mailbox();
        let refused = std::thread::scope(|scope| {
            let spawning = scope.spawn(|| world.kernel.spawn(request));
            let child = loop {
                let newest = world.kernel.processes().pop();
                match newest.filter(|newest| newest.pid() != parent.pid()) {
                    Some(child) => break child,
                    None => std::thread::yield_now(),
                }
            };
            world.kernel.finish_now(&child, Exit::terminated());
            assert_eq!(child.exit().unwrap().cause, Cause::Terminated);
            drop(mailbox);
            spawning.join().unwrap().err().expect("it has ended")
        });
        assert_eq!(refused.kind(), Kind::NotFound, "{ties:?}: {refused}");
        assert_eq!(world.host.alive(), 1, "{ties:?}: the parent");
        let mailbox = parent.mailbox();
        assert!(!mailbox.has_links() && mailbox.watching().next().is_none(), "{ties:?}");
    }
}

/// A body that ends while it is asked what it is doing.
struct EndsWhenAsked {
    process: Arc<Process>,
    closed: Arc<AtomicBool>,
}

impl Body for EndsWhenAsked {
    fn step(&mut self, _: &mut StepContext<'_>) -> Progress {
        Progress::Waiting(Wait::Mailbox)
    }

    fn memory(&self) -> u64 {
        0
    }

    fn explain(&self) -> Vec<Doing> {
        self.process.kernel().finish(&self.process, Exit::terminated(), true);
        assert!(self.process.exit().is_some(), "its end does not wait for who asks");
        Vec::new()
    }
}

impl Drop for EndsWhenAsked {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_body_that_is_asked_at_the_moment_of_its_end_is_closed_by_who_asks() {
    let world = World::unmanned(|_| {});
    let process = world.sleeper();
    let closed = Arc::<AtomicBool>::default();
    *process.body.lock().unwrap() = Some(Box::new(EndsWhenAsked {
        process: process.clone(),
        closed: closed.clone(),
    }));
    process.explain();
    assert!(closed.load(Ordering::SeqCst));
}

#[test]
fn what_is_queued_with_a_worker_that_was_given_away_wakes_who_serves_it_now() {
    let world = World::unmanned(|_| {});
    let scheduler = world.kernel.scheduler();
    let (woken, told) = std::sync::mpsc::channel();
    // It has found nothing to do and gone to sleep before what follows.
    scheduler.seat(0, move || {
        std::thread::park();
        woken.send(()).unwrap();
    });
    let process = world.sleeper();
    // This thread is the worker's no more, and has not seen it.
    scheduler.push_own(&world.kernel, 0, process, Queue::push);
    told.recv_timeout(Duration::from_secs(30)).expect("it is woken");
}

#[test]
fn a_step_that_has_just_begun_is_not_relieved_for_the_one_before_it() {
    let world = World::unmanned(|_| {});
    let scheduler = world.kernel.scheduler();
    let (overdue, fresh) = (1, 1000);
    scheduler.set_busy_since(0, fresh);
    scheduler.relieve(&world.kernel, 0, overdue);
    assert_eq!(scheduler.busy_since(0), fresh);
}

#[test]
fn a_thread_that_left_while_its_worker_was_given_away_is_not_waited_for() {
    let world = World::unmanned(|_| {});
    let scheduler = world.kernel.scheduler();
    scheduler.seat(0, || {});
    scheduler.count_serving();
    scheduler.set_busy_since(0, 1);
    scheduler.relieve(&world.kernel, 0, 1);
    assert_eq!(scheduler.relieved(), 0, "the beat would go on for ever");
    assert_eq!(world.run(|_| async { 9 }), 9, "somebody serves it");
}
