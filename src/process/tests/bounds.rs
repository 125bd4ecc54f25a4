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
