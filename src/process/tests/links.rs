//! Links: who falls with whom, and who is told.

use super::*;

/// A process that waits for ever, linked to `parent`.
fn linked_sleeper(parent: &Arc<Process>) -> Arc<Process> {
    let program = World::program(|_, _| std::future::pending());
    parent.kernel().spawn(child_of(parent, program, Ties::LINK)).unwrap()
}

fn link_down_of(taken: Taken) -> (Pid, Arc<Exit>) {
    match taken {
        Taken::Event(Event {
            kind: EventKind::LinkDown(exit),
            from: Some(from),
            ..
        }) => (from, exit),
        other => panic!("a LINK_DOWN expected: {other:?}"),
    }
}

#[test]
fn the_failure_of_a_linked_process_ends_its_peer() {
    let world = World::new();
    let [one, two] = [world.sleeper(), world.sleeper()];
    world.kernel.link(&one, two.pid()).unwrap();
    world.kernel.link(&two, one.pid()).unwrap();
    world.kernel.terminate(two.pid()).unwrap();
    let exit = world.exit(&one);
    let error = exit.error().unwrap();
    assert_eq!(exit.cause, Cause::LinkBroken);
    assert_eq!(
        (error.kind(), error.message(), error.retryable()),
        (Kind::Internal, "linked process failed", None)
    );
}

#[test]
fn a_broken_link_says_who_failed_first_and_how() {
    let world = World::new();
    let chain = [world.sleeper(), world.sleeper(), world.sleeper()];
    for pair in chain.windows(2) {
        world.kernel.link(&pair[0], pair[1].pid()).unwrap();
    }
    world.kernel.terminate(chain[0].pid()).unwrap();
    let exit = world.exit(&chain[2]);
    let details = exit.error().unwrap().details().unwrap();
    assert_eq!(details.get("pid"), Some(&Value::from(chain[0].pid().to_string())));
    let Some(Value::Error(first)) = details.get("error") else {
        panic!("an error expected: {details:?}");
    };
    assert_eq!(first.message(), "process terminated");
}

#[test]
fn who_traps_links_reads_link_down_and_lives_on() {
    let world = World::new();
    let (from, exit) = world.run(|parent| async move {
        trap_links(&parent);
        let program = World::program(|_, _| async { Exit::failed(Error::invalid("no")) });
        let child = parent.kernel().spawn(child_of(&parent, program, Ties::LINK)).unwrap();
        let (from, exit) = link_down_of(receive(&parent).await);
        assert_eq!(&from, child.pid());
        assert!(!parent.mailbox().has_links() && !parent.mailbox().has_event());
        (from, exit)
    });
    assert!(world.kernel.find(&from).is_none());
    assert_eq!(exit.error().unwrap().message(), "no");
}

#[test]
fn a_link_tells_nothing_of_a_normal_end() {
    let world = World::new();
    world.run(|parent| async move {
        for ties in [Ties::LINK, Ties::BOTH] {
            let program = World::program(|_, _| async { done() });
            let child = parent.kernel().spawn(child_of(&parent, program, ties)).unwrap();
            child.exited().await;
            while parent.mailbox().has_links() {
                yield_now(&parent).await;
            }
            if ties.monitor {
                exit_of(receive(&parent).await);
            }
            assert!(parent.mailbox().is_empty(), "the EXIT is the only event");
        }
    });
}

#[test]
fn who_monitors_and_links_a_failing_process_gets_both_events() {
    let world = World::new();
    world.run(|parent| async move {
        trap_links(&parent);
        let program = World::program(|_, _| async { Exit::failed(Error::invalid("no")) });
        parent.kernel().spawn(child_of(&parent, program, Ties::BOTH)).unwrap();
        exit_of(receive(&parent).await);
        link_down_of(receive(&parent).await);
    });
}

#[test]
fn a_cycle_of_links_falls_as_a_whole_and_each_member_once() {
    const MEMBERS: usize = 50;
    let world = World::new();
    let ring: Vec<_> = (0..MEMBERS).map(|_| world.sleeper()).collect();
    for (index, member) in ring.iter().enumerate() {
        let next = &ring[(index + 1) % MEMBERS];
        world.kernel.link(member, next.pid()).unwrap();
        world.kernel.link(member, ring[(index + 7) % MEMBERS].pid()).unwrap();
    }
    world.kernel.terminate(ring[MEMBERS / 2].pid()).unwrap();
    for (index, member) in ring.iter().enumerate() {
        let cause = world.exit(member).cause;
        assert_eq!(cause == Cause::Terminated, index == MEMBERS / 2);
    }
    assert!(world.kernel.processes().is_empty());
}

