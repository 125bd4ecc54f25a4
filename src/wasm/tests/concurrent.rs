//! Components with asynchronous functions, and WASI 0.3.

use super::*;
use crate::wasm::engine::Flavor;

#[test]
fn an_asynchronous_export_is_awaited() {
    let world = World::new();
    assert_eq!(world.value(guest("later", "nap"), &ints(&[20])), Value::Int(20));
    assert_eq!(world.value(guest("later", "nap"), &ints(&[0])), Value::Int(0));
    assert_eq!(world.value(guest("later", "add"), &ints(&[2, 3])), Value::Int(5));
    assert_eq!(world.wasm.engines().living(), 0);
}

#[test]
fn the_second_engine_exists_once_something_needs_it() {
    let world = World::new();
    let concurrent = Flavor {
        concurrent: true,
        ..Flavor::default()
    };
    let is_made = || world.wasm.engines().is_made(concurrent.engine());
    assert_eq!(world.value(guest("compute", "compute"), &ints(&[6, 7])), Value::Int(42));
    assert_eq!(world.value(guest("sleeper", "doze"), &ints(&[1, 2])), Value::Int(2));
    assert!(!is_made());
    assert_eq!(world.value(guest("later", "add"), &ints(&[2, 3])), Value::Int(5));
    assert!(is_made());
    let program = world.program(guest("compute", "compute")).unwrap();
    assert_eq!(program.engine_name(), "pool");
    let program = world.program(guest("later", "add")).unwrap();
    assert_eq!(program.engine_name(), "on demand, concurrent (experimental)");
}

#[test]
fn a_result_at_the_top_of_an_asynchronous_function_is_the_outcome() {
    let world = World::new();
    assert_eq!(
        world.value(guest("later", "check"), &[Value::Bool(true)]),
        Value::Int(7)
    );
    let error = world.failure(guest("later", "check"), &[Value::Bool(false)]);
    assert_eq!((error.kind(), error.message()), (Kind::Internal, "not fine"));
}

#[test]
fn waits_that_a_guest_begins_together_overlap_and_so_do_many_guests() {
    let world = World::new();
    let sleepers: Vec<_> = (0..50)
        .map(|_| world.spawn(guest("later", "naps"), &ints(&[50, 40])).unwrap())
        .collect();
    for sleeper in &sleepers {
        assert_eq!(value(&world.exit(sleeper)), Value::Int(40));
    }
    assert_eq!(world.wasm.engines().living(), 0);
}

#[test]
fn terminate_ends_concurrent_guests_in_a_loop_in_a_wait_and_between_turns() {
    let world = World::new();
    for (method, args) in [
        ("spin", &[][..]),
        ("yields", &[]),
        ("nap", &[600_000]),
        ("naps", &[600_000, 10]),
    ] {
        let process = world.spawn(guest("later", method), &ints(args)).unwrap();
        // It runs before it is ended.
        assert_eq!(world.value(guest("later", "nap"), &ints(&[5])), Value::Int(5));
        world.kernel.terminate(process.pid()).unwrap();
        assert_eq!(world.exit(&process).cause, Cause::Terminated, "{method}");
    }
    world.emptied();
}

#[test]
fn busy_concurrent_guests_leave_room_for_others() {
    let world = World::new();
    let busy: Vec<_> = ["spin", "yields", "spin", "yields"]
        .map(|method| world.spawn(guest("later", method), &[]).unwrap())
        .into();
    assert_eq!(world.value(guest("compute", "compute"), &ints(&[2, 3])), Value::Int(6));
    assert_eq!(world.value(guest("later", "naps"), &ints(&[5, 3])), Value::Int(3));
    assert!(busy.iter().all(|process| process.exit().is_none()));
}

