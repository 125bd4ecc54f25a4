//! What Lua processes cost, beside their floor in the same run.
//!
//! `cargo bench --bench lua`. A process's life against a bare mlua state with the same libraries, bytecode and work; a
//! message with a small table between two processes. Each figure is the median of several rounds.

mod world;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mlua::StdLib;
use wippy::error::Error;
use wippy::id::EntryId;
use wippy::lua::LuaEngine;
use wippy::process::{Program, Programs, Resolved};
use wippy::project::Registry;
use wippy::system::System;
use wippy::value::{Packed, Value};
use world::{World, each, resident};

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

impl Table {
    fn get(&self, name: &str) -> Arc<dyn Program> {
        self.0.lock().unwrap()[&EntryId::new("bench", name)].clone()
    }
}

/// A world whose kernel knows the programs above, with them.
fn world(workers: usize) -> (World, Table) {
    let registry = Arc::new(Registry::default());
    let engine = LuaEngine::new(registry.clone(), Arc::new(System::new(&registry)));
    let programs = Table::default();
    for (name, text) in [
        ("child", WORK),
        ("parent", PARENT),
        ("ping", PING),
        ("pong", PONG),
        ("idle", IDLE),
    ] {
        let program = engine.script(name.as_ref(), text, Vec::new()).unwrap();
        programs.0.lock().unwrap().insert(EntryId::new("bench", name), program);
    }
    (World::new(workers, Arc::new(programs.clone())), programs)
}

/// Runs so many of that program at once, to their ends.
fn run(world: &World, program: &Arc<dyn Program>, args: &[Value], count: usize) {
    let start = |_| world.spawn(program.clone(), Packed::from_values(args)).unwrap();
    let processes: Vec<_> = (0..count).map(start).collect();
    processes.iter().for_each(|process| world.wait(process));
}

/// The same work in bare mlua states, on that many threads.
fn bare(lives: usize, threads: usize) {
    let code = mlua::Lua::new().load(WORK).into_function().unwrap().dump(false);
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
}

fn main() {
    println!("{:<58} {:>10} {:>10} {:>8}", "µs each", "ours", "floor", "ratio");
    let only_messages = std::env::args().any(|word| word == "messages");
    for workers in [1, 2] {
        let (world, programs) = world(workers);
        if !only_messages {
            lives(&world, &programs, workers);
        }
        for pairs in [1, 8] {
            let count = MESSAGES / pairs as i64;
            let ping = programs.get("ping");
            let round = || run(&world, &ping, &[Value::Int(count)], pairs);
            let each = each(MESSAGES as usize * 2, round) / 1e3;
            let name = format!("message with a small table, {pairs} pairs, {workers} workers (goal)");
            println!("{name:<58} {each:>10.2} {:>10.2} {:>8.2}", 1.2, each / 1.2);
        }
        world.kernel.close();
    }
    if !only_messages {
        idle();
    }
}

fn lives(world: &World, programs: &Table, workers: usize) {
    let args = [Value::Int(LIVES as i64), Value::Int(IN_FLIGHT)];
    let parent = programs.get("parent");
    let ours = each(LIVES, || run(world, &parent, &args, 1)) / 1e3;
    let floor = each(LIVES, || bare(LIVES, workers)) / 1e3;
    let name = format!("life from Lua, {IN_FLIGHT} in flight, {workers} workers (bare mlua)");
    println!("{name:<58} {ours:>10.2} {floor:>10.2} {:>8.2}", ours / floor);
}

fn idle() {
    let (world, programs) = world(2);
    let program = programs.get("idle");
    let before = resident();
    let start = |_| world.spawn(program.clone(), Packed::empty()).unwrap();
    let idle: Vec<_> = (0..10_000).map(start).collect();
    while idle.iter().any(|process| process.steps() == 0) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let each = (resident() - before) / idle.len() as f64;
    println!("{:<58} {each:>10.0}", "bytes of an idle process");
    world.kernel.close();
}
