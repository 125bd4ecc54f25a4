//! What Lua processes cost, beside their floor in the same run.
//!
//! `cargo bench --bench lua`. A process's life against a bare mlua state with the same libraries, bytecode and work; a
//! message with a small table, to and fro and from many to one; a tight loop that is preempted against one that is not;
//! how late timers are beside busy processes. Each figure is the median of several rounds. One word chooses a part:
//! `lives`, `messages`, `preemption`, `timers`, `idle`.

mod world;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mlua::StdLib;
use wippy::error::Error;
use wippy::id::EntryId;
use wippy::lua::LuaEngine;
use wippy::process::{Bound, Process, Program, Programs, Resolved};
use wippy::project::Registry;
use wippy::system::System;
use wippy::value::{Packed, Value};
use world::{World, each, median, resident, wire};

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

/// The nanoseconds that pairs of processes exchange messages, from when all are there until all are done.
const PAIRS: &str = "
local pairs, count = ...
local pings = {}
for i = 1, pairs do
    pings[i] = assert(process.spawn_monitored('bench:ping', 'bench:host', process.pid(), count))
end
for _ = 1, pairs do assert(process.receive().topic == 'ready') end
local start = time.now()
for _, ping in ipairs(pings) do process.send(ping, 'go') end
for _ = 1, pairs do assert(process.receive().value) end
return time.now():sub(start):nanoseconds()
";

const PING: &str = "
local main, count = ...
local pong = assert(process.spawn('bench:pong', 'bench:host', process.pid(), count))
process.send(main, process.receive().topic)
process.receive()
for i = 1, count do
    process.send(pong, 'ping', {kind = 'ping', n = i, from = 7, data = {1, 2, 3}})
    local m = process.receive()
    assert(m.value.n == i)
end
return true
";

const PONG: &str = "
local ping, count = ...
process.send(ping, 'ready')
for i = 1, count do
    local m = process.receive()
    process.send(m.from, 'pong', m.value)
end
";

const IDLE: &str = "process.receive()";

/// The nanoseconds that it takes to receive that many messages from each of so many senders, from when all are there.
const COLLECT: &str = "
local count, each = ...
local senders = {}
for i = 1, count do
    senders[i] = assert(process.spawn('bench:sender', 'bench:host', process.pid(), each))
end
for _ = 1, count do process.receive() end
local start = time.now()
for _, sender in ipairs(senders) do process.send(sender, 'go') end
for _ = 1, count * each do process.receive() end
return time.now():sub(start):nanoseconds()
";

const SENDER: &str = "
local to, count = ...
process.send(to, 'ready')
process.receive()
for i = 1, count do
    while not process.send(to, 'work', {kind = 'work', n = i, from = 7, data = {1, 2, 3}}) do
        time.sleep('1ms')
    end
end
";

const SENDERS: i64 = 1_000;

/// A loop that does nothing but count.
const LOOP: &str = "local count = ... local sum = 0 for i = 1, count do sum = sum + i % 7 end return sum";

const TURNS: i64 = 30_000_000;

const BUSY: &str = "while true do end";

/// How late every tenth of that many sleeps of a millisecond is, in microseconds. Looking at the clock each time would be
/// most of the work, in a thousand states that no cache holds.
const SLEEPER: &str = "
local count = ...
local late = {}
for i = 1, count do
    if i % 10 == 0 then
        local before = time.now()
        time.sleep('1ms')
        late[#late + 1] = time.now():sub(before):microseconds() - 1000
    else
        time.sleep('1ms')
    end
end
return late
";

const SLEEPERS: usize = 1_000;
const SLEEPS: i64 = 100;
const BUSY_LOOPS: usize = 8;

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
        ("pairs", PAIRS),
        ("ping", PING),
        ("pong", PONG),
        ("idle", IDLE),
        ("collect", COLLECT),
        ("sender", SENDER),
        ("loop", LOOP),
        ("busy", BUSY),
        ("sleeper", SLEEPER),
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
    let parts = ["lives", "messages", "preemption", "timers", "idle"];
    let chosen = std::env::args().find(|word| parts.contains(&word.as_str()));
    let wanted = |part: &str| chosen.as_deref().is_none_or(|chosen| chosen == part);
    for workers in [1, 2] {
        let (world, programs) = world(workers);
        if wanted("lives") {
            lives(&world, &programs, workers);
        }
        if wanted("messages") {
            messages(&world, &programs, workers);
        }
        world.kernel.close();
    }
    if wanted("preemption") {
        preemption();
    }
    if wanted("timers") {
        timers();
    }
    if wanted("idle") {
        idle();
    }
}

