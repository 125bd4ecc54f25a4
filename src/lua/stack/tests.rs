//! What crosses is what was there, however Lua holds it and whatever came before.

use crate::lua::test_support::{World, passes};
use crate::value::{Packed, Table, Value};

/// Whether two values are alike, shared tables and cycles too.
const ALIKE: &str = r#"
local function alike(a, b, met)
    if type(a) ~= "table" or type(b) ~= "table" then
        return a == b and math.type(a) == math.type(b) or a ~= a and b ~= b
    end
    met = met or {}
    if met[a] or met[b] then return met[a] == b and met[b] == a end
    met[a], met[b] = b, a
    local count = 0
    for key, value in pairs(a) do
        count = count + 1
        if type(key) == "table" then
            local found
            for other, it in pairs(b) do found = found or type(other) == "table" and alike(value, it, met) end
            if not found then return false end
        elseif not alike(value, b[key], met) then
            return false
        end
    end
    for _ in pairs(b) do count = count - 1 end
    return count == 0 and rawlen(a) == rawlen(b)
end
"#;

/// Tables as Lua comes to hold them.
const TABLES: &str = r#"
local function makers()
    local function of(make) return function() local t = {} make(t) return t end end
    local all = {
        of(function(t) end),
        of(function(t) for i = 1, 9 do t[i] = i end end),
        of(function(t) for i = 9, 1, -1 do t[i] = i end end),
        of(function(t) for i = 1, 9 do t[i] = i end for i = 9, 6, -1 do t[i] = nil end assert(#t == 5) end),
        of(function(t) for i = 1, 9 do t[i] = tostring(i) t["k" .. i] = i / 2 end end),
        of(function(t) for i = 1, 30 do t["k" .. i] = i end for i = 1, 20 do t["k" .. i] = nil end end),
        of(function(t) t[1], t[3], t[5] = 1, 3, 5 end),
        of(function(t) t[-1], t[0], t[1e15], t[2.5], t[true], t[false] = 1, 2, 3, 4, 5, 6 end),
        of(function(t) t[math.mininteger], t[math.maxinteger] = 1, 2 end),
        of(function(t) t[2^53], t.x = 1, 0/0 end),
        of(function(t) t.self = t t[1] = t t.inner = {t} end),
        of(function(t) t.a = {x = 1} t.b = t.a t[1] = t.a end),
        of(function(t) t[{x = 1}] = {y = 2} end),
        of(function(t) t.long = ("x"):rep(1000) t[("y"):rep(300)] = 1 t[""] = "" t["\0"] = "\0\255" end),
        of(function(t) t.deep = t for i = 1, 300 do t.deep = {n = i, deep = {}} t = t.deep end end),
        function() return {1, nil, 3, nil, nil, 6} end,
        function() return {nil, nil, 3} end,
        function() return {1, nil, 3, nil} end,
        of(function(t) for i = 1, 8 do t[i] = i end t[8] = nil t[4] = nil assert(#t == 7) end),
        of(function(t) for i = 1, 8 do t[i] = i end t[8] = nil t[7] = nil assert(#t == 6) t[5] = nil t[6] = nil end),
        function() return {kind = "a", n = 1, from = 7, data = {1, 2, 3}} end,
        function() return {kind = "b", n = 1.5, from = false, other = {}} end,
        function() return {kind = true, n = {kind = {}, n = {}, from = {}, other = {}}, from = {}, other = {}} end,
        function() return {1, 2, kind = "list", n = 3} end,
        function() return {__index = {x = 1}, __name = "name"} end,
        function() return {a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8, i = 9, j = 10, k = 11, l = 12} end,
    }
    for count = 14, 18 do
        all[#all + 1] = of(function(t) for i = 1, count do t["field" .. i] = {i} end end)
    end
    return all
end
"#;

#[test]
fn tables_cross_as_they_are_whatever_the_collector_does() {
    passes(&format!(
        r#"
        {ALIKE} {TABLES}
        local me = process.pid()
        local native = getmetatable(require("test")).native
        for _, mode in ipairs({{400, 25, 100, "generational", 400}}) do
            native.collector(mode)
            local kept = {{}}
            for round = 1, 12 do
                for number, make in ipairs(makers()) do
                    local sent = make()
                    assert(process.send(me, "topic", sent, make()))
                    local m = process.receive()
                    assert(alike(sent, m.value), "table " .. number .. " in round " .. round)
                    assert(alike(sent, m.values[2]) and m.values[1] == m.value and m.values.n == 2)
                    assert(m.topic == "topic" and m.from == me and m.type == "MESSAGE" and m.kind == "message")
                    kept[number] = m
                end
                collectgarbage("step", round)
            end
            for number, make in ipairs(makers()) do
                assert(alike(make(), kept[number].value), "table " .. number .. " was changed since")
            end
            collectgarbage()
        end
        "#
    ));
}

/// States hash strings each in its way, and so hold the same keys in another order.
#[test]
fn tables_cross_as_they_are_whoever_sends_them() {
    let world = World::new();
    let sender = world.program(
        "sender",
        &format!(
            "{TABLES} local to = ... for _ = 1, 3 do for number, make in ipairs(makers()) do process.send(to, 't', number, make()) end end"
        ),
    );
    let main = world.program(
        "main",
        &format!(
            r#"
            {ALIKE} {TABLES}
            local all = makers()
            for _ = 1, 12 do assert(process.spawn("app:sender", "app:processes", process.pid())) end
            for _ = 1, 12 * 3 * #all do
                local m = process.receive()
                local number, value = m.values[1], m.values[2]
                assert(alike(all[number](), value), "table " .. number)
            end
            "#
        ),
    );
    drop(sender);
    let process = world.spawn(main, &[]).unwrap();
    assert_eq!(world.end(&process).error(), None);
}

/// Keys of few kinds in tables of many, so that shapes are learnt, met halfway, and replaced while tables around use them.
#[test]
fn random_tables_cross_as_they_are() {
    passes(&format!(
        r#"
        {ALIKE}
        local state = 1
        local function random(most)
            state = (state * 1103515245 + 12345) % 2147483648
            return state // 65536 % most + 1
        end
        local keys = {{"a", "b", "c", "d", "name", "a longer key", ("k"):rep(40), ("k"):rep(41), "", 1, 2, 3, -1, 0.5, true}}
        local function value(depth, made)
            local kind = random(depth > 4 and 6 or 9)
            if kind == 1 then return random(1000) - 500 end
            if kind == 2 then return random(1000) / 7 end
            if kind == 3 then return random(2) == 1 end
            if kind == 4 then return ("v"):rep(random(60)) end
            if kind == 5 then return math.mininteger end
            if kind == 6 then return made[random(#made)] end
            local t = {{}}
            made[#made + 1] = t
            local few = random(4)
            for _ = 1, random(few * 3) do t[keys[random(few * 3 + 3)]] = value(depth + 1, made) end
            for i = 1, random(4) - 1 do t[i] = value(depth + 1, made) end
            return t
        end
        local native = getmetatable(require("test")).native
        for _, mode in ipairs({{400, 30, "generational"}}) do
            native.collector(mode)
            for round = 1, 300 do
                local sent = value(0, {{0}})
                process.send(process.pid(), "t", sent, {{sent}})
                local m = process.receive()
                assert(alike(sent, m.value) and alike(sent, m.values[2][1]), "round " .. round)
            end
        end
        "#
    ));
}

/// Lua notes of a table that it has no metamethods; one that gets its keys at once must not look like that.
#[test]
fn a_table_that_crossed_can_be_a_metatable() {
    passes(
        r#"
        for _ = 1, 5 do
            process.send(process.pid(), "t", {__index = {x = 1}, __name = "name"})
            local object = setmetatable({}, process.receive().value)
            assert(object.x == 1 and tostring(object):find("^name: "))
        end
        "#,
    );
}

#[test]
fn keys_are_found_again_when_values_change_their_kind() {
    passes(
        r#"
        local me = process.pid()
        local long = ("x"):rep(100)
        for round, value in ipairs({1, 2, 3, "four", long, 1.5, true, false, {}, {1}, errors.new("e"), 0}) do
            process.send(me, "t", {value = value, other = round})
            local got = process.receive().value
            assert(got.other == round, round)
            if type(value) == "userdata" then
                assert(errors.is(got.value, errors.UNKNOWN) or got.value:message() == "e")
            elseif type(value) ~= "table" then
                assert(got.value == value, round)
            else
                assert(#got.value == #value, round)
            end
            process.send(me, "t", value)
            local m = process.receive()
            assert(type(m.value) == type(value) and rawequal(m.value, m.values[1]), round)
        end
        process.send(me, "t")
        local m = process.receive()
        assert(m.value == nil and m.values.n == 0 and next(m.values) == "n")
        for key in pairs(m) do assert(key ~= "value") end
        "#,
    );
}

/// No program can send one, other parts of the runtime can.
#[test]
fn a_key_that_comes_twice_leaves_no_other_one_behind() {
    let world = World::new();
    let program = world.program(
        "main",
        r#"
        local a, b, c = ...
        assert(a.x == 1 and a.y == 2 and b.x == 1 and b.y == 2)
        assert(c.x == 3 and c.y == nil and next(c, "x") == nil)
        c.y = 5
        assert(c.x == 3 and c.y == 5)
        "#,
    );
    let of = |pairs: [(&str, i64); 2]| Value::map(pairs.map(|(key, value)| (key, Value::Int(value))));
    let usual = of([("x", 1), ("y", 2)]);
    let process = world
        .spawn(program, &[usual.clone(), usual, of([("x", 1), ("x", 3)])])
        .unwrap();
    assert_eq!(world.end(&process).error(), None);
}

/// …nor one that is forgotten because its first value is nil.
#[test]
fn a_key_that_comes_as_nil_first_has_its_value() {
    let world = World::new();
    let program = world.program(
        "main",
        r#"
        local _, _, c = ...
        local count = 0
        for key in next, c do
            assert(type(key) == "string")
            count = count + 1
        end
        assert(count == 2 and c.x == 3 and #c.y == 100000)
        "#,
    );
    let of = |pairs: [(&str, Value); 3]| Value::map(pairs);
    let usual = of([("x", Value::Int(1)), ("y", Value::Int(2)), ("z", Value::Int(3))]);
    let garbage = Value::array((0..100_000).map(|_| Value::array([Value::Int(1)])));
    let twice = of([("x", Value::Nil), ("y", garbage), ("x", Value::Int(3))]);
    let process = world.spawn(program, &[usual.clone(), usual, twice]).unwrap();
    assert_eq!(world.end(&process).error(), None);
}

/// What is a list for those who read it: JSON, guests, other languages.
#[test]
fn lists_are_packed_as_lists() {
    let world = World::new();
    for (text, array, pairs) in [
        ("{1, 2, 3}", 3, 0),
        (
            "(function() local t = {} for i = 3, 1, -1 do t[i] = i end return t end)()",
            3,
            0,
        ),
        ("{[1] = 1, [2] = 2}", 2, 0),
        ("{1, 2, 3, [4] = 4, [7] = 7}", 4, 1),
        (
            "(function() local t = {1, 2, 3, 4} t[4] = nil t[3] = nil return t end)()",
            2,
            0,
        ),
        ("{1, nil, 3}", 3, 0),
        ("{1, 2, nil, nil, x = 1}", 2, 1),
        ("{1, nil, 3, nil}", 3, 0),
        // Lua notes where the array ended when it was last asked, and begins there.
        (
            "(function() local t = {1, 2, 3, 4, 5, 6, 7, 8} t[8] = nil t[7] = nil assert(#t == 6) return t end)()",
            6,
            0,
        ),
        (
            "(function() local t = {1, 2, 3, 4, 5, 6, 7, 8} t[8] = nil t[7] = nil assert(#t == 6) t[7] = 7 return t end)()",
            7,
            0,
        ),
        (
            "(function() local t = {1, 2, 3, 4, 5, 6, 7, 8} t[8] = nil t[7] = nil assert(#t == 6) t[7], t[8] = 7, 8 return t end)()",
            8,
            0,
        ),
        (
            "(function() local t = {1, 2, 3, 4, 5, 6, 7, 8} t[8] = nil t[4] = nil return t end)()",
            7,
            0,
        ),
        ("{[0] = 0, [2] = 2, [-1] = 1}", 0, 3),
        ("{1, print, 3, f = print, [print] = 1}", 3, 0),
    ] {
        let program = world.program("main", &format!("return {text}"));
        let process = world.spawn(program, &[]).unwrap();
        let exit = world.end(&process);
        let packed: &Packed = exit.result.as_ref().unwrap();
        let Value::Table(table) = packed.to_value().unwrap() else {
            panic!("{text} is a table")
        };
        let Table {
            array: items,
            pairs: others,
            ..
        } = *table;
        assert_eq!((items.len(), others.len()), (array, pairs), "{text}");
    }
}
