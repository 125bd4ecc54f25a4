//! What one Lua process can do to others, and to whoever wants it ended: nothing. Every call that is long, every way to
//! go on and on, whatever is deep. Limits of memory are in `limits`, bad neighbours in `neighbours`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::neighbours::Bystander;
use super::test_support::{World, passes, value};
use crate::error::Kind;
use crate::process::{Cause, Process};
use crate::value::Value;

/// How long anything may take to begin, for machines that have other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ways of going on for ever, or nearly so: each is told that it has begun by calling `go`.
const ENDLESS: &[(&str, &str)] = &[
    ("a loop", "go() while true do end"),
    ("a loop of calls", "local function f() end go() while true do f() end"),
    ("recursion without end", "local function f() return f() end go() f()"),
    (
        "retries",
        "go() while true do pcall(function() while true do end end) end",
    ),
    (
        "retries with a handler",
        "go() while true do xpcall(function() error() end, function() while true do end end) end",
    ),
    (
        "retries in a metamethod",
        "local t = setmetatable({}, {__index = function() while true do pcall(error) end end}) go() return t.x",
    ),
    (
        "coroutines in coroutines",
        "local function deeper(n) while true do if n > 0 then coroutine.wrap(deeper)(n - 1) end end end go() deeper(20)",
    ),
    (
        "a coroutine that is resumed for ever",
        "local co = coroutine.wrap(function() while true do coroutine.yield() end end) go() while true do co() end",
    ),
    (
        "coroutines made for ever",
        "go() while true do coroutine.wrap(function() end)() end",
    ),
    (
        "the handler of a variable that is closed",
        "go() do local x <close> = setmetatable({}, {__close = function() while true do pcall(error) end end}) end",
    ),
    (
        "closing a coroutine",
        "local co = coroutine.create(function()
            local x <close> = setmetatable({}, {__close = function() while true do pcall(error) end end})
            coroutine.yield()
        end)
        coroutine.resume(co) go() coroutine.close(co)",
    ),
    (
        "comparisons of a sort",
        "local t = {} for i = 1, 100 do t[i] = i end go() table.sort(t, function() while true do pcall(error) end end)",
    ),
    (
        "a sort without end",
        "go() table.sort(setmetatable({}, {__len = function() return 0x7ffffffe end, __index = function(_, i) return i end}))",
    ),
    (
        "a callback of gsub",
        "go() string.gsub(('x'):rep(1000), 'x', function() while true do pcall(error) end end)",
    ),
    (
        "a hard pattern",
        "local s = ('a'):rep(1 << 20) go() string.find(s, ('.-'):rep(20) .. 'b')",
    ),
    (
        "a hard pattern within a sort",
        "local s = ('a'):rep(1 << 16) go() table.sort({1, 2}, function() return s:find(('.-'):rep(20) .. 'b') end)",
    ),
    (
        "a hard plain search",
        "local s = ('a'):rep(1 << 24) go() s:find(('a'):rep(1 << 23) .. 'b', 1, true)",
    ),
    (
        "hard matches",
        "local s = ('a'):rep(1 << 20) go() for _ in s:gmatch(('a?'):rep(30) .. 'b') do end",
    ),
    (
        "a repeated nothing",
        "go() while true do (''):rep(math.maxinteger, '') end",
    ),
    (
        "a metamethod of ipairs",
        "go() for _ in ipairs(setmetatable({}, {__index = function() return 1 end})) do end",
    ),
    (
        "an iterator without end",
        "go() for _ in function() return 1 end do end",
    ),
    (
        "table.move over nothing",
        "go() table.move({}, 1, math.maxinteger - 1, 2)",
    ),
    (
        "table.move backwards into another table",
        "go() table.move({}, 2, math.maxinteger - 1, 1, {})",
    ),
    (
        "table.insert into what says that it is long",
        "go() table.insert(setmetatable({}, {__len = function() return 1 << 60 end}), 1, 1)",
    ),
    (
        "table.remove from what says that it is long",
        "go() table.remove(setmetatable({}, {__len = function() return 1 << 60 end}), 1)",
    ),
    (
        "table.concat of what is always there",
        "go() while true do pcall(table.concat, setmetatable({}, {__index = string.len}), '', 1, 1 << 60) end",
    ),
    (
        "table.insert at the front",
        "local t = {} for i = 1, 1 << 21 do t[i] = i end go() while true do table.insert(t, 1, 1) table.remove(t, 1) end",
    ),
    (
        "unpacking",
        "local t = {} go() while true do pcall(table.unpack, t, 1, 900000) end",
    ),
    (
        "a reader of load",
        "go() while true do load(function() return 'x = 1 ' end) end",
    ),
    (
        "a large chunk",
        "local text = ('x = {1, 2, 3} '):rep(1 << 17) go() while true do assert(load(text)) end",
    ),
    (
        "a chunk that takes Lua the square of its length",
        "local text = 'if x then ' .. ('elseif x then '):rep(1 << 20) .. 'end' go() load(text)",
    ),
    (
        "collections of a large heap",
        "local t = {} for i = 1, 1 << 19 do t[i] = {i} end go() while true do collectgarbage() end",
    ),
    (
        "large strings",
        "local s = ('x'):rep(1 << 24) go() while true do s:upper() s:reverse() utf8.len(s) tonumber(s) s:rep(4) end",
    ),
    (
        "formats",
        "local s = ('x'):rep(1 << 20) go() while true do string.format('%q%s', s, s) end",
    ),
    (
        "packing",
        "local f = ('b'):rep(1 << 20) go() while true do pcall(string.packsize, f) pcall(string.pack, 'c' .. (1 << 26), '') end",
    ),
    (
        "a text that is shown for ever",
        "go() tostring(setmetatable({}, {__tostring = function() while true do pcall(error) end end}))",
    ),
    (
        "a text that is formatted for ever",
        "go() string.format('%s', setmetatable({}, {__tostring = function() while true do pcall(error) end end}))",
    ),
    (
        "a text that is printed for ever",
        "go() print(setmetatable({}, {__tostring = function() while true do pcall(error) end end}))",
    ),
    (
        "errors about errors",
        "go() while true do xpcall(error, function(e) error(e) end) end",
    ),
    (
        "deep recursion again and again",
        "local function f(n) return 1 + f(n) end go() while true do pcall(f, 1) end",
    ),
    (
        "deep pcalls again and again",
        "local function f() return pcall(f) end go() while true do f() end",
    ),
    (
        "encoding a large table",
        "local json, t = require('json'), {} for i = 1, 1 << 18 do t[i] = {i} end go() while true do json.encode(t) end",
    ),
    (
        "messages to itself",
        "local t = {} for i = 1, 1 << 16 do t[i] = {i} end go() while true do process.send(process.pid(), 'x', t) end",
    ),
    (
        "a walk over holes",
        "local t = {} for i = 1, 1 << 21 do t[i] = i end for i = 1, 1 << 21 do t[i] = nil end go() while true do next(t) end",
    ),
    (
        "a select of what says that it is long",
        "local t = table.create(0, 64) for k = 0, 61 do t[1 << k] = 1 end go() while true do pcall(channel.select, t, true) end",
    ),
    (
        "messages of what says that it is long",
        "local t = table.create(0, 64) for k = 0, 61 do t[1 << k] = 1 end go() while true do process.send(process.pid(), 'x', t) process.receive('0s') end",
    ),
];

