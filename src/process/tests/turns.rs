//! Whose turn it is. The beats are told, so that what is asserted is an order and not a time.

use super::*;
use crate::process::queue::{BEHIND_ROW, BEHIND_WAITS, MOST_NEXT, PREEMPTED_WAITS, Queue, TURN};
use crate::process::slice::SLICE;

/// A process that has run before and is ready again, in a world where nothing runs by itself.
fn ready(world: &World, preempted: bool) -> Arc<Process> {
    let process = world.sleeper();
    process.count_step(false);
    process.set_preempted(preempted);
    process
}

fn turn(queue: &mut Queue, now: u64) -> Pid {
    queue.pop(false, now).expect("somebody is ready").pid().clone()
}

#[test]
fn a_woken_process_goes_before_preempted_ones_and_does_not_starve_them() {
    let world = World::unmanned(|_| {});
    let (hog, chatter) = (ready(&world, true), ready(&world, false));
    let mut queue = Queue::default();
    let mut now = 5;
    for _ in 0..2 {
        queue.push(hog.clone(), now);
        let until = now + PREEMPTED_WAITS;
        while now < until {
            queue.push(chatter.clone(), now);
            assert_eq!(turn(&mut queue, now), *chatter.pid());
            now += 1;
        }
        queue.push(chatter.clone(), now);
        assert_eq!(turn(&mut queue, now), *hog.pid(), "it has waited long enough");
        assert_eq!(turn(&mut queue, now), *chatter.pid());
    }
}

/// A preempted process that has taken one message of three.
fn behind(world: &World) -> Arc<Process> {
    let process = ready(world, true);
    for number in 0..3 {
        send(&process, process.pid(), number).unwrap();
    }
    process.mailbox().take_message().unwrap();
    process.note_slice();
    process
}

#[test]
fn who_falls_behind_with_its_messages_goes_on_before_others_and_leaves_them_a_beat_of_seven() {
    let world = World::unmanned(|_| {});
    let (one, other, woken) = (behind(&world), behind(&world), ready(&world, false));
    let mut queue = Queue::default();
    let mut now = BEHIND_WAITS;
    queue.push(one.clone(), now);
    queue.push(other.clone(), now);
    queue.push(woken.clone(), now);
    let mut order = [&one, &other].into_iter().cycle();
    for _ in 0..2 {
        let until = now + BEHIND_ROW;
        while now < until {
            let process = order.next().unwrap();
            assert_eq!(turn(&mut queue, now), *process.pid());
            now += SLICE;
            queue.push(process.clone(), now);
        }
        for _ in SLICE..BEHIND_WAITS {
            assert_eq!(turn(&mut queue, now), *woken.pid());
            queue.push(woken.clone(), now);
            assert_eq!(turn(&mut queue, now), *woken.pid(), "the beat is theirs to its end");
            queue.push(woken.clone(), now);
            now += 1;
        }
    }
}

#[test]
fn who_has_taken_most_of_its_messages_or_none_does_not_fall_behind() {
    let world = World::unmanned(|_| {});
    let process = behind(&world);
    assert!(process.is_behind(), "one taken, two lie there");
    process.note_slice();
    assert!(!process.is_behind(), "none taken since");
    process.mailbox().take_message().unwrap();
    process.note_slice();
    assert!(!process.is_behind(), "one taken, one lies there");
}

#[test]
fn who_falls_behind_and_who_is_preempted_wait_for_each_other_however_long_their_slices_are() {
    let world = World::unmanned(|_| {});
    let all = [behind(&world), ready(&world, true), ready(&world, false)];
    let mut queue = Queue::default();
    let mut now = PREEMPTED_WAITS;
    all.iter().for_each(|process| queue.push(process.clone(), now));
    let mut turns = [0; 3];
    for _ in 0..40 {
        let pid = turn(&mut queue, now);
        now += 2 * PREEMPTED_WAITS;
        let place = all.iter().position(|process| *process.pid() == pid).unwrap();
        queue.push(all[place].clone(), now);
        turns[place] += 1;
    }
    assert!(turns.iter().all(|turns| *turns >= 9), "{turns:?} turns of forty");
}

#[test]
fn quick_ones_share_a_turn_that_passes_with_the_beat() {
    let world = World::unmanned(|_| {});
    let woken = ready(&world, false);
    let mut queue = Queue::default();
    (0..TURN + 2).for_each(|_| queue.push(world.sleeper(), 1));
    (0..3).for_each(|_| queue.push(woken.clone(), 1));
    let turns =
        |queue: &mut Queue, now, count| -> Vec<bool> { (0..count).map(|_| turn(queue, now) == *woken.pid()).collect() };
    assert!(turns(&mut queue, 1, TURN).iter().all(|is_woken| !is_woken));
    assert_eq!(turns(&mut queue, 1, 1), [true], "new ones have had their turn");
    assert_eq!(turns(&mut queue, 2, 1), [false], "with the beat the turn passes");
    assert_eq!(turns(&mut queue, 3, 1), [true]);
    assert_eq!(turns(&mut queue, 4, 1), [false]);
    assert_eq!(turns(&mut queue, 4, 1), [true], "nobody is left in the other lane");
}

