//! Instances of functions that serve one call after the other.

use super::*;
use crate::id::Pid;
use crate::process::{Call, Options, Place, Pool, PoolOptions, Target};
use crate::project::PoolSpec;

/// Counts its calls, and writes a text without an end of line.
const SAY: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\02\00\00\00")
    (data (i32.const 16) "hi")
    (global $calls (mut i32) (i32.const 0))
    (func (export "say") (result i32)
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (global.get $calls)))"#;

/// A function as [`Callable`](crate::runtime) makes it, called by a process that does nothing else.
struct Function<'a> {
    world: &'a World,
    caller: Arc<Process>,
    entry: Arc<Entry>,
    pool: Arc<Pool>,
}

impl Function<'_> {
    fn new<'a>(world: &'a World, spec: WasmSpec, pool: PoolSpec) -> Function<'a> {
        let caller = guest("sleeper", "sleep-ms");
        Function {
            world,
            caller: world.spawn(caller, &ints(&[600_000])).unwrap(),
            entry: Arc::new(Entry::made(EntryId::new("app", "f"), "function.wasm", Spec::Wasm(spec))),
            pool: Pool::new(PoolOptions::from(pool), world.io().handle().clone()),
        }
    }

    fn call(&self, args: &[Value]) -> Result<Value> {
        let call = Call {
            caller: self.caller.clone(),
            target: Target {
                id: self.entry.id.clone(),
                program: self.world.wasm.resolve(&self.entry),
                place: Place::Pool(self.pool.clone()),
                options: Options::default(),
            },
            args: Packed::from_values(args),
            context: Arc::default(),
            options: Options::default(),
        };
        self.world.io().block_on(call.run())?.to_value()
    }

    /// Instances, without that of the caller.
    fn living(&self) -> usize {
        self.world.wasm.engines().living() - 1
    }

    fn until(&self, done: impl Fn() -> bool) {
        let began = Instant::now();
        while !done() {
            assert!(began.elapsed() < WATCHDOG);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Function<'_> {
    fn drop(&mut self) {
        self.pool.close();
    }
}

fn say() -> WasmSpec {
    WasmSpec {
        source: WasmSource::Text(SAY.into()),
        imports: owned(&["wasi:cli"]),
        ..WasmSpec::of_file(EntryId::new("app", "wasm"), "", Some("say"))
    }
}

#[test]
fn what_a_call_writes_is_logged_for_that_call_alone() {
    let world = World::new();
    let function = Function::new(&world, say(), PoolSpec::default());
    for call in 1..=3 {
        assert_eq!(function.call(&[]).unwrap(), Value::Int(call));
        function.until(|| lock(&world.records).len() == call as usize);
    }
    assert_eq!(function.living(), 1);
    let records = lock(&world.records);
    let mut pids: Vec<Pid> = records.iter().filter_map(|record| record.pid.clone()).collect();
    pids.dedup();
    assert_eq!(pids.len(), 3);
    assert!(records.iter().all(|record| record.message == "hi"));
}

#[test]
fn a_kept_instance_keeps_its_garbage_collected_heap() {
    const KEEP: &str = r#"(module
        (type $node (struct (field $next (ref null $node)) (field $count i32)))
        (global $last (mut (ref null $node)) (ref.null $node))
        (func (export "keep") (result i32) (local $count i32)
            (if (i32.eqz (ref.is_null (global.get $last)))
                (then (local.set $count (struct.get $node $count (global.get $last)))))
            (local.set $count (i32.add (local.get $count) (i32.const 1)))
            (global.set $last (struct.new $node (global.get $last) (local.get $count)))
            (local.get $count)))"#;
    let world = World::new();
    let keep = WasmSpec {
        source: WasmSource::Text(KEEP.into()),
        ..WasmSpec::of_file(EntryId::new("app", "wasm"), "", Some("keep"))
    };
    let function = Function::new(&world, keep, PoolSpec::default());
    for call in 1..=3 {
        assert_eq!(function.call(&[]).unwrap(), Value::Int(call));
    }
    assert_eq!(function.living(), 1);
}

#[test]
fn idle_instances_make_room_for_those_who_need_it() {
    let settings = Settings {
        max_instances: Some(2),
        ..Settings::default()
    };
    let world = World::with(settings, b"");
    let function = Function::new(&world, say(), PoolSpec::default());
    assert_eq!(function.call(&[]).unwrap(), Value::Int(1));
    assert_eq!(function.living(), 1, "the house is full");
    let process = world.spawn(guest("sleeper", "sleep-ms"), &ints(&[600_000])).unwrap();
    assert_eq!(function.call(&[]).unwrap_err().kind(), Kind::Unavailable);
    world.kernel.terminate(process.pid()).unwrap();
    world.exit(&process);
    function.until(|| function.living() == 0);
    assert_eq!(function.call(&[]).unwrap(), Value::Int(1), "in a new instance");
}

#[test]
fn a_changed_module_makes_new_instances() {
    let world = World::new();
    let path = world.data.path().join("m.wasm");
    let write = |step: u32| {
        let text = SAY.replace("$calls) (i32.const 1)", &format!("$calls) (i32.const {step})"));
        std::fs::write(&path, wat::parse_str(text).unwrap()).unwrap();
        std::thread::sleep(FRESH * 2);
    };
    let given = WasmSpec::of_file(EntryId::new("app", "data"), "m.wasm", Some("say"));
    let function = Function::new(&world, given, PoolSpec::default());
    write(10);
    assert_eq!(function.call(&[]).unwrap(), Value::Int(10));
    assert_eq!(function.call(&[]).unwrap(), Value::Int(20));
    write(7);
    assert_eq!(function.call(&[]).unwrap(), Value::Int(7));
    function.until(|| function.living() == 1);
}

#[test]
fn a_pool_makes_its_instances_before_the_first_call() {
    let world = World::new();
    let pool = PoolSpec::Static {
        workers: 3,
        buffer: 0,
        warm_start: true,
    };
    let function = Function::new(&world, say(), pool);
    let program: Arc<dyn Program> = Arc::new(Handle(world.wasm.program_blocking(&function.entry).unwrap()));
    world.kernel.warm(&function.pool, &program);
    function.until(|| function.pool.idle() == 3);
    assert_eq!(function.living(), 3);
    assert_eq!(function.call(&[]).unwrap(), Value::Int(1), "it was made, not called");
    function.pool.close();
    assert_eq!(function.living(), 0);
}

#[test]
fn commands_and_tasks_end_with_their_call() {
    let world = World::new();
    for (name, method, args) in [("exit", "run", vec![]), ("later", "add", ints(&[2, 3]))] {
        let Spec::Wasm(spec) = guest(name, method).spec else {
            unreachable!()
        };
        let function = Function::new(&world, spec, PoolSpec::default());
        assert!(!matches!(function.call(&args), Err(error) if error.kind() == Kind::Invalid));
        function.until(|| function.living() == 0);
        assert_eq!(function.pool.idle(), 0, "{name}");
        world.kernel.terminate(function.caller.pid()).unwrap();
        world.exit(&function.caller.clone());
        function.until(|| world.wasm.engines().living() == 0);
    }
}
