//! What bounds a guest's use of the host, and the end of many guests at once.

use super::*;

fn hoarder(method: &str, change: impl FnOnce(&mut WasmSpec)) -> Entry {
    guest_with("hoarder", method, change)
}

#[track_caller]
fn is_limit(exit: &Exit, limit: &str, allowed: i64) {
    let error = exit.error().expect("it is too much");
    assert_eq!(
        (exit.cause, error.kind()),
        (Cause::Limit, Kind::LimitExceeded),
        "{error}"
    );
    assert_eq!(error.retryable(), None);
    let details = error.details().unwrap();
    assert_eq!(details.get("limit"), Some(&Value::from(limit)));
    assert_eq!(details.get("allowed"), Some(&Value::Int(allowed)), "{error}");
}

#[test]
fn a_call_that_cannot_fail_ends_the_run_at_the_limit_of_handles() {
    let world = World::new();
    let timers = |count: i64| {
        let entry = hoarder("timers", |spec| spec.limits.max_handles = 100);
        world.run(entry, &ints(&[count]))
    };
    assert_eq!(value(&timers(99)), Value::Int(99));
    is_limit(&timers(200), "max_handles", 100);
}

#[test]
fn lists_that_a_guest_hands_over_are_bounded() {
    let world = World::new();
    let poll = |count: i64| {
        let entry = hoarder("poll-many", |spec| spec.limits.max_transfer = 100_000);
        world.run(entry, &ints(&[count]))
    };
    assert_eq!(value(&poll(100)), Value::Int(100));
    is_limit(&poll(1_000_000), "max_transfer", 100_000);
}

#[test]
fn random_bytes_are_bounded_by_what_a_call_may_move() {
    let world = World::new();
    let bytes = |count: i64, allowed: u64| {
        let entry = hoarder("bytes", |spec| spec.limits.max_transfer = allowed);
        world.run(entry, &ints(&[count]))
    };
    for count in [0, 1, 65_536, 65_537, 1 << 20] {
        assert_eq!(value(&bytes(count, 1 << 20)), Value::Int(count));
    }
    is_limit(&bytes((1 << 20) + 1, 1 << 20), "max_transfer", 1 << 20);
    // More than the default; 0 is no limit.
    assert_eq!(value(&bytes(129 << 20, 0)), Value::Int(129 << 20));
    // All that a u64 can count.
    is_limit(&bytes(-1, 1 << 20), "max_transfer", 1 << 20);
}