#[test]
fn slices_that_are_as_long_as_the_wait_starve_nobody() {
    let world = World::unmanned(|_| {});
    let (one, two, woken) = (ready(&world, true), ready(&world, true), ready(&world, false));
    let mut queue = Queue::default();
    let mut now = 5;
    queue.push(one.clone(), now);
    queue.push(two.clone(), now);
    let mut turns = 0;
    for _ in 0..10 {
        queue.push(woken.clone(), now);
        now += PREEMPTED_WAITS;
        for _ in 0..2 {
            let next = queue.pop(false, now).expect("somebody is ready");
            if next.is_preempted() {
                now += PREEMPTED_WAITS;
                queue.push(next, now);
            } else {
                turns += 1;
            }
        }
    }
    assert!(turns >= 9, "{turns} turns of ten");
}

#[test]
fn who_was_sent_a_message_goes_next_and_no_pair_keeps_the_others_waiting() {
    let world = World::unmanned(|_| {});
    let [ping, pong, other] = [(); 3].map(|()| ready(&world, false));
    let mut queue = Queue::default();
    queue.push(ping.clone(), 1);
    queue.push(other.clone(), 1);
    let mut pair = [&ping, &pong].into_iter().cycle();
    for _ in 0..=MOST_NEXT {
        assert_eq!(turn(&mut queue, 1), *pair.next().unwrap().pid());
        queue.push_next(pair.clone().next().unwrap().clone(), 1);
    }
    assert_eq!(turn(&mut queue, 1), *other.pid(), "so many in a row are enough");
    assert_eq!(turn(&mut queue, 1), *pair.next().unwrap().pid());
    queue.push(other.clone(), SLICE);
    queue.push_next(pair.clone().next().unwrap().clone(), SLICE);
    assert_eq!(turn(&mut queue, SLICE), *pair.next().unwrap().pid());
    queue.push_next(pair.clone().next().unwrap().clone(), 1 + SLICE);
    assert_eq!(turn(&mut queue, 1 + SLICE), *other.pid(), "a slice is over");
}

#[test]
fn of_several_that_were_sent_something_the_first_goes_next_and_none_is_lost() {
    let world = World::unmanned(|_| {});
    let [first, second, before] = [(); 3].map(|()| ready(&world, false));
    let mut queue = Queue::default();
    queue.push(before.clone(), 1);
    queue.push_next(first.clone(), 1);
    queue.push_next(second.clone(), 1);
    assert_eq!((queue.len(), queue.urgent()), (3, 3));
    let mut thief = Queue::default();
    thief.append(queue.split());
    assert_eq!(
        [turn(&mut thief, 1), turn(&mut thief, 1)],
        [before.pid().clone(), second.pid().clone()]
    );
    assert_eq!(turn(&mut queue, 1), *first.pid());
}

#[test]
fn preempted_processes_take_turns_also_when_a_neighbour_helps() {
    let world = World::unmanned(|_| {});
    let hogs: Vec<_> = (0..4).map(|_| ready(&world, true)).collect();
    let pids: Vec<Pid> = hogs.iter().map(|hog| hog.pid().clone()).collect();
    let mut queue = Queue::default();
    hogs.iter().for_each(|hog| queue.push(hog.clone(), 1));
    for (hog, pid) in hogs.iter().zip(&pids).chain(hogs.iter().zip(&pids)) {
        assert_eq!(turn(&mut queue, 2), *pid);
        queue.push(hog.clone(), 2);
    }
    let mut thief = Queue::default();
    thief.append(queue.split());
    let order = |queue: &mut Queue| [turn(queue, 3), turn(queue, 3)];
    assert_eq!(
        order(&mut thief),
        pids[..2],
        "the neighbour takes those that wait longest"
    );
    assert_eq!(order(&mut queue), pids[2..]);
}

#[test]
fn who_is_preempted_later_does_not_make_others_wait_longer() {
    let world = World::unmanned(|_| {});
    let [first, later] = [true, true].map(|preempted| ready(&world, preempted));
    let chatter = ready(&world, false);
    let mut queue = Queue::default();
    queue.push(first.clone(), 1);
    queue.push(later, PREEMPTED_WAITS);
    queue.push(chatter, PREEMPTED_WAITS);
    assert_eq!(turn(&mut queue, 1 + PREEMPTED_WAITS), *first.pid());
}

