//! What a WASM process costs when Lua spawns it and reads its EXIT, beside bare wasmtime in the same run; and what a call
//! of a function costs, of Lua in a state of its pool and of WASM in a new instance.
//!
//! `cargo bench --bench processes`. The floor is what a Rust program has to do for the same lives: a thousand of them in
//! flight as tasks of tokio on one thread, each with a store under the settings of ours (limiter, yielding epochs), an
//! instance from the pool, a call on a fiber, the end. As here, each instance is made when its task first runs, so that all
//! find the pool's warm slot. Beside it stands the same without tasks, one life after the other in a loop. The ratio to
//! read is that of one worker to the thousand; two workers show whether the second one adds speed. Figures are medians of
//! several rounds. Without Lua: `--bench wasm`; without wasm: `--bench lua`; the kernel alone: `--bench kernel`.

mod world;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Store, StoreLimits, StoreLimitsBuilder};
use wippy::id::EntryId;
use wippy::runtime::{Options, Runtime};
use wippy::system;
use wippy::system::terminal::Terminal;
use wippy::value::{Packed, Value};
use world::{bare_engine, each, median};

const IN_FLIGHT: i64 = 1_000;

const ENTRIES: &str = r#"
version: "1.0"
namespace: bench
entries:
  - { name: terminal, kind: terminal.host }
  - { name: processes, kind: process.host }
  - { name: wasm, kind: fs.directory, directory: ./wasm }
  - { name: compute, kind: process.wasm, fs: wasm, path: /compute.wasm, hash: "sha256:HASH", method: compute }
  - { name: lives, kind: process.lua, source: file://lives.lua, modules: [time] }
  - { name: multiply, kind: function.lua, method: main, source: "return function(a, b) return a * b end" }
  - { name: guest, kind: function.wasm, fs: wasm, path: /compute.wasm, hash: "sha256:HASH", method: compute }
  - { name: calls, kind: process.lua, source: file://calls.lua, modules: [funcs, time] }
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

/// Calls one after the other in each of `width` coroutines.
const CALLS: &str = r#"
local funcs = require("funcs")
return { main = function(entry, total, width)
  local before, done = time.now(), channel.new()
  for _ = 1, width do
    coroutine.spawn(function()
      for _ = 1, total / width do
        assert(assert(funcs.call(entry, 6, 7)) == 42)
      end
      done:send(true)
    end)
  end
  for _ = 1, width do done:receive() end
  return time.now():sub(before):nanoseconds() / total
end }
"#;

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let module = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/wasm/compute.wasm")).expect("the fixture");
    lay_out(folder.path(), &module);
    let worlds = [boot(folder.path(), 1), boot(folder.path(), 2)];
    let bare = Bare::new(&module);
    let (alone, floor) = (bare.alone(), bare.in_flight());
    let lives = |world: &Runtime| {
        let args = ["bench:compute".into(), Value::Int(20_000), Value::Int(IN_FLIGHT)];
        median(|| call(world, "lives", &args))
    };
    let [one, two] = worlds.each_ref().map(lives);
    println!("spawn_monitored to EXIT from Lua, 1 000 in flight, ns each (goal: ratio 2)");
    println!(
        "{:>12} {:>12} {:>12} {:>12} {:>7} {:>7}",
        "one by one", "wasmtime", "1 worker", "2 workers", "ratio 1", "ratio 2"
    );
    println!(
        "{alone:>12.0} {floor:>12.0} {one:>12.0} {two:>12.0} {:>7.2} {:>7.2}",
        one / floor,
        two / floor
    );
    calls(&worlds);
}

/// What a call costs, by function and by how many are on at once.
fn calls(worlds: &[Runtime; 2]) {
    println!("\nfuncs.call from Lua, ns each");
    println!(
        "{:>14} {:>7} {:>12} {:>12}",
        "function", "at once", "1 worker", "2 workers"
    );
    for entry in ["bench:multiply", "bench:guest"] {
        for width in [1, 50] {
            let args = [entry.into(), Value::Int(50_000), Value::Int(width)];
            let [one, two] = worlds.each_ref().map(|world| median(|| call(world, "calls", &args)));
            println!("{entry:>14} {width:>7} {one:>12.0} {two:>12.0}");
        }
    }
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
    write("lives.lua", LIVES.as_bytes());
    write("calls.lua", CALLS.as_bytes());
}

fn boot(folder: &Path, workers: usize) -> Runtime {
    let project = system::load(folder, &[]);
    let problems: Vec<_> = project.diagnostics.iter().map(|found| &found.message).collect();
    assert!(problems.is_empty(), "{problems:?}");
    let mut options = Options::new(project.registry, Terminal::captured(Vec::new()));
    options.workers = workers;
    Runtime::boot(options).expect("a runtime")
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

/// Lives of the same guest without anything of ours.
struct Bare {
    pre: Arc<InstancePre<StoreLimits>>,
    tokio: tokio::runtime::Runtime,
}

/// Lives of one round.
const ROUND: usize = 20_000;

impl Bare {
    fn new(module: &[u8]) -> Bare {
        let engine = bare_engine(1_100);
        let component = Component::new(&engine, module).expect("it compiles");
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        Bare {
            pre: Arc::new(Linker::new(&engine).instantiate_pre(&component).expect("no imports")),
            tokio: runtime.expect("a tokio runtime"),
        }
    }

    /// Nanoseconds of a life when each begins after the end of the one before.
    fn alone(&self) -> f64 {
        let lives = || (0..ROUND).for_each(|_| self.tokio.block_on(life(&self.pre)));
        each(ROUND, lives)
    }

    /// The same with a thousand in flight.
    fn in_flight(&self) -> f64 {
        each(ROUND, || {
            self.tokio.block_on(async {
                let mut living = JoinSet::new();
                for _ in 0..ROUND {
                    if living.len() == IN_FLIGHT as usize {
                        living.join_next().await.expect("some live").expect("no panic");
                    }
                    let pre = self.pre.clone();
                    living.spawn(async move { life(&pre).await });
                }
                living.join_all().await;
            });
        })
    }
}

/// An instance from the pool, one call, the end.
async fn life(pre: &InstancePre<StoreLimits>) {
    let limits = StoreLimitsBuilder::new().memory_size(64 << 20).build();
    let mut store = Store::new(pre.engine(), limits);
    store.limiter(|limits| limits);
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    let instance = pre.instantiate_async(&mut store).await.expect("an instance");
    let compute = instance
        .get_typed_func::<(i32, i32), (i32,)>(&mut store, "compute")
        .expect("the export");
    let (result,) = compute.call_async(&mut store, (6, 7)).await.expect("a result");
    assert_eq!(result, 42);
}
