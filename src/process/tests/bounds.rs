//! What one process may pile up.

use super::*;
use crate::process::Bound;

fn narrow(bound: Bound) -> World {
    World::with(Clock::real(), |host| host.mailbox = bound)
}

#[test]
fn a_message_larger_than_the_whole_mailbox_is_refused_for_good() {
    let world = narrow(Bound {
        messages: 10,
        bytes: 1 << 10,
    });
    let target = world.sleeper();
    let send = |bytes: usize| {
        let payload = Packed::from_value(&Value::Str(vec![b'x'; bytes]));
        world.kernel.send(None, target.pid(), "t".into(), payload)
    };
    let large = send(2 << 10).unwrap_err();
    assert_eq!((large.kind(), large.retryable()), (Kind::LimitExceeded, Some(false)));
    let whole = format!("is larger than the whole mailbox of {}: 1KiB", target.pid());
    assert!(large.message().ends_with(&whole), "{large}");
    send(500).unwrap();
    let full = send(500).unwrap_err();
    assert_eq!((full.kind(), full.retryable()), (Kind::Unavailable, Some(true)));
}

#[test]
fn cancels_that_nobody_reads_have_a_bound_and_those_of_a_stop_have_not() {
    let world = narrow(Bound {
        messages: 2,
        bytes: 1 << 10,
    });
    let target = world.sleeper();
    let cancel = |reason: &str| world.kernel.cancel(None, target.pid(), reason);
    let large = cancel(&"x".repeat(2 << 10)).unwrap_err();
    assert_eq!((large.kind(), large.retryable()), (Kind::LimitExceeded, Some(false)));
    cancel("one").unwrap();
    cancel("two").unwrap();
    let full = cancel("three").unwrap_err();
    assert_eq!((full.kind(), full.retryable()), (Kind::Unavailable, Some(true)));
    target.set_hears_cancel(true);
    world.kernel.ask_to_stop(None, &target, "stop");
    assert_eq!(target.mailbox().len(), 3);
    target.mailbox().take_event();
    assert!(cancel("four").is_err(), "two are still there");
    target.mailbox().take_event();
    cancel("five").unwrap();
}

#[test]
fn ends_that_nobody_reads_and_relations_are_held_by_who_wanted_them() {
    let world = World::new();
    let (owner, other) = (world.sleeper(), world.sleeper());
    assert_eq!(owner.mailbox().held(), 0);
    world.kernel.link(&owner, other.pid()).unwrap();
    assert!(owner.mailbox().held() > 0);
    world.kernel.unlink(&owner, other.pid());
    let child = world.spawn(|process, _| async move {
        receive(&process).await;
        Exit::returned(Packed::from_value(&Value::Str(vec![b'x'; 5000])))
    });
    world.kernel.monitor(&owner, child.pid()).unwrap();
    send(&owner, child.pid(), 1).unwrap();
    world.exit(&child);
    // Whoever watches is told after the end is known.
    while owner.mailbox().is_empty() {
        std::thread::yield_now();
    }
    assert!(owner.mailbox().held() > 5000);
    world.kernel.unmonitor(&owner, child.pid());
    assert_eq!(owner.mailbox().held(), 0, "an EXIT that was withdrawn is not held");
    world.kernel.cancel(None, owner.pid(), "others pile these up").unwrap();
    assert_eq!(owner.mailbox().held(), 0);
}

/// A process that links itself to `peer` and waits; told so, it fails with a message of that many bytes.
fn linked_to(world: &World, peer: &Arc<Process>, words: usize) -> (Arc<Process>, Result<()>) {
    let process = world.spawn(move |process, _| async move {
        receive(&process).await;
        Exit::failed(Error::invalid("x".repeat(words)))
    });
    let linked = world.kernel.link(&process, peer.pid());
    (process, linked)
}

fn fail(world: &World, process: &Arc<Process>) {
    let sent = world.kernel.send(None, process.pid(), "n".into(), Packed::empty());
    sent.unwrap();
    world.exit(process);
}