#[test]
fn the_limits_of_concurrent_guests_are_those_of_others() {
    let world = World::new();
    let timed = |method: &str| guest_with("later", method, |spec| spec.limits.max_execution_ms = 30);
    for (method, args) in [("spin", &[][..]), ("yields", &[]), ("nap", &[600_000])] {
        let exit = world.run(timed(method), &ints(args));
        assert_eq!(
            (exit.cause, exit.error().unwrap().kind()),
            (Cause::TimeLimit, Kind::Timeout),
            "{method}"
        );
    }
    let limit = |error: &Error| error.details().unwrap().get("limit").cloned();
    let eater = guest_with("later", "eat", |spec| spec.limits.max_memory = 16 << 20);
    let exit = world.run(eater, &[]);
    assert_eq!(exit.cause, Cause::Limit);
    assert_eq!(limit(exit.error().unwrap()), Some(Value::from("max_memory")));
    let fuel = |method: &str| guest_with("later", method, |spec| spec.limits.max_fuel = 10_000);
    assert_eq!(limit(&world.failure(fuel("spin"), &[])), Some(Value::from("max_fuel")));
    assert_eq!(world.value(fuel("nap"), &ints(&[5])), Value::Int(5));
}

#[test]
fn a_guest_that_makes_streams_without_end_meets_the_limit_of_handles() {
    let world = World::new();
    let exit = world.run(guest("later", "hoard"), &[]);
    let error = exit.error().unwrap();
    assert_eq!((exit.cause, error.kind()), (Cause::Limit, Kind::LimitExceeded));
    assert_eq!(error.details().unwrap().get("limit"), Some(&Value::from("max_handles")));
}

#[test]
fn traps_of_concurrent_guests_have_names_and_frames() {
    let world = World::new();
    let exit = world.run(guest("later", "crash"), &[]);
    let error = exit.error().unwrap();
    assert_eq!((exit.cause, error.message()), (Cause::Trap, "wasm trap: unreachable"));
    assert_eq!(error.frames()[0].name, "bottom");
    let exit = world.run(guest("later", "stuck"), &[]);
    let error = exit.error().unwrap();
    assert_eq!(
        (exit.cause, error.message()),
        (Cause::Trap, "wasm trap: async-deadlock")
    );
}

#[test]
fn one_component_may_import_wasi_0_2_and_0_3() {
    let world = World::new();
    assert_eq!(world.value(guest("later", "compare"), &[]), Value::Int(1));
}

/// An entry for the command of WASI 0.3, with the volume `app:data` at `/data`.
fn command(read_only: bool, words: &[&str]) -> Entry {
    guest_with("command3", "run", |spec| {
        spec.imports = owned(&["wasi:cli", "wasi:filesystem"]);
        spec.mounts = vec![mount("/data", read_only)];
        spec.args = owned(&["--no-stdin"]);
        spec.args.extend(owned(words));
    })
}

#[test]
fn a_large_input_flows_through_a_command_of_wasi_0_3() {
    let typed = "0123456789abcdef\n".repeat(50_000);
    let world = World::with(Settings::default(), typed.as_bytes());
    let (exit, out, _) = world.command(granted("command3", "run", &["wasi:cli"]), &[]);
    assert_eq!(value(&exit), Value::Nil);
    assert!(out.ends_with(&typed), "{} of {} bytes", out.len(), typed.len());
}

#[test]
fn commands_of_wasi_0_3_end_with_their_code() {
    let world = World::new();
    for (words, code) in [(&["--fail"][..], 1), (&["--exit", "7"], 7)] {
        let (exit, ..) = world.command(command(true, words), &[]);
        assert_eq!(exit.cause, Cause::Code(code), "{words:?}");
        assert_eq!(exit.error().unwrap().message(), format!("exit status {code}"));
    }
    let (exit, ..) = world.command(command(true, &["--sleep", "5"]), &[]);
    assert_eq!(value(&exit), Value::Nil);
    let error = world.failure(command(true, &["--trap"]), &[]);
    assert_eq!(error.message(), "wasm trap: unreachable");
    let stderr = error.details().unwrap().get("stderr").unwrap().as_str().unwrap();
    assert!(stderr.contains("about to trap"), "{stderr}");
}

