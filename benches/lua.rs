//! What Lua processes cost, beside their floor in the same run.
//!
//! `cargo bench --bench lua`. A process's life against a bare mlua state with the same libraries, bytecode and work; a
//! message with a small table between two processes. Each figure is the median of several rounds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mlua::StdLib;
use wippy::error::Error;
use wippy::id::EntryId;
use wippy::log::Log;
use wippy::lua::LuaEngine;
use wippy::process::{Clock, Host, HostSpec, Kernel, KernelOptions, Program, Programs, Resolved, Spawn};
use wippy::project::Registry;
use wippy::system::System;
use wippy::value::{Packed, Value};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 7;
const LIVES: usize = 20_000;
const IN_FLIGHT: i64 = 1_000;
const MESSAGES: i64 = 200_000;

/// What a short process does: it uses three libraries and returns a string.
const WORK: &str = "
local parts = {}
for i = 1, 10 do parts[i] = string.format('%d', math.floor(i * 1.5)) end
return table.concat(parts, ',')
";

/// Keeps that many children alive until all have lived.
const PARENT: &str = "
local lives, in_flight = ...
local started, ended = 0, 0
while started < in_flight do
    assert(process.spawn_monitored('bench:child', 'bench:host'))
    started = started + 1
end
while ended < lives do
    local event = process.receive()
    assert(event.type == 'EXIT' and event.value)
    ended = ended + 1
    if started < lives then
        assert(process.spawn_monitored('bench:child', 'bench:host'))
        started = started + 1
    end
end
";

const PING: &str = "
local count = ...
local pong = assert(process.spawn('bench:pong', 'bench:host', count))
for i = 1, count do
    process.send(pong, 'ping', {kind = 'ping', n = i, from = 7, data = {1, 2, 3}})
    local m = process.receive()
    assert(m.value.n == i)
end
";

const PONG: &str = "
local count = ...
for i = 1, count do
    local m = process.receive()
    process.send(m.from, 'pong', m.value)
end
";

const IDLE: &str = "process.receive()";

#[derive(Clone, Default)]
struct Table(Arc<Mutex<HashMap<EntryId, Arc<dyn Program>>>>);

impl Programs for Table {
    fn resolve(&self, id: &EntryId) -> Resolved {
        let program = self.0.lock().unwrap().get(id).cloned();
        Resolved::Ready(program.ok_or_else(|| Error::not_found(id.as_str())))
    }
}

struct World {
    kernel: Kernel,
    host: Arc<Host>,
    engine: Arc<LuaEngine>,
    programs: Table,
    io: tokio::runtime::Runtime,
}

impl World {
    fn new(workers: usize) -> World {
        let io = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let programs = Table::default();
        let kernel = Kernel::new(KernelOptions {
            workers,
            log: Log::none(),
            io: io.handle().clone(),
            programs: Arc::new(programs.clone()),
            clock: Clock::real(),
        });
        let host = kernel.add_host(HostSpec::new(EntryId::new("bench", "host"))).unwrap();
        let registry = Arc::new(Registry::default());
        let system = Arc::new(System::new(&registry));
        let world = World {
            kernel,
            host,
            engine: LuaEngine::new(registry, system),
            programs,
            io,
        };
        for (name, text) in [
            ("child", WORK),
            ("parent", PARENT),
            ("ping", PING),
            ("pong", PONG),
            ("idle", IDLE),
        ] {
            let program = world.engine.script(name.as_ref(), text, Vec::new()).unwrap();
            world
                .programs
                .0
                .lock()
                .unwrap()
                .insert(EntryId::new("bench", name), program);
        }
        world
    }

    /// Runs so many of that program at once, to their ends.
    fn run(&self, name: &str, args: &[Value], count: usize) -> Duration {
        let program = self.programs.0.lock().unwrap()[&EntryId::new("bench", name)].clone();
        let start = Instant::now();
        let processes: Vec<_> = (0..count)
            .map(|_| {
                let spawned = self.kernel.spawn(Spawn {
                    args: Packed::from_values(args),
                    ..Spawn::new(program.clone(), self.host.clone())
                });
                spawned.unwrap()
            })
            .collect();
        for process in processes {
            let exit = self.io.block_on(process.exited());
            assert!(exit.result.is_ok(), "{exit:?}");
        }
        start.elapsed()
    }
}

/// The same work in bare mlua states, on that many threads.
fn bare(lives: usize, threads: usize) -> Duration {
    let code = mlua::Lua::new().load(WORK).into_function().unwrap().dump(false);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..lives / threads {
                    let libraries = StdLib::STRING | StdLib::TABLE | StdLib::MATH;
                    let lua = mlua::Lua::new_with(libraries, mlua::LuaOptions::default()).unwrap();
                    let main = lua
                        .load(&code[..])
                        .set_mode(mlua::chunk::ChunkMode::Binary)
                        .into_function()
                        .unwrap();
                    let text: String = main.call(()).unwrap();
                    assert!(!text.is_empty());
                }
            });
        }
    });
    start.elapsed()
}

fn median(mut round: impl FnMut() -> Duration, count: usize) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| round().as_secs_f64() * 1e6 / count as f64)
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

/// Resident bytes of this program.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = pages
        .split(' ')
        .nth(1)
        .and_then(|count| count.parse().ok())
        .unwrap_or(0);
    pages * 4096
}

fn main() {
    println!("{:<58} {:>10} {:>10} {:>8}", "µs each", "ours", "floor", "ratio");
    let only_messages = std::env::args().any(|word| word == "messages");
    for workers in [1, 2] {
        let world = World::new(workers);
        if !only_messages {
            lives(&world, workers);
        }
        for pairs in [1, 8] {
            let count = MESSAGES / pairs as i64;
            let each = median(|| world.run("ping", &[Value::Int(count)], pairs), MESSAGES as usize * 2);
            let name = format!("message with a small table, {pairs} pairs, {workers} workers (goal)");
            println!("{name:<58} {each:>10.2} {:>10.2} {:>8.2}", 1.2, each / 1.2);
        }
        world.kernel.close();
    }
    if !only_messages {
        idle();
    }
}

fn lives(world: &World, workers: usize) {
    let args = [Value::Int(LIVES as i64), Value::Int(IN_FLIGHT)];
    let ours = median(|| world.run("parent", &args, 1), LIVES);
    let floor = median(|| bare(LIVES, workers), LIVES);
    let name = format!("life from Lua, {IN_FLIGHT} in flight, {workers} workers (bare mlua)");
    println!("{name:<58} {ours:>10.2} {floor:>10.2} {:>8.2}", ours / floor);
}

fn idle() {
    let world = World::new(2);
    let before = resident();
    let idle: Vec<_> = (0..10_000)
        .map(|_| {
            let program = world.programs.0.lock().unwrap()[&EntryId::new("bench", "idle")].clone();
            let spawned = world.kernel.spawn(Spawn::new(program, world.host.clone()));
            spawned.unwrap()
        })
        .collect();
    while idle.iter().any(|process| process.steps() == 0) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let each = (resident() - before) / idle.len();
    println!("{:<58} {each:>10}", "bytes of an idle process");
    world.kernel.close();
}