#[test]
fn links_that_others_ask_for_have_a_bound_and_cost_nothing() {
    let world = narrow(Bound {
        messages: 2,
        bytes: 4 << 10,
    });
    let target = world.sleeper();
    trap_links(&target);
    let (first, linked) = linked_to(&world, &target, 3000);
    linked.unwrap();
    let (second, linked) = linked_to(&world, &target, 3000);
    linked.unwrap();
    let (third, refused) = linked_to(&world, &target, 3000);
    let refused = refused.unwrap_err();
    assert_eq!((refused.kind(), refused.retryable()), (Kind::Unavailable, Some(true)));
    assert!(world.kernel.links_of(&third).is_empty(), "neither end of it was made");
    world.kernel.link(&first, target.pid()).unwrap();
    assert_eq!(target.mailbox().held(), 0);
    // Their ends take the places of the links.
    for (count, process) in [(1, &first), (2, &second)] {
        fail(&world, process);
        while target.mailbox().len() < count {
            std::thread::yield_now();
        }
        assert!(world.kernel.link(&third, target.pid()).is_err());
    }
    assert_eq!(target.mailbox().held(), 0);
    // What it asks for itself is another matter.
    world.kernel.link(&target, third.pid()).unwrap();
    assert!(target.mailbox().held() > 0);
    let words = |event: Option<Event>| match event.map(|event| event.kind) {
        Some(EventKind::LinkDown(exit)) => exit.error().unwrap().message().len(),
        other => panic!("a LINK_DOWN expected: {other:?}"),
    };
    assert_eq!(words(target.mailbox().take_event()), 3000);
    assert_eq!(words(target.mailbox().take_event()), 200, "there was no room for more");
    let (fourth, linked) = linked_to(&world, &target, 0);
    linked.unwrap();
    world.kernel.unlink(&fourth, target.pid());
    world.kernel.unlink(&target, third.pid());
    assert_eq!(target.mailbox().held(), 0);
}

#[test]
fn a_link_that_both_ask_for_is_held_by_both() {
    let world = World::new();
    let (one, two) = (world.sleeper(), world.sleeper());
    world.kernel.link(&one, two.pid()).unwrap();
    assert!(one.mailbox().held() > 0 && two.mailbox().held() == 0);
    world.kernel.link(&two, one.pid()).unwrap();
    assert_eq!(one.mailbox().held(), two.mailbox().held());
    world.kernel.unlink(&two, one.pid());
    assert_eq!((one.mailbox().held(), two.mailbox().held()), (0, 0));
}

#[test]
fn a_large_error_is_not_carried_on_by_those_that_end_with_it() {
    let world = World::new();
    let victim = world.sleeper();
    let (failing, linked) = linked_to(&world, &victim, 1 << 20);
    linked.unwrap();
    fail(&world, &failing);
    let exit = world.exit(&victim);
    assert_eq!(exit.cause, Cause::LinkBroken);
    assert!(exit.weight() < 10_000, "{}", exit.weight());
}

#[test]
fn a_host_takes_no_more_processes_than_it_has_room_for() {
    let world = World::with(Clock::real(), |host| host.most = 2);
    let (first, _second) = (world.sleeper(), world.sleeper());
    let program = || World::program(|_, _| async { done() });
    let refused = world.kernel.spawn(world.request(program())).err().expect("refused");
    assert_eq!((refused.kind(), refused.retryable()), (Kind::Unavailable, Some(true)));
    assert_eq!(refused.message(), "host test:host is full: 2 processes live on it");
    world.kernel.terminate(first.pid()).unwrap();
    world.exit(&first);
    world.exit(&world.kernel.spawn(world.request(program())).unwrap());
}

#[test]
fn calls_that_returned_processes_leave_behind_have_a_bound() {
    let world = narrow(Bound {
        messages: 2,
        bytes: 1000,
    });
    let leave = |bytes| world.host.leave_call(bytes);
    let (first, second) = (leave(10).unwrap(), leave(10).unwrap());
    assert!(leave(10).is_none(), "there are two");
    drop(first);
    assert!(leave(991).is_none(), "there would be more bytes than it may be");
    let third = leave(990).unwrap();
    drop((second, third));
    assert!(leave(1000).is_some());
}

#[test]
fn names_have_a_length_and_a_number_at_most() {
    let world = World::new();
    let (one, two) = (world.sleeper(), world.sleeper());
    let long = world.kernel.register(&"x".repeat(1025), one.pid()).unwrap_err();
    assert_eq!(
        (long.kind(), long.message()),
        (Kind::Invalid, "name too long: 1025 bytes, 1024 at most")
    );
    world.kernel.register(&"x".repeat(1024), one.pid()).unwrap();
    for number in 1..10_000 {
        world.kernel.register(&number.to_string(), one.pid()).unwrap();
    }
    let many = world.kernel.register("one more", one.pid()).unwrap_err();
    assert_eq!(many.kind(), Kind::LimitExceeded);
    world.kernel.register("1", one.pid()).unwrap();
    world.kernel.register("one more", two.pid()).unwrap();
    assert!(world.kernel.unregister("1"));
    world.kernel.register("another", one.pid()).unwrap();
}