impl World {
    /// Starts that text and waits until it has called `go`.
    fn start_endless(&self, name: &str, code: &str) -> Arc<Process> {
        let text = format!(
            "local go = function() process.registry.register('begun') end\nlocal result = (function() {code}\nend)()\nreturn 'over'"
        );
        let process = self.spawn(self.program("endless", &text), &[]).unwrap();
        let since = Instant::now();
        while self.kernel.names().lookup("begun").is_none() {
            assert!(process.exit().is_none(), "{name}: {:?}", process.exit());
            assert!(since.elapsed() < PATIENCE, "{name} does not begin");
            std::thread::sleep(Duration::from_millis(1));
        }
        process
    }
}

#[test]
fn whatever_a_process_is_at_it_ends_when_terminated_and_others_go_on() {
    for (name, code) in ENDLESS {
        let world = World::new();
        let bystander = Bystander::start(&world);
        let endless = world.start_endless(name, code);
        bystander.gets_on(&world, name);
        world.kernel.terminate(endless.pid()).unwrap();
        let exit = world.end(&endless);
        assert_eq!(exit.cause, Cause::Terminated, "{name}: {exit:?}");
        bystander.stop(&world, name);
    }
}

#[test]
fn what_lua_functions_call_back_may_wait() {
    passes(
        r##"
        local time = require("time")
        local function slowly(v) time.sleep("1ms") return v end
        local shown = setmetatable({}, {__tostring = function() return slowly("shown") end})
        assert(tostring(shown) == "shown" and ("%s"):format(shown) == "shown")
        assert(string.format("%%%5d|%-7s|%%|%s|%s", 3, shown, "%s", shown) == "%    3|shown  |%|%s|shown")
        assert(string.format("%q %s", "x", shown) == '"x" shown')
        print(shown, 1, shown)
        for _, bad in ipairs{function() return tostring end, function() return string.format end} do
            local ok, err = pcall(bad(), setmetatable({}, {__tostring = function() return slowly({}) end}))
            assert(not ok and type(err) == "string")
        end
        local pieces, at = {"return ", "1 ", "", "nonsense"}, 0
        assert(load(function() at = at + 1 return slowly(pieces[at]) end)() == 1)
        local log = {}
        local function proxy(own)
            return setmetatable({}, {
                __index = function(_, i) return slowly(own[i]) end,
                __newindex = function(_, i, v) own[i] = slowly(v) end,
                __len = function() return slowly(#own) end,
            })
        end
        local own = {1, 2, 3}
        local t = proxy(own)
        assert(table.concat(t, ",") == "1,2,3" and table.concat(t, ",", 2) == "2,3" and table.concat(t, "", 2, 1) == "")
        table.insert(t, 2, "new")
        assert(table.concat(own, ",") == "1,new,2,3")
        assert(table.remove(t, 1) == 1 and table.concat(own, ",") == "new,2,3")
        assert(table.move(t, 1, 2, 3) == t and table.concat(own, ",") == "new,2,new,2")
        assert(#table.move(t, 1, 3, 2, {"own"}) == 4)
        for i, value in ipairs(t) do assert(value == own[i]) end
        assert(select("#", table.unpack(t)) == 4 and unpack(t, 4) == 2)
        table.insert(t, 1)
        assert(table.remove(t) == 1 and #own == 4)
        do local x <close> = setmetatable({}, {__close = function() slowly() log[1] = "closed" end}) end
        assert(log[1] == "closed")
        local equal = setmetatable({}, {__eq = function() return slowly(true) end})
        assert(equal == setmetatable({}, getmetatable(equal)))
        for k in pairs(setmetatable({}, {__pairs = function() return slowly(next), {key = 1} end})) do assert(k == "key") end
        local sorted = {3, 1, 2}
        table.sort(sorted, function(a, b) return slowly(a < b) end)
        assert(sorted[1] == 1 and sorted[3] == 3)
        -- Where a C function of Lua's own is between, an error says so.
        for _, wrong in ipairs{
            function()
                local co = coroutine.create(function()
                    local x <close> = setmetatable({}, {__close = function() slowly() end})
                    coroutine.yield()
                end)
                coroutine.resume(co)
                error(select(2, coroutine.close(co)))
            end,
        } do
            local ok, err = pcall(wrong)
            assert(not ok and err:find("cannot wait here: a C function is on the stack"), tostring(err))
        end
        for _, handler in ipairs{slowly, function() slowly() end} do
            local ok, err = xpcall(error, handler, "x")
            assert(not ok and err:find("cannot wait in the handler of xpcall: wait after"), tostring(err))
        end
        local _, told = xpcall(error, function(e) return select(2, pcall(slowly)) end, "x")
        assert(told:find("handler of xpcall"))
        assert(xpcall(slowly, error, 1))
        "##,
    );
}

#[test]
fn a_wait_deep_in_a_handler_is_one_below_a_c_function() {
    passes(
        r##"
        local sleep = require("time").sleep
        local function deep(n)
            if n > 0 then
                local told = deep(n - 1)
                return told
            end
            return select(2, pcall(sleep, 1))
        end
        for levels, text in pairs{[500] = "handler of xpcall", [2000] = "a C function is on the stack"} do
            local told
            xpcall(error, function() told = deep(levels) end)
            assert(told:find(text, 1, true), told)
        end
        "##,
    );
}

#[test]
fn a_search_in_the_handler_of_a_stack_overflow_stays_on_the_stack() {
    passes(
        r##"
        local s, p, told = ("ab"):rep(6000), ("(.?)"):rep(32), {}
        -- With frames of a hundred values a stack is full soon.
        local overflow = load("local function f() local x" .. (", x"):rep(99) .. " return 1 + f() end return f")()
        -- The later ones come to where there is room for the call and none for the captures.
        for levels = 100, 120, 4 do
            local function deep(n)
                if n > 0 then deep(n - 1) else told[levels] = table.pack(pcall(s.find, s, p)) end
            end
            xpcall(overflow, function() deep(levels) end)
        end
        local refused = 0
        for _, got in pairs(told) do
            if not got[1] then
                assert(got[2]:find("stack overflow", 1, true), got[2])
                refused = refused + (got[2]:find("too many captures", 1, true) and 1 or 0)
            end
        end
        assert(told[100][1] and told[100].n == 35 and refused > 0, refused)
        "##,
    );
}

#[test]
fn a_table_that_says_that_it_is_long_is_not_read_to_its_end() {
    passes(
        r##"
        local t = table.create(0, 64)
        for k = 0, 61 do t[1 << k] = k end
        assert(#t == 1 << 61)
        local ok, err = pcall(channel.select, t, true)
        assert(not ok and err:find("too many cases for select: 1048576 at most", 1, true), err)
        -- What it holds crosses all the same.
        assert(process.send(process.pid(), "x", t, "behind"))
        local values = process.receive().values
        local got, count = values[1], 0
        for key, value in pairs(got) do
            assert(t[key] == value, key)
            count = count + 1
        end
        assert(count == 62 and values[2] == "behind")
        -- Where values are between the holes it is an array.
        local list = {}
        for i = 1, 100000 do list[i] = i end
        for i = 3, 99999, 2 do list[i] = nil end
        assert(process.send(process.pid(), "x", list))
        got = process.receive().value
        for i = 1, 100000 do assert(got[i] == list[i]) end
        "##,
    );
}

#[test]
fn one_select_leaves_a_queue_however_many_cases_it_has() {
    passes(
        r##"
        local busy, wake, ready, woken = channel.new(), channel.new(), channel.new(), channel.new()
        local cases = {}
        for i = 1, 300000 do cases[i] = busy:case_receive() end
        coroutine.spawn(function() channel.select(cases) end)
        coroutine.spawn(function()
            local more = table.move(cases, 1, #cases, 1, {})
            more[#more + 1] = wake:case_receive()
            ready:send(true)
            woken:send(channel.select(more).channel == wake)
        end)
        coroutine.spawn(function() channel.select(cases) end)
        assert(ready:receive())
        coroutine.spawn(function() wake:send(true) end)
        assert(woken:receive())
        "##,
    );
}

#[test]
fn slow_table_functions_are_those_of_lua() {
    passes(
        r##"
        -- Metamethods that do nothing make a table go the slow way.
        local function slow(t) return setmetatable(t, {}) end
        local function both(f)
            local quick = table.pack(pcall(f, function(t) return t end))
            local slowly = table.pack(pcall(f, slow))
            assert(quick.n == slowly.n, quick.n .. " " .. slowly.n)
            for i = 1, quick.n do assert(quick[i] == slowly[i], tostring(quick[i]) .. " | " .. tostring(slowly[i])) end
        end
        local max, min = math.maxinteger, math.mininteger
        for _, pos in ipairs{-1, 0, 1, 2, 3, 4, 5, 6, max, min, 2.0, 2.5, "2", "x", {}} do
            both(function(make) local t = make{"a", "b", "c", "d"} table.insert(t, pos, "new") return table.unpack(t, 1, 6) end)
            both(function(make) local t = make{"a", "b", "c", "d"} local v = table.remove(t, pos) return v, table.unpack(t, 1, 6) end)
            both(function(make) local t = make{} return table.remove(t, pos), t[1] end)
            for _, last in ipairs{0, 1, 3, max, min, "3", 2.5} do
                both(function(make) return table.concat(make{"a", 1, 2.5}, "-", type(pos) == "number" and pos > -9 and pos < 9 and pos or 1, last == max and 3 or last) end)
                for _, at in ipairs{-2, 1, 2, 4, max} do
                    local count = math.tointeger(last) and math.tointeger(pos) and last - pos
                    if not count or count < 100 then
                        both(function(make) local t = make{"a", "b", "c", "d"} table.move(t, pos, last, at) return table.unpack(t, 1, 9) end)
                        both(function(make) local t = table.move(make{"a", "b"}, pos, last, at, make{"x"}) return table.unpack(t, 1, 9) end)
                    end
                end
            end
        end
        both(function(make) table.move(make{}, -1, max, 2) end)
        both(function(make) table.move(make{}, min, max, 2) end)
        both(function(make) table.move(make{}, 1, max, 2) end)
        both(function(make) table.insert(make{}, 1, 2, 3) end)
        both(function(make) table.insert(make{}) end)
        both(function(make) return table.concat(make{"a", {}, "c"}) end)
        both(function(make) return table.concat(make{"a", "b"}, {}) end)
        both(function(make) return table.concat(make{}) end)
        both(function(make) return table.concat(make{"a", "b"}, 0) end)
        local long = {}
        for i = 1, 10000 do long[i] = i end
        assert(table.concat(slow(long), " ") == table.concat(setmetatable(long, nil), " "))
        for _, f in ipairs{table.insert, table.remove, table.move, table.concat, table.sort} do
            for _, wrong in ipairs{"text", 5, true} do assert(not pcall(f, wrong, 1, 2, 3)) end
        end
        assert(("x"):rep(3, ", ") == "x, x, x" and (""):rep(3, ",") == ",," and (""):rep(1 << 60) == "" and ("x"):rep(-1) == "")
        assert(not pcall(string.rep, "", {}) and not pcall(string.rep, "x", 1 << 60))
        local haystack = ("ab"):rep(1 << 20) .. "abc"
        assert(haystack:find("abc", 1, true) == #haystack - 2 and haystack:find("abd", 1, true) == nil)
        assert(haystack:find(haystack, 1, true) == 1 and haystack:find("", 5, true) == 5 and haystack:find("c", -1, true) == #haystack)
        "##,
    );
}

/// Depth of everything that can be deep: each text returns true.
const DEEP: &[(&str, &str)] = &[
    (
        "pcall in pcall",
        "local n = 0 local function f() n = n + 1 if n < 200000 then return pcall(f) end return true end return select('#', f()) > 0",
    ),
    (
        "recursion",
        "local function f(n) return 1 + f(n) end return not pcall(f, 1)",
    ),
    (
        "coroutines in coroutines",
        "local function f(n) return coroutine.wrap(function() return f(n + 1) end)() end return not pcall(f, 1)",
    ),
    (
        "resumes in resumes",
        "local function f() return coroutine.resume(coroutine.create(f)) end return f() ~= nil",
    ),
    (
        "gsub in gsub",
        "local function f(s) return (s:gsub('.', f)) end return not pcall(f, 'x')",
    ),
    (
        "sort in sort",
        "local function f() table.sort({1, 2}, f) end return not pcall(f)",
    ),
    (
        "format in format",
        "local t = setmetatable({}, {}) getmetatable(t).__tostring = function() return ('%s'):format(t) end return not pcall(tostring, t)",
    ),
    (
        "tostring in tostring",
        "local t = setmetatable({}, {}) getmetatable(t).__tostring = function() return tostring(t) end return not pcall(tostring, t)",
    ),
    (
        "print in print",
        "local t = setmetatable({}, {}) getmetatable(t).__tostring = function() print(t) return '' end return not pcall(print, t)",
    ),
    (
        "index in index",
        "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end return not pcall(function() return t.x end)",
    ),
    (
        "a chain of index",
        "local t = {} for i = 1, 100000 do t = setmetatable({}, {__index = t}) end return not pcall(function() return t.x end)",
    ),
    (
        "load in load",
        "local function f() return load(function() f() end) end f() return true",
    ),
    (
        "handlers of handlers",
        "local function f() return xpcall(error, f) end f() return true",
    ),
    (
        "close in close",
        "local function f() local x <close> = setmetatable({}, {__close = f}) end return not pcall(f)",
    ),
    (
        "require of a module in an index",
        "return not pcall(function() local f f = function(t, k) return setmetatable({}, {__index = f})[k] end return f({}, 1) end)",
    ),
    (
        "patterns",
        "return pcall(string.find, ('a'):rep(300000), ('(a'):rep(20) .. (')'):rep(20)) and not pcall(string.find, 'x', ('('):rep(100000)) and not pcall(string.find, ('x'):rep(300000), ('x?'):rep(300000) .. 'y')",
    ),
    ("balanced pairs", "return ('('):rep(1 << 12):find('%b()') == nil"),
    (
        "parentheses in a chunk",
        "return load('return ' .. ('('):rep(100000) .. '1' .. (')'):rep(100000)) == nil",
    ),
    (
        "tables in a chunk",
        "return load('return ' .. ('{'):rep(100000) .. ('}'):rep(100000)) == nil",
    ),
    (
        "functions in a chunk",
        "return load(('return function() '):rep(100000) .. ('end '):rep(100000)) == nil",
    ),
    (
        "blocks in a chunk",
        "return load(('do '):rep(100000) .. ('end '):rep(100000)) == nil",
    ),
    (
        "operators in a chunk",
        "return load('return ' .. ('- '):rep(100000) .. '1') == nil and load('return ' .. ('not '):rep(100000) .. '1') == nil",
    ),
    (
        "concatenations in a chunk",
        "return load('return ' .. ('1 .. '):rep(100000) .. '1') == nil",
    ),
    (
        "powers in a chunk",
        "return load('return ' .. ('1 ^ '):rep(100000) .. '1') == nil",
    ),
    (
        "calls in a chunk",
        "load('return f' .. ('()'):rep(100000)) load('return f' .. ('(f'):rep(100000)) load('x' .. ('.x'):rep(100000) .. ' = 1') return true",
    ),
    (
        "else in a chunk",
        "load('if x then ' .. ('elseif x then '):rep(5000) .. 'end') return true",
    ),
    (
        "types in a chunk",
        "for _, open in ipairs{'{', '(', '{[', 'A<', '(a: ', '() -> ', 'A | ', 'A & ', 'readonly ', '{x: ', 'typeof('} do load('local x: ' .. open:rep(100000) .. ' = 1') load('type X = ' .. open:rep(100000)) load('local y = x :: ' .. open:rep(100000)) end load('local x: A' .. ('?'):rep(100000)) load('local x: A' .. ('[]'):rep(100000)) return true",
    ),
    (
        "casts in a chunk",
        "load('return x' .. (' as T'):rep(100000)) load('return x' .. (' :: T'):rep(100000)) load('return x' .. ('!'):rep(100000)) return true",
    ),
    (
        "JSON",
        "local json = require('json') for _, open in ipairs{'[', '{\"a\":', '[{\"a\":'} do local v, err = json.decode(open:rep(1000000)) assert(v == nil and err) end local t = {} for i = 1, 100000 do t = {t} end return json.encode(t) == nil",
    ),
    (
        "messages",
        "local t = {} for i = 1, 500000 do t = {t} end local ok, err = process.send(process.pid(), 'x', t) return (ok or err:kind() == 'Invalid') and process.send(process.pid(), 'y', 1) == true",
    ),
    (
        "messages within the bound",
        "local t = {} for i = 1, 50000 do t = {t} end assert(process.send(process.pid(), 'x', t)) local got, depth = process.receive().value, 0 while got do got, depth = got[1], depth + 1 end return depth == 50001",
    ),
    (
        "keys in messages",
        "local t = {} for i = 1, 50000 do t = {[t] = t} end local ok, err = process.send(process.pid(), 'x', t) process.receive('0s') return true",
    ),
    (
        "errors in details",
        "local e = errors.new('x') for i = 1, 200000 do e = errors.new{message = 'x', details = {inner = e}} end process.send(process.pid(), 'x', e) e = process.receive().value return e:message() == 'x'",
    ),
    (
        "contexts of errors",
        "local e = errors.new('x') for i = 1, 20000 do e = errors.wrap(e, 'c') end process.send(process.pid(), 'x', e) return #tostring(process.receive().value) > 0",
    ),
    (
        "payloads",
        "local t = {} for i = 1, 100000 do t = {t} end local p = payload.new(t) p:data() p:transcode(payload.format.JSON) p:transcode(payload.format.YAML) p:transcode(payload.format.LUA) return true",
    ),
    (
        "log fields",
        "local logger, t = require('logger'), {} for i = 1, 100000 do t = {t} end logger:info('x', t) logger:with(t) return true",
    ),
    (
        "arguments of a spawn",
        "local t = {} for i = 1, 100000 do t = {t} end process.spawn('app:nobody', 'app:processes', t) return true",
    ),
    (
        "guarded calls",
        "local native, n = getmetatable(require('test')).native, 0
        local since, inside = native.mark(), channel.new()
        local function deeper()
            n = n + 1
            if n < 20000 then native.guard(0, deeper) else inside:send(true) channel.new():receive() end
        end
        coroutine.spawn(deeper)
        assert(inside:receive())
        native.sweep(since)
        return true",
    ),
    (
        "many arguments",
        "local t = {} for i = 1, 240000 do t[i] = i end assert(pcall(select, '#', table.unpack(t))) pcall(process.send, process.pid(), 'x', table.unpack(t)) pcall(string.char, table.unpack(t)) pcall(coroutine.spawn, print, table.unpack(t)) pcall(math.max, table.unpack(t)) return true",
    ),
];

#[test]
fn what_is_deep_never_ends_the_program() {
    for (name, text) in DEEP {
        assert_eq!(value(text), Value::Bool(true), "{name}");
    }
    let world = World::new();
    let deep = world.run("local t = {} for i = 1, 100000 do t = {t} end return t");
    assert!(
        deep.result.is_ok() || deep.error().unwrap().kind() == Kind::Invalid,
        "{:?}",
        deep.cause
    );
}