#[test]
fn who_was_stolen_has_waited_before() {
    let world = World::unmanned(|_| {});
    let (hog, chatter) = (ready(&world, true), ready(&world, false));
    let mut queue = Queue::default();
    queue.push(hog.clone(), 1);
    let mut thief = Queue::default();
    thief.append(queue.split());
    thief.push(chatter.clone(), 1);
    thief.push(chatter.clone(), 1);
    assert_eq!(turn(&mut thief, PREEMPTED_WAITS), *chatter.pid());
    assert_eq!(turn(&mut thief, 1 + PREEMPTED_WAITS), *hog.pid());
}

#[test]
fn what_a_host_holds_back_goes_on_in_the_order_of_its_turns() {
    let world = World::unmanned(|host| host.workers = 1);
    let (host, now) = (&world.host, 1);
    let [running, hog, woken] = [false, true, false].map(|preempted| ready(&world, preempted));
    assert!(host.enter(&running, now));
    assert!(!host.enter(&hog, now) && !host.enter(&woken, now));
    let next = host.leave(now).unwrap();
    assert_eq!(next.pid(), woken.pid(), "it was woken, though it came last");
    assert!(!host.enter(&running, now), "the place is kept for whose turn it is");
    assert!(host.enter(&woken, now));
    assert_eq!(host.leave(now).unwrap().pid(), running.pid());
    assert!(host.enter(&running, now));
    // However many are woken, who was preempted gets its turn.
    assert!(!host.enter(&woken, now));
    assert_eq!(host.leave(now + PREEMPTED_WAITS).unwrap().pid(), hog.pid());
    assert!(host.enter(&hog, now));
    assert_eq!(host.leave(now).unwrap().pid(), woken.pid());
    assert!(host.enter(&woken, now));
    assert!(host.leave(now).is_none());
    assert!(host.enter(&hog, now), "nobody has the place");
}

#[test]
fn long_slices_do_not_starve_who_was_just_woken() {
    let world = World::new();
    let [slices, turns] = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
    for _ in 0..4 {
        let slices = slices.clone();
        let program = Plain {
            preempting: true,
            ..World::program(move |_, _| {
                let slices = slices.clone();
                poll_fn(move |_| {
                    std::thread::sleep(Duration::from_millis(4));
                    slices.fetch_add(1, Ordering::SeqCst);
                    Poll::Pending
                })
            })
        };
        world.kernel.spawn(world.request(program)).unwrap();
    }
    let counted = turns.clone();
    world.spawn(move |process, _| {
        let turns = counted.clone();
        async move {
            loop {
                turns.fetch_add(1, Ordering::SeqCst);
                yield_now(&process).await;
            }
        }
    });
    while turns.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    // With a worker that the machine leaves alone it takes a few dozen slices.
    let since = slices.load(Ordering::SeqCst);
    while turns.load(Ordering::SeqCst) <= 20 {
        assert!(
            slices.load(Ordering::SeqCst) < since + 2000,
            "{turns:?} turns beside {slices:?} slices"
        );
        std::thread::yield_now();
    }
}

#[test]
fn hogs_and_chatter_go_on_side_by_side() {
    let world = World::new();
    let turns = Arc::new(AtomicUsize::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let hogs: Vec<_> = (0..4)
        .map(|_| {
            let (turns, stop) = (turns.clone(), stop.clone());
            let program = Plain {
                preempting: true,
                ..World::program(move |_, _| {
                    let (turns, stop) = (turns.clone(), stop.clone());
                    poll_fn(move |_| {
                        turns.fetch_add(1, Ordering::SeqCst);
                        if stop.load(Ordering::SeqCst) {
                            Poll::Ready(done())
                        } else {
                            Poll::Pending
                        }
                    })
                })
            };
            world.kernel.spawn(world.request(program)).unwrap()
        })
        .collect();
    let chatty = |stop: Arc<AtomicBool>| {
        world.spawn(move |process, _| {
            let stop = stop.clone();
            async move {
                while !stop.load(Ordering::SeqCst) {
                    yield_now(&process).await;
                }
                done()
            }
        })
    };
    let chatters = [chatty(stop.clone()), chatty(stop.clone()), chatty(stop.clone())];
    let before = turns.load(Ordering::SeqCst);
    while turns.load(Ordering::SeqCst) < before + 100 {
        std::thread::yield_now();
    }
    stop.store(true, Ordering::SeqCst);
    for process in hogs.iter().chain(&chatters) {
        assert_eq!(*world.exit(process), done());
    }
}
