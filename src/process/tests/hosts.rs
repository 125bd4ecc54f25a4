//! How many run on a host, and how it stops.

use super::*;

#[test]
fn a_host_runs_no_more_of_its_processes_at_once_than_its_bound() {
    let world = World::with(Clock::real(), |host| host.workers = 1);
    let running = Arc::new(AtomicUsize::new(0));
    let processes: Vec<_> = (0..20)
        .map(|_| {
            let running = running.clone();
            world.spawn(move |process, _| {
                let running = running.clone();
                async move {
                    for _ in 0..5 {
                        assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "alone");
                        std::thread::yield_now();
                        running.fetch_sub(1, Ordering::SeqCst);
                        yield_now(&process).await;
                    }
                    done()
                }
            })
        })
        .collect();
    for process in processes {
        assert_eq!(*world.exit(&process), done());
    }
}

#[test]
fn a_terminal_host_takes_one_process_at_a_time() {
    let world = World::with(Clock::real(), |host| {
        host.terminal = Some(Terminal::captured(Vec::new()))
    });
    let first = world.sleeper();
    let busy = world
        .kernel
        .spawn(world.request(World::program(|_, _| async { done() })));
    let busy = busy.err().expect("refused");
    assert_eq!(
        (busy.kind(), busy.message()),
        (Kind::Unavailable, "terminal host is busy")
    );
    world.kernel.terminate(first.pid()).unwrap();
    world.exit(&first);
    world.spawn(|_, _| async { done() });
}

#[test]
fn a_stop_of_a_host_does_not_wait_for_idle_orphans() {
    let world = World::with(Clock::real(), |host| host.stop_timeout = Duration::from_secs(3600));
    let orphan = world.sleeper();
    orphan.set_hears_cancel(true);
    let deaf = world.sleeper();
    let polite = world.spawn(|process, _| async move {
        process.set_hears_cancel(true);
        receive(&process).await;
        done()
    });
    while polite.steps() == 0 || orphan.steps() == 0 {
        std::thread::yield_now();
    }
    world.wait(world.kernel.stop_host(&world.host));
    assert_eq!(world.exit(&polite).cause, Cause::Returned);
    for process in [orphan, deaf] {
        assert_eq!(world.exit(&process).cause, Cause::Terminated);
    }
    let refused = world
        .kernel
        .spawn(world.request(World::program(|_, _| async { done() })));
    assert_eq!(refused.err().expect("refused").kind(), Kind::Unavailable);
}

#[test]
fn a_stop_of_a_host_waits_for_who_may_still_answer() {
    let world = World::unmanned(|host| host.stop_timeout = Duration::from_secs(3600));
    let spawn = |program: Plain| {
        let process = world.kernel.spawn(world.request(program)).unwrap();
        process.set_hears_cancel(true);
        process
    };
    let has_timer = spawn(Plain {
        wait: Wait::Other,
        ..World::program(|_, _| std::future::pending())
    });
    let has_read_it = spawn(World::program(|process, _| async move {
        let taken = receive(&process).await;
        assert!(matches!(taken, Taken::Event(event) if event.kind == EventKind::Cancel("scheduler shutdown".into())));
        std::future::pending().await
    }));
    let step_all = || while world.kernel.scheduler().step_first(&world.kernel) {};
    let _in_io = world.io.enter();
    let mut cx = TaskContext::from_waker(std::task::Waker::noop());
    let mut stop = std::pin::pin!(world.kernel.stop_host(&world.host));
    let mut is_pending = || stop.as_mut().poll(&mut cx).is_pending();
    step_all();
    assert!(is_pending());
    step_all();
    assert!(is_pending() && has_timer.mailbox().has_cancel() && !has_read_it.mailbox().has_cancel());
    assert!(
        !has_timer.is_doomed() && !has_read_it.is_doomed(),
        "both may end by themselves"
    );
    has_timer.doom(Exit::terminated());
    has_read_it.doom(Exit::terminated());
    step_all();
    assert!(!is_pending());
}

#[test]
fn a_stop_of_a_host_terminates_what_outlives_its_timeout() {
    let world = World::with(Clock::real(), |host| host.stop_timeout = Duration::from_millis(20));
    let stubborn = world.spawn(|process, _| async move {
        process.set_hears_cancel(true);
        loop {
            receive(&process).await;
        }
    });
    while stubborn.steps() == 0 {
        std::thread::yield_now();
    }
    world.wait(world.kernel.stop_host(&world.host));
    assert_eq!(world.exit(&stubborn).cause, Cause::Terminated);
}

#[test]
fn where_an_end_is_known_the_place_on_the_host_is_free_and_the_other_way_round() {
    for _ in 0..500 {
        let world = World::with(Clock::real(), |host| host.most = 1);
        let first = world.sleeper();
        while first.steps() == 0 {
            std::thread::yield_now();
        }
        first.doom(Exit::terminated());
        while first.exit().is_none() {
            std::hint::spin_loop();
        }
        let second = world.sleeper();
        world.wait(world.kernel.stop_host(&world.host));
        assert!(second.exit().is_some(), "a stopped host has no process without an end");
    }
}
