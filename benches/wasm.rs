//! What a WASM process costs above the instance in it: a life from spawn to exit, beside bare wasmtime with the same
//! settings in the same run.
//!
//! `cargo bench --bench wasm`, or one part of it: `cargo bench --bench wasm records`. Each figure is the median of several
//! rounds.

mod world;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::{Component, Linker, Val};
use wasmtime::{Engine, Store};
use wippy::error::Result;
use wippy::id::EntryId;
use wippy::process::{HostSpec, Process, Program, Resolved};
use wippy::project::Registry;
use wippy::project::entry::{Entry, LuaKind, LuaSpec, ProcessHostSpec, Spec, WasmSpec};
use wippy::runtime::{Options, Runtime};
use wippy::system::terminal::Terminal;
use wippy::system::{System, Volume};
use wippy::value::{Packed, Value};
use wippy::wasm::{Settings, Wasm};
use world::{Nothing, World, bare_engine, each, median, resident, spawn};

const IN_FLIGHT: usize = 1_000;
const LIVES: usize = 10_000;

fn fixtures() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/wasm"))
}

/// Bare wasmtime with the settings of the small pool.
struct Bare {
    engine: Engine,
    pre: wasmtime::component::InstancePre<()>,
    function: wasmtime::component::ComponentExportIndex,
}

impl Bare {
    fn new(file: &str, function: &str) -> Bare {
        let engine = bare_engine(64);
        let component = Component::from_file(&engine, fixtures().join(file)).expect("a fixture");
        Bare {
            pre: Linker::new(&engine).instantiate_pre(&component).expect("no imports"),
            function: component.get_export_index(None, function).expect("an export"),
            engine,
        }
    }

    async fn life(&self, args: &[Val]) {
        let mut store = Store::new(&self.engine, ());
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = self.pre.instantiate_async(&mut store).await.expect("an instance");
        let function = instance.get_func(&mut store, self.function).expect("a function");
        let mut results = [Val::Bool(false)];
        function
            .call_async(&mut store, args, &mut results)
            .await
            .expect("a result");
    }

    fn lives(&self, args: &[Val]) {
        let waker = std::task::Waker::noop();
        for _ in 0..LIVES {
            let mut life = std::pin::pin!(self.life(args));
            let polled = life.as_mut().poll(&mut std::task::Context::from_waker(waker));
            assert!(polled.is_ready(), "the guest does not wait");
        }
    }
}

/// A world with the fixtures as the volume `bench:wasm`.
struct Guests {
    world: World,
    wasm: Arc<Wasm>,
}

impl Guests {
    fn new(workers: usize) -> Guests {
        let world = World::new(workers, Arc::new(Nothing));
        let system = System::new(&Registry::default());
        let volume = Volume::ambient(EntryId::new("bench", "wasm"), fixtures());
        system.volumes.add(volume.expect("the fixtures"));
        let wasm = Wasm::new(Settings::default(), Arc::new(system), world.io.handle().clone());
        let ticked = wasm.clone();
        world.kernel.on_tick(move || ticked.tick());
        Guests { world, wasm }
    }

    fn resolve(&self, entry: &Arc<Entry>) -> Arc<dyn Program> {
        match self.wasm.resolve(entry) {
            Resolved::Ready(program) => program.expect("it loads"),
            Resolved::Pending(loading) => self.world.io.block_on(loading).expect("it loads"),
        }
    }

    fn spawn(&self, entry: &Arc<Entry>, args: &Packed) -> Result<Arc<Process>> {
        self.world.spawn(self.resolve(entry), args.clone())
    }

    /// `LIVES` processes, so many at a time.
    fn lives(&self, entry: &Arc<Entry>, args: &Packed, in_flight: usize) {
        let mut living = std::collections::VecDeque::with_capacity(in_flight);
        for _ in 0..LIVES {
            if living.len() == in_flight {
                self.world.wait(&living.pop_front().expect("it is not empty"));
            }
            living.push_back(self.spawn(entry, args).expect("it starts"));
        }
        living.iter().for_each(|process| self.world.wait(process));
    }
}

fn entry(file: &str, method: &str) -> Arc<Entry> {
    let spec = WasmSpec::of_file(EntryId::new("bench", "wasm"), file, Some(method));
    Arc::new(Entry::made(
        EntryId::new("bench", "guest"),
        "process.wasm",
        Spec::Wasm(spec),
    ))
}

