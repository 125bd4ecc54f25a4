//! What a process costs from Lua, each beside its floor in the same run.
//!
//! `cargo bench --bench processes`. The floors run in a bare loop on one thread, so the ratio to read is that of one
//! worker; two workers show whether the second one adds speed. Figures are medians of several rounds.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mlua::chunk::ChunkMode;
use mlua::{Lua, LuaOptions, StdLib};
use sha2::{Digest, Sha256};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

use wippy::id::EntryId;
use wippy::log::Log;
use wippy::runtime::{Options, Runtime};
use wippy::system::terminal::Terminal;
use wippy::system::{self, System};
use wippy::value::{Packed, Value};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 7;
const IN_FLIGHT: i64 = 1_000;

const ENTRIES: &str = r#"
version: "1.0"
namespace: bench
entries:
  - { name: terminal, kind: terminal.host }
  - { name: processes, kind: process.host }
  - { name: wasm, kind: fs.directory, directory: ./wasm }
  - { name: compute, kind: process.wasm, fs: wasm, path: /compute.wasm, hash: "sha256:HASH", method: compute }
  - { name: child, kind: process.lua, source: file://child.lua }
  - { name: echo, kind: process.lua, source: file://echo.lua }
  - { name: lives, kind: process.lua, source: file://lives.lua, modules: [time] }
  - { name: messages, kind: process.lua, source: file://messages.lua, modules: [time] }
"#;

/// A process with a little of everything that a small one does; also what the floor runs.
const CHILD: &str = r#"
local function main(a, b)
  local parts = {}
  for i = 1, 3 do parts[i] = string.format("%d", a * i) end
  return #table.concat(parts, ",") + math.floor(b)
end
return { main = main }
"#;

const LIVES: &str = r#"
return { main = function(entry, total, flight)
  local started, ended = 0, 0
  local before = time.now()
  while ended < total do
    while started < total and started - ended < flight do
      assert(process.spawn_monitored(entry, "bench:processes", 6, 7))
      started = started + 1
    end
    local event = process.receive()
    if event.error then error(event.error) end
    ended = ended + 1
  end
  return time.now():sub(before):nanoseconds() / total
end }
"#;

const ECHO: &str = r#"
return { main = function()
  while true do
    local message = process.receive()
    process.send(message.from, "pong", message.value)
  end
end }
"#;

const MESSAGES: &str = r#"
return { main = function(total)
  local partner = assert(process.spawn("bench:echo", "bench:processes"))
  local me = process.pid()
  local before = time.now()
  for i = 1, total do
    process.send(partner, "ping", { kind = "ping", n = i, from = 7, data = { 1, 2, 3 } })
    process.receive()
  end
  local took = time.now():sub(before):nanoseconds()
  process.terminate(partner)
  return took / (2 * total)
end }
"#;

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let module = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/wasm/compute.wasm")).expect("the fixture");
    lay_out(folder.path(), &module);
    let worlds = [boot(folder.path(), 1), boot(folder.path(), 2)];
    println!(
        "{:<44} {:>9} {:>9} {:>9} {:>7} {:>6}",
        "ns per item", "floor", "1 worker", "2 workers", "ratio", "goal"
    );
    let row = |name: &str, goal: &str, floor: Option<f64>, figure: &dyn Fn(&Runtime) -> f64| {
        let [one, two] = worlds.each_ref().map(figure);
        let (floor, ratio) = floor.map_or((String::new(), String::new()), |floor| {
            (format!("{floor:.0}"), format!("{:.2}", one / floor))
        });
        println!("{name:<44} {floor:>9} {one:>9.0} {two:>9.0} {ratio:>7} {goal:>6}");
    };
    let lives = |entry: &'static str| {
        move |world: &Runtime| {
            let total = 20_000;
            median(|| {
                call(
                    world,
                    "lives",
                    &[entry.into(), Value::Int(total), Value::Int(IN_FLIGHT)],
                )
            })
        }
    };
    row(
        "WASM: spawn_monitored to EXIT, 1 000 in flight",
        "2",
        Some(bare_wasmtime(&module)),
        &lives("bench:compute"),
    );
    row(
        "Lua: spawn_monitored to EXIT, 1 000 in flight",
        "1.5",
        Some(bare_lua()),
        &lives("bench:child"),
    );
    row("message with a small table, Lua to Lua", "1200", None, &|world| {
        median(|| call(world, "messages", &[Value::Int(100_000)]))
    });
}

fn lay_out(folder: &Path, module: &[u8]) {
    let hash: String = Sha256::digest(module)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("a file of the project");
    fs::create_dir(folder.join("wasm")).expect("a folder of the project");
    write("wasm/compute.wasm", module);
    write("_index.yaml", ENTRIES.replace("HASH", &hash).as_bytes());
    for (name, source) in [
        ("child.lua", CHILD),
        ("echo.lua", ECHO),
        ("lives.lua", LIVES),
        ("messages.lua", MESSAGES),
    ] {
        write(name, source.as_bytes());
    }
}

fn boot(folder: &Path, workers: usize) -> Runtime {
    let project = system::load(folder, &[]);
    let problems: Vec<_> = project.diagnostics.iter().map(|found| &found.message).collect();
    assert!(problems.is_empty(), "{problems:?}");
    let registry = Arc::new(project.registry);
    Runtime::boot(Options {
        system: Arc::new(System::new(&registry)),
        registry,
        terminal: Terminal::captured(Vec::new()),
        log: Log::none(),
        workers,
        oneshot: false,
        shutdown_timeout: Duration::from_secs(5),
    })
    .expect("a runtime")
}

/// Runs an entry's main and gives back the number it returns.
fn call(world: &Runtime, entry: &str, args: &[Value]) -> f64 {
    let id = EntryId::new("bench", entry);
    let program = world.block_on(world.program(&id)).expect("the entry loads");
    let host = EntryId::new("bench", "processes");
    let process = world
        .start(program, &host, Packed::from_values(args), Vec::new())
        .expect("it starts");
    let exit = world.block_on(process.exited());
    match exit.result.as_ref().map(Packed::to_value) {
        Ok(Ok(Value::Float(number))) => number,
        other => panic!("{entry} gave {other:?}"),
    }
}

fn median(mut figure: impl FnMut() -> f64) -> f64 {
    figure();
    let mut figures: Vec<f64> = (0..ROUNDS).map(|_| figure()).collect();
    figures.sort_by(f64::total_cmp);
    figures[ROUNDS / 2]
}

fn timed(items: u32, mut item: impl FnMut()) -> f64 {
    median(|| {
        let start = Instant::now();
        (0..items).for_each(|_| item());
        start.elapsed().as_nanos() as f64 / f64::from(items)
    })
}

/// A state with the libraries that the child names, its chunk from bytecode, one call, the end.
fn bare_lua() -> f64 {
    let source = Lua::new();
    let code = source
        .load(CHILD)
        .set_name("@child.lua")
        .into_function()
        .expect("it compiles")
        .dump(false);
    timed(5_000, || {
        let libraries = StdLib::STRING | StdLib::TABLE | StdLib::MATH;
        let lua = Lua::new_with(libraries, LuaOptions::default()).expect("a state");
        let chunk = lua
            .load(&code[..])
            .set_mode(ChunkMode::Binary)
            .into_function()
            .expect("bytecode");
        let exports: mlua::Table = chunk.call(()).expect("the chunk runs");
        let main: mlua::Function = exports.get("main").expect("a main");
        let result: i64 = main.call((6, 7)).expect("main runs");
        assert_eq!(result, 14);
    })
}

/// An instance from the pool, one call, the end: the engine's own settings, nothing of ours.
fn bare_wasmtime(module: &[u8]) -> f64 {
    let engine = pooled_engine();
    let component = Component::new(&engine, module).expect("it compiles");
    let linker = Linker::<()>::new(&engine);
    let pre = linker.instantiate_pre(&component).expect("no imports");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a tokio runtime");
    timed(20_000, || {
        runtime.block_on(async {
            let mut store = Store::new(&engine, ());
            store.set_epoch_deadline(1_000_000);
            let instance = pre.instantiate_async(&mut store).await.expect("an instance");
            let compute = instance
                .get_typed_func::<(i32, i32), (i32,)>(&mut store, "compute")
                .expect("the export");
            let (result,) = compute.call_async(&mut store, (6, 7)).await.expect("a result");
            assert_eq!(result, 42);
        });
    })
}

fn pooled_engine() -> Engine {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(1_100)
        .total_core_instances(4_400)
        .total_memories(1_100)
        .total_tables(4_400)
        .total_stacks(1_100)
        .linear_memory_keep_resident(1 << 20)
        .table_keep_resident(16 << 10);
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes);
    }
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .concurrency_support(false)
        .memory_reservation(4 << 30)
        .memory_guard_size(32 << 20)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).expect("an engine")
}
