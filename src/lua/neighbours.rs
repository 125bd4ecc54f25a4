//! What a process does to those beside it: nothing. A bystander goes about its business, says that it gets on, and watches how late
//! it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::test_support::World;
use crate::error::Kind;
use crate::process::Process;
use crate::value::Value;

/// How late half of its rounds may be, and all but one, in milliseconds. Mostly it is none and 10; the rest is for tests that run
/// beside this one, and one round for a machine that stands still for a moment.
const LATENESS: (i64, i64) = (200, 1000);

/// Until it reads a CANCEL it sleeps for 5 ms and asks somebody, again and again. Who asks it hears when it has done so three
/// times more. It returns how late it was, in nanoseconds: by the clock, or by what this program computed meanwhile if that is
/// less, for nobody here is to blame for the rest.
const BYSTANDER: &str = r#"
    local time, native = require("time"), getmetatable(require("test")).native
    local asked, answers, events = process.listen("asked"), process.listen("answer"), process.events()
    local other = assert(process.spawn_linked("app:answering", "app:processes"))
    local rounds, goal, asker, late = 0, nil, nil, {}
    while true do
        local begun, busy = native.now(), native.busy()
        local got = channel.select{events:case_receive(), asked:case_receive(), time.after("5ms"):case_receive()}
        if got.channel == events then return late end
        if got.channel == asked then asker, goal = got.value, rounds + 3 end
        assert(process.send(other, "question", rounds))
        assert(answers:receive() == rounds)
        rounds = rounds + 1
        late[rounds] = math.min(native.now() - begun, native.busy() - busy) - 5000000
        if rounds == goal then assert(process.send(asker, "rounds", rounds)) end
    end
"#;

const ANSWERING: &str = r#"
    while true do
        local question = process.receive()
        process.send(question.from, "answer", question.value)
    end
"#;

const ASKING: &str = r#"
    local bystander = ...
    assert(process.send(bystander, "asked", process.pid()))
    return process.receive().value
"#;

/// A process that must be well all the time.
pub struct Bystander(Arc<Process>);

impl Bystander {
    pub fn start(world: &World) -> Bystander {
        world.program("answering", ANSWERING);
        Bystander(world.spawn(world.program("bystander", BYSTANDER), &[]).unwrap())
    }

    /// It gets on beside what is there now.
    pub fn gets_on(&self, world: &World, beside: &str) {
        let args = [Value::from(self.0.pid().to_string())];
        let asking = world.spawn(world.program("asking", ASKING), &args).unwrap();
        let exit = world.end(&asking);
        let rounds = exit.result.as_ref().map(|result| result.to_value().unwrap());
        assert!(matches!(rounds, Ok(Value::Int(3..))), "beside {beside}: {exit:?}");
    }

    /// Ends it: it is well enough to hear a CANCEL, and was never late.
    pub fn stop(self, world: &World, beside: &str) {
        world.kernel.cancel(None, self.0.pid(), "enough").unwrap();
        let exit = world.end(&self.0);
        let seen = exit.result.as_ref().map(|result| result.to_value().unwrap());
        let Ok(Value::Table(seen)) = seen else {
            panic!("beside {beside}: {exit:?}");
        };
        let milliseconds = |late: &Value| match late {
            Value::Int(late) => late / 1_000_000,
            other => panic!("beside {beside}: {other:?}"),
        };
        let mut late: Vec<i64> = seen.array.iter().map(milliseconds).collect();
        late.sort_unstable();
        let (half, most) = (late.get(late.len() / 2), late.iter().nth_back(1));
        assert!(
            half < Some(&LATENESS.0) && most < Some(&LATENESS.1),
            "beside {beside} it was late by {late:?} ms"
        );
    }
}

#[test]
fn a_panic_in_a_host_function_ends_its_process_alone() {
    let world = World::new();
    for kind in ["in_c", "in_module", "in_future", "in_finish"] {
        for place in [
            "fault()",
            "while true do pcall(fault) end",
            "xpcall(fault, print)",
            "coroutine.wrap(fault)()",
            "coroutine.spawn(function() pcall(fault) end) require('time').sleep('1m')",
            "local x <close> = setmetatable({}, {__close = fault})",
            "table.sort({1, 2}, function() pcall(fault) return false end)",
        ] {
            let text =
                format!("local fault = getmetatable(require('test')).native.faults.{kind}\n{place}\nreturn 'went on'");
            let process = world.spawn(world.program("faulty", &text), &[]).unwrap();
            let exit = world.end(&process);
            let error = exit.error().unwrap_or_else(|| panic!("{kind} in {place}: {exit:?}"));
            assert_eq!(error.kind(), Kind::Internal, "{kind} in {place}: {error:?}");
            assert!(error.message().contains("panicked"), "{kind} in {place}: {error:?}");
        }
    }
    assert!(world.run("return 1").result.is_ok(), "the world goes on");
}

