//! Guests on a host with `wasm.density: dense`: the same as elsewhere, in less room.

use super::*;

fn run(world: &World, entry: Entry, args: &[Value]) -> Arc<Exit> {
    let process = world.spawn_on(&world.dense, entry, args, &[]).unwrap();
    world.exit(&process)
}

#[test]
fn guests_do_the_same_in_slabs() {
    let world = World::new();
    for (name, method, args, expected) in [
        ("compute", "compute", ints(&[6, 7]), Value::Int(42)),
        ("greet", "greet", vec![Value::from("you")], Value::from("Hello, you!")),
        ("core", "initialized", vec![], Value::Int(1)),
        ("wait", "sleep-ms", ints(&[5]), Value::Int(5)),
        (
            "types",
            "count-bytes",
            vec![Value::from("x".repeat(3 << 20))],
            Value::Int(3 << 20),
        ),
        ("eater", "eat", ints(&[20]), Value::Int(20)),
    ] {
        assert_eq!(value(&run(&world, guest(name, method), &args)), expected, "{method}");
    }
    world.emptied();
}

#[test]
fn contents_survive_growth_and_nobody_finds_those_of_another() {
    let world = World::new();
    let bytes = |count: usize| (0..count).map(|index| index as u8).collect::<Vec<u8>>();
    for count in [100, 70_000, 1 << 20] {
        let made = value(&run(&world, guest("types", "make-bytes"), &ints(&[count as i64])));
        assert_eq!(made, Value::Str(bytes(count)));
    }
    // A new instance finds its own first contents: the counter of calls begins again.
    for _ in 0..3 {
        assert_eq!(value(&run(&world, guest("types", "bump"), &[])), Value::Int(1));
    }
}

#[test]
fn traps_and_limits_are_the_same_in_slabs() {
    let world = World::new();
    for (method, name) in [
        ("out-of-bounds", "memory-out-of-bounds"),
        ("trap-unreachable", "unreachable"),
        ("null-call", "indirect-call-to-null"),
    ] {
        let exit = run(&world, guest("trapper", method), &[]);
        assert_eq!(exit.error().unwrap().message(), format!("wasm trap: {name}"));
    }
    let limited = |method: &str, limit: u64| guest_with("eater", method, |spec| spec.limits.max_memory = limit);
    let fuel = guest_with("spin", "spin-then", |spec| spec.limits.max_fuel = 1_000);
    for (entry, args, limit) in [
        (guest("trapper", "recurse"), ints(&[]), "max_stack"),
        (limited("eat-forever", 16 << 20), ints(&[]), "max_memory"),
        (limited("eat-table", 1 << 20), ints(&[1 << 20]), "max_memory"),
        (fuel, ints(&[1_000_000]), "max_fuel"),
    ] {
        let exit = run(&world, entry, &args);
        assert_eq!(exit.cause, Cause::Limit, "{limit}: {exit:?}");
        let details = exit.error().unwrap().details().unwrap();
        assert_eq!(details.get("limit"), Some(&Value::from(limit)));
    }
}

#[test]
fn many_first_starts_on_a_dense_host_wait_for_one_compilation() {
    let world = World::new();
    let entry = Arc::new(guest("sleeper", "doze"));
    let program = world.wasm.program_blocking(&entry).unwrap();
    let spawn = || {
        let program = Arc::new(Handle(program.clone()));
        let args = Packed::from_values(&ints(&[1, 2]));
        let spawn = Spawn {
            args,
            ..Spawn::new(program, world.dense.clone())
        };
        world.kernel.spawn(spawn).unwrap()
    };
    let living: Vec<_> = (0..1_000).map(|_| spawn()).collect();
    for process in &living {
        assert_eq!(value(&world.exit(process)), Value::Int(2));
    }
}

#[test]
fn a_module_that_changed_before_the_first_dense_start_is_refused() {
    let world = World::new();
    let path = world.data.path().join("m.wasm");
    std::fs::copy(fixtures().join("compute.wasm"), &path).unwrap();
    let hash = format!("sha256:{}", sha256(&std::fs::read(&path).unwrap()));
    let entry = Arc::new(made(wasm_spec("data", "m.wasm", hash, "compute")));
    let program = world.wasm.program_blocking(&entry).unwrap();
    std::fs::copy(fixtures().join("tiny.wasm"), &path).unwrap();
    let spawn = Spawn {
        args: Packed::from_values(&ints(&[6, 7])),
        ..Spawn::new(Arc::new(Handle(program)), world.dense.clone())
    };
    let exit = world.exit(&world.kernel.spawn(spawn).unwrap());
    let error = exit.error().unwrap();
    assert!(error.message().starts_with("hash verification failed"), "{error}");
}
