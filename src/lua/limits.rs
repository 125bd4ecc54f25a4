//! What a memory limit does: whatever takes the memory, the end is a limit, and nothing catches it.

use std::sync::Arc;

use super::neighbours::Bystander;
use super::test_support::World;
use crate::error::{Error, Kind};
use crate::id::EntryId;
use crate::process::{Cause, Context, Spawn};
use crate::system::Volume;
use crate::value::{Packed, Value};

/// Ways of taking memory, each tried again and again.
const HUNGRY: &[&str] = &[
    "return {}",
    "return {i, i, i, key = i}",
    "return function() return i end",
    "return coroutine.create(function() end)",
    "return coroutine.wrap(function() local a, b, c = 1, 2, 3 coroutine.yield() end)",
    "local co = coroutine.wrap(function() coroutine.yield() end) co() return co",
    "return 'text ' .. i",
    "return ('x'):rep(i * 50)",
    "return ('x'):rep(i * 50):upper()",
    "return ('x'):rep(i * 50):reverse()",
    "return ('x'):rep(i * 50):sub(2)",
    "return ('x'):rep(i * 9):gsub('x', 'yyyyyy')",
    "return ('x'):rep(i * 9):gsub('x', function(c) return c .. i end)",
    "return ('x'):rep(i * 9):gsub('x', setmetatable({}, {__index = function(_, k) return k .. i end}))",
    "return {('x'):rep(30):find(('(x)'):rep(30))}",
    "return {('x'):rep(200):byte(1, -1)}",
    "return string.char(('x'):rep(200):byte(1, -1)) .. i",
    "return string.format('%s %q %99d', i, ('x'):rep(i * 9), i)",
    "return string.format('%s', setmetatable({}, {__tostring = function() return ('y'):rep(i * 9) end}))",
    "return string.pack('z s4 c1000', ('x'):rep(i), ('y'):rep(i), '')",
    "return {string.unpack(('i1'):rep(100), ('x'):rep(100))}",
    "return table.pack(table.unpack({}, 1, i * 20))",
    "return table.concat({('x'):rep(i), i, ('y'):rep(i * 9)}, ', ')",
    "return table.concat(setmetatable({}, {__index = function(_, k) return 'key' .. k end}), ',', 1, i * 5)",
    "return table.move(keep, 1, #keep, 1, {})",
    "local t = {} for k = 1, i * 5 do table.insert(t, 1, k) end return t",
    "local t = {} for k = 1, i * 5 do t[k] = {k} end table.sort(t, function(a, b) return a[1] > b[1] end) return t",
    "return table.create(i * 50, i * 50)",
    "return utf8.char(table.unpack((function() local t = {} for k = 1, i * 3 do t[k] = 0x20ac end return t end)()))",
    "return load('return {' .. ('1, '):rep(i * 9) .. '}')",
    "local n = 0 return load(function() n = n + 1 return n < i * 5 and 'local a = {} ' or nil end)",
    "return debug.traceback(('x'):rep(i * 9))",
    "return select(2, pcall(error, {i}))",
    "return select(2, xpcall(error, function(e) return {('x'):rep(i * 50)} end))",
    "return setmetatable({}, {__index = {}, __newindex = {}})",
    "local c = channel.new(9) c:send({i}) return c",
    "process.send(process.pid(), 'topic' .. i, {i}, ('x'):rep(i * 9)) return process.inbox():receive()",
    "process.send(process.pid(), 't', {i}, ('x'):rep(i * 9)) return process.receive()",
    "return process.info()",
    "return payload.new({i, ('x'):rep(i * 9)})",
    "return errors.new({message = ('x'):rep(i * 9), details = {i}})",
    "return errors.wrap(errors.new('x'), ('x'):rep(i * 9))",
    "return os.date('*t', i)",
    "return require('json').encode({keep[i], ('x'):rep(i * 9)})",
    "return require('json').decode('[' .. ('{\"a\": \"b\"}, '):rep(i) .. '1]')",
    "return require('time').now():format('2006-01-02')",
    "return require('time').after('1h')",
    "return require('uuid').v4()",
    "return tostring({}) .. tostring(print) .. tostring(i + 0.5)",
    "coroutine.spawn(function() channel.new():receive() end) require('time').sleep(1) return 1",
    "local function deep(n) if n > 0 then return 1 + deep(n - 1) end return 1 end return deep(i * 50)",
    "local x <close> = setmetatable({}, {__close = function() keep[#keep + 1] = ('x'):rep(i * 50) end}) return {}",
];