/// Neighbours that nobody wants: each goes on until it is terminated, or is started again.
const BAD_NEIGHBOURS: &[&str] = &[
    // They spin.
    "while true do end",
    "while true do collectgarbage() end",
    "local s = ('a'):rep(1 << 16) while true do pcall(string.find, s, ('.-'):rep(9) .. 'b') end",
    "coroutine.spawn(function() while true do end end) require('time').sleep('1h')",
    // They allocate.
    "while true do pcall(function() local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end end) end",
    "while true do pcall(table.unpack, {}, 1, 900000) end",
    "local t = {} while true do t[#t + 1] = payload.new(('x'):rep(100000)) end",
    "local t = {} while true do t[#t + 1] = require('time').after('1h') end",
    "local i = 0 while true do i = i + 1 process.registry.register(process.pid() .. 'x' .. i) end",
    "while true do process.spawn_monitored('app:dying', 'app:processes') end",
    // They recurse.
    "local function f() return pcall(f) end while true do f() end",
    "local function f(n) return 1 + f(n) end while true do pcall(f, 1) end",
    "local function f() return coroutine.wrap(f)() end while true do pcall(f) end",
    "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end while true do pcall(function() return t.x end) end",
    "local function f() return xpcall(error, f) end while true do f() end",
    "while true do process.exec('app:endless', 'app:processes') end",
    // They flood: the one who never reads, themselves, and the table of processes.
    "local victim = ... while true do process.send(victim, 'flood', ('x'):rep(10000)) end",
    "local victim = ... while true do process.cancel(victim, ('x'):rep(10000)) end",
    "local victim = ... while true do process.monitor(victim) process.unmonitor(victim) end",
    "while true do process.send(process.pid(), 'flood', {1, 2, 3}) end",
    "local t = {} for i = 1, 1 << 18 do t[i] = {i} end while true do process.send(process.pid(), 'x', t) process.receive('0s') end",
    "while true do process.spawn('app:dying', 'app:processes') end",
    "while true do print(('x'):rep(1000)) end",
    // They throw, from every place that calls back.
    "while true do pcall(table.sort, {3, 2, 1}, error) pcall(string.gsub, 'x', 'x', error) pcall(load, error) xpcall(error, error) end",
    "while true do for _, name in ipairs{'__index', '__newindex', '__call', '__len', '__unm', '__tostring', '__pairs', '__close', '__concat', '__eq', '__lt'} do
        local t = setmetatable({}, {[name] = function() error(name) end})
        local other = setmetatable({}, getmetatable(t))
        for _, use in ipairs{function() return t.x end, function() t.x = 1 end, function() t() end, function() return #t end, function() return -t end,
            function() return tostring(t) end, function() for _ in pairs(t) do end end, function() local c <close> = t end,
            function() return t .. t end, function() return t == other end, function() return t < other end} do pcall(use) end
    end end",
    "while true do pcall(function() for _ in error do end end) coroutine.resume(coroutine.create(error)) pcall(coroutine.wrap(error)) end",
    "while true do coroutine.spawn(function() error('spawned') end) require('time').sleep('1ms') end",
    // They raise panics inside host functions.
    "getmetatable(require('test')).native.faults.in_c()",
    "getmetatable(require('test')).native.faults.in_module()",
    "getmetatable(require('test')).native.faults.in_future()",
    "getmetatable(require('test')).native.faults.in_finish()",
];

#[test]
fn a_fault_in_one_process_is_never_felt_by_its_neighbour() {
    let world = World::new();
    world.program("dying", "error('born to die')");
    world.program("endless", "return process.exec('app:endless', 'app:processes')");
    // Nobody reads what floods this one.
    let flooded = world.program("flooded", "process.events() require('time').sleep('1h')");
    let victim = world.spawn(flooded, &[]).unwrap();
    let bystander = Bystander::start(&world);
    let start = |text: &&str| {
        let args = [Value::from(victim.pid().to_string())];
        world.spawn(world.limited(text, 32 << 20), &args).unwrap()
    };
    let mut neighbours: Vec<Arc<Process>> = BAD_NEIGHBOURS.iter().map(start).collect();
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        for (neighbour, text) in neighbours.iter_mut().zip(BAD_NEIGHBOURS) {
            if neighbour.exit().is_some() {
                *neighbour = start(text);
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bystander.gets_on(&world, "its bad neighbours");
    for neighbour in &neighbours {
        // One that has just ended by itself is as good.
        let _ = world.kernel.terminate(neighbour.pid());
    }
    for (neighbour, text) in neighbours.iter().zip(BAD_NEIGHBOURS) {
        let exit = world.end(neighbour);
        assert!(exit.error().is_some(), "{text}: {exit:?}");
    }
    bystander.stop(&world, "its bad neighbours");
    assert!(victim.exit().is_none());
}