#[test]
fn mounts_of_wasi_0_3_are_those_of_0_2() {
    let world = World::new();
    let inside = |name: &str| world.data.path().join(name);
    let (exit, _, err) = world.command(command(false, &["--write", "/data/a", "hello"]), &[]);
    assert_eq!((value(&exit), err.as_str()), (Value::Nil, ""));
    assert_eq!(std::fs::read_to_string(inside("a")).unwrap(), "hello");
    let (_, out, _) = world.command(command(true, &["--read", "/data/a"]), &[]);
    assert!(out.ends_with("hello"), "{out}");
    std::os::unix::fs::symlink("/etc/passwd", inside("out")).unwrap();
    let fifo = std::ffi::CString::new(inside("fifo").to_str().unwrap()).unwrap();
    // SAFETY: the path is a C string that lives across the call.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    for (read_only, words, why) in [
        (true, &["--write", "/data/a", "y"][..], "not-permitted"),
        (true, &["--rm", "/data/a"], "not-permitted"),
        (false, &["--read", "/data/out"], "not-permitted"),
        (false, &["--read", "/data/../etc/passwd"], "not-permitted"),
        (false, &["--read", "/data/fifo"], "not-permitted"),
        (false, &["--read", "/data/gone"], "no-entry"),
        (false, &["--read", "/etc/passwd"], "no-entry"),
    ] {
        let (exit, _, err) = world.command(command(read_only, words), &[]);
        assert_eq!(exit.cause, Cause::Code(1), "{words:?}");
        // What earlier commands wrote stands before it.
        assert_eq!(err.lines().last(), Some(format!("error: {why}").as_str()), "{words:?}");
    }
    assert_eq!(std::fs::read_to_string(inside("a")).unwrap(), "hello");
}

#[test]
fn a_guest_of_wasi_0_3_sees_that_no_more_files_can_be_open() {
    let world = World::new();
    std::fs::write(world.data.path().join("a"), "x").unwrap();
    let mut entry = command(true, &["--open", "/data/a", "100"]);
    if let Spec::Wasm(spec) = &mut entry.spec {
        spec.limits.max_handles = 40;
    }
    let (exit, _, err) = world.command(entry, &[]);
    assert_eq!(err, "error: insufficient-memory\n", "{exit:?}");
}

#[test]
fn stubs_of_asynchronous_functions_name_the_line_to_write() {
    let world = World::new();
    let needs = |method: &str, grants: &[&str]| granted("needs-later", method, grants);
    assert_eq!(world.value(needs("fine", &[]), &[]), Value::Int(7));
    let error = world.failure(needs("call-it", &[]), &[]);
    assert_eq!(
        (error.kind(), error.message()),
        (
            Kind::PermissionDenied,
            "app:guest called acme:db/later.query, which no grant provides"
        )
    );
    let error = world.failure(needs("look-up", &["wasi:io"]), &[]);
    assert_eq!(
        (error.kind(), error.message()),
        (
            Kind::PermissionDenied,
            "app:guest called wasi:sockets/ip-name-lookup.resolve-addresses without a grant; add to the entry: \
             imports: [wasi:io, wasi:sockets]"
        )
    );
    assert_eq!(world.value(needs("look-up", &["wasi:sockets"]), &[]), Value::Int(1));
    assert_eq!(world.wasm.engines().living(), 0);
}

#[test]
fn grants_for_wasi_0_3_are_checked_as_for_0_2() {
    let world = World::new();
    let said = |entry: Entry| {
        let entry = Arc::new(entry);
        let program = world.wasm.program_blocking(&entry).unwrap();
        let found = findings(&entry, &program);
        found.iter().map(|found| found.message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        said(granted("needs-later", "fine", &["wasi:clocks"])),
        [
            "the module imports wasi:sockets/ip-name-lookup@0.3.0 without the grant wasi:sockets",
            "acme:db/later is imported, and no grant provides it: calling it ends the run",
            "the grant wasi:clocks is not used by the module",
        ]
    );
    assert!(said(command(true, &[])).is_empty());
    assert_eq!(said(guest("command3", "run")).len(), 1);
}
