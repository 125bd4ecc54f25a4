//! What a spawn brings along, and who may do what.

use super::*;

#[test]
fn a_name_and_messages_of_a_spawn_are_there_before_the_first_step() {
    let world = World::new();
    for round in 0..200 {
        let program = World::program(|process, _| async move {
            assert_eq!(process.kernel().resolve("singleton").unwrap(), *process.pid());
            let taken = process.mailbox().take_any(true, true).expect("at once");
            Exit::returned(Packed::from_value(&Value::Int(number(taken))))
        });
        let process = world.kernel.spawn(Spawn {
            name: Some("singleton".to_owned()),
            messages: vec![("n".into(), Packed::from_value(&Value::Int(round)))],
            ..world.request(program)
        });
        let exit = world.exit(&process.unwrap());
        assert_eq!(exit.result, Ok(Packed::from_value(&Value::Int(round))));
    }
}

#[test]
fn a_spawn_under_a_taken_name_finds_the_holder() {
    let world = World::new();
    let holder = world.sleeper();
    world.kernel.register("singleton", holder.pid()).unwrap();
    let spawn = Spawn {
        name: Some("singleton".to_owned()),
        messages: vec![("n".into(), Packed::empty())],
        ..world.request(World::program(|_, _| std::future::pending()))
    };
    let refused = world.kernel.spawn(spawn.clone()).err().expect("refused");
    assert_eq!(refused.kind(), Kind::AlreadyExists);
    assert!(holder.mailbox().is_empty());
    let Joined::Holder(found) = world.kernel.join(spawn.clone()).unwrap() else {
        panic!("the name is taken");
    };
    assert_eq!(&found, holder.pid());
    assert_eq!(holder.mailbox().len(), 1);
    assert_eq!(world.kernel.processes().len(), 1);
    // A holder that is on its way out keeps nobody from the name.
    world.kernel.terminate(holder.pid()).unwrap();
    let Joined::Started(process) = world.kernel.join(spawn).unwrap() else {
        panic!("the name is free");
    };
    world.exit(&holder);
    assert_eq!(world.kernel.resolve("singleton").unwrap(), *process.pid());
}

#[test]
fn of_many_spawns_under_one_name_one_process_comes_to_be() {
    let world = World::new();
    let spawn = Spawn {
        name: Some("singleton".to_owned()),
        messages: vec![("n".into(), Packed::empty())],
        ..world.request(World::program(|_, _| std::future::pending()))
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let (kernel, spawn) = (world.kernel.clone(), spawn.clone());
            scope.spawn(move || kernel.join(spawn).unwrap());
        }
    });
    let [process] = &world.kernel.processes()[..] else {
        panic!("one process expected");
    };
    assert_eq!(process.mailbox().len(), 8);
}

#[test]
fn a_spawn_whose_messages_do_not_fit_is_refused() {
    let world = World::with(Clock::real(), |host| host.mailbox.messages = 1);
    let message = ("n".into(), Packed::empty());
    let refused = world.kernel.spawn(Spawn {
        name: Some("nobody".to_owned()),
        messages: vec![message; 2],
        ..world.request(World::program(|_, _| async { done() }))
    });
    assert_eq!(refused.err().expect("refused").retryable(), Some(true));
    assert!(world.kernel.processes().is_empty() && world.kernel.names().lookup("nobody").is_none());
    assert_eq!(world.host.alive(), 0);
}

#[test]
fn a_policy_decides_and_without_one_everything_is_allowed() {
    struct Only(&'static str);
    impl Policy for Only {
        fn allows(&self, _: &Context, action: &str, resource: &str) -> bool {
            format!("{action} {resource}") == self.0
        }
    }
    let world = World::new();
    let process = world.sleeper();
    let ask = |permission| world.kernel.authorize(&process, permission, "x");
    ask(Permission::Link).unwrap();
    assert!(world.kernel.allows(&process, "fly", "high"));
    world.kernel.set_policy(Arc::new(Only("process.send x")));
    ask(Permission::Send).unwrap();
    let denied = ask(Permission::Link).unwrap_err();
    assert_eq!(
        (denied.kind(), denied.message()),
        (Kind::PermissionDenied, "not allowed to link to x")
    );
    assert!(!world.kernel.allows(&process, "fly", "high"));
}

#[test]
fn the_monitor_of_a_monitored_spawn_is_installed_before_the_first_step() {
    let world = World::new();
    world.run(|watcher| async move {
        for number in 0..200 {
            let program = World::program(move |_, _| async move { Exit::failed(Error::invalid(number.to_string())) });
            let spawned = watcher
                .kernel()
                .spawn(child_of(&watcher, program, Ties::MONITOR))
                .unwrap();
            let (from, exit) = exit_of(receive(&watcher).await);
            assert_eq!(&from, spawned.pid());
            assert_eq!(exit.error().unwrap().message(), number.to_string());
        }
    });
}