fn lives() {
    println!("{:<44} {:>9} {:>9} {:>7}", "one life, µs", "bare", "process", "ratio");
    let cases = [
        (
            "compute.wasm",
            "compute",
            vec![Val::S32(6), Val::S32(7)],
            vec![Value::Int(6), Value::Int(7)],
        ),
        (
            "greet.wasm",
            "greet",
            vec![Val::String("you".into())],
            vec![Value::from("you")],
        ),
    ];
    for (file, method, vals, values) in cases {
        let bare = Bare::new(file, method);
        let floor = each(LIVES, || bare.lives(&vals)) / 1e3;
        let args = Packed::from_values(&values);
        for (workers, in_flight) in [(1, 1), (1, 32), (1, IN_FLIGHT), (2, IN_FLIGHT)] {
            let guests = Guests::new(workers);
            let entry = entry(file, method);
            let figure = each(LIVES, || guests.lives(&entry, &args, in_flight)) / 1e3;
            let name = format!("{method}, {workers} workers, {in_flight} in flight");
            println!("{name:<44} {floor:>9.2} {figure:>9.2} {:>7.2}", figure / floor);
            guests.world.kernel.close();
        }
    }
}

/// As many sleeping guests as may live, and the refusal of the next one.
fn sleepers(file: &str, density: &str) {
    let mut guests = Guests::new(2);
    let mut spec = HostSpec::new(EntryId::new("bench", density));
    spec.dense = density == "dense";
    guests.world.host = guests.world.kernel.add_host(spec).expect("a host");
    let entry = entry(file, "sleep-ms");
    let args = Packed::from_value(&Value::Int(20_000));
    guests.resolve(&entry);
    let before = resident();
    let start = Instant::now();
    let mut living = Vec::new();
    let refused = loop {
        match guests.spawn(&entry, &args) {
            Ok(process) => living.push(process),
            Err(error) => break error,
        }
    };
    while living.iter().any(|process| process.steps() == 0) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let each = (resident() - before) / living.len() as f64;
    println!(
        "\n{} {density} guests of {file} asleep in {:?}, {:.1} KB and {:.1} mappings each; then: {refused}",
        living.len(),
        start.elapsed(),
        each / 1e3,
        mappings() / living.len() as f64
    );
    guests.world.kernel.close();
}

/// A thousand guests that spin, until the last of them is gone.
fn terminate() {
    let guests = Guests::new(2);
    let entry = entry("spin.wasm", "spin");
    let figure = median(|| {
        let spinning: Vec<_> = (0..1_000)
            .map(|_| guests.spawn(&entry, &Packed::empty()).expect("it starts"))
            .collect();
        while spinning.iter().any(|process| process.steps() == 0) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let start = Instant::now();
        for process in &spinning {
            guests.world.kernel.terminate(process.pid()).expect("it lives");
        }
        for process in &spinning {
            guests.world.io.block_on(process.exited());
        }
        start.elapsed().as_secs_f64() * 1e3
    });
    println!("\n1 000 spinning guests terminated in {figure:.1} ms");
    guests.world.kernel.close();
}

/// A thousand starts of a module that nothing has compiled before, until the last one has ended.
fn cold() {
    let mut compilations = 0;
    let figure = median(|| {
        let guests = Guests::new(2);
        let entry = entry("greet.wasm", "greet");
        let args = Packed::from_value(&Value::from("you"));
        let start = Instant::now();
        let spawned: Vec<_> = (0..1_000)
            .map(|_| {
                let (wasm, kernel) = (guests.wasm.clone(), guests.world.kernel.clone());
                let (entry, args, host) = (entry.clone(), args.clone(), guests.world.host.clone());
                guests.world.io.spawn(async move {
                    let program = match wasm.resolve(&entry) {
                        Resolved::Ready(program) => program.expect("it loads"),
                        Resolved::Pending(loading) => loading.await.expect("it loads"),
                    };
                    kernel.spawn(spawn(&host, program, args)).expect("it starts")
                })
            })
            .collect();
        for task in spawned {
            let process = guests.world.io.block_on(task).expect("no panic");
            guests.world.wait(&process);
        }
        let figure = start.elapsed().as_secs_f64() * 1e3;
        compilations = guests.wasm.compilations();
        guests.world.kernel.close();
        figure
    });
    println!("1 000 spawns at once of an uncached module: {figure:.1} ms, compiled {compilations} times");
}

/// Ten megabytes through a guest and back, as one parameter and the whole result.
fn bulk() {
    let guests = Guests::new(1);
    for method in ["echo-list-u8", "echo-string"] {
        let entry = entry("types.wasm", method);
        let args = Packed::from_value(&Value::from("x".repeat(10_000_000)));
        let figure = each(1, || {
            let process = guests.spawn(&entry, &args).expect("it starts");
            guests.world.wait(&process);
        });
        println!("10 MB there and back, {method}: {:.2} ms", figure / 1e6);
    }
    guests.world.kernel.close();
}