/// Objects that hold what they were made of outside of the state: large things, kept in small ones.
const OUTSIDE: &[&str] = &[
    "return payload.new(large)",
    "return errors.new({message = 'x', details = {large}})",
    "return errors.wrap('x', large)",
    "return require('logger'):with({field = large})",
    "return require('security').new_actor(large)",
    "return require('security').new_actor('x', {large})",
    "return require('time').fixed_zone(large, 0)",
    "return require('time').now():in_location(require('time').fixed_zone(large, 0)):round(1)",
    "process.send(process.pid(), 't', large) return (process.inbox():receive())",
    "return process.with_context({large = large})",
    "return process.with_context({large = large}):with_options({})",
    "return process.with_options({}):with_message('t', large)",
    "return require('funcs').new():with_context({large = large})",
];

#[test]
fn ends_that_nobody_reads_count_as_memory_of_who_wanted_to_know() {
    let world = World::new();
    world.program("large", "return ('x'):rep(100000)");
    for (read, cause) in [("process.receive()", Cause::Returned), ("", Cause::Limit)] {
        let text = format!(
            "for i = 1, 100 do assert(process.spawn_monitored('app:large', 'app:processes')) {read} end
            if '{read}' == '' then require('time').sleep('1h') end"
        );
        let process = world.spawn(world.limited(&text, 4 << 20), &[]).unwrap();
        assert_eq!(world.end(&process).cause, cause, "{read}");
    }
}

#[test]
fn the_context_that_it_was_given_counts_as_memory_of_a_process() {
    let world = World::new();
    let large = || Packed::from_value(&Value::Str(vec![b'x'; 2 << 20]));
    let context = Context::default().with_values([("large".to_owned(), large())]);
    for (limit, cause) in [(1 << 20, Cause::Limit), (4 << 20, Cause::Returned)] {
        let process = world.kernel.spawn(Spawn {
            context: Arc::new(context.clone()),
            ..Spawn::new(world.limited("return 1", limit), world.host.clone())
        });
        assert_eq!(world.end(&process.unwrap()).cause, cause);
    }
}

#[test]
fn what_objects_hold_outside_of_the_state_counts() {
    let world = World::new();
    for text in OUTSIDE {
        let hold = format!("local large, keep = ('x'):rep(100000), {{}}\nlocal function make() {text} end");
        // Ten megabytes of it, or garbage of as much as one likes.
        let keep = format!("{hold}\nfor i = 1, 100 do keep[i] = make() end return 'all kept'");
        let drop = format!("{hold}\nfor i = 1, 1000 do make() end return 'all dropped'");
        let ends = |text: &str| {
            let process = world.spawn(world.limited(text, 4 << 20), &[]).unwrap();
            world.end(&process).cause
        };
        assert_eq!(ends(&keep), Cause::Limit, "{text}");
        assert_eq!(ends(&drop), Cause::Returned, "{text}");
    }
}

#[test]
fn texts_that_wait_for_their_check_count() {
    let world = World::new();
    for (checks, cause) in [(100, Cause::Limit), (10, Cause::Returned)] {
        let text = format!(
            "local json, large, done = require('json'), ('x'):rep(100000), channel.new({checks})
            for i = 1, {checks} do coroutine.spawn(function() done:send(json.validate({{type = 'string'}}, large)) end) end
            for i = 1, {checks} do assert(done:receive()) end"
        );
        let process = world.spawn(world.limited(&text, 4 << 20), &[]).unwrap();
        assert_eq!(world.end(&process).cause, cause, "{checks}");
    }
}

#[test]
fn what_waits_to_be_written_to_files_counts() {
    let temp = tempfile::tempdir().unwrap();
    let world = World::new();
    let volume = Volume::ambient(EntryId::new("app", "data"), temp.path()).unwrap();
    world.engine.system.volumes.add(volume);
    for write in ["v:writefile('large', large)", "f:write(large)"] {
        // Two copies at a time are too much, and of fifty two are on their way at some time.
        let text = format!(
            "local v, large, done = require('fs').get('app:data'), ('x'):rep(2 << 20), channel.new(50)
            local f = v:open('opened', 'w')
            for i = 1, 50 do coroutine.spawn(function() {write} done:send(true) end) end
            for i = 1, 50 do done:receive() end"
        );
        let process = world.spawn(world.limited(&text, 5 << 20), &[]).unwrap();
        assert_eq!(world.end(&process).cause, Cause::Limit, "{write}");
    }
}

/// Where they are tried.
const PLACES: &[&str] = &[
    "keep[#keep + 1] = take(i)",
    "pcall(function() keep[#keep + 1] = take(i) end)",
    "xpcall(error, function() keep[#keep + 1] = take(i) end)",
    "keep[#keep + 1] = coroutine.wrap(take)(i)",
    "coroutine.resume(coroutine.create(function() keep[#keep + 1] = take(i) coroutine.yield() end))",
    "pcall(table.sort, {1, 2}, function() keep[#keep + 1] = take(i) return false end)",
    "pcall(string.gsub, 'x', 'x', function() keep[#keep + 1] = take(i) end)",
    "pcall(function() return setmetatable({}, {__index = function(_, k) keep[#keep + 1] = take(k) end})[i] end)",
    "do local x <close> = setmetatable({}, {__close = function() keep[#keep + 1] = take(i) end}) end",
    "pcall(string.format, '%s', setmetatable({}, {__tostring = function() keep[#keep + 1] = take(i) return '' end}))",
];

