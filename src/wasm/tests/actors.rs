//! Guests as actors: `fixtures/guests/actor.c`, whose exports tell as text what they see.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::process::{Context, Policy, State, Topic};

const GRANTS: [&str; 4] = ["wippy:process", "wippy:time", "wippy:log", "wippy:env"];

fn actor(method: &str) -> Entry {
    granted("actor", method, &GRANTS)
}

fn texts(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|text| Value::from(*text)).collect()
}

impl World {
    fn actor(&self, method: &str, args: &[Value]) -> Arc<Process> {
        self.spawn(actor(method), args).unwrap()
    }

    /// What a guest told.
    fn told(&self, process: &Arc<Process>) -> String {
        match value(&self.exit(process)) {
            Value::Str(bytes) => String::from_utf8(bytes).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn tell(&self, method: &str, args: &[Value]) -> String {
        self.told(&self.actor(method, args))
    }

    fn act(&self, what: &str, dest: &str) -> String {
        self.tell("act", &texts(&[what, dest]))
    }

    fn send(&self, to: &Arc<Process>, topic: &str, values: &[Value]) {
        let payload = Packed::from_values(values);
        self.kernel.send(None, to.pid(), Topic::from(topic), payload).unwrap();
    }

    /// A guest that echoes, and is known to the others by its pid.
    fn echo(&self) -> Arc<Process> {
        self.actor("echo", &[])
    }

    /// Waits until it waits.
    fn settled(&self, process: &Arc<Process>) {
        let waits = async {
            process.begun().await;
            while process.state() != State::Waiting {
                tokio::task::yield_now().await;
            }
        };
        self.io()
            .block_on(async { tokio::time::timeout(WATCHDOG, waits).await })
            .expect("it comes to wait");
    }

    /// The pid of a process that has ended.
    fn gone(&self) -> String {
        let process = self.spawn(guest("compute", "compute"), &ints(&[6, 7])).unwrap();
        self.exit(&process);
        process.pid().to_string()
    }

    /// `app:check`, whose argument says whether it is to succeed, known to those that spawn.
    fn with_children() -> World {
        let world = World::new();
        let mut check = guest("types", "check");
        check.id = EntryId::new("app", "check");
        world.declare(check);
        world
    }
}

#[test]
fn a_guest_reads_its_mailbox_in_the_order_of_arrival() {
    let world = World::new();
    let reader = world.actor("collect", &ints(&[7]));
    world.send(&reader, "json", &[Value::map([("a", Value::Int(1))])]);
    world.send(&reader, "text", &texts(&["wörld"]));
    world.kernel.cancel(None, reader.pid(), "hurry").unwrap();
    world.send(&reader, "bytes", &[Value::str([0xff, 0x00])]);
    world.send(&reader, "nothing", &[]);
    world.send(&reader, "nil", &[Value::Nil]);
    world.send(&reader, "three", &[Value::Int(1), Value::from("x"), Value::Bool(true)]);
    let expected = "message json from : json {\"a\":1}\nmessage text from : text wörld\ncancel: hurry\nmessage bytes from : \
                    bytes 2\nmessage nothing from : none\nmessage nil from : none\nmessage three from : json [1,\"x\",true]";
    assert_eq!(world.told(&reader), expected);
    // However deep it is: the stack of a guest is small.
    let deep = (0..15).fold(Error::invalid("deep"), |inner, _| {
        let details = (0..98).fold(Value::Error(inner), |inner, _| Value::array([inner]));
        Error::invalid("deep").with_details(details)
    });
    let reader = world.actor("collect", &ints(&[1]));
    world.send(&reader, "deep", &[Value::Error(deep)]);
    assert_eq!(world.told(&reader), "message deep from : json \"deep\"");
    let reader = world.actor("collect", &ints(&[1_000]));
    (0..1_000).for_each(|number| world.send(&reader, "n", &[Value::Int(number)]));
    let told = world.told(&reader);
    let lines: Vec<String> = (0..1_000)
        .map(|number| format!("message n from : json {number}"))
        .collect();
    assert_eq!(told.lines().collect::<Vec<_>>(), lines);
}

#[test]
fn a_wait_ends_with_a_message_or_its_time() {
    let world = World::new();
    assert_eq!(world.tell("wait", &ints(&[0])), "nothing");
    assert_eq!(world.tell("wait", &ints(&[20])), "nothing");
    for ms in [-1, 3_600_000] {
        let waiting = world.actor("wait", &ints(&[ms]));
        world.settled(&waiting);
        world.send(&waiting, "now", &[]);
        assert_eq!(world.told(&waiting), "message now from : none", "{ms}");
    }
}

#[test]
fn many_guests_wait_without_a_thread_each() {
    let world = World::new();
    let waiting: Vec<_> = (0..30).map(|_| world.actor("wait", &ints(&[3_600_000]))).collect();
    let napping: Vec<_> = (0..30).map(|_| world.actor("nap", &ints(&[20]))).collect();
    waiting.iter().for_each(|process| world.settled(process));
    for process in &napping {
        let Value::Int(slept) = value(&world.exit(process)) else {
            panic!("a number")
        };
        // The clock that was asked is not the one of the timer.
        assert!(slept >= 15, "{slept}");
    }
    waiting.iter().for_each(|process| world.send(process, "end", &[]));
    waiting
        .iter()
        .for_each(|process| assert_eq!(world.told(process), "message end from : none"));
}

#[test]
fn a_sleeping_guest_leaves_its_mailbox_alone_and_wakes_in_time() {
    let world = World::new();
    let napping = world.actor("nap", &ints(&[100]));
    for _ in 0..50 {
        let sent = world
            .kernel
            .send(None, napping.pid(), "no hurry".into(), Packed::empty());
        // On a slow machine it has woken by now, and is gone.
        if sent.is_err() {
            break;
        }
    }
    let Value::Int(slept) = value(&world.exit(&napping)) else {
        panic!("a number")
    };
    assert!(slept >= 90, "{slept}");
}

#[test]
fn arguments_are_found_by_who_has_no_parameters_and_by_who_has() {
    let world = World::new();
    let args = [
        Value::Int(1),
        Value::from("x"),
        Value::Nil,
        Value::array([]),
        Value::str([0xff]),
    ];
    assert_eq!(
        world.tell("started-with", &args),
        "json 1\ntext x\nnone\njson []\nbytes 1"
    );
    assert_eq!(world.tell("started-with", &[]), "");
    let two = [Value::Int(7), Value::from("b")];
    assert_eq!(world.tell("started-with-two", &two), "json 7\ntext b");
    let error = world.spawn(actor("started-with-two"), &ints(&[7])).err().unwrap();
    assert_eq!(
        error.message(),
        "started-with-two: expected 2 arguments (a: u32, b: string), got 1"
    );
    let error = world.spawn(guest("actor", "started-with"), &ints(&[7])).err().unwrap();
    assert_eq!(error.message(), "started-with: expected 0 arguments, got 1");
}

#[test]
fn two_guests_hold_a_conversation() {
    let world = World::new();
    let echo = world.echo();
    let pid = echo.pid().to_string();
    for json in ["[1,2.5,null]", "\"text\"", "{\"a\":{\"b\":[]}}"] {
        let told = world.tell("ask", &texts(&[&pid, "question", json]));
        let seen = match json {
            "\"text\"" => "text text".to_owned(),
            json => format!("json {json}"),
        };
        assert_eq!(told, format!("message echo from {pid}: {seen}"));
    }
    world.send(&echo, "stop", &[]);
    assert_eq!(value(&world.exit(&echo)), Value::Int(3));
    let dense = world.spawn_on(&world.dense, actor("echo"), &[], &[]).unwrap();
    let told = world.tell("ask", &texts(&[&dense.pid().to_string(), "q", "1"]));
    assert_eq!(told, format!("message echo from {}: json 1", dense.pid()));
}

#[test]
fn what_cannot_be_sent_is_an_error_that_says_why() {
    let world = World::new();
    let gone = world.gone();
    let send = |dest: &str, topic: &str, form: &str, content: &[u8]| {
        let mut args = texts(&[dest, topic, form]);
        args.push(Value::str(content));
        world.tell("send", &args)
    };
    let reader = world.actor("collect", &ints(&[4]));
    let pid = reader.pid().to_string();
    assert_eq!(send(&pid, "@x", "none", b""), "Invalid: cannot send to @ topics");
    assert_eq!(
        send(&pid, "x", "json", b"[1,"),
        "Invalid: invalid JSON: EOF while parsing a value at line 1 column 3"
    );
    assert_eq!(
        send("nobody", "x", "none", b""),
        "NotFound: could not resolve 'nobody' as PID or registered name"
    );
    assert_eq!(
        send(&gone, "x", "none", b""),
        format!("NotFound: process not found: {gone}")
    );
    for (form, content) in [
        ("json", &b"{\"a\":1}"[..]),
        ("text", b"t"),
        ("bytes", b"\xff\xff"),
        ("none", b""),
    ] {
        assert_eq!(send(&pid, form, form, content), "ok");
    }
    let told = world.told(&reader);
    let payloads: Vec<&str> = told.lines().filter_map(|line| line.split("}: ").nth(1)).collect();
    assert_eq!(payloads, ["json {\"a\":1}", "text t", "bytes 2", "none"]);
}

#[test]
fn a_full_mailbox_refuses_and_says_that_it_may_have_room_later() {
    let world = World::new();
    let mut small = HostSpec::new(EntryId::new("app", "small"));
    small.mailbox.messages = 1;
    let small = world.kernel.add_host(small).unwrap();
    let deaf = world.spawn_on(&small, guest("spin", "spin"), &[], &[]).unwrap();
    let pid = deaf.pid().to_string();
    let mut args = texts(&[&pid, "x", "none", ""]);
    args[3] = Value::str("");
    assert_eq!(world.tell("send", &args), "ok");
    assert_eq!(
        world.tell("send", &args),
        format!("Unavailable: mailbox of {pid} is full (retryable)")
    );
}

#[test]
fn names_are_taken_found_and_freed() {
    let world = World::new();
    let desk = world.actor("serve", &texts(&["desk"]));
    world.settled(&desk);
    let pid = desk.pid().to_string();
    assert_eq!(world.act("lookup", "desk"), pid);
    assert_eq!(world.act("register", "desk"), "AlreadyExists: name already registered");
    assert_eq!(world.act("register", ""), "Invalid: name cannot be empty");
    assert_eq!(world.act("register", "other"), "ok");
    assert_eq!(world.act("lookup", "other"), "NotFound: name not registered");
    assert_eq!(world.act("unregister", "other"), "false");
    let told = world.tell("ask", &texts(&["desk", "q", "7"]));
    assert_eq!(told, format!("message echo from {pid}: json 7"));
    let second = world.run(actor("serve"), &texts(&["desk"]));
    assert_eq!(
        second.error().unwrap().message(),
        "AlreadyExists: name already registered"
    );
    world.send(&desk, "stop", &[]);
    world.exit(&desk);
    assert_eq!(world.act("lookup", "desk"), "NotFound: name not registered");
    let desk = world.actor("serve", &texts(&["desk"]));
    world.settled(&desk);
    assert_eq!(world.act("unregister", "desk"), "true");
    assert_eq!(world.act("lookup", "desk"), "NotFound: name not registered");
}

#[test]
fn relations_answer_as_those_of_lua_do() {
    let world = World::new();
    let (echo, gone) = (world.echo(), world.gone());
    let pid = echo.pid().to_string();
    for what in ["monitor", "unmonitor", "link", "unlink", "cancel"] {
        assert_eq!(world.act(what, &pid), "ok", "{what}");
        let unknown = "NotFound: could not resolve 'x' as PID or registered name";
        assert_eq!(world.act(what, "x"), unknown, "{what}");
    }
    for what in ["unmonitor", "unlink"] {
        assert_eq!(world.act(what, &gone), "ok", "{what}");
    }
    for what in ["monitor", "link", "cancel", "terminate"] {
        assert_eq!(
            world.act(what, &gone),
            format!("Internal: {what} failed: process not found: {gone}")
        );
    }
    assert_eq!(
        world.act("self", "monitor"),
        "Invalid: monitor failed: a process cannot monitor itself"
    );
    assert_eq!(
        world.act("self", "link"),
        "Invalid: link failed: a process cannot link to itself"
    );
}

#[test]
fn a_guest_ends_others_and_itself() {
    let world = World::new();
    let spinning = world.spawn(guest("spin", "spin"), &[]).unwrap();
    assert_eq!(world.act("terminate", &spinning.pid().to_string()), "ok");
    assert_eq!(world.exit(&spinning).cause, Cause::Terminated);
    let exit = world.run(actor("act"), &texts(&["self", "terminate"]));
    assert_eq!(exit.cause, Cause::Terminated);
    assert_eq!(exit.error().unwrap().message(), "process terminated");
}

#[test]
fn children_are_watched_from_their_first_instruction() {
    let world = World::with_children();
    let spawn =
        |entry: &str, json: &str, ties: &str| world.tell("spawn", &texts(&[entry, "processes", json, ties, ""]));
    let told = spawn("app:check", "true", "m");
    let (pid, event) = told.split_once('\n').unwrap();
    assert_eq!(event, format!("exit {pid}: text fine"));
    let told = spawn("app:check", "false", "m");
    let (pid, event) = told.split_once('\n').unwrap();
    assert_eq!(
        event,
        format!("exit {pid}: Internal: not fine {{\"value\":\"not fine\"}}")
    );
    let told = spawn("app:check", "false", "l");
    let (pid, event) = told.split_once('\n').unwrap();
    assert_eq!(
        event,
        format!("link-down {pid}: Internal: not fine {{\"value\":\"not fine\"}}")
    );
    assert!(spawn("app:check", "true", "").starts_with("{app:processes|"));
}

#[test]
fn what_cannot_be_spawned_says_why() {
    let world = World::with_children();
    for (entry, host, json, problem) in [
        ("app:gone", "app:processes", "1", "NotFound: entry not found: app:gone"),
        ("app:check", "app:gone", "true", "NotFound: host not found"),
        ("check", "app:processes", "true", "Invalid: "),
        ("./check.lua", "app:processes", "true", "Invalid: "),
        (
            "app:check",
            "app:processes",
            "1",
            "Invalid: argument 1: expected bool, got ",
        ),
        ("app:check", "app:processes", "tru", "Invalid: invalid JSON: "),
        ("app:check", "app:terminal", "true", "{app:terminal|"),
    ] {
        let told = world.tell("spawn", &texts(&[entry, host, json, "", ""]));
        assert!(told.starts_with(problem), "{entry} {host} {json}: {told}");
    }
}

#[test]
fn a_spawn_under_a_taken_name_finds_its_holder() {
    let world = World::with_children();
    let desk = world.actor("serve", &texts(&["desk"]));
    world.settled(&desk);
    let named = |name: &str| world.tell("spawn", &texts(&["app:check", "app:processes", "true", "", name]));
    assert_eq!(named("desk"), desk.pid().to_string());
    assert_ne!(named("free"), desk.pid().to_string());
}

#[test]
fn a_linked_guest_falls_with_its_peer_or_reads_of_it() {
    let world = World::new();
    for (method, trapping) in [("collect", false), ("collect-trapping", true)] {
        let (guest, peer) = (world.actor(method, &ints(&[1])), world.echo());
        world.settled(&guest);
        world.kernel.link(&guest, peer.pid()).unwrap();
        world.kernel.terminate(peer.pid()).unwrap();
        let exit = world.exit(&guest);
        match trapping {
            true => assert_eq!(
                value(&exit),
                Value::from(format!("link-down {}: Internal: process terminated", peer.pid()))
            ),
            false => assert_eq!(exit.cause, Cause::LinkBroken),
        }
    }
}

#[test]
fn a_cancel_is_heard_with_the_grant_and_the_end_without() {
    let world = World::new();
    let echo = world.echo();
    world.kernel.cancel(None, echo.pid(), "enough").unwrap();
    assert_eq!(world.exit(&echo).error().unwrap().message(), "enough");
    let (echo, deaf) = (world.echo(), world.spawn(guest("spin", "spin"), &[]).unwrap());
    world.settled(&echo);
    // It was granted what it does not import, so that it could not hear.
    let idle = world.spawn(granted("sleeper", "sleep-ms", &["wippy:process"]), &ints(&[3_600_000]));
    let idle = idle.unwrap();
    world.io().block_on(world.kernel.stop_host(&world.host));
    assert_eq!(world.exit(&echo).error().unwrap().message(), "scheduler shutdown");
    assert_eq!(world.exit(&deaf).cause, Cause::Terminated);
    assert_eq!(world.exit(&idle).cause, Cause::Terminated);
}

#[test]
fn messages_to_a_guest_without_the_grant_are_queued_and_dropped_at_its_end() {
    let world = World::new();
    let sleeper = world
        .spawn(granted("sleeper", "sleep-ms", &["wasi:clocks"]), &ints(&[3_600_000]))
        .unwrap();
    world.send(&sleeper, "x", &[]);
    assert_eq!(sleeper.mailbox().len(), 1);
    world.kernel.terminate(sleeper.pid()).unwrap();
    world.exit(&sleeper);
    assert!(sleeper.mailbox().is_empty());
}

#[test]
fn records_and_variables_are_those_of_the_guest() {
    let world = World::new();
    let process = world.actor("log-all", &texts(&["said"]));
    world.exit(&process);
    let records = std::mem::take(&mut *lock(&world.records));
    let levels: Vec<Level> = records.iter().map(|record| record.level).collect();
    assert_eq!(levels, [Level::Debug, Level::Info, Level::Warn, Level::Error]);
    for record in &records {
        assert_eq!(record.message, "said");
        assert_eq!(record.pid.as_ref(), Some(process.pid()));
        assert_eq!(record.entry.as_ref().unwrap().as_str(), "app:guest");
        assert_eq!(record.fields, [("n".to_owned(), Value::from("1"))]);
    }
    for (key, value) in [
        ("PREFIX", "> "),
        ("app:prefix", "> "),
        ("prefix", "> "),
        ("", "Invalid: empty key"),
        ("ABSENT", "NotFound: "),
        ("HOME", "NotFound: "),
    ] {
        let told = world.tell("variable", &texts(&[key]));
        assert!(told.starts_with(value), "{key}: {told}");
    }
}

#[test]
fn without_a_grant_each_call_is_a_stub_and_all_are_listed() {
    let world = World::new();
    for (method, args, called, grant) in [
        ("self", vec![], "process.self", "wippy:process"),
        ("wait", ints(&[0]), "process.receive", "wippy:process"),
        ("nap", ints(&[0]), "time.now-unix-ms", "wippy:time"),
        ("log-all", texts(&["x"]), "log.write", "wippy:log"),
        ("variable", texts(&["PREFIX"]), "env.get", "wippy:env"),
    ] {
        let error = world.failure(guest("actor", method), &args);
        assert_eq!(error.kind(), Kind::PermissionDenied);
        assert_eq!(
            error.message(),
            format!("app:guest called wippy:runtime/{called} without a grant; add to the entry: imports: [{grant}]")
        );
    }
    let entry = Arc::new(granted("actor", "self", &["wippy:process", "funcs"]));
    let found = findings(&entry, &world.wasm.program_blocking(&entry).unwrap());
    let found: Vec<&str> = found.iter().map(|found| found.message.as_str()).collect();
    let missing = |name: &str| format!("the module imports wippy:runtime/{name}@0.1.0 without the grant wippy:{name}");
    let unused = "the grant funcs is not used by the module".to_owned();
    assert_eq!(found, [missing("time"), missing("log"), missing("env"), unused]);
    let core = world
        .program(granted("core", "answer", &["wippy:process"]))
        .err()
        .unwrap();
    assert_eq!(
        core.message(),
        "wasm host import requires component module: wippy:process"
    );
}

#[test]
fn a_policy_decides_about_guests_too() {
    struct Never(Arc<AtomicUsize>);
    impl Policy for Never {
        fn allows(&self, _: &Context, _: &str, _: &str) -> bool {
            self.0.fetch_add(1, Ordering::SeqCst);
            false
        }
    }
    let world = World::with_children();
    let asked = Arc::default();
    world.kernel.set_policy(Arc::new(Never(Arc::clone(&asked))));
    let echo = world.echo();
    let pid = echo.pid().to_string();
    for (what, dest, phrase) in [
        ("monitor", pid.as_str(), "monitor"),
        ("unmonitor", &pid, "unmonitor"),
        ("link", &pid, "link to"),
        ("unlink", &pid, "unlink from"),
        ("cancel", &pid, "cancel"),
        ("terminate", &pid, "terminate"),
        ("register", "x", "register name"),
        ("unregister", "x", "unregister name"),
    ] {
        let denied = format!("PermissionDenied: not allowed to {phrase} {dest}");
        assert_eq!(world.act(what, dest), denied);
    }
    let denied = format!("PermissionDenied: not allowed to send to {pid}");
    assert_eq!(world.tell("ask", &texts(&[&pid, "q", "1"])), denied);
    assert_eq!(
        world.tell("spawn", &texts(&["app:check", "app:processes", "true", "m", ""])),
        "PermissionDenied: not allowed to spawn app:check"
    );
    assert_eq!(
        world.tell("variable", &texts(&["PREFIX"])),
        "PermissionDenied: not allowed to read variable PREFIX"
    );
    assert_eq!(asked.load(Ordering::SeqCst), 11);
}

#[test]
fn what_a_guest_wants_to_hear_and_does_not_read_counts_as_its_memory() {
    let world = World::new();
    let entry = guest_with("actor", "nap", |spec| {
        spec.imports = owned(&GRANTS);
        spec.limits.max_memory = 2 << 20;
    });
    let deaf = world.spawn_on(&world.host, entry, &ints(&[3_600_000]), &[]).unwrap();
    let talker: Arc<dyn Program> = Arc::new(Handle(world.program(guest("types", "make-string")).unwrap()));
    for _ in 0..3 {
        let spawn = Spawn {
            args: Packed::from_values(&ints(&[1 << 20])),
            parent: Some(deaf.clone()),
            ties: crate::process::Ties::MONITOR,
            ..Spawn::new(talker.clone(), world.host.clone())
        };
        world.kernel.spawn(spawn).unwrap();
    }
    let exit = world.exit(&deaf);
    assert_eq!(
        (exit.cause, exit.error().unwrap().message()),
        (Cause::Limit, "memory limit exceeded: 2MiB")
    );
}

#[test]
fn what_a_guest_receives_is_bounded_and_its_failure_names_the_messages() {
    let world = World::new();
    let entry = guest_with("actor", "collect", |spec| {
        spec.imports = owned(&GRANTS);
        spec.limits.max_transfer = 10_000;
    });
    let reader = world.spawn_on(&world.host, entry, &ints(&[2]), &[]).unwrap();
    world.send(&reader, "small", &texts(&["x"]));
    world.send(&reader, "large", &[Value::from("x".repeat(20_000))]);
    let exit = world.exit(&reader);
    assert_eq!(
        (exit.cause, exit.error().unwrap().kind()),
        (Cause::Limit, Kind::LimitExceeded)
    );
    assert_eq!(
        exit.error().unwrap().details().unwrap().get("limit"),
        Some(&Value::from("max_transfer"))
    );
    let records = lock(&world.records);
    let failed = records
        .iter()
        .find(|record| record.message == "process failed")
        .unwrap();
    let received = failed.fields.iter().find(|(name, _)| name == "received").unwrap();
    assert_eq!(received.1, Value::array([Value::from("small")]));
}