/// A runtime whose process `bench:main` is this Lua code, with the fixtures and these entries.
fn runtime(main: &str, workers: usize, guests: impl IntoIterator<Item = Entry>) -> Runtime {
    let id = |name: &str| EntryId::new("bench", name);
    let host = Spec::ProcessHost(ProcessHostSpec::default());
    let main = LuaSpec {
        modules: vec!["funcs".to_owned()],
        ..LuaSpec::of_source(LuaKind::Process, main)
    };
    let made = [
        Entry::made(id("host"), "process.host", host),
        Entry::made(id("main"), "process.lua", Spec::Lua(main)),
    ];
    let registry = Arc::new(Registry::default().with(made.into_iter().chain(guests)));
    let options = Options {
        workers,
        ..Options::new(registry, Terminal::captured(Vec::new()))
    };
    let volume = Volume::ambient(id("wasm"), fixtures());
    options.system.volumes.add(volume.expect("the fixtures"));
    Runtime::boot(options).expect("it boots")
}

/// One run of `bench:main` with that argument.
fn run(runtime: &Runtime, argument: usize) {
    let id = |name: &str| EntryId::new("bench", name);
    let program = runtime.block_on(runtime.program(&id("main"))).expect("it loads");
    let args = Packed::from_value(&Value::Int(argument as i64));
    let process = runtime
        .start(program, &id("host"), args, Vec::new())
        .expect("it starts");
    let exit = runtime.block_on(process.exited());
    assert!(exit.result.is_ok(), "{exit:?}");
}

/// A thousand records of four fields from a Lua table through a guest and back into one.
fn records() {
    const ROUNDS: usize = 50;
    const MAIN: &str = "local funcs = require('funcs')
    return function(rounds)
      local users = {}
      for id = 1, 1000 do
        users[id] = { id = id, name = 'user' .. id, tags = { 'a', 'b', 'c' }, active = id % 2 == 0 }
      end
      for _ = 1, rounds do
        local back = assert(funcs.call('bench:users', users))
        assert(#back == 1000 and back[1000].id == 1001)
      end
    end";
    let spec = WasmSpec::of_file(EntryId::new("bench", "wasm"), "types.wasm", Some("transform-users"));
    let users = Entry::made(EntryId::new("bench", "users"), "function.wasm", Spec::Wasm(spec));
    let runtime = runtime(MAIN, 1, [users]);
    let figure = each(ROUNDS, || run(&runtime, ROUNDS));
    println!(
        "1 000 records of four fields, Lua to guest to Lua: {:.2} ms",
        figure / 1e6
    );
    runtime.block_on(runtime.stop());
}

/// Guests that Lua spawns, whose result it gets, a thousand in flight on two workers.
fn from_lua() {
    const MAIN: &str = "return function(lives)
      local function spawn()
        assert(process.spawn_monitored('bench:guest', 'bench:host', 6, 7))
      end
      for _ = 1, math.min(lives, 1000) do
        spawn()
      end
      for ended = 1, lives do
        assert(process.receive().value == 42)
        if ended + 1000 <= lives then
          spawn()
        end
      end
    end";
    let spec = WasmSpec::of_file(EntryId::new("bench", "wasm"), "compute.wasm", Some("compute"));
    let guest = Entry::made(EntryId::new("bench", "guest"), "process.wasm", Spec::Wasm(spec));
    let runtime = runtime(MAIN, 2, [guest]);
    let figure = each(LIVES, || run(&runtime, LIVES));
    println!(
        "spawn, call, exit from Lua, {IN_FLIGHT} in flight: {:.0} a second",
        1e9 / figure
    );
    runtime.block_on(runtime.stop());
}

fn mappings() -> f64 {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    maps.lines().count() as f64
}

/// Guests that sleep, of either density.
fn sleeping() {
    for density in ["fast", "dense"] {
        sleepers("wait.wasm", density);
        sleepers("sleeper.wasm", density);
    }
}

fn main() {
    let parts: [(&str, fn()); 7] = [
        ("lives", lives),
        ("sleepers", sleeping),
        ("terminate", terminate),
        ("cold", cold),
        ("bulk", bulk),
        ("records", records),
        ("from-lua", from_lua),
    ];
    let words: Vec<String> = std::env::args().collect();
    let is_named = |part: &str| words.iter().any(|word| word == part);
    let all = !parts.iter().any(|(part, _)| is_named(part));
    for (_, run) in parts.iter().filter(|(part, _)| all || is_named(part)) {
        run();
    }
}