/// Messages with a small table, beside bare states that exchange as many without processes, a pair on each thread. The goals
/// are 1.2 µs for one pair, and 1.2 million a second on two workers, which is 0.83 µs.
fn messages(world: &World, programs: &Table, workers: usize) {
    let floor = each(MESSAGES as usize, || {
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| wire::exchange(MESSAGES / 2 / workers as i64));
            }
        });
    }) / 1e3;
    let show = |name: String, each: f64| println!("{name:<58} {each:>10.2} {floor:>10.2} {:>8.2}", each / floor);
    let microseconds = |program: &str, args: [i64; 2], messages: i64| {
        let program = programs.get(program);
        let args = Packed::from_values(&args.map(Value::Int));
        median(
            || match result(world, &world.spawn(program.clone(), args.clone()).unwrap()) {
                Value::Int(nanoseconds) => nanoseconds as f64 / messages as f64 / 1e3,
                other => panic!("{other:?}"),
            },
        )
    };
    for pairs in [1, 8, 1_000] {
        let each = microseconds("pairs", [pairs, MESSAGES / pairs], MESSAGES * 2);
        show(
            format!("message with a small table, {pairs} pairs, {workers} workers (bare)"),
            each,
        );
    }
    let gather = |count: i64| microseconds("collect", [SENDERS, count / SENDERS], count);
    // As many as a mailbox holds, so that nobody is refused.
    let most = Bound::default().messages as i64;
    show(
        format!("message from {SENDERS} to one, {workers} workers (bare)"),
        gather(most),
    );
    show("the same, twice as many as its mailbox holds".into(), gather(2 * most));
}

/// A turn of a tight loop, in nanoseconds, beside the same in a bare state, which nobody interrupts.
fn preemption() {
    let (world, programs) = world(1);
    let count = [Value::Int(TURNS)];
    let counting = programs.get("loop");
    let ours = each(TURNS as usize, || run(&world, &counting, &count, 1));
    let lua = mlua::Lua::new();
    let bare = lua.load(LOOP).into_function().unwrap();
    let floor = each(TURNS as usize, || {
        bare.call::<i64>(TURNS).unwrap();
    });
    let name = "ns for a turn of a tight loop (not preempted; goal 1.03)";
    println!("{name:<58} {ours:>10.2} {floor:>10.2} {:>8.3}", ours / floor);
    world.kernel.close();
}

/// How late timers are, beside processes that never wait.
fn timers() {
    let (world, programs) = world(2);
    let busy = programs.get("busy");
    for _ in 0..BUSY_LOOPS {
        world.spawn(busy.clone(), Packed::empty()).unwrap();
    }
    let sleeper = programs.get("sleeper");
    let start = |_| {
        world
            .spawn(sleeper.clone(), Packed::from_values(&[Value::Int(SLEEPS)]))
            .unwrap()
    };
    let sleepers: Vec<_> = (0..SLEEPERS).map(start).collect();
    let mut late: Vec<i64> = sleepers.iter().flat_map(|process| lateness(&world, process)).collect();
    late.sort_unstable();
    for (name, part) in [("p50", 0.5), ("p99", 0.99), ("worst", 1.0)] {
        let at = ((late.len() - 1) as f64 * part) as usize;
        let name = format!("ms that timers in {SLEEPERS} are late beside {BUSY_LOOPS} loops, {name}");
        println!("{name:<58} {:>10.2}", late[at] as f64 / 1e3);
    }
    world.kernel.close();
}

/// What it returns.
fn result(world: &World, process: &Arc<Process>) -> Value {
    world.wait(process);
    let exit = process.exit().expect("it has ended");
    exit.result.as_ref().unwrap().to_value().unwrap()
}

fn lateness(world: &World, process: &Arc<Process>) -> Vec<i64> {
    let Value::Table(late) = result(world, process) else {
        panic!("a table of numbers");
    };
    let number = |value: &Value| match value {
        Value::Int(number) => *number,
        other => panic!("{other:?}"),
    };
    late.array.iter().map(number).collect()
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
