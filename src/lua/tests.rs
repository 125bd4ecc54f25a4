//! Lua processes as a program sees them: each test is a Lua text run on a kernel.

use std::sync::Arc;
use std::time::Duration;

use super::test_support::{World, failure, passes, value};
use crate::error::Kind;
use crate::process::Cause;
use crate::value::{Table, Value};

#[test]
fn main_returns_its_value() {
    assert_eq!(value("return 6 * 7"), Value::Int(42));
    assert_eq!(
        value("return {1, 2, {x = 'y'}}"),
        Value::array([Value::Int(1), Value::Int(2), Value::map([("x", Value::from("y"))]),])
    );
}

#[test]
fn arguments_arrive_as_varargs() {
    let world = World::new();
    let program = world.program("main", "local a, b = ... return a + b.n");
    let process = world
        .spawn(program, &[Value::Int(1), Value::map([("n", Value::Int(2))])])
        .unwrap();
    assert_eq!(
        world.end(&process).result.as_ref().unwrap().to_value().unwrap(),
        Value::Int(3)
    );
}

#[test]
fn a_second_string_or_error_is_a_failure() {
    let error = failure("return 1, 'no luck'");
    assert_eq!(
        (error.kind(), error.message(), error.retryable()),
        (Kind::Internal, "no luck", Some(false))
    );
    let error = failure("return nil, errors.new{message='gone', kind=errors.NOT_FOUND, retryable=true}");
    assert_eq!((error.kind(), error.retryable()), (Kind::NotFound, Some(true)));
    assert_eq!(value("return 1, {}"), Value::Int(1));
}

#[test]
fn a_value_too_large_to_be_copied_is_refused_wherever_it_grows() {
    let refused = "value is too large to be copied: more than 64MiB";
    for value in [
        "('x'):rep(65 << 20)",
        "(function() local s = ('x'):rep(20 << 20) return {s, s, s, s} end)()",
        "(function() local s = ('x'):rep(20 << 20) return {a = s, b = s, c = s, d = s} end)()",
        "(function() local t = {} for i = 1, 8e6 do t[i] = i end return t end)()",
    ] {
        let error = failure(&format!("return {value}"));
        assert_eq!((error.kind(), error.message()), (Kind::Invalid, refused), "{value}");
    }
    let error = failure("return process.send(process.pid(), 't', ('x'):rep(65 << 20))");
    assert_eq!((error.kind(), error.message()), (Kind::Invalid, refused));
}