#[test]
fn preview_1_fills_what_was_asked_for_with_random_bytes_and_nothing_beside() {
    let world = World::new();
    let random = |start: u32, length: u32| {
        let text = format!(
            "(module (import \"wasi_snapshot_preview1\" \"random_get\" (func $random (param i32 i32) (result i32)))
               (memory (export \"memory\") 4)
               (func (export \"f\") (result i32) (local $i i32) (local $other i32)
                 (local.set $other (call $random (i32.const {start}) (i32.const {length})))
                 (if (local.get $other) (then (return (i32.const -1))))
                 ;; How many 16 bytes hold anything at all.
                 (loop $again
                   (if (i64.ne (i64.or (i64.load (local.get $i)) (i64.load offset=8 (local.get $i))) (i64.const 0))
                     (then (local.set $other (i32.add (local.get $other) (i32.const 1)))))
                   (local.set $i (i32.add (local.get $i) (i32.const 16)))
                   (br_if $again (i32.lt_u (local.get $i) (i32.const 262144))))
                 (local.get $other)))"
        );
        world.run(core(&world, &text, |_| {}), &[])
    };
    for (start, length, filled) in [(16, 0, 0), (32, 16, 1), (0, 65_536, 4_096), (16, 200_000, 12_500)] {
        assert_eq!(value(&random(start, length)), Value::Int(filled), "{start} {length}");
    }
}

#[test]
fn a_pointer_out_of_the_memory_ends_the_run_whoever_uses_it() {
    let world = World::new();
    for call in [
        "(call $random (i32.const 65520) (i32.const 32))",
        "(call $random (i32.const -16) (i32.const 32))",
        "(call $open (i32.const 3) (i32.const 0) (i32.const -16) (i32.const 32) (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 0))",
        "(call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const -4))",
        "(call $write (i32.const 1) (i32.const -16) (i32.const 1) (i32.const 0))",
    ] {
        let text = format!(
            "(module
               (import \"wasi_snapshot_preview1\" \"random_get\" (func $random (param i32 i32) (result i32)))
               (import \"wasi_snapshot_preview1\" \"fd_write\" (func $write (param i32 i32 i32 i32) (result i32)))
               (import \"wasi_snapshot_preview1\" \"path_open\"
                 (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
               (memory (export \"memory\") 1)
               (data (i32.const 0) \"a\")
               (func (export \"f\") (result i32) {call}))"
        );
        std::fs::write(world.data.path().join("a"), "x").unwrap();
        let entry = core(&world, &text, |spec| {
            spec.imports = owned(&["wasi1"]);
            spec.mounts = vec![mount("/data", false)];
        });
        let exit = world.run(entry, &[]);
        assert_eq!(exit.cause, Cause::Trap, "{call}");
        assert_eq!(
            exit.error().unwrap().message(),
            "wasm trap: memory-out-of-bounds",
            "{call}"
        );
    }
}

#[test]
fn many_handles_of_preview_1_end_with_an_errno() {
    let world = World::new();
    std::fs::write(world.data.path().join("a"), "x").unwrap();
    let text = "(module (import \"wasi_snapshot_preview1\" \"path_open\"
               (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
             (memory (export \"memory\") 1)
             (data (i32.const 0) \"a\")
             (func (export \"f\") (result i32) (local $opened i32)
               (loop $again
                 (if (i32.eqz (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0)
                     (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 8)))
                   (then (local.set $opened (i32.add (local.get $opened) (i32.const 1))) (br $again))))
               (local.get $opened)))";
    let entry = core(&world, text, |spec| {
        spec.imports = owned(&["wasi1"]);
        spec.mounts = vec![mount("/data", false)];
        spec.limits.max_handles = 50;
    });
    let Value::Int(opened) = world.value(entry, &[]) else {
        panic!("a number")
    };
    assert!((30..50).contains(&opened), "{opened} files");
}

#[test]
fn terminate_ends_a_thousand_spinning_guests() {
    let world = World::new();
    let entry = Arc::new(guest("spin", "spin"));
    let program = world.wasm.program_blocking(&entry).unwrap();
    let spawn = || {
        let spawn = Spawn::new(Arc::new(Handle(program.clone())), world.host.clone());
        world.kernel.spawn(spawn).unwrap()
    };
    let spinning: Vec<_> = (0..1_000).map(|_| spawn()).collect();
    let began = Instant::now();
    while spinning.iter().any(|process| process.steps() == 0) {
        assert!(began.elapsed() < WATCHDOG, "some never ran");
        std::thread::sleep(Duration::from_millis(1));
    }
    for process in &spinning {
        world.kernel.terminate(process.pid()).unwrap();
    }
    for process in &spinning {
        assert_eq!(world.exit(process).cause, Cause::Terminated);
    }
    world.emptied();
}

#[test]
fn a_place_is_taken_again_only_when_its_store_is_gone() {
    let settings = Settings {
        max_instances: Some(1),
        ..Settings::default()
    };
    let world = World::with(settings, b"");
    // With so much memory a store is long on its way out.
    let entry = Arc::new(guest("eater", "eat-then-spin"));
    let program = world.wasm.program_blocking(&entry).unwrap();
    let spawn = || {
        let spawn = Spawn {
            args: Packed::from_values(&ints(&[64])),
            ..Spawn::new(Arc::new(Handle(program.clone())), world.host.clone())
        };
        world.kernel.spawn(spawn)
    };
    let began = Instant::now();
    let mut ended = Vec::new();
    while ended.len() < 10 {
        assert!(began.elapsed() < WATCHDOG, "the place was never given back");
        // While the one before is still on its way out there is no room.
        let Ok(process) = spawn() else {
            std::thread::yield_now();
            continue;
        };
        while process.steps() < 40 && process.exit().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        world.kernel.terminate(process.pid()).ok();
        ended.push(process);
    }
    for process in &ended {
        assert_eq!(world.exit(process).cause, Cause::Terminated);
    }
}

#[test]
fn a_thousand_who_spawn_an_uncached_module_compile_it_once() {
    let world = World::new();
    let entry = |name: usize| {
        let Entry { spec, .. } = guest("greet", "greet");
        let id = EntryId::new("app", &format!("guest{name}"));
        Arc::new(Entry::made(id, "process.wasm", spec))
    };
    // Ten entries of one file, a hundred starts of each.
    let entries: Vec<_> = (0..10).map(entry).collect();
    let spawned = |entry: Arc<Entry>| {
        let (wasm, kernel, host) = (world.wasm.clone(), world.kernel.clone(), world.host.clone());
        world.io().spawn(async move {
            let program = match wasm.resolve(&entry) {
                Resolved::Ready(program) => program.unwrap(),
                Resolved::Pending(loading) => loading.await.unwrap(),
            };
            let args = Packed::from_value(&Value::from("you"));
            kernel
                .spawn(Spawn {
                    args,
                    ..Spawn::new(program, host)
                })
                .unwrap()
        })
    };
    let tasks: Vec<_> = (0..1_000).map(|index| spawned(entries[index % 10].clone())).collect();
    for task in tasks {
        let process = world.io().block_on(task).unwrap();
        assert_eq!(value(&world.exit(&process)), Value::from("Hello, you!"));
    }
    assert_eq!(world.wasm.compilations(), 1);
}

#[test]
fn whoever_asks_for_what_has_been_begun_waits_for_the_same_load() {
    let world = World::new();
    let entry = Arc::new(guest("greet", "greet"));
    world.wasm.begin(&entry);
    world.wasm.begin(&entry);
    let asked = (0..10).map(|_| world.io().block_on(world.wasm.program(&entry)).unwrap());
    let programs: Vec<_> = asked.collect();
    assert!(programs.iter().all(|program| Arc::ptr_eq(program, &programs[0])));
    assert_eq!(world.wasm.compilations(), 1);
}

#[test]
fn a_large_folder_is_listed_a_piece_at_a_time_or_refused() {
    let world = World::new();
    let names: Vec<String> = (0..1_000).map(|at| format!("{at:020}")).collect();
    for (count, word) in [(128, "two pieces"), (1_000, "more, the last one not full")] {
        for name in &names[..count] {
            std::fs::write(world.data.path().join(name), "").unwrap();
        }
        for (guest, method) in [("fsprobe", "run"), ("fsprobe-p1", "_start")] {
            let (exit, out, err) = world.command(probe(guest, method, true, &["ls", "/data"]), &[]);
            assert_eq!(value(&exit), Value::Nil, "{guest}: {err}");
            let listed = out.lines().skip(out.lines().count() - count);
            assert!(listed.eq(&names[..count]), "{guest}: {word}");
        }
    }
    let limited = |guest: &str, method: &str| {
        let mut entry = probe(guest, method, true, &["ls", "/data"]);
        if let Spec::Wasm(spec) = &mut entry.spec {
            spec.limits.max_transfer = 128 << 10;
        }
        world.command(entry, &[])
    };
    let (exit, _, err) = limited("fsprobe", "run");
    assert_eq!(value(&exit), Value::Nil, "it holds one piece: {err}");
    let (exit, _, err) = limited("fsprobe-p1", "_start");
    assert_eq!(exit.cause, Cause::Code(1), "it would hold the whole folder");
    assert!(err.contains("error: E"), "{err}");
}

#[test]
fn every_memory_of_a_guest_that_counts_fuel_takes_its_share_of_the_mappings() {
    let world = World::new();
    let mapped = |memories: &str| {
        let text = format!("(module {memories} (func (export \"f\") (loop $again (br $again))))");
        let before = world.wasm.engines().mapped();
        let entry = core(&world, &text, |spec| spec.limits.max_fuel = u64::MAX);
        let process = world.spawn(entry, &[]).unwrap();
        let taken = world.wasm.engines().mapped() - before;
        world.kernel.terminate(process.pid()).unwrap();
        world.exit(&process);
        world.emptied();
        taken
    };
    let one = mapped("(memory 1)");
    assert_eq!(mapped(""), one);
    assert_eq!(mapped("(memory 1) (memory 1) (memory 1)"), 3 * one);
}