#[test]
fn a_trapping_member_stops_the_cascade() {
    let world = World::new();
    let chain = [world.sleeper(), world.sleeper(), world.sleeper()];
    trap_links(&chain[1]);
    for pair in chain.windows(2) {
        world.kernel.link(&pair[0], pair[1].pid()).unwrap();
    }
    world.kernel.terminate(chain[0].pid()).unwrap();
    world.exit(&chain[0]);
    let told = async {
        while !chain[1].mailbox().has_event() {
            tokio::task::yield_now().await;
        }
    };
    world.wait(told);
    assert!(chain[1].exit().is_none() && chain[2].exit().is_none());
}

#[test]
fn after_unlink_nothing_is_delivered_any_more() {
    let world = World::new();
    world.run(|process| async move {
        let kernel = process.kernel().clone();
        // Before the failure, from either side.
        for own_side in [true, false] {
            let child = linked_sleeper(&process);
            match own_side {
                true => kernel.unlink(&process, child.pid()),
                false => kernel.unlink(&child, process.pid()),
            }
            kernel.terminate(child.pid()).unwrap();
            child.exited().await;
        }
        // After it, with the event queued.
        trap_links(&process);
        let child = linked_sleeper(&process);
        kernel.terminate(child.pid()).unwrap();
        while !process.mailbox().has_event() {
            yield_now(&process).await;
        }
        kernel.unlink(&process, child.pid());
        assert!(process.mailbox().is_empty());
    });
}

#[test]
fn an_unlink_that_races_the_failure_is_either_before_it_or_too_late() {
    let world = World::new();
    for _ in 0..300 {
        let victim = world.sleeper();
        let pid = victim.pid().clone();
        let process = world.spawn(move |process, _| {
            let pid = pid.clone();
            async move {
                let kernel = process.kernel();
                if kernel.link(&process, &pid).is_ok() {
                    kernel.unlink(&process, &pid);
                    assert!(!process.mailbox().has_event());
                    // Not doomed now: never by this link.
                    while !process.is_doomed() && kernel.find(&pid).is_some() {
                        yield_now(&process).await;
                    }
                }
                done()
            }
        });
        world.kernel.terminate(victim.pid()).unwrap();
        let cause = world.exit(&process).cause;
        assert!(matches!(cause, Cause::Returned | Cause::LinkBroken), "{cause:?}");
    }
}

#[test]
fn a_link_to_a_dead_process_is_not_found_and_to_oneself_is_invalid() {
    let world = World::new();
    let (living, dead) = (world.sleeper(), world.spawn(|_, _| async { done() }));
    world.exit(&dead);
    let error = world.kernel.link(&living, dead.pid()).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    world.kernel.unlink(&living, dead.pid());
    let error = world.kernel.link(&living, living.pid()).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    world.kernel.unlink(&living, living.pid());
    assert!(!living.mailbox().has_links());
}

#[test]
fn both_ends_know_a_link_until_one_of_them_ends() {
    let world = World::new();
    let [one, two] = [world.sleeper(), world.sleeper()];
    world.kernel.link(&one, two.pid()).unwrap();
    assert_eq!(world.kernel.links_of(&one), [two.pid().clone()]);
    assert_eq!(world.kernel.links_of(&two), [one.pid().clone()]);
    trap_links(&one);
    world.kernel.terminate(two.pid()).unwrap();
    let told = async {
        while !one.mailbox().has_event() {
            tokio::task::yield_now().await;
        }
    };
    world.wait(told);
    assert!(world.kernel.links_of(&one).is_empty());
}

#[test]
fn the_link_of_a_linked_spawn_is_installed_before_the_first_step() {
    let world = World::new();
    for _ in 0..200 {
        let parent = world.spawn(|parent, _| async move {
            let program = World::program(|_, _| async { Exit::failed(Error::invalid("at once")) });
            parent.kernel().spawn(child_of(&parent, program, Ties::LINK)).unwrap();
            std::future::pending().await
        });
        assert_eq!(world.exit(&parent).cause, Cause::LinkBroken);
    }
}

#[test]
fn links_are_told_after_the_monitors() {
    let world = World::new();
    world.run(|parent| async move {
        trap_links(&parent);
        for _ in 0..200 {
            let program = World::program(|_, _| async { Exit::failed(Error::invalid("no")) });
            parent.kernel().spawn(child_of(&parent, program, Ties::BOTH)).unwrap();
            exit_of(receive(&parent).await);
            link_down_of(receive(&parent).await);
        }
    });
}

#[test]
fn a_kill_is_not_trapped() {
    let world = World::new();
    let target = world.sleeper();
    trap_links(&target);
    world.kernel.terminate(target.pid()).unwrap();
    assert_eq!(world.exit(&target).cause, Cause::Terminated);
}