#[test]
fn a_message_arrives_whole_where_the_stack_has_no_room_for_its_values() {
    passes(
        r##"
        local many = {}
        for i = 1, 400000 do many[i] = true end
        local function deep(n, take)
            local a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20
            local b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15, b16, b17, b18, b19, b20
            if n == 0 then return (take()) end
            local got = deep(n - 1, take)
            return got
        end
        local me = process.pid()
        assert(process.send(me, "t", table.unpack(many)))
        local m = deep(15000, function() return process.receive(0) end)
        assert(m.value == true and m.values.n == 400000 and #m.values == 400000)
        local topic = process.listen("listened")
        assert(process.send(me, "listened", table.unpack(many)))
        assert(#deep(15000, function() return topic:receive() end) == 400000)
        "##,
    );
}

#[test]
fn arguments_that_no_stack_has_room_for_are_refused() {
    let world = World::new();
    let program = world.program("main", "return select('#', ...)");
    let process = world.spawn(program, &vec![Value::Bool(true); 1_000_001]).unwrap();
    let exit = world.end(&process);
    let error = exit.error().unwrap();
    assert_eq!(
        (error.kind(), error.message()),
        (Kind::LimitExceeded, "too many arguments: 1000001")
    );
}

#[test]
fn an_uncaught_error_has_its_place() {
    let error = failure("local function f()\n error('boom')\nend\nf()");
    assert_eq!((error.kind(), error.retryable()), (Kind::Internal, None));
    assert_eq!(error.message(), "main.lua:2: boom");
    assert_eq!(error.frames()[0].line, 2);
}

#[test]
fn an_uncaught_table_is_shown_by_its_tostring() {
    for (shower, message) in [
        ("function(e) return 'shown ' .. e.code end", "shown 7"),
        ("function() return 5 end", "5"),
        ("function() return {} end", "table"),
        ("function() error('no') end", "table"),
        ("function() coroutine.yield() end", "table"),
        ("function() require('time').sleep('1h') end", "table"),
        ("function() channel.new():receive() end", "table"),
        ("'no function'", "table"),
        (
            "function() coroutine.spawn(error) return coroutine.wrap(function() return 'x' end)() end",
            "x",
        ),
    ] {
        for raise in ["{}()", "coroutine.spawn({}) process.receive()"] {
            let raise = raise.replace("{}", "raise");
            let error = failure(&format!(
                "local function raise()\n error(setmetatable({{code = 7}}, {{__tostring = {shower}}}))\nend\n{raise}"
            ));
            assert_eq!((error.kind(), error.message()), (Kind::Internal, message), "{shower}");
            assert_eq!((error.retryable(), error.frames()[0].line), (None, 2), "{shower}");
        }
    }
}

#[test]
fn an_error_in_a_spawned_coroutine_ends_the_process() {
    let error = failure("coroutine.spawn(function() error('inner') end) channel.new():receive()");
    assert!(error.message().contains("inner"), "{error}");
}

#[test]
fn waiting_works_at_every_depth() {
    passes(
        r##"
        local time = require("time")
        local function nap() time.sleep("1ms") return 7 end
        -- pcall, nested
        local ok, v = pcall(function() local ok, v = pcall(nap) assert(ok) return v end)
        assert(ok and v == 7)
        -- xpcall, with an error after the wait
        local ok, m = xpcall(function() nap() error("late") end, function(m) return "handled " .. m end)
        assert(not ok and m:find("handled") and m:find("late"))
        -- a user's coroutine sees only its own yields
        local co = coroutine.create(function(a)
            nap()
            local b = coroutine.yield(a + 1)
            nap()
            return b * 2
        end)
        local ok, x = coroutine.resume(co, 1)
        assert(ok and x == 2 and coroutine.status(co) == "suspended")
        local ok, y = coroutine.resume(co, 21)
        assert(ok and y == 42 and coroutine.status(co) == "dead")
        -- wrap as an iterator
        local sum = 0
        for i in coroutine.wrap(function() for i = 1, 3 do nap() coroutine.yield(i) end end) do sum = sum + i end
        assert(sum == 6)
        -- iterators and metamethods
        local t = setmetatable({}, {__index = function(_, k) nap() return k end, __call = function(_, a) nap() return a end,
            __add = function() nap() return "sum" end, __tostring = function() nap() return "shown" end,
            __eq = function() nap() return true end, __len = function() nap() return 5 end})
        assert(t.x == "x" and t(3) == 3 and t + 1 == "sum" and tostring(t) == "shown" and #t == 5)
        for k in function(_, c) nap() if (c or 0) < 3 then return (c or 0) + 1 end end do sum = sum + k end
        assert(sum == 12)
        -- sort and gsub
        local list = {5, 3, 9, 1}
        table.sort(list, function(a, b) nap() return a < b end)
        assert(table.concat(list, ",") == "1,3,5,9")
        assert(("a-b"):gsub("%w", function(c) nap() return c:upper() end) == "A-B")
        -- nested twice, with pcall between
        local outer = coroutine.wrap(function()
            local inner = coroutine.wrap(function() nap() coroutine.yield("in") nap() end)
            coroutine.yield(select(2, pcall(inner)))
            nap()
            return "out"
        end)
        assert(outer() == "in" and outer() == "out")
        -- close variables
        local closed
        do
            local guard <close> = setmetatable({}, {__close = function() nap() closed = true end})
        end
        assert(closed)
        "##,
    );
}

#[test]
fn a_held_coroutine_is_normal_to_others() {
    passes(
        r##"
        local time = require("time")
        local co = coroutine.create(function() time.sleep("20ms") end)
        local done = channel.new(1)
        coroutine.spawn(function()
            assert(coroutine.status(co) == "normal")
            local ok, m = coroutine.resume(co)
            assert(not ok and m == "cannot resume non-suspended coroutine", m)
            assert(not pcall(coroutine.close, co))
            done:send(true)
        end)
        assert(coroutine.resume(co))
        assert(done:receive())
        "##,
    );
}

#[test]
fn nobody_but_the_driver_resumes_a_task() {
    passes(
        r##"
        local time = require("time")
        local main = coroutine.running()
        local ch = channel.new()
        local other = coroutine.spawn(function()
            local ok, m = coroutine.resume(main)
            assert(not ok and m == "cannot resume non-suspended coroutine", m)
            assert(not pcall(coroutine.close, main) and coroutine.status(main) == "normal")
            ch:send("from the driver")
        end)
        assert(not coroutine.resume(other))
        assert(ch:receive() == "from the driver")
        time.sleep("1ms")
        assert(coroutine.status(other) == "dead" and coroutine.status(main) == "running")
        "##,
    );
}

#[test]
fn sleeping_takes_its_time_and_others_run() {
    passes(
        r##"
        local time = require("time")
        local over = channel.new()
        for _, ms in ipairs{30, 10, 20} do
            coroutine.spawn(function()
                local before = os.clock()
                time.sleep(time.milliseconds(ms))
                over:send({slept = ms, took = (os.clock() - before) * 1000})
            end)
        end
        coroutine.spawn(time.sleep, "1h")
        local slept = {}
        for _ = 1, 3 do
            local one = over:receive()
            assert(one.took >= one.slept, one.took)
            slept[one.slept] = true
        end
        assert(slept[10] and slept[20] and slept[30])
        assert(time.sleep(0) == nil and time.sleep(-5) == nil)
        local v, err = time.sleep("soon")
        assert(v == nil and err:kind() == errors.INVALID)
        "##,
    );
}

#[test]
fn timers_and_tickers_deliver_times() {
    passes(
        r##"
        local time = require("time")
        local ch = time.after("5ms")
        local t, ok = ch:receive()
        assert(ok and t:unix() > 0)
        assert(select(2, ch:receive()) == false)
        local none, err = time.after(0)
        assert(none == nil and tostring(err):find("time.after: duration must be > 0", 1, true))
        local timer = time.timer("1h")
        assert(timer:channel() == timer:response() and timer:stop() == true and timer:stop() == false)
        assert(select(2, timer:channel():receive()) == false)
        assert(timer:reset("2ms") == false)
        assert(select(2, timer:channel():receive()) == true)
        local ticker = time.ticker("2ms")
        for _ = 1, 3 do assert(select(2, ticker:channel():receive())) end
        assert(ticker:stop() and ticker.reset == nil)
        "##,
    );
}

#[test]
fn channels_follow_their_table() {
    passes(
        r##"
        local ch = channel.new(2)
        assert(ch:send(1) == true and ch:send(nil) == true)
        local v, ok = ch:receive() assert(v == 1 and ok == true)
        v, ok = ch:receive() assert(v == nil and ok == true)
        -- a parked sender refills the slot, first in first out
        local got = {}
        local one = channel.new(1)
        coroutine.spawn(function() for i = 1, 4 do one:send(i) end one:close() end)
        while true do
            local v, ok = one:receive()
            if not ok then break end
            got[#got + 1] = v
        end
        assert(table.concat(got, ",") == "1,2,3,4")
        v, ok = one:receive() assert(v == nil and ok == false)
        -- close: leftovers first
        local left = channel.new(3)
        left:send("a") left:close() left:close()
        v, ok = left:receive() assert(v == "a" and ok)
        v, ok = left:receive() assert(v == nil and ok == false)
        local ok, m = pcall(left.send, left, 1)
        assert(not ok and tostring(m):find("send on closed channel"))
        -- a parked sender gets nil, err
        local u = channel.new()
        local result
        coroutine.spawn(function() result = {u:send(1)} end)
        local time = require("time")
        time.sleep("1ms")
        u:close()
        time.sleep("1ms")
        assert(result[1] == nil and tostring(result[2]) == "send on closed channel")
        -- parked receivers wake with nil, false
        local w = channel.new(-3)
        local woken = 0
        for _ = 1, 2 do
            coroutine.spawn(function() local v, ok = w:receive() assert(v == nil and ok == false) woken = woken + 1 end)
        end
        time.sleep("1ms") w:close() time.sleep("1ms")
        assert(woken == 2)
        -- functions and channels pass by reference
        local f, c = function() end, channel.new(1)
        c:send(f) assert(c:receive() == f)
        c:send(c) assert(c:receive() == c and c ~= u)
        "##,
    );
}

#[test]
fn select_takes_the_first_ready_case() {
    passes(
        r##"
        local time = require("time")
        local a, b = channel.new(1), channel.new(1)
        local r = channel.select{a:case_receive(), b:case_receive(), default = true}
        assert(r.default == true and r.ok == true and r.channel == nil)
        b:send(2) a:send(1)
        r = channel.select{a:case_receive(), b:case_receive()}
        assert(r.channel == a and r.value == 1 and r.ok == true and r.default == nil)
        r = channel.select({a:case_receive(), "noise", b:case_receive()}, true)
        assert(r.channel == b and r.value == 2)
        -- send case
        r = channel.select{a:case_send("x")}
        assert(r.channel == a and r.value == "x" and r.ok == true)
        assert(a:receive() == "x")
        -- parked, then completed; the other registration is withdrawn
        local u = channel.new()
        coroutine.spawn(function() time.sleep("1ms") u:send(9) end)
        local case = {a:case_receive(), u:case_receive()}
        r = channel.select(case)
        assert(r.channel == u and r.value == 9)
        a:send("kept") assert(a:receive() == "kept")
        -- parked send
        coroutine.spawn(function() time.sleep("1ms") assert(u:receive() == 5) end)
        r = channel.select{u:case_send(5), a:case_receive()}
        assert(r.channel == u and r.value == 5 and r.ok)
        -- closed
        u:close()
        r = channel.select{u:case_receive()}
        assert(r.channel == u and r.value == nil and r.ok == false)
        assert(not pcall(channel.select, {u:case_send(1)}))
        -- closed while parked
        local p = channel.new()
        coroutine.spawn(function() time.sleep("1ms") p:close() end)
        local ok, m = pcall(channel.select, {p:case_send(1)})
        assert(not ok and tostring(m):find("send on closed channel"))
        -- select meets select
        local q = channel.new()
        coroutine.spawn(function() channel.select{q:case_send("hand")} end)
        time.sleep("1ms")
        assert(channel.select{q:case_receive()}.value == "hand")
        "##,
    );
}

#[test]
fn blocked_coroutines_without_anything_to_come_are_an_error() {
    let text = "all coroutines blocked with no pending operations";
    let error = failure("coroutine.spawn(function() channel.new():send(1) end)\nchannel.new():receive()");
    assert_eq!(error.message(), text);
    assert_eq!(error.frames().len(), 2);
    assert_eq!(failure("coroutine.yield()").message(), text);
    assert_eq!(failure("channel.select{}").message(), text);
    // One that is blocked beside a live one is none.
    passes("coroutine.spawn(function() channel.new():receive() end) require('time').sleep('2ms')");
}

#[test]
fn processes_talk() {
    let world = World::new();
    world.program(
        "echo",
        "while true do local m = process.receive() if m.topic == 'stop' then return 'bye' end process.send(m.from, 'echo', m.value) end",
    );
    let exit = world.run(
        r##"
        local pid = assert(process.spawn_monitored("app:echo", "app:processes"))
        assert(process.send(pid, "x", {n = 1, s = "two", nested = {true, 1.5}}) == true)
        local m = process.receive("60s")
        assert(m.type == "MESSAGE" and m.kind == "message" and m.topic == "echo" and m.from == pid)
        assert(m.value.n == 1 and m.value.s == "two" and m.value.nested[2] == 1.5 and m.values.n == 1)
        process.send(pid, "stop")
        local e = process.receive("60s")
        assert(e.type == "EXIT" and e.kind == process.event.EXIT and e.from == pid and e.pid == pid)
        assert(e.value == "bye" and e.result.value == "bye" and e.error == nil)
        local ok, err = process.send(pid, "x")
        assert(ok == nil and err:kind() == errors.NOT_FOUND and tostring(err) == "process not found: " .. pid)
        assert(process.receive(0) == nil and process.receive("1ms") == nil)
        assert(process.id():find(":") and process.pid():find("|0x"))
        return process.pid() == process.pid()
        "##,
    );
    assert_eq!(exit.result.as_ref().unwrap().to_value().unwrap(), Value::Bool(true));
}

#[test]
fn the_mailbox_gives_items_to_whom_they_are_due() {
    passes(
        r##"
        local time = require("time")
        local me = process.pid()
        -- listened topics are claimed, queued ones too
        process.send(me, "t", 1) process.send(me, "u", 2)
        local t = process.listen("t")
        assert(t == process.listen("t") and t ~= process.listen("other"))
        assert(t:receive() == 1)
        process.send(me, "t") process.send(me, "t", "a", "b")
        assert(t:receive() == nil)
        local both = t:receive()
        assert(both[1] == "a" and both[2] == "b")
        assert(process.receive(0).topic == "u")
        -- inbox() alone claims nothing
        local inbox = process.inbox()
        assert(inbox == process.inbox() and inbox ~= process.events())
        process.send(me, "m", 5)
        assert(process.receive(0).value == 5)
        -- a waiter on the inbox goes first
        local seen, other = channel.new(1), channel.new(1)
        coroutine.spawn(function() seen:send(inbox:receive()) end)
        coroutine.spawn(function() other:send(process.receive()) end)
        time.sleep("1ms")
        process.send(me, "i", 6)
        local m = seen:receive()
        assert(m:topic() == "i" and m:from() == me and tostring(m) == "process.Message{topic=i}")
        assert(m:payload():data() == 6)
        -- unlisten makes the rest ordinary
        process.send(me, "t", "late")
        assert(process.unlisten(t) == true)
        assert(select(2, t:receive()) == false)
        assert(other:receive().value == "late")
        local no, err = process.unlisten(channel.new())
        assert(no == false and err:kind() == errors.INVALID)
        local none, err = process.listen("")
        assert(none == nil and err:message() == "topic cannot be empty")
        none, err = process.send(me, "@x")
        assert(none == nil and err:message() == "cannot send to @ topics")
        -- events
        process.cancel(me, "why")
        local e = process.events():receive()
        assert(e.type == "CANCEL" and e.reason == "why" and e.from == me)
        -- subscribe
        local ch = channel.new(4)
        subscribe("sub", ch)
        process.send(me, "sub", "v")
        assert(ch:receive() == "v")
        assert(unsubscribe(ch) == true and unsubscribe(ch) == false)
        "##,
    );
}

#[test]
fn names_and_monitors() {
    let world = World::new();
    world.program("wait", "process.receive()");
    let exit = world.run(
        r##"
        local r = process.registry
        assert(r.register("me") == true and r.register("me") == true and r.lookup("me") == process.pid())
        local pid = process.spawn("app:wait", "app:processes")
        local ok, err = r.register("me", pid)
        assert(ok == false and err:kind() == errors.ALREADY_EXISTS, tostring(err))
        assert(r.unregister("me") == true and r.unregister("me") == false)
        local v, err = r.lookup("me")
        assert(v == nil and err:kind() == errors.NOT_FOUND and tostring(err) == "name not registered")
        assert(process.monitor(pid) == true)
        local ok, err = process.monitor(pid)
        assert(ok == nil and err:kind() == errors.INTERNAL and tostring(err):find("monitor failed"))
        assert(process.terminate(pid) == true)
        local e = process.receive("60s")
        assert(e.type == "EXIT" and e.error:message() == "process terminated" and e.error:retryable() == nil)
        local ok, err = process.send("nobody", "t")
        assert(err:message() == "could not resolve 'nobody' as PID or registered name")
        local p, err = process.spawn("app:none", "app:processes")
        assert(p == nil and err:kind() == errors.NOT_FOUND)
        p, err = process.spawn("app:wait", "app:nowhere")
        assert(p == nil and err:message() == "host not found")
        p, err = process.spawn("wait")
        assert(err:message() == "spawn requires at least id and host arguments")
        assert(not pcall(process.send, nil, "t"))
        local v, err = process.exec("app:wait", "app:none")
        assert(v == nil and err:kind() == errors.NOT_FOUND)
        assert(process.info().pid == process.pid() and #process.list() >= 1)
        "##,
    );
    assert!(exit.result.is_ok(), "{exit:?}");
}

#[test]
fn the_schema_checks_of_one_process_do_not_keep_those_of_others() {
    let world = World::new();
    world.program(
        "hog",
        r##"
        local json, time = require("json"), require("time")
        local defs = {d31 = {type = "object"}}
        for i = 1, 30 do
            local next = {["$ref"] = "#/$defs/d" .. i + 1}
            defs["d" .. i] = {anyOf = {next, next}}
        end
        local schema = json.encode({["$defs"] = defs, ["$ref"] = "#/$defs/d1"})
        for i = 1, 40 do coroutine.spawn(json.validate, schema, i) end
        time.sleep("1ms")
        process.send((...), "all wait")
        process.receive()
        "##,
    );
    let exit = world.run(
        r##"
        local json = require("json")
        assert(process.spawn("app:hog", "app:processes", process.pid()))
        process.receive()
        assert(json.validate({type = "number"}, 1))
        "##,
    );
    assert!(exit.result.is_ok(), "{exit:?}");
}

#[test]
fn terminating_oneself_does_not_return() {
    let world = World::new();
    world.program(
        "suicide",
        "local watcher = ... ; pcall(process.terminate, process.pid()) ; process.send(watcher, 'alive')",
    );
    let exit = world.run(
        r##"
        assert(process.spawn_monitored("app:suicide", "app:processes", process.pid()))
        local e = process.receive("60s")
        assert(e.type == "EXIT" and e.error:message() == "process terminated", e.type)
        "##,
    );
    assert!(exit.result.is_ok(), "{exit:?}");
}

#[test]
fn every_stack_names_a_file_as_it_is() {
    let world = World::new();
    let name = "long".repeat(20);
    let program = world.program(
        &name,
        r##"
        local _, of_module = require("json").decode("{")
        local _, of_driver = process.send("nobody", "x")
        local seen = {}
        for _, err in ipairs{of_module, of_driver, errors.new("own")} do
            local first = errors.call_stack(err).frames[1]
            seen[#seen + 1] = first.source .. " " .. first.name
        end
        return seen
        "##,
    );
    let exit = world.end(&world.spawn(program, &[]).unwrap());
    let seen = exit.result.as_ref().unwrap().to_value().unwrap();
    let wanted = format!("{name}.lua ");
    assert_eq!(seen, Value::array(vec![Value::from(wanted.as_str()); 3]));
}

#[test]
fn monitoring_and_linking_oneself_are_invalid() {
    let world = World::new();
    let exit = world.run(
        r##"
        for _, relate in ipairs({ process.monitor, process.link }) do
            local ok, err = relate(process.pid())
            assert(ok == nil and err:kind() == errors.INVALID, tostring(err))
        end
        "##,
    );
    assert!(exit.result.is_ok(), "{exit:?}");
}

/// Starts a program that never waits, and terminates it while another one has to go on beside it.
fn hog(text: &str) {
    let world = World::new();
    let hog = world.spawn(world.program("hog", text), &[]).unwrap();
    let exit = world.run("local time = require('time') for i = 1, 5 do time.sleep('1ms') end return 'alive'");
    assert!(exit.result.is_ok(), "{exit:?}");
    world.kernel.terminate(hog.pid()).unwrap();
    assert_eq!(world.end(&hog).cause, Cause::Terminated);
}

#[test]
fn a_busy_loop_does_not_stop_others_and_ends_when_terminated() {
    hog("while true do end");
    hog("local function f() return f() end f()");
}

#[test]
fn a_doomed_pcall_loop_ends() {
    hog("while true do pcall(function() while true do end end) end");
    hog("local function retry() while true do pcall(retry) end end retry()");
    hog("while true do xpcall(function() while true do end end, function() while true do end end) end");
}

#[test]
fn a_doomed_coroutine_ends() {
    hog("local co = coroutine.wrap(function() while true do end end) while true do pcall(co) end");
    hog("while true do coroutine.resume(coroutine.create(function() while true do coroutine.yield() end end)) end");
}

#[test]
fn doomed_callbacks_end() {
    hog("table.sort({1, 2, 3}, function(a, b) while true do end end)");
    hog("while true do pcall(string.gsub, 'abc', '%w', function() while true do end end) end");
    hog("local t <close> = setmetatable({}, {__close = function() while true do end end}) while true do end");
}

#[test]
fn the_tostring_of_an_uncaught_error_is_interrupted_and_ends() {
    hog("error(setmetatable({}, {__tostring = function() while true do end end}))");
    hog("coroutine.spawn(error, setmetatable({}, {__tostring = function() while true do end end})) process.receive()");
}

#[test]
fn the_halves_of_modules_in_lua_run_nothing_of_the_programs() {
    for module in ["supervisor", "test"] {
        for trap in [
            "string, errors, setmetatable, ipairs = nil set(_G, {__index = spin})",
            "getmetatable('').__index = spin",
            "set(errors, {__index = spin}) errors.call_stack = nil errors.new = nil",
            "ipairs, type, pairs = spin, spin, spin",
        ] {
            let world = World::new();
            let text = format!(
                "local require, set = require, setmetatable
                local function spin() while true do end end
                {trap}
                require('{module}')
                return 'alive'"
            );
            let process = world.spawn(world.program("main", &text), &[]).unwrap();
            let exited = world.ends_within(&process, Duration::from_secs(60));
            assert!(exited.is_some_and(|exit| exit.result.is_ok()), "{module}: {trap}");
        }
    }
}

#[test]
fn a_doomed_loop_that_cannot_be_suspended_ends() {
    hog(
        "local t = setmetatable({}, {__tostring = function() while true do end end}) while true do pcall(string.format, '%s', t) end",
    );
}

#[test]
fn the_memory_limit_cannot_be_held_back() {
    let world = World::new();
    for text in [
        "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end",
        "while true do pcall(function() local t = {} while true do t[#t + 1] = {} end end) end",
        "local s = 'x' while true do local ok = pcall(function() s = s .. s end) end",
        "local co = coroutine.wrap(function() local t = {} while true do t[#t + 1] = {} end end) while true do pcall(co) end",
        "local t = {} while true do t[#t + 1] = channel.new(1) t[#t]:send(('y'):rep(100)) end",
        "error(setmetatable({}, {__tostring = function() local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end end}))",
    ] {
        let program = world.limited(text, 4 << 20);
        let process = world.spawn(program, &[]).unwrap();
        let exit = world.end(&process);
        assert_eq!(exit.cause, Cause::Limit, "{text}: {exit:?}");
        let error = exit.error().unwrap();
        assert_eq!(error.kind(), Kind::LimitExceeded);
        assert_eq!(error.message(), "memory limit exceeded: 4MiB");
        assert_eq!(error.retryable(), None);
        assert_eq!(error.details().unwrap().get("limit"), Some(&Value::from("max_memory")));
        assert_eq!(error.details().unwrap().get("allowed"), Some(&Value::Int(4 << 20)));
    }
}

#[test]
fn a_message_beyond_the_memory_limit_ends_its_reader() {
    let world = World::new();
    let program = world.limited("return process.receive().value", 4 << 20);
    let process = world.spawn(program, &[]).unwrap();
    let big = crate::value::Packed::from_value(&Value::Str(vec![b'x'; 8 << 20]));
    world.kernel.send(None, process.pid(), "t".into(), big).unwrap();
    assert_eq!(world.end(&process).cause, Cause::Limit);
}

#[test]
fn the_sandbox_has_what_the_list_says() {
    passes(
        r##"
        for _, name in ipairs{"process", "channel", "print", "os", "payload", "subscribe", "unsubscribe", "errors", "require", "package", "table", "math",
            "string", "coroutine", "utf8", "debug", "type", "tonumber", "tostring", "assert", "error", "pcall", "xpcall", "pairs",
            "ipairs", "next", "select", "getmetatable", "setmetatable", "rawset", "rawget", "rawequal", "rawlen", "load",
            "collectgarbage", "unpack", "_G", "_VERSION", "integer", "number", "boolean"} do
            assert(rawget(_G, name) ~= nil, name)
        end
        for _, name in ipairs{"dofile", "loadfile", "loadstring", "warn", "test"} do assert(_G[name] == nil, name) end
        assert(io.open == nil and io.popen == nil and json.encode and time.now and fs.get)
        assert(getmetatable(_G) == nil and _VERSION == "Lua 5.4")
        local count = 0
        for _ in pairs(debug) do count = count + 1 end
        assert(count == 1 and debug.traceback():find("main.lua"))
        assert(package.path == "" and package.cpath == "" and package.loadlib == nil and package.seeall)
        assert(string.dump == nil and string.pack and string.format("%5.1f", 2) == "  2.0")
        assert(math.pow(2, 3) == 8.0 and math.log10(100) == 2.0 and math.pi > 3 and math.type(1) == "integer" and math.tanh(0) == 0)
        assert(math.random(1, 6) <= 6)
        assert(next(table.create(3, 4)) == nil and table.unpack == unpack and select("#", table.unpack({1, 2}, 1, 2)) == 2)
        assert("10" + 1 == 11 and ("x"):rep(3) == "xxx" and #"abc" == 3)
        -- load
        assert(load("return 1 + 1")() == 2)
        local f, m = load("\27Lua") assert(f == nil and type(m) == "string")
        f, m = load("return 1", "x", "b") assert(f == nil and type(m) == "string")
        f, m = load("x = = 1", "=name") assert(f == nil and m:find("name:1:"))
        assert(load(function() return nil end)() == nil)
        local parts = {"return ", "4", "2"}
        assert(load(function() return table.remove(parts, 1) end)() == 42)
        local env = {y = 3}
        assert(load("return y", "c", "t", env)() == 3)
        -- collectgarbage
        assert(collectgarbage() == 0 and collectgarbage("count") > 1 and type(collectgarbage("step")) == "boolean")
        assert(not pcall(collectgarbage, "stop"))
        -- setmetatable
        local ok, m = pcall(setmetatable, {}, {__gc = function() end})
        assert(not ok and tostring(m):find("__gc is not supported; use <close> variables", 1, true))
        assert(getmetatable(setmetatable({}, {__metatable = 1})) == 1)
        -- casts
        assert(string("x") == "x" and integer(3) == 3 and number(1.5) == 1.5 and boolean(false) == false)
        for _, f in ipairs{function() string(1) end, function() integer(1.5) end, function() number("1") end, function() boolean(nil) end} do
            assert(not pcall(f))
        end
        -- Error subjects
        local e = errors.new("not found: x")
        assert(string.find(e, "not found") == 1 and string.upper(e) == "NOT FOUND: X" and string.len(e) == 12)
        assert(string.gsub(e, "x", "y") == "not found: y" and string.gsub(e, "x", function() return "z" end) == "not found: z")
        -- channels keep their metatable to themselves
        assert(getmetatable(channel.new()) == false)
        -- require of the tables
        assert(require("math") == math and require("process") == process and require("json") == require("json"))
        local ok, err = pcall(require, "sql")
        assert(not ok and err:kind() == errors.NOT_FOUND and tostring(err) == "module 'sql' not found: this runtime does not provide it")
        ok, err = pcall(require, "no.such")
        assert(not ok and tostring(err):find("module 'no.such' not found", 1, true))
        "##,
    );
}

#[test]
fn libraries_opened_by_need_are_all_there_when_named() {
    assert_eq!(
        value("local n = 0 for _ in pairs(table) do n = n + 1 end return n"),
        Value::Int(8)
    );
    assert_eq!(value("return getmetatable('').__index == string"), Value::Bool(true));
    assert_eq!(value("local s = 'x' return s['upper'](s)"), Value::from("X"));
    assert_eq!(value("return require('ma' .. 'th').pi > 3"), Value::Bool(true));
}

#[test]
fn gsub_and_sort_are_those_of_lua() {
    passes(
        r##"
        local function both(s, p, n)
            local a, na = s:gsub(p, "<%0>", n)
            local b, nb = s:gsub(p, function(...) return "<" .. (select("#", ...) and s.sub and (...)) .. ">" end, n)
            return a, na, b, nb
        end
        for _, case in ipairs{{"hello world", "o"}, {"hello", "l*"}, {"abc", ""}, {"abc", "%w", 2}, {"  x  y", "%s*"}, {"abc", "^%w"},
            {"THE (quick) fox", "%f[%a]%a+"}, {"", ""}, {"", "x*"}, {"aXbX", "X"}, {"abc", "x*", 2}, {"abc", "b", 0}} do
            local a, na, b, nb = both(table.unpack(case))
            assert(a == b and na == nb, ("%q %q: %s %s / %s %s"):format(case[1], case[2], a, na, b, nb))
        end
        assert(("k=v, a=b"):gsub("(%w+)=(%w+)", function(k, v) return v .. "=" .. k end) == "v=k, b=a")
        assert(("abc"):gsub("()", function(i) return i end) == "1a2b3c4")
        assert(("abc"):gsub("%w", function(c) if c == "b" then return false end return nil end) == "abc")
        assert(not pcall(string.gsub, "abc", "%w", function() return {} end))
        assert(not pcall(string.gsub, "abc", "(", function() end))
        assert(("abc"):gsub("%w", setmetatable({}, {__index = function(_, c) return c .. c end})) == "aabbcc")
        local t = {}
        for i = 1, 500 do t[i] = (i * 7919) % 503 end
        table.sort(t)
        for i = 2, #t do assert(t[i - 1] <= t[i]) end
        table.sort(t, function(a, b) return a > b end)
        for i = 2, #t do assert(t[i - 1] >= t[i]) end
        local words = {"b", "a", "c"}
        table.sort(words)
        assert(table.concat(words) == "abc")
        assert(not pcall(table.sort, {1, "x"}) and not pcall(table.sort, 5) and not pcall(table.sort, {}, 1))
        table.sort({}) table.sort({1})
        "##,
    );
}

#[test]
fn values_cross_as_the_rules_say() {
    let world = World::new();
    world.program("echo", "local v = ... return v");
    let exit = world.run(
        r##"
        local function through(v) return process.exec("app:echo", "app:processes", v) end
        assert(through("\0\255") == "\0\255" and through(1.5) == 1.5 and through(math.maxinteger) == math.maxinteger)
        assert(math.type(through(3)) == "integer" and math.type(through(3.0)) == "float")
        local shared = {1}
        local t = through{a = shared, b = shared, f = print, c = coroutine.create(function() end), ch = channel.new()}
        assert(t.a == t.b and t.a[1] == 1 and t.f == nil and t.c == nil and t.ch == nil)
        local cycle = {} cycle.self = cycle cycle[1] = {cycle}
        local c = through(cycle)
        assert(c.self == c and c[1][1] == c)
        local keys = through{[1] = "a", [3] = "c", [1.5] = "f", [true] = "b", [{}] = "t"}
        assert(keys[1] == "a" and keys[3] == "c" and keys[1.5] == "f" and keys[true] == "b")
        local found for k, v in pairs(keys) do if type(k) == "table" then found = v end end
        assert(found == "t")
        local holes = through{1, nil, 3, n = 3}
        assert(holes[1] == 1 and holes[2] == nil and holes[3] == 3 and holes.n == 3)
        local back = {} for i = 10, 1, -1 do back[i] = i end
        local got = through(back)
        assert(#got == 10 and got[1] == 1 and got[10] == 10)
        assert(getmetatable(through(setmetatable({}, {__index = {}}))) == nil)
        local deep = {} local at = deep
        for _ = 1, 20000 do at[1] = {} at = at[1] end
        at[1] = "bottom"
        local d = through(deep)
        for _ = 1, 20000 do d = d[1] end
        assert(d[1] == "bottom")
        local e = through(errors.new{message = "m", kind = "Conflict", details = {x = {1}}})
        assert(e:kind() == "Conflict" and e:details().x[1] == 1)
        assert(through(nil) == nil and through(false) == false)
        "##,
    );
    assert!(exit.result.is_ok(), "{exit:?}");
}

#[test]
fn host_errors_reach_pcall_as_strings_or_error_objects() {
    passes(
        r##"
        local json = require("json")
        local ok, err = pcall(errors.new)
        assert(not ok and (type(err) == "string" or err.kind), type(err))
        local co = coroutine.create(function() require("sql") end)
        local ok, err = coroutine.resume(co)
        assert(not ok and err:kind() == errors.NOT_FOUND)
        local same = errors.new("x")
        local ok, err = pcall(error, same)
        assert(err == same)
        local ok, err = pcall(coroutine.wrap(function() error(same) end))
        assert(err == same)
        local t = {}
        local ok, err = pcall(error, t)
        assert(err == t)
        local ok, err = xpcall(require, function(e) return e:kind() end, "sql")
        assert(not ok and err == "NotFound")
        "##,
    );
}

const PROJECT: &str = r##"
version: "1.0"
namespace: app
entries:
  - name: base
    kind: library.lua
    source: |
      loads = (loads or 0) + 1
      return {double = function(n) return 2 * n end}
  - name: middle
    kind: library.lua
    modules: [json]
    imports: {base: "app:base"}
    source: |
      return {text = function(n) return json.encode({base.double(n)}) end}
  - name: main
    kind: process.lua
    method: main
    modules: [time]
    imports: {middle: "app:middle", lib: "base"}
    source: |
      local function main(n)
        assert(require("middle") == middle and require("lib") == lib and loads == 1)
        assert(time.seconds and require("time") == time and process.id() == "app:main")
        local ok, err = pcall(require, "env")
        assert(not ok and err:kind() == "NotFound")
        return middle.text(n) .. tostring(err)
      end
      return {main = main}
  - name: direct
    kind: process.lua
    source: return function(...) return select("#", ...) end
  - name: lost
    kind: process.lua
    method: start
    source: return {main = print}
  - name: fails
    kind: process.lua
    source: |
      return function()
        error("here")
      end
  - name: broken
    kind: process.lua
    source: |
      return function()
        local x = = 1
      end
"##;

#[test]
fn entries_run_with_their_modules_and_imports() {
    let world = World::of(&[("src/_index.yaml", PROJECT)]);
    let exit = world.run_entry("app:main", &[Value::Int(4)]);
    let text = "[8]module 'env' not found: entry app:main does not declare it; add to the entry: modules: [time, env]";
    assert_eq!(exit.result.as_ref().unwrap().to_value().unwrap(), Value::from(text));
    let exit = world.run_entry("app:direct", &[Value::Nil, Value::Nil]);
    assert_eq!(exit.result.as_ref().unwrap().to_value().unwrap(), Value::Int(2));
    let exit = world.run_entry("app:lost", &[]);
    let error = exit.error().unwrap();
    assert_eq!(
        (error.kind(), error.message()),
        (Kind::NotFound, "method \"start\" not found in module")
    );
}

#[test]
fn lines_of_inline_sources_point_into_the_yaml() {
    let world = World::of(&[("src/_index.yaml", PROJECT)]);
    let line = |text: &str| PROJECT.lines().position(|line| line.contains(text)).unwrap() as u32 + 1;
    let error = world.run_entry("app:fails", &[]).error().cloned().unwrap();
    assert_eq!(error.frames()[0].line, line("error(\"here\")"));
    assert_eq!(
        error.message(),
        format!("src/_index.yaml:{}: here", line("error(\"here\")"))
    );
    let registry = world.engine.registry();
    let broken = registry.get(&crate::id::EntryId::new("app", "broken")).unwrap();
    let error = world.engine.program(broken).err().unwrap();
    assert_eq!(
        (error.kind(), error.frames()[0].line),
        (Kind::Invalid, line("local x = = 1"))
    );
}

/// Runs a text that may require these files.
fn passes_beside(files: &[(&str, &[u8])], text: &str) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let world = World::new();
    let program = world
        .engine
        .script("main.lua".as_ref(), text, vec![folder.path().to_owned()])
        .unwrap();
    let exit = world.end(&world.spawn(program, &[]).unwrap());
    assert!(exit.result.is_ok(), "{exit:?}");
}

#[test]
fn scripts_require_files_below_their_folders() {
    passes_beside(
        &[
            (
                "lib/one.lua",
                b"runs = (runs or 0) + 1 require('time').sleep('1ms') return {n = 1}",
            ),
            ("lib/two/init.lua", b"return require('lib.one').n + 1"),
            ("nothing.lua", b""),
            ("a.lua", b"return require('b')"),
            ("b.lua", b"return require('a')"),
            ("bad.lua", b"x = = 1"),
            ("latin.lua", b"-- caf\xe9\nreturn '\xff'"),
            ("folder.lua/init.lua", b"return 'in a folder'"),
        ],
        r##"
        assert(require("lib.one") == require("lib.one") and runs == 1)
        assert(require("lib.two") == 2 and require("nothing") == true)
        local ok, err
        for _ = 1, 2 do
            ok, err = pcall(require, "a")
            assert(not ok and tostring(err) == "module cycle: a -> b -> a", tostring(err))
            ok, err = pcall(require, "b")
            assert(not ok and tostring(err) == "module cycle: b -> a -> b", tostring(err))
        end
        ok, err = pcall(require, "no.such")
        assert(not ok and tostring(err):find("no/such.lua", 1, true) and tostring(err):find("no/such/init.lua", 1, true))
        ok, err = pcall(require, "../etc")
        assert(not ok and err:kind() == "NotFound")
        ok, err = pcall(require, "bad")
        assert(not ok and err:kind() == "Invalid" and tostring(err):find("bad.lua:1:", 1, true))
        assert(require("latin") == "\255")
        ok, err = pcall(require, "latin.below")
        assert(not ok and err:kind() == "NotFound")
        "##,
    );
}

#[test]
fn a_file_whose_chunk_fails_is_no_cycle_the_next_time() {
    passes_beside(
        &[
            ("bad.lua", b"error('boom')"),
            ("needs.lua", b"return require('bad')"),
            ("yields.lua", b"coroutine.yield(1) return 'whole'"),
            ("closed.lua", b"coroutine.yield(1)"),
            (
                "lost.lua",
                b"if not tries then tries = 1 coroutine.yield(1) end return 'again'",
            ),
        ],
        r##"
        for _ = 1, 3 do
            local ok, err = pcall(require, "bad")
            assert(not ok and err:find("boom"), tostring(err))
            ok, err = pcall(require, "needs")
            assert(not ok and err:find("boom"), tostring(err))
            ok, err = pcall(coroutine.wrap(require), "bad")
            assert(not ok and err:find("boom"), tostring(err))
            ok, err = coroutine.resume(coroutine.create(require), "bad")
            assert(not ok and err:find("boom"), tostring(err))
        end
        -- Left where it is and gone on with later.
        local co = coroutine.create(require)
        assert(coroutine.resume(co, "yields"))
        local seen
        coroutine.spawn(function() seen = require("yields") end)
        require("time").sleep("1ms")
        assert(seen == nil)
        local _, value = coroutine.resume(co)
        assert(value == "whole" and require("yields") == "whole")
        require("time").sleep("1ms")
        assert(seen == "whole")
        -- Closed.
        for _ = 1, 2 do
            co = coroutine.create(require)
            assert(coroutine.resume(co, "closed"))
            assert(coroutine.close(co))
        end
        -- Forgotten.
        coroutine.wrap(require)("lost")
        collectgarbage()
        assert(require("lost") == "again")
        "##,
    );
}

#[test]
fn coroutines_that_require_one_file_wait_for_each_other() {
    passes_beside(
        &[
            (
                "good.lua",
                b"runs = (runs or 0) + 1 require('time').sleep('5ms') return {n = runs}",
            ),
            (
                "fails.lua",
                b"tries = (tries or 0) + 1 require('time').sleep('5ms') error('boom')",
            ),
            ("left.lua", b"require('time').sleep('5ms') return {require('right')}"),
            ("right.lua", b"require('time').sleep('5ms') return {require('left')}"),
        ],
        r##"
        local function both(first, second)
            local results, done = {}, channel.new()
            for i, name in ipairs({first, second}) do
                coroutine.spawn(function()
                    results[i] = table.pack(pcall(require, name))
                    done:send(true)
                end)
            end
            done:receive()
            done:receive()
            return results[1], results[2]
        end
        local a, b = both("good", "good")
        assert(a[1] and b[1] and a[2] == b[2] and runs == 1, tostring(b[2]))
        a, b = both("fails", "fails")
        assert(not a[1] and not b[1] and tries == 2)
        assert(a[2]:find("boom") and b[2]:find("boom"), tostring(b[2]))
        -- A cycle, of which each coroutine has one half.
        a, b = both("left", "right")
        assert(not a[1] and not b[1])
        local messages = tostring(a[2]) .. tostring(b[2])
        assert(messages:find("module cycle: left -> right -> left", 1, true)
            or messages:find("module cycle: right -> left -> right", 1, true), messages)
        "##,
    );
}

#[test]
fn one_call_of_the_host_stays_short() {
    // Each took minutes.
    passes(
        r##"
        local n = 100000
        local subject, set = ("a"):rep(n), "[^" .. ("b"):rep(n) .. "]*$"
        assert(subject:find(set) == 1)
        local values = {}
        for i = 1, n do values[i] = setmetatable({}, {__tostring = function() return "x" end}) end
        assert(#string.format(("%s"):rep(n), table.unpack(values)) == n)
        local ch, woken = channel.new(), 0
        for _ = 1, 30000 do
            coroutine.spawn(function()
                ch:receive()
                woken = woken + 1
            end)
        end
        local time = require("time")
        time.sleep("1ms")
        ch:close()
        time.sleep("1ms")
        assert(woken == 30000, woken)
        "##,
    );
}

#[test]
fn long_sets_mean_what_short_ones_do() {
    passes(
        r##"
        local long = ("x"):rep(40)
        for _, case in ipairs({
            {"[%d" .. long .. "]+", "abc123xx!", "123xx"},
            {"[^%d" .. long .. "]+", "12abc3", "abc"},
            {"[" .. long .. "a-c%-]+", "__a-bxd", "a-bx"},
            {"%f[%a" .. long .. "]%a+", "12 ab", "ab"},
            {"[]" .. long .. "]+", "a]x]b", "]x]"},
            {"[^]" .. long .. "]+", "]ab]", "ab"},
            {"[" .. long .. "-]+", "a-x-", "-x-"},
            {"[%z" .. long .. "]+", "ab\0", "\0"},
        }) do
            local pattern, subject, wanted = case[1], case[2], case[3]
            assert(subject:match(pattern) == wanted, pattern)
            -- So long that our own matcher looks.
            assert((("~"):rep(20000) .. subject):match(pattern .. "~-") == wanted
                or pattern:sub(1, 2) == "[^", pattern)
        end
        assert((("a"):rep(5000) .. "\0"):find("a-%z") == 1)
        local ok, err = pcall(string.match, ("a"):rep(4000), "(a*)%0")
        assert(not ok and err:find("invalid capture index %0", 1, true), err)
        assert(("aa"):find("()a%1") == nil and ("aa"):find("()a%1" .. ("z*"):rep(22)) == nil)
        assert((("a"):rep(20000000) .. "b)"):find("b)", 1) == 20000001)
        "##,
    );
}

#[test]
fn main_is_the_main_coroutine() {
    passes(
        r##"
        local main, is_main = coroutine.running()
        assert(type(main) == "thread" and is_main == true)
        coroutine.wrap(function() assert(select(2, coroutine.running()) == false) end)()
        coroutine.spawn(function() assert(select(2, coroutine.running()) == false) end)
        require("time").sleep("1ms")
        "##,
    );
}

/// A record of one field, as it comes from WASM.
fn record(key: &str, number: i64) -> Value {
    Value::Table(Box::new(Table {
        pairs: vec![(Value::from(key), Value::Int(number))],
        record: true,
        ..Table::default()
    }))
}

#[test]
fn a_record_from_wasm_is_read_in_snake_case_and_keeps_it() {
    let world = World::new();
    let program = world.program(
        "main",
        r##"
        local r = ...
        assert(r.tag_count == 3 and r["tag-count"] == 3 and rawget(r, "tag_count") == nil)
        r.tag_count = 4
        r.other_key = 5
        assert(r["tag-count"] == 4 and r.other_key == 5)
        process.send(process.pid(), "r", r)
        assert(process.receive().value.tag_count == 4)
        local err = errors.new{message = "no", details = {value = r, plain = {["a-b"] = 1}}}
        assert(err:details().value.tag_count == 4 and err:details().plain.a_b == nil)
        process.send(process.pid(), "e", err)
        assert(process.receive().value:details().value.tag_count == 4)

        -- The idiom of copies, and a class put over what a guest gave.
        local copy = setmetatable({["tag-count"] = 7}, getmetatable(r))
        process.send(process.pid(), "copy", copy)
        assert(copy.tag_count == 7 and process.receive().value.tag_count == 7)
        assert(setmetatable(r, {__index = {kind = "class"}}) == r and r.kind == "class" and r.tag_count == nil)
        assert(getmetatable(setmetatable(r, nil)) == nil)
        assert(not pcall(setmetatable, process.receive and copy, 1) and copy.tag_count == 7)
        "##,
    );
    let process = world.spawn(program, &[record("tag-count", 3)]).unwrap();
    let exit = world.end(&process);
    assert!(exit.result.is_ok(), "{exit:?}");
}

#[test]
fn functions_are_named_as_in_lua() {
    let world = World::new();
    let exit = world.run(
        r##"
        local function fails(message, ...)
            local ok, err = pcall(...)
            assert(not ok and err == message, err)
        end
        fails("bad argument #1 to 'string.rep' (string expected, got no value)", string.rep)
        fails("bad argument #1 to 'setmetatable' (table expected, got no value)", setmetatable)
        local function lines(handler)
            local _, trace = xpcall(function() error("no") end, handler)
            local found = {}
            for line in trace:gmatch("\n\t([^\n]*)") do found[#found + 1] = line end
            return found
        end
        local plain, own = lines(debug.traceback), lines(function(message) return debug.traceback(message) end)
        assert(plain[1] == "[C]: in function 'error'" and plain[3] == "[C]: in function 'xpcall'", table.concat(plain, "; "))
        assert(own[1]:find("in function <main", 1, true) and own[2] == plain[1], table.concat(own, "; "))
        assert(debug.traceback("m", 1):find("^m\nstack traceback:\n\tmain"))
        assert(debug.traceback(coroutine.create(print), "m") == "m\nstack traceback:")
        "##,
    );
    assert!(exit.result.is_ok(), "{exit:?}");
}

#[test]
fn a_message_that_is_deep_leaves_nothing_behind() {
    let world = World::new();
    let exit = world.run(
        r##"
        local function receive(message)
            process.send(process.pid(), "t", message)
            local value, depth = process.receive().value, 0
            while value do value, depth = value[1], depth + 1 end
            collectgarbage()
            return depth
        end
        local function deep(depth)
            local value = {}
            for _ = 2, depth do value = {value} end
            return value
        end
        assert(receive(deep(90)) == 90 and receive(deep(110)) == 110)
        local before = collectgarbage("count")
        assert(receive(deep(90000)) == 90000)
        local shared = deep(1000)
        process.send(process.pid(), "t", shared, {shared, shared})
        local values = process.receive().values
        assert(values[1] ~= nil and values[2][1] == values[1] and values[2][2] == values[1])
        values, shared = nil, nil
        collectgarbage()
        local more = collectgarbage("count") - before
        assert(more < 100, more)
        "##,
    );
    assert!(exit.result.is_ok(), "{exit:?}");
}

#[test]
fn no_program_gives_records_a_finalizer() {
    let world = World::new();
    let program = world.program(
        "main",
        r##"
        local r, ran = ..., false
        local shown = getmetatable(r)
        shown.__gc = function() ran = true end
        for i = 1, 100 do
            process.send(process.pid(), "t", {r, i}, r)
            local values = process.receive().values
            assert(values[1][1].a_b == 1 and values[2].a_b == 1 and getmetatable(values[2]) == shown)
        end
        collectgarbage()
        assert(not ran)
        local ok, err = pcall(setmetatable, {}, shown)
        assert(not ok and tostring(err):find("__gc is not supported", 1, true), err)
        shown.__index, shown.__metatable = nil, "mine"
        assert(r.a_b == 1 and getmetatable(r) == shown)
        "##,
    );
    let process = world.spawn(program, &[record("a-b", 1)]).unwrap();
    let exit = world.end(&process);
    assert!(exit.result.is_ok(), "{exit:?}");
}

#[test]
fn print_writes_a_line_and_waits_for_a_slow_terminal() {
    let terminal = crate::system::terminal::Terminal::captured(Vec::new());
    let world = World::on_terminal(terminal.clone());
    let exit = world.run(
        "print('a', 1, nil, setmetatable({}, {__tostring = function() return 'shown' end})) print()
        for i = 1, 2000 do print(('x'):rep(100)) end",
    );
    assert!(exit.result.is_ok(), "{exit:?}");
    world.flush(&terminal);
    let output = String::from_utf8(terminal.output()).unwrap();
    assert!(output.starts_with("a\t1\tnil\tshown\n\nxxx"));
    assert_eq!(output.lines().count(), 2002);
}

#[test]
fn a_hard_pattern_stops_nobody() {
    hog("while true do pcall(string.find, ('a'):rep(40), ('a?'):rep(40) .. ('a'):rep(40)) end");
    hog("local s = ('x'):rep(100000) while true do pcall(string.find, s, '.-y') end");
    hog("local s = ('x'):rep(100000) for _ in s:gmatch('.-y') do end while true do end");
    hog("local s = ('x'):rep(100000) s:gsub('.-y', 'z') while true do end");
}

#[test]
fn our_matcher_agrees_with_that_of_lua() {
    // Made long enough to be ours, each pattern is compared with Lua's own answer on the short text.
    passes(
        r##"
        local patterns = {"%w+", "(%w+)=(%w+)", "^%s*(.-)%s*$", "%b()", "%f[%a]%a+", "()x()", "[%w_]*", "[^%s]+", "[a-c]-d", "%d%d?",
            "(a*(.)%w(%s*))", "%1", "(x)%1", "[]]", "[^]]", "[%]a-]+", ".", "", "$", "a$", "%$", "%.%-", "[%a-z]", "(()%w)", "%x+%p"}
        local texts = {"", "key=value other=x", "  padded text  ", "f(a(b)c) d)", "THE (quick) fox", "xx yy", "aaa.-$", "]a]-", "abcd12 3f!"}
        local pad = ("\n"):rep(3000)
        local checked = 0
        for _, p in ipairs(patterns) do
            for _, s in ipairs(texts) do
                local own = table.pack(pcall(string.find, s, p))
                -- The pad makes the call ours; a search that ends before it has the same answer.
                local ours = table.pack(pcall(string.find, s .. pad, p))
                if own[1] and own[2] and own[3] < #s and p:sub(-1) ~= "$" then
                    assert(own.n == ours.n, p .. " | " .. s)
                    for i = 1, own.n do assert(own[i] == ours[i], p .. " | " .. s) end
                    checked = checked + 1
                end
            end
        end
        assert(checked > 60, checked)
        assert(not pcall(string.find, pad, "(") and not pcall(string.find, pad, "[a") and not pcall(string.find, pad, "%"))
        local t = {}
        for k, v in ("a=1, b=2" .. pad):gmatch("(%w+)=(%w+)") do t[#t + 1] = k .. v end
        assert(table.concat(t, " ") == "a1 b2")
        local out, n = ("a=1, b=2" .. pad):gsub("(%w+)=(%w+)", "%2=%1%%%0")
        assert(n == 2 and out:sub(1, 24) == "1=a%a=1, 2=b%b=2\n\n\n\n\n\n\n\n", out:sub(1, 24))
        assert(("x" .. pad):find("x", 1, true) == 1 and (pad .. "x"):find("x+") == #pad + 1)
        assert(select(2, ("abc" .. pad):gsub("x*", "-")) == #pad + 4)
        "##,
    );
}

/// Denies what is on its list, as `action resource`.
struct Deny(Vec<&'static str>);

impl crate::process::Policy for Deny {
    fn allows(&self, _: &crate::process::Context, action: &str, resource: &str) -> bool {
        let asked = format!("{action} {resource}");
        !self.0.iter().any(|denied| asked.starts_with(denied))
    }
}

#[test]
fn what_a_policy_denies_is_an_error_and_spawners_raise_it() {
    let world = World::new();
    world.program("echo", "return ...");
    world.kernel.set_policy(Arc::new(Deny(vec![
        "process.spawn app:secret",
        "process.spawn.monitored",
        "process.spawn.linked",
        "process.exec",
        "process.host app:other",
        "process.send",
        "process.terminate",
        "process.cancel",
        "process.monitor",
        "process.unmonitor",
        "process.link",
        "process.unlink",
        "process.context hidden",
        "process.security",
        "process.registry.register boss",
        "process.registry.unregister",
        "process.registry.foreign",
        "env.get",
        "env.set",
        "fs.get",
    ])));
    let exit = world.run(
        r#"
        local function denied(text, first, value, err)
            assert(value == first and err:kind() == "PermissionDenied", text .. ": " .. tostring(err))
            assert(err:message() == "not allowed to " .. text, err:message())
        end
        local me, host = process.pid(), "app:processes"
        local other = assert(process.spawn("app:echo", host))
        denied("spawn app:secret", nil, process.spawn("app:secret", host))
        denied("spawn and monitor app:echo", nil, process.spawn_monitored("app:echo", host))
        denied("spawn and link to app:echo", nil, process.spawn_linked("app:echo", host))
        denied("execute app:echo", nil, process.exec("app:echo", host))
        denied("send to " .. me, nil, process.send(me, "x"))
        denied("terminate " .. me, nil, process.terminate(me))
        denied("cancel " .. me, nil, process.cancel(me))
        denied("monitor " .. other, nil, process.monitor(other))
        denied("unmonitor " .. other, nil, process.unmonitor(other))
        denied("link to " .. other, nil, process.link(other))
        denied("unlink from " .. other, nil, process.unlink(other))
        denied("register name boss", false, process.registry.register("boss"))
        denied("name another process: " .. other, false, process.registry.register("x", other))
        denied("unregister name x", false, process.registry.unregister("x"))
        denied("read variable KEY", nil, require("env").get("KEY"))
        denied("write variable KEY", false, require("env").set("KEY", "x"))
        denied("use filesystem app:data", nil, require("fs").get("app:data"))

        local function raises(text, f, ...)
            local ok, err = pcall(f, ...)
            assert(not ok)
            denied(text, nil, nil, err)
        end
        local security = require("security")
        local spawner = process.with_context({open = 1})
        raises("set context value hidden", process.with_context, {hidden = 1})
        raises("set context value hidden", spawner.with_context, spawner, {hidden = 1})
        raises("set the security actor", spawner.with_actor, spawner, security.new_actor("a"))
        raises("set the security scope", spawner.with_scope, spawner, security.new_scope())
        raises("spawn app:secret", spawner.spawn, spawner, "app:secret", host)
        raises("execute app:echo", spawner.exec, spawner, "app:echo", host)
        assert(spawner:spawn("app:echo", host))
        assert(security.can("fly", "high") and not security.can("process.send", "anybody"))
        "#,
    );
    assert!(exit.result.is_ok(), "{exit:?}");
}