#[test]
fn whatever_takes_the_memory_the_end_is_a_limit() {
    let world = World::new();
    let bystander = Bystander::start(&world);
    for (number, hungry) in HUNGRY.iter().enumerate() {
        for (index, place) in PLACES.iter().enumerate() {
            let text = format!(
                "local keep = {{}}\nlocal function take(i) {hungry} end\nfor i = 1, math.huge do {place} keep[#keep + 1] = {{i}} end"
            );
            // Each at a limit of its own, so that they run out at different places.
            let limit = (64 << 10) + (number * 977 + index * 7919) as u64 % (256 << 10);
            let process = world.spawn(world.limited(&text, limit), &[]).unwrap();
            let exit = world.end(&process);
            let error = exit.error().expect("an end without an error");
            assert_eq!(
                error.kind(),
                Kind::LimitExceeded,
                "{hungry} in {place} at {limit}: {exit:?}"
            );
        }
    }
    bystander.gets_on(&world, "hungry processes");
    bystander.stop(&world, "hungry processes");
}

/// Ways of growing a stack to `n` slots: in one call that is over at once, and for longer.
const STACKS: [&[&str]; 2] = [
    &[
        "return table.unpack({}, 1, n)",
        "return string.byte(('x'):rep(n), 1, -1)",
        "return string.unpack(('b'):rep(n), ('x'):rep(n))",
        "return utf8.codepoint(('x'):rep(n), 1, -1)",
        "return coroutine.resume(coroutine.create(function(...) return ... end), table.unpack({}, 1, n))",
        "return select('#', (function(...) return ... end)(table.unpack({}, 1, n)))",
    ],
    &[
        "local function deep(n) if n > 0 then return 1 + deep(n - 4) end return 1 end return deep(n)",
        "return (function(...) local all = {...} return select('#', ...) end)(table.unpack({}, 1, n))",
        "return coroutine.wrap(function(...) local all = {...} return ... end)(table.unpack({}, 1, n))",
    ],
];

#[test]
fn a_stack_that_finds_no_memory_to_grow_is_no_error_that_can_be_caught() {
    let world = World::new();
    let ends = |stack: &str, limit: u64| {
        // 200 000 slots are 3 MiB and more.
        let text = format!("local function take(n) {stack} end\nassert(pcall(take, 200000))");
        let exit = world.end(&world.spawn(world.limited(&text, limit), &[]).unwrap());
        (exit.cause, exit.error().map(Error::kind))
    };
    for stack in STACKS.concat() {
        assert_eq!(ends(stack, 64 << 20), (Cause::Returned, None), "{stack}");
    }
    for stack in STACKS[0] {
        let end = ends(stack, 2 << 20);
        let known = [(Cause::Returned, None), (Cause::Limit, Some(Kind::LimitExceeded))];
        assert!(known.contains(&end), "{stack}: {end:?}");
    }
    for stack in STACKS[1] {
        assert_eq!(
            ends(stack, 2 << 20),
            (Cause::Limit, Some(Kind::LimitExceeded)),
            "{stack}"
        );
    }
}

#[test]
fn garbage_does_not_keep_a_stack_from_growing() {
    let world = World::new();
    for stack in STACKS.concat() {
        // What is alive at any time are two MiB at most, of eight.
        let text = format!(
            "local function take(n) {stack} end\nfor i = 1, 100 do local garbage = ('x'):rep(1 << 20) .. i take(30000) end"
        );
        let exit = world.end(&world.spawn(world.limited(&text, 8 << 20), &[]).unwrap());
        assert_eq!(exit.cause, Cause::Returned, "{stack}: {exit:?}");
    }
}

#[test]
fn every_small_limit_ends_a_process_or_lets_it_be() {
    let world = World::new();
    let text =
        "local s = string.format('%s', ('x'):rep(2000)) local t = {s, s:upper(), errors.new('x'), {s}} return #t";
    let mut outcomes = [0, 0];
    for limit in (1..=120).map(|step| step * 512) {
        let process = world.spawn(world.limited(text, limit), &[]).unwrap();
        let exit = world.end(&process);
        match exit.cause {
            Cause::Returned => outcomes[0] += 1,
            Cause::Limit => outcomes[1] += 1,
            other => panic!("{other:?} at {limit}: {exit:?}"),
        }
    }
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
}
