//! Both directions over every WIT type, with arguments written as JSON and types as WIT.
//!
//! Real modules come in at the end: everything the guest `types` exports is called there.

use wasmtime::component::{Component, Linker, Val};
use wasmtime::{AsContextMut, Engine, Store};

use super::dice::{self, Dice};
use super::shape::{Int, Names};
use super::{Arguments, Returned, Shape, Signature, json, wit, words};
use crate::error::{Error, Kind};
use crate::value::{Item, Packed, Packer, Table, Value};

const PLENTY: u64 = 128 << 20;

/// The types that the tables below use by name.
const TYPES: &str = "
    record point { x: s32, y: s32 }
    record user { name: string, tag-count: option<u32>, at: option<point> }
    record nobody { a: option<u8>, b: option<u8> }
    enum color { red, green, light-blue }
    flags perms { read, write, run-it }
    variant shape {
        empty, circle(f64), rect(point), maybe(option<u32>), deep(option<option<u32>>), many(list<u32>),
        outcome(result<u32, string>)
    }
    resource file;
";

/// `f: func(v: T) -> T`.
fn echo(ty: &str) -> Signature {
    signature(&format!("f: func(v: {ty}) -> {ty}"))
}

fn signature(function: &str) -> Signature {
    let wit = wit::Wit::parse(&format!("{TYPES} {function};")).unwrap();
    let name = function.split(':').next().unwrap();
    wit.convert(name, wit.find(name).unwrap())
}

/// A value out of JSON. An object's key `"#5"` is the integer 5.
fn value(text: &str) -> Value {
    integer_keys(words::from_json(serde_json::from_str(text).unwrap(), None).unwrap())
}

fn integer_keys(value: Value) -> Value {
    let Value::Table(table) = value else { return value };
    let key = |key: Value| match key.as_str().and_then(|text| text.strip_prefix('#')) {
        Some(number) => Value::Int(number.parse().unwrap()),
        None => key,
    };
    let pairs = table.pairs.into_iter();
    Value::Table(Box::new(Table {
        array: table.array.into_iter().map(integer_keys).collect(),
        pairs: pairs.map(|(name, item)| (key(name), integer_keys(item))).collect(),
        record: table.record,
    }))
}

fn args(text: &str) -> Packed {
    match value(text) {
        Value::Table(table) => Packed::from_values(&table.array),
        _ => panic!("arguments are an array"),
    }
}

/// What comes back when `given` goes in and straight out again.
fn through(signature: &Signature, given: &Packed) -> Result<Value, Error> {
    let vals = signature.lower(given, PLENTY)?;
    signature.lift(&vals)?.to_value()
}

fn failure(signature: &Signature, given: &str) -> String {
    let error = through(signature, &args(given)).expect_err(given);
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    error.to_string()
}

#[test]
fn values_go_in_and_come_back() {
    // Type, what goes in, what comes back as far as it is written differently.
    let table: &[(&str, &str, &str)] = &[
        ("bool", "true", "true"),
        ("s8", "-128", "-128"),
        ("s16", "32767", "32767"),
        ("s32", "-2147483648", "-2147483648"),
        ("s64", "-9223372036854775808", "-9223372036854775808"),
        ("s64", "-9223372036854775808.0", "-9223372036854775808"),
        ("u8", "255", "255"),
        ("u8", "255.0", "255"),
        ("u16", "65535", "65535"),
        ("u32", "4294967295", "4294967295"),
        ("u64", "-1", "-1"),
        ("u64", "9223372036854775808.0", "-9223372036854775808"),
        ("u64", "3.0", "3"),
        ("f32", "0.5", "0.5"),
        ("f32", "3", "3.0"),
        ("f64", "0.1", "0.1"),
        ("f64", "7", "7.0"),
        ("char", "\"λ\"", "\"λ\""),
        ("string", "\"\"", "\"\""),
        ("string", "\"zwölf\"", "\"zwölf\""),
        ("list<u8>", "\"ab\"", "\"ab\""),
        ("list<u8>", "[97, 98.0]", "\"ab\""),
        ("list<u8>", "{}", "\"\""),
        ("list<u8, 2>", "\"ab\"", "\"ab\""),
        ("list<u32>", "[1, 2]", "{1: 1, 2: 2}"),
        ("list<u32>", "{}", "{}"),
        ("list<u32>", "{\"#1\": 5, \"#2\": 6}", "{1: 5, 2: 6}"),
        ("list<u32>", "{\"#1\": 5, \"n\": 1}", "{1: 5}"),
        ("list<u32, 2>", "[1, 2]", "{1: 1, 2: 2}"),
        ("list<list<u8>>", "[\"a\", [98]]", "{1: \"a\", 2: \"b\"}"),
        ("list<option<u32>>", "[1, null, 3]", "{1: 1, 2: nil, 3: 3, \"n\": 3}"),
        ("list<option<u32>>", "{\"n\": 2}", "{1: nil, 2: nil, \"n\": 2}"),
        (
            "list<option<u32>>",
            "{\"#1\": 1, \"#3\": 3, \"n\": 4}",
            "{1: 1, 2: nil, 3: 3, 4: nil, \"n\": 4}",
        ),
        ("list<option<u32>>", "{\"#2\": 1, \"n\": 1}", "{1: nil, \"n\": 1}"),
        ("list<option<u32>>", "{\"#2\": 1}", "{1: nil, 2: 1, \"n\": 2}"),
        (
            "list<option<option<u32>>>",
            "[null, {}, {\"some\": 1}]",
            "{1: nil, 2: {}, 3: {\"some\": 1}, \"n\": 3}",
        ),
        ("map<string, u32>", "{\"a\": 1}", "{\"a\": 1}"),
        ("map<u32, string>", "[\"a\", \"b\"]", "{1: \"a\", 2: \"b\"}"),
        ("map<u32, string>", "{\"#7\": \"a\"}", "{7: \"a\"}"),
        ("tuple<u32, string>", "[1, \"a\"]", "{1: 1, 2: \"a\"}"),
        ("tuple<option<u32>, u32>", "[null, 1]", "{1: nil, 2: 1, \"n\": 2}"),
        ("tuple<u32, option<u32>>", "[1]", "{1: 1, 2: nil, \"n\": 2}"),
        (
            "tuple<u32, option<u32>>",
            "{\"#1\": 1, \"n\": 2}",
            "{1: 1, 2: nil, \"n\": 2}",
        ),
        ("point", "{\"x\": 1, \"y\": 2}", "{\"x\": 1, \"y\": 2}"),
        ("point", "{\"y\": 2, \"x\": 1}", "{\"x\": 1, \"y\": 2}"),
        ("user", "{\"name\": \"a\"}", "{\"name\": \"a\"}"),
        (
            "user",
            "{\"tag_count\": 1, \"name\": \"a\"}",
            "{\"name\": \"a\", \"tag-count\": 1}",
        ),
        (
            "user",
            "{\"tag-count\": 1, \"name\": \"a\", \"at\": null}",
            "{\"name\": \"a\", \"tag-count\": 1}",
        ),
        (
            "user",
            "{\"name\": \"a\", \"at\": {\"x\": 1, \"y\": 2}}",
            "{\"name\": \"a\", \"at\": {\"x\": 1, \"y\": 2}}",
        ),
        ("nobody", "{}", "{}"),
        ("option<u32>", "null", "nil"),
        ("option<u32>", "1", "1"),
        ("option<option<u32>>", "null", "nil"),
        ("option<option<u32>>", "{}", "{}"),
        ("option<option<u32>>", "{\"some\": 1}", "{\"some\": 1}"),
        ("option<option<option<u32>>>", "{\"some\": {}}", "{\"some\": {}}"),
        (
            "option<option<option<u32>>>",
            "{\"some\": {\"some\": 1}}",
            "{\"some\": {\"some\": 1}}",
        ),
        ("option<list<u32>>", "{}", "{}"),
        ("result<u32, string>", "{\"ok\": 1}", "{\"ok\": 1}"),
        ("result<u32, string>", "{\"err\": \"a\"}", "{\"err\": \"a\"}"),
        ("result<_, string>", "{\"ok\": true}", "{\"ok\": true}"),
        ("result<u32>", "{\"err\": true}", "{\"err\": true}"),
        ("result", "{\"ok\": true}", "{\"ok\": true}"),
        ("result", "{\"err\": true}", "{\"err\": true}"),
        ("result<option<u32>, option<u32>>", "{}", "{}"),
        ("result<option<u32>, option<u32>>", "{\"ok\": 1}", "{\"ok\": 1}"),
        ("result<option<u32>, option<u32>>", "{\"err\": {}}", "{\"err\": {}}"),
        ("result<option<u32>, option<u32>>", "{\"err\": 1}", "{\"err\": 1}"),
        ("result<option<option<u32>>, u8>", "{\"ok\": {}}", "{\"ok\": {}}"),
        ("color", "\"light-blue\"", "\"light-blue\""),
        ("shape", "\"empty\"", "\"empty\""),
        ("shape", "{\"circle\": 1}", "{\"circle\": 1.0}"),
        (
            "shape",
            "{\"rect\": {\"x\": 1, \"y\": 2}}",
            "{\"rect\": {\"x\": 1, \"y\": 2}}",
        ),
        ("shape", "\"maybe\"", "\"maybe\""),
        ("shape", "{\"maybe\": 1}", "{\"maybe\": 1}"),
        ("shape", "\"deep\"", "\"deep\""),
        ("shape", "{\"deep\": {}}", "{\"deep\": {}}"),
        ("shape", "{\"many\": {}}", "{\"many\": {}}"),
        (
            "shape",
            "{\"outcome\": {\"err\": \"a\"}}",
            "{\"outcome\": {\"err\": \"a\"}}",
        ),
        ("perms", "{}", "{}"),
        (
            "perms",
            "{\"write\": true, \"read\": true}",
            "{\"read\": true, \"write\": true}",
        ),
        ("perms", "{\"write\": false, \"run-it\": true}", "{\"run-it\": true}"),
        ("perms", "[\"write\", \"write\"]", "{\"write\": true}"),
    ];
    for (ty, given, expected) in table {
        let signature = echo(ty);
        let packed = Packed::from_value(&value(given));
        let back = through(&signature, &packed).unwrap_or_else(|error| panic!("{ty} {given}: {error}"));
        assert_eq!(format!("{back:?}"), *expected, "{ty} {given}");
        let again = through(&signature, &Packed::from_value(&back)).unwrap();
        assert_eq!(again, back, "{ty} {given}: what came back goes in again");
    }
}

#[test]
fn records_bear_the_mark_that_makes_snake_case_work() {
    let signature = echo("list<user>");
    let back = through(&signature, &args(r#"[[{"name": "a", "at": {"x": 1, "y": 2}}]]"#)).unwrap();
    let Value::Table(list) = back else { panic!("{back:?}") };
    let Value::Table(user) = &list.array[0] else {
        panic!("{list:?}")
    };
    let Some(Value::Table(at)) = user.get("at") else {
        panic!("{user:?}")
    };
    assert_eq!((list.record, user.record, at.record), (false, true, true));
}

#[test]
fn numbers_that_are_not_numbers_cross_as_floats() {
    for number in [f64::NAN, f64::INFINITY, -0.0] {
        let back = through(&echo("f64"), &Packed::from_value(&Value::Float(number))).unwrap();
        let Value::Float(back) = back else { panic!("{back:?}") };
        assert_eq!(back.to_bits(), number.to_bits());
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let table: &[(&str, &str, &str)] = &[
        ("u8", "300", "argument 1: expected u8 (0..255), got 300"),
        ("u8", "-1", "argument 1: expected u8 (0..255), got -1"),
        ("s8", "128.0", "argument 1: expected s8 (-128..127), got 128.0"),
        (
            "s32",
            "1e300",
            "argument 1: expected s32 (-2147483648..2147483647), got 1e300",
        ),
        (
            "u64",
            "-1.0",
            "argument 1: expected u64 (0..18446744073709551615), got -1.0",
        ),
        (
            "u64",
            "18446744073709551616.0",
            "argument 1: expected u64 (0..18446744073709551615), got 1.8446744073709552e19",
        ),
        ("u32", "1.5", "argument 1: expected u32, got 1.5"),
        ("u32", "\"1\"", "argument 1: expected u32, got string"),
        ("u32", "null", "argument 1: expected u32, got nil"),
        ("bool", "1", "argument 1: expected bool, got number"),
        ("f64", "\"1\"", "argument 1: expected f64, got string"),
        ("char", "\"ab\"", "argument 1: expected char, got \"ab\""),
        ("char", "\"\"", "argument 1: expected char, got \"\""),
        ("char", "5", "argument 1: expected char, got number"),
        ("string", "{}", "argument 1: expected string, got table"),
        ("string", "true", "argument 1: expected string, got boolean"),
        ("list<u8>", "[1, 256]", "argument 1 [2]: expected u8 (0..255), got 256"),
        ("list<u8>", "5", "argument 1: expected list<u8>, got number"),
        ("list<u32>", "\"ab\"", "argument 1: expected list<u32>, got string"),
        ("list<u32>", "[1, null, 3]", "argument 1 [2]: expected u32, got nil"),
        (
            "list<u32>",
            "{\"#1\": 1, \"#3\": 3}",
            "argument 1 [2]: expected u32, got nil",
        ),
        (
            "list<u32>",
            "{\"#1000000000000\": 3}",
            "argument 1 [1]: expected u32, got nil",
        ),
        (
            "list<u32>",
            "{\"#0\": 3}",
            "argument 1: expected list<u32>, got a table with field 0",
        ),
        (
            "list<u32>",
            "{\"a\": 3}",
            "argument 1: expected list<u32>, got a table with field \"a\"",
        ),
        (
            "list<option<u32>>",
            "{\"n\": -1}",
            "argument 1 .n: expected a length, got -1",
        ),
        ("list<u8, 2>", "\"a\"", "argument 1: expected list<u8, 2>, got 1 value"),
        (
            "list<point>",
            "[{\"x\": 1, \"y\": 2}, {\"x\": 1, \"y\": \"a\"}]",
            "argument 1 [2].y: expected s32, got string",
        ),
        (
            "map<string, u32>",
            "{\"a\": \"b\"}",
            "argument 1 [\"a\"]: expected u32, got string",
        ),
        (
            "map<u32, u32>",
            "{\"a\": 1}",
            "argument 1 [\"a\"]: expected u32, got string",
        ),
        ("tuple<u32, u32>", "[1]", "argument 1 [2]: expected u32, got nil"),
        (
            "tuple<u32, u32>",
            "[1, 2, 3]",
            "argument 1: expected tuple<u32, u32>, got 3 values",
        ),
        ("point", "{\"x\": 1}", "argument 1 .y: expected s32, got nil"),
        ("point", "\"a\"", "argument 1: expected record, got string"),
        (
            "point",
            "{\"x\": 1, \"y\": 2, \"z\": 3}",
            "argument 1: expected fields x, y, got unknown field \"z\"",
        ),
        (
            "point",
            "[1, 2]",
            "argument 1: expected fields x, y, got unknown field 1",
        ),
        (
            "user",
            "{\"name\": \"a\", \"tag-count\": 1, \"tag_count\": 1}",
            "argument 1 .tag-count: expected one spelling, got both tag-count and tag_count",
        ),
        ("option<u32>", "\"a\"", "argument 1: expected u32, got string"),
        (
            "option<option<u32>>",
            "5",
            "argument 1: expected {some = value}, {} or nil, got number",
        ),
        (
            "option<option<u32>>",
            "{\"some\": \"a\"}",
            "argument 1 .some: expected u32, got string",
        ),
        (
            "option<option<u32>>",
            "{\"a\": 1}",
            "argument 1: expected {some = value}, {} or nil, got another field",
        ),
        (
            "result<u32, string>",
            "5",
            "argument 1: expected {ok = value} or {err = value}, got number",
        ),
        (
            "result<u32, string>",
            "{}",
            "argument 1: expected {ok = value} or {err = value}, got an empty table",
        ),
        (
            "result<u32, string>",
            "{\"ok\": 1, \"err\": \"a\"}",
            "argument 1: expected {ok = value} or {err = value}, got a table of 2 values",
        ),
        (
            "result<u32, string>",
            "{\"okay\": 1}",
            "argument 1: expected {ok = value} or {err = value}, got field \"okay\"",
        ),
        (
            "result<u32, string>",
            "{\"err\": 1}",
            "argument 1 .err: expected string, got number",
        ),
        ("result", "{\"ok\": 1}", "argument 1 .ok: expected true, got 1"),
        (
            "color",
            "\"blue\"",
            "argument 1: expected one of red, green, light-blue, got \"blue\"",
        ),
        (
            "color",
            "5",
            "argument 1: expected one of red, green, light-blue, got 5",
        ),
        (
            "color",
            "null",
            "argument 1: expected one of red, green, light-blue, got nil",
        ),
        ("shape", "\"circle\"", "argument 1 .circle: expected f64, got nil"),
        (
            "shape",
            "{\"circle\": \"a\"}",
            "argument 1 .circle: expected f64, got string",
        ),
        (
            "shape",
            "{\"empty\": 1}",
            "argument 1 .empty: expected no payload, got number",
        ),
        (
            "shape",
            "{\"rect\": {\"x\": 1}}",
            "argument 1 .rect.y: expected s32, got nil",
        ),
        (
            "list<tuple<u32, list<u32>>>",
            "[[1, [2, \"a\"]]]",
            "argument 1 [1][2][2]: expected u32, got string",
        ),
        ("perms", "\"read\"", "argument 1: expected flags, got string"),
        (
            "perms",
            "{\"fly\": true}",
            "argument 1: expected one of read, write, run-it, got \"fly\"",
        ),
        (
            "perms",
            "[\"read\", 5]",
            "argument 1 [2]: expected one of read, write, run-it, got 5",
        ),
        ("perms", "{\"read\": 1}", "argument 1 .read: expected bool, got number"),
    ];
    for (ty, given, expected) in table {
        assert_eq!(failure(&echo(ty), &format!("[{given}]")), *expected, "{ty} {given}");
    }
    let cases = "empty, circle, rect, maybe, deep, many, outcome";
    for (given, got) in [("\"dot\"", "\"dot\""), ("{}", "an empty table"), ("[1, 2]", "an array")] {
        let expected = format!("argument 1: expected one of {cases}, got {got}");
        assert_eq!(failure(&echo("shape"), &format!("[{given}]")), expected);
    }
}

#[test]
fn the_path_leads_to_the_value() {
    let signature = signature("f: func(a: u32, b: tuple<list<user>, list<color>>)");
    assert_eq!(
        failure(
            &signature,
            r#"[1, [[{"name": "a"}, {"name": "b"}, {"tag-count": 1}], []]]"#
        ),
        "argument 2 [1][3].name: expected string, got nil"
    );
    let long = "x".repeat(100);
    assert_eq!(
        failure(&signature, &format!(r#"[1, [[], ["red", "{long}"]]]"#)),
        format!(
            "argument 2 [2][2]: expected one of red, green, light-blue, got \"{}\"…",
            &long[..40]
        )
    );
}

#[test]
fn bytes_that_are_not_utf8_are_no_string() {
    let packed = Packed::from_value(&Value::Str(vec![b'a', 0xff]));
    let error = through(&echo("string"), &packed).unwrap_err();
    assert_eq!(
        error.message(),
        "argument 1: expected string, got bytes that are not UTF-8 (at byte 2)"
    );
    assert_eq!(
        through(&echo("list<u8>"), &packed).unwrap(),
        Value::Str(vec![b'a', 0xff])
    );
}

#[test]
fn arguments_are_counted() {
    let table: &[(&str, &str, &str)] = &[
        (
            "compute: func(a: s32, b: s32)",
            "[1]",
            "compute: expected 2 arguments (a: s32, b: s32), got 1",
        ),
        (
            "compute: func(a: s32)",
            "[1, 2]",
            "compute: expected 1 argument (a: s32), got 2",
        ),
        ("compute: func()", "[1]", "compute: expected 0 arguments, got 1"),
        (
            "compute: func(a: s32, b: option<s32>)",
            "[]",
            "compute: expected 2 arguments (a: s32, b: option<s32>), got 0",
        ),
        (
            "compute: func(a: option<s32>, b: s32)",
            "[1]",
            "compute: expected 2 arguments (a: option<s32>, b: s32), got 1",
        ),
    ];
    for (function, given, expected) in table {
        assert_eq!(failure(&signature(function), given), *expected);
    }
    let optional = signature("f: func(a: s32, b: option<s32>, c: option<s32>)");
    let vals = optional.lower(&args("[1, 2]"), PLENTY).unwrap();
    assert_eq!(
        vals,
        [Val::S32(1), Val::Option(Some(Box::new(Val::S32(2)))), Val::Option(None)]
    );
}

#[test]
fn resources_do_not_cross() {
    let text = "resources cannot cross into Lua";
    let error = signature("f: func(a: list<borrow<file>>)")
        .lower(&args("[[1]]"), PLENTY)
        .unwrap_err();
    assert_eq!((error.kind(), error.message()), (Kind::Invalid, text));
    assert_eq!(error.to_string(), format!("argument 1 [1]: {text}"));
    let error = signature("f: func() -> option<file>")
        .lower(&args("[]"), PLENTY)
        .unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Invalid, text));
    assert!(
        signature("f: func(a: option<file>)")
            .lower(&args("[null]"), PLENTY)
            .is_ok()
    );
}

#[test]
fn values_that_multiply_end_at_the_bound() {
    // Five tables, each of which holds the next one a hundred times.
    let mut laughs = Packer::new();
    let mut marks = vec![laughs.open(false)];
    for _ in 0..4 {
        marks.push(laughs.open(false));
    }
    let mut inner = marks.pop().unwrap();
    laughs.close(inner, 0, 0);
    for mark in marks.into_iter().rev() {
        (0..99).for_each(|_| laughs.reference(inner));
        laughs.close(mark, 100, 0);
        inner = mark;
    }
    let error = echo("list<list<list<list<list<u32>>>>>")
        .lower(&laughs.finish(), 1 << 20)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::LimitExceeded);
    assert_eq!(error.message(), "transfer limit exceeded: 1MiB");
    assert_eq!(error.retryable(), None);
    let details = Value::map([("limit", Value::from("max_transfer")), ("allowed", Value::Int(1 << 20))]);
    assert_eq!(error.details(), Some(&details));
}

#[test]
fn a_cycle_is_as_deep_as_its_type() {
    let mut cycle = Packer::new();
    let own = cycle.open(false);
    cycle.reference(own);
    cycle.close(own, 1, 0);
    let error = echo("list<list<list<u32>>>")
        .lower(&cycle.finish(), PLENTY)
        .unwrap_err();
    assert_eq!(error.message(), "argument 1 [1][1][1]: expected u32, got table");
}

#[test]
fn a_length_is_no_allocation() {
    let huge = args(r#"[{"n": 1000000000000000000}]"#);
    let error = echo("list<option<u32>>").lower(&huge, PLENTY).unwrap_err();
    assert_eq!(error.kind(), Kind::LimitExceeded);
    let huge = args(r##"[{"#9223372036854775807": 1}]"##);
    let error = echo("list<option<u32>>").lower(&huge, PLENTY).unwrap_err();
    assert_eq!(error.kind(), Kind::LimitExceeded);
}

#[test]
fn a_shared_table_is_read_where_it_stands() {
    let mut packer = Packer::new();
    let outer = packer.open(false);
    let point = packer.open(false);
    packer.str(b"x");
    packer.int(1);
    packer.str(b"y");
    packer.int(2);
    packer.close(point, 0, 2);
    packer.reference(point);
    packer.reference(point);
    packer.close(outer, 3, 0);
    let back = through(&echo("list<point>"), &packer.finish()).unwrap();
    let point = "{\"x\": 1, \"y\": 2}";
    assert_eq!(format!("{back:?}"), format!("{{1: {point}, 2: {point}, 3: {point}}}"));
}

#[test]
fn types_are_written_as_in_wit() {
    for ty in [
        "list<tuple<u8, string>>",
        "list<u8, 4>",
        "map<string, option<char>>",
        "result",
        "result<u32>",
        "result<_, string>",
        "result<u32, string>",
    ] {
        assert_eq!(echo(ty).to_string(), format!("f: func(v: {ty}) -> {ty}"));
    }
    assert_eq!(echo("point").result().unwrap().to_string(), "record {x: s32, y: s32}");
    assert_eq!(
        echo("color").result().unwrap().to_string(),
        "enum {red, green, light-blue}"
    );
    assert_eq!(
        echo("perms").result().unwrap().to_string(),
        "flags {read, write, run-it}"
    );
    assert_eq!(
        signature("g: func(s: shape)").to_string(),
        "g: func(s: variant {empty, circle(f64), rect(record {x: s32, y: s32}), maybe(option<u32>), \
         deep(option<option<u32>>), many(list<u32>), outcome(result<u32, string>)})"
    );
}

/// What a process ends with when its function returns what `given` is lowered to.
fn outcome(ty: &str, given: &str) -> Result<Value, Error> {
    let signature = echo(ty);
    let vals = signature.lower(&args(&format!("[{given}]")), PLENTY).unwrap();
    signature.outcome(&vals)?.to_value()
}

#[test]
fn a_result_at_the_top_is_the_outcome_of_a_process() {
    assert_eq!(outcome("result<u32, string>", "{\"ok\": 1}").unwrap(), Value::Int(1));
    assert_eq!(outcome("result", "{\"ok\": true}").unwrap(), Value::Nil);
    assert_eq!(outcome("u32", "5").unwrap(), Value::Int(5));
    let table: &[(&str, &str, &str, &str)] = &[
        (
            "result<u32, string>",
            "{\"err\": \"bad\"}",
            "bad",
            "{\"value\": \"bad\"}",
        ),
        (
            "result<_, point>",
            "{\"err\": {\"x\": 1, \"y\": 2}}",
            "{\"x\":1,\"y\":2}",
            "{\"value\": {\"x\": 1, \"y\": 2}}",
        ),
        ("result<_, color>", "{\"err\": \"red\"}", "red", "{\"value\": \"red\"}"),
        (
            "result<_, u64>",
            "{\"err\": -1}",
            "18446744073709551615",
            "{\"value\": -1}",
        ),
        (
            "result",
            "{\"err\": true}",
            "the function returned err",
            "{\"value\": true}",
        ),
    ];
    for (ty, given, message, details) in table {
        let error = outcome(ty, given).unwrap_err();
        assert_eq!((error.kind(), error.retryable()), (Kind::Internal, Some(false)));
        assert_eq!(error.message(), *message);
        assert_eq!(format!("{:?}", error.details().unwrap()), *details);
    }
}

#[test]
fn functions_without_result_give_nil() {
    let packed = signature("f: func()").lift(&[]).unwrap();
    assert_eq!((packed.len(), packed.to_value().unwrap()), (1, Value::Nil));
}

#[test]
fn results_are_printed_as_a_line() {
    let table: &[(&str, &str, &str)] = &[
        ("u32", "5", "5\n"),
        ("u64", "-1", "18446744073709551615\n"),
        ("f32", "0.1", "0.1\n"),
        ("f64", "3", "3.0\n"),
        ("bool", "true", "true\n"),
        ("char", "\"a\"", "\"a\"\n"),
        ("string", "\"a\\\"b\"", "a\"b\n"),
        ("string", "\"line\\n\"", "line\n"),
        ("option<string>", "\"a\"", "a\n"),
        ("option<string>", "null", ""),
        ("list<u8>", "\"a\"", "a"),
        ("list<u8>", "[255]", "\u{fffd}"),
        ("list<list<u8>>", "[\"a\", [255]]", "[\"a\",[255]]\n"),
        ("list<u64>", "[-1, 1]", "[18446744073709551615,1]\n"),
        ("list<u64>", "{}", "[]\n"),
        ("list<option<u64>>", "[null, -1]", "[null,18446744073709551615]\n"),
        (
            "list<option<option<u64>>>",
            "[null, {}, {\"some\": -1}]",
            "[null,{},{\"some\":18446744073709551615}]\n",
        ),
        ("map<u64, bool>", "{\"#5\": true}", "{\"5\":true}\n"),
        ("tuple<u8, string>", "[1, \"a\"]", "[1,\"a\"]\n"),
        (
            "user",
            "{\"name\": \"a\", \"tag-count\": 1}",
            "{\"name\":\"a\",\"tag-count\":1}\n",
        ),
        ("nobody", "{}", "{}\n"),
        ("color", "\"red\"", "\"red\"\n"),
        ("shape", "\"maybe\"", "\"maybe\"\n"),
        ("shape", "{\"outcome\": {\"ok\": 1}}", "{\"outcome\":{\"ok\":1}}\n"),
        ("perms", "{}", "{}\n"),
        ("perms", "[\"read\"]", "{\"read\":true}\n"),
        ("result<u64, string>", "{\"ok\": -1}", "18446744073709551615\n"),
        ("result<_, string>", "{\"ok\": true}", ""),
        ("tuple<result>", "[{\"err\": true}]", "[{\"err\":true}]\n"),
    ];
    for (ty, given, expected) in table {
        let signature = echo(ty);
        let vals = signature.lower(&args(&format!("[{given}]")), PLENTY).unwrap();
        let printed = signature.print(&signature.outcome(&vals).unwrap()).unwrap();
        assert_eq!(String::from_utf8_lossy(&printed), *expected, "{ty} {given}");
    }
    assert_eq!(
        json::text(&Shape::F64, &Packed::from_value(&Value::Float(f64::NAN))).unwrap(),
        "null"
    );
}

fn parse_words(function: &str, words: &[&str]) -> Result<String, String> {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let args = signature(function).parse_words(&words, PLENTY);
    let args = args.map_err(|error| error.to_string())?;
    Ok(format!("{:?}", args.to_values().unwrap()))
}

#[test]
fn words_become_arguments() {
    let table: &[(&str, &[&str], &str)] = &[
        (
            "f: func(a: s32, b: f64, c: bool)",
            &["-7", "1", "true"],
            "[-7, 1.0, true]",
        ),
        ("f: func(a: u64, b: u64)", &["18446744073709551615", "1"], "[-1, 1]"),
        (
            "f: func(a: string, b: char, c: color)",
            &["5", "λ", "red"],
            "[\"5\", \"λ\", \"red\"]",
        ),
        ("f: func(a: list<u64>)", &["[18446744073709551615]"], "[{1: -1}]"),
        (
            "f: func(a: list<u64>, b: list<u32>)",
            &["[1e3, 2.0, 1.8446744073709550e19]", "[1.0]"],
            "[{1: 1000, 2: 2, 3: -2048}, {1: 1.0}]",
        ),
        (
            "f: func(a: list<u8>, b: list<u8>)",
            &["\"ab\"", "[1]"],
            "[\"ab\", {1: 1}]",
        ),
        (
            "f: func(a: user)",
            &["{\"name\": \"a\", \"tag_count\": 1}"],
            "[{\"name\": \"a\", \"tag_count\": 1}]",
        ),
        (
            "f: func(a: map<u64, u8>)",
            &["{\"18446744073709551615\": 1}"],
            "[{-1: 1}]",
        ),
        ("f: func(a: option<u64>, b: option<u64>)", &["null"], "[nil]"),
        (
            "f: func(a: option<option<u64>>)",
            &["{\"some\": 18446744073709551615}"],
            "[{\"some\": -1}]",
        ),
        ("f: func(a: shape)", &["\"empty\""], "[\"empty\"]"),
        (
            "f: func(a: result<u64, u64>)",
            &["{\"err\": 18446744073709551615}"],
            "[{\"err\": -1}]",
        ),
        ("f: func()", &[], "[]"),
    ];
    for (function, words, expected) in table {
        assert_eq!(parse_words(function, words).as_deref(), Ok(*expected), "{function}");
    }
}

#[test]
fn words_that_do_not_fit_are_named() {
    let table: &[(&str, &[&str], &str)] = &[
        ("f: func(a: s32)", &["x"], "argument 1: expected s32, got \"x\""),
        (
            "f: func(a: s32)",
            &["3000000000"],
            "argument 1: expected s32 (-2147483648..2147483647), got 3000000000",
        ),
        ("f: func(a: u64)", &["-1"], "argument 1: expected u64, got \"-1\""),
        ("f: func(a: bool)", &["yes"], "argument 1: expected bool, got \"yes\""),
        ("f: func(a: char)", &["ab"], "argument 1: expected char, got \"ab\""),
        (
            "f: func(a: s32, b: color)",
            &["1", "blue"],
            "argument 2: expected one of red, green, light-blue, got \"blue\"",
        ),
        (
            "f: func(a: list<u64>)",
            &["[-1]"],
            "argument 1: expected u64 (0..18446744073709551615), got -1",
        ),
        (
            "f: func(a: list<u64>)",
            &["[1.5]"],
            "argument 1: expected u64 (0..18446744073709551615), got 1.5",
        ),
        (
            "f: func(a: list<u64>)",
            &["[18446744073709551616]"],
            "argument 1: expected u64 (0..18446744073709551615), got 1.8446744073709552e+19",
        ),
        (
            "f: func(a: list<s64>)",
            &["[18446744073709551615]"],
            "argument 1 [1]: expected s64 (-9223372036854775808..9223372036854775807), got 1.8446744073709552e19",
        ),
        (
            "f: func(a: point)",
            &["{\"x\": 1}"],
            "argument 1 .y: expected s32, got nil",
        ),
        ("f: func(a: s32)", &[], "f: expected 1 argument (a: s32), got 0"),
        ("f: func(a: s32)", &["1", "2"], "f: expected 1 argument (a: s32), got 2"),
    ];
    for (function, words, expected) in table {
        assert_eq!(parse_words(function, words), Err((*expected).to_owned()), "{function}");
    }
    let error = parse_words("f: func(a: list<u8>)", &["[1"]).unwrap_err();
    assert!(error.starts_with("argument 1: expected list<u8> as JSON: "), "{error}");
}

#[test]
fn usage_shows_names_and_types() {
    let signature = signature("add: func(a: s32, b: list<string>, c: option<u8>)");
    assert_eq!(
        signature.usage("add"),
        "usage: wippy run add <a: s32> <b: list<string>> [c: option<u8>]"
    );
}

#[test]
fn what_comes_out_goes_in_again_whatever_the_type() {
    let mut dice = Dice::new(2026);
    for _ in 0..100_000 {
        dice::there_and_back(&mut dice);
    }
}

#[test]
fn wrong_values_are_errors_and_no_panics() {
    let mut dice = Dice::new(7);
    for _ in 0..20_000 {
        dice::misfit(&mut dice);
    }
}

/// A module of `fixtures/wasm`.
fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/fixtures/wasm/{name}.wasm", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The guest `types`, instantiated.
struct Guest {
    store: Store<()>,
    instance: wasmtime::component::Instance,
}

impl Guest {
    fn new() -> Guest {
        let engine = Engine::default();
        let component = Component::new(&engine, fixture("types")).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
        Guest { store, instance }
    }

    fn call(&mut self, name: &str, args: &Packed) -> Result<(Signature, Vec<Val>), Error> {
        let func = self.instance.get_func(&mut self.store, name).expect(name);
        let signature = Signature::of_component(name, &func.ty(&self.store));
        let params = signature.lower(args, PLENTY)?;
        let mut results = vec![Val::Bool(false); usize::from(signature.result().is_some())];
        func.call(&mut self.store, &params, &mut results).expect(name);
        Ok((signature, results))
    }

    fn lifted(&mut self, name: &str, given: &str) -> String {
        let (signature, results) = self.call(name, &args(given)).expect(name);
        format!("{:?}", signature.lift(&results).unwrap().to_value().unwrap())
    }
}

#[test]
fn a_guest_gives_back_what_it_gets() {
    let mut guest = Guest::new();
    let item = r#"{"id": 1, "display-name": "a", "tag-count": 2, "position": {"x": -1, "y": 2}, "tags": {1: "t"}}"#;
    let table: &[(&str, &str)] = &[
        ("echo-bool", "true"),
        ("echo-s8", "-128"),
        ("echo-s16", "-32768"),
        ("echo-s32", "-2147483648"),
        ("echo-s64", "-9223372036854775808"),
        ("echo-u8", "255"),
        ("echo-u16", "65535"),
        ("echo-u32", "4294967295"),
        ("echo-u64", "-1"),
        ("echo-f32", "0.5"),
        ("echo-f64", "0.1"),
        ("echo-char", "\"λ\""),
        ("echo-string", "\"zwölf\""),
        ("echo-list-u8", "\"ab\""),
        ("echo-list-u32", "{1: 1, 2: 2}"),
        ("echo-list-f64", "{1: 1.5}"),
        ("echo-list-string", "{1: \"a\", 2: \"\"}"),
        ("echo-list-option", "{1: nil, 2: 5, 3: nil, \"n\": 3}"),
        ("echo-list-option-option", "{1: nil, 2: {}, 3: {\"some\": 1}, \"n\": 3}"),
        ("echo-list-point", "{1: {\"x\": 1, \"y\": 2}}"),
        ("echo-list-list", "{1: {1: 1}, 2: {}}"),
        ("echo-list-bytes", "{1: \"a\", 2: \"\"}"),
        ("echo-list-result", "{1: {\"ok\": 1}, 2: {\"err\": \"a\"}}"),
        ("echo-tuple", "{1: 1, 2: \"a\"}"),
        ("echo-tuple-option", "{1: nil, 2: 1, 3: nil, \"n\": 3}"),
        ("echo-point", "{\"x\": 1, \"y\": 2}"),
        ("echo-item", item),
        ("echo-option", "nil"),
        ("echo-option", "5"),
        ("echo-option-string", "\"a\""),
        ("echo-option-option", "nil"),
        ("echo-option-option", "{}"),
        ("echo-option-option", "{\"some\": 5}"),
        ("echo-option-point", "{\"x\": 1, \"y\": 2}"),
        ("echo-result", "{\"ok\": 1}"),
        ("echo-result", "{\"err\": \"a\"}"),
        ("echo-result-err", "{\"ok\": true}"),
        ("echo-result-err", "{\"err\": \"a\"}"),
        ("echo-result-ok", "{\"ok\": 1}"),
        ("echo-result-ok", "{\"err\": true}"),
        ("echo-result-empty", "{\"ok\": true}"),
        ("echo-result-empty", "{\"err\": true}"),
        ("echo-result-options", "{}"),
        ("echo-result-options", "{\"err\": {}}"),
        ("echo-result-options", "{\"ok\": 1}"),
        (
            "echo-nested-results",
            "{1: {\"ok\": 1}, 2: {\"ok\": true}, 3: {\"err\": true}, 4: {\"err\": true}, 5: {}}",
        ),
        ("echo-color", "\"green\""),
        ("echo-shape", "\"empty\""),
        ("echo-shape", "{\"circle\": 0.5}"),
        ("echo-shape", "{\"rect\": {\"x\": 1, \"y\": 2}}"),
        ("echo-shape", "{\"label\": \"a\"}"),
        ("echo-shape", "\"maybe\""),
        ("echo-shape", "{\"maybe\": 5}"),
        ("echo-shape", "{\"many\": {}}"),
        ("echo-shape", "{\"outcome\": {\"err\": \"a\"}}"),
        ("echo-list-shape", "{1: \"empty\", 2: {\"many\": {1: 1}}}"),
        ("echo-perms", "{\"read\": true, \"execute\": true}"),
        ("echo-features", "{\"f0\": true, \"long-name\": true}"),
        ("echo-wide", "{\"b0\": true, \"b19\": true}"),
        ("echo-wide", "{}"),
    ];
    for (name, text) in table {
        assert_eq!(
            guest.lifted(name, &format!("[{}]", debug_to_json(text))),
            *text,
            "{name}"
        );
    }
}

/// What Debug writes, `{1: nil}`, as JSON, `{"#1": null}`.
fn debug_to_json(text: &str) -> String {
    (1..=5).fold(text.replace("nil", "null"), |text, key| {
        let text = text.replace(&format!("{{{key}: "), &format!("{{\"#{key}\": "));
        text.replace(&format!(", {key}: "), &format!(", \"#{key}\": "))
    })
}

#[test]
fn a_guest_is_called_with_several_arguments_and_none() {
    let mut guest = Guest::new();
    let table: &[(&str, &str, &str)] = &[
        ("add", "[2, 3]", "5"),
        (
            "mixed",
            "[true, 5, \"a\", 0.5, \"blue\"]",
            "{1: \"blue\", 2: 0.5, 3: \"a\", 4: 5, 5: true}",
        ),
        (
            "sum-many",
            "[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]",
            "18",
        ),
        ("greet-opt", "[\"Ada\"]", "\"Ada\""),
        ("greet-opt", "[\"Ada\", \"Lady\"]", "\"Lady Ada\""),
        ("sum-opt", "[1]", "1"),
        ("sum-opt", "[1, null, 3]", "4"),
        ("sum-early-opt", "[null, 2]", "2"),
        ("nothing", "[]", "nil"),
        ("take", "[1]", "nil"),
        ("count-bytes", "[\"abc\"]", "3"),
        ("make-bytes", "[3]", "\"\\0\\u{1}\\u{2}\""),
        ("check", "[true]", "{\"ok\": \"fine\"}"),
        (
            "transform-users",
            "[[{\"id\": 1, \"name\": \"ada\", \"tags\": [\"a\"], \"active\": true}]]",
            "{1: {\"id\": 2, \"name\": \"ADA\", \"tags\": {1: \"a\", 2: \"seen\"}, \"active\": false}}",
        ),
    ];
    for (name, given, expected) in table {
        assert_eq!(guest.lifted(name, given), *expected, "{name}");
    }
    let error = guest.call("add", &args("[1]")).err().unwrap();
    assert_eq!(error.message(), "add: expected 2 arguments (a: s32, b: s32), got 1");
}

#[test]
fn a_guests_err_is_the_error_of_its_process() {
    let mut guest = Guest::new();
    let mut outcome = |name: &str, given: &str| {
        let (signature, results) = guest.call(name, &args(given)).unwrap();
        signature
            .outcome(&results)
            .map(|packed| packed.reader().item() == Item::Nil)
    };
    assert_eq!(outcome("check", "[false]").unwrap_err().message(), "not fine");
    let error = outcome("check-record", "[3]").unwrap_err();
    assert_eq!(error.message(), r#"{"code":3,"message":"it failed","path":["a","b"]}"#);
    assert_eq!(
        format!("{:?}", error.details().unwrap()),
        r#"{"value": {"code": 3, "message": "it failed", "path": {1: "a", 2: "b"}}}"#
    );
    assert!(outcome("check-enum", "[true]").unwrap());
}

/// A component with one function, which gives its list back: what it got is what it returns, byte for byte.
struct Echo {
    store: Store<()>,
    function: wasmtime::component::Func,
    signature: Signature,
}

impl Echo {
    fn new(list: &Shape, encoding: &str) -> Echo {
        let mut declared = String::new();
        let ty = wat_type(list, &mut declared);
        let wat = format!(
            r#"(component
                (core module $m
                    (memory (export "memory") 1)
                    (global $end (mut i32) (i32.const 64))
                    (func (export "echo") (param i32 i32) (result i32)
                        (i32.store (i32.const 8) (local.get 0))
                        (i32.store (i32.const 12) (local.get 1))
                        (i32.const 8))
                    (func (export "realloc") (param $old i32) (param $had i32) (param $align i32) (param $size i32)
                        (result i32) (local $at i32)
                        (local.set $at (i32.and
                            (i32.add (global.get $end) (i32.sub (local.get $align) (i32.const 1)))
                            (i32.sub (i32.const 0) (local.get $align))))
                        (global.set $end (i32.add (local.get $at) (local.get $size)))
                        (loop $grow
                            (if (i32.gt_u (global.get $end) (i32.mul (memory.size) (i32.const 65536)))
                                (then (drop (memory.grow (i32.const 1))) (br $grow))))
                        (memory.copy (local.get $at) (local.get $old)
                            (select (local.get $had) (local.get $size) (i32.lt_u (local.get $had) (local.get $size))))
                        (local.get $at)))
                (core instance $i (instantiate $m))
                {declared}
                (func (export "echo") (param "v" {ty}) (result {ty})
                    (canon lift (core func $i "echo") (memory (core memory $i "memory"))
                        (realloc (core func $i "realloc")) string-encoding={encoding})))"#
        );
        let engine = Engine::default();
        let bytes = wat::parse_str(&wat).unwrap_or_else(|error| panic!("{error}"));
        let component = Component::new(&engine, bytes).unwrap_or_else(|error| panic!("{error:?}\n{wat}"));
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
        let function = instance.get_func(&mut store, "echo").unwrap();
        let signature = Signature::of_component("echo", &function.ty(&store));
        Echo {
            store,
            function,
            signature,
        }
    }

    /// Whether it went as a list, and what came back.
    fn call(&mut self, given: &Packed) -> (bool, Packed) {
        let arguments = self.signature.prepare(given, PLENTY).unwrap();
        let returned = self.call_with(&arguments).unwrap();
        (
            matches!(arguments, Arguments::Typed(..)),
            returned.lift(&self.signature).unwrap(),
        )
    }

    fn call_with(&mut self, arguments: &Arguments) -> wasmtime::Result<Returned> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(
            self.signature
                .call(&self.function, self.store.as_context_mut(), arguments),
        )
    }
}

/// A type as the text of components writes it. Those that need a name are declared before.
fn wat_type(shape: &Shape, declared: &mut String) -> String {
    let quoted = |names: &Names| names.iter().map(|name| format!(" \"{name}\"")).collect::<String>();
    let text = match shape {
        Shape::List(list) => return format!("(list {})", wat_type(&list.element, declared)),
        Shape::Option(inner) => return format!("(option {})", wat_type(inner, declared)),
        Shape::Tuple(members) => {
            let members: Vec<String> = members.iter().map(|member| wat_type(member, declared)).collect();
            return format!("(tuple {})", members.join(" "));
        }
        Shape::Result(arms) => {
            let ok = arms.ok.as_ref().map(|ok| wat_type(ok, declared)).unwrap_or_default();
            let err = arms
                .err
                .as_ref()
                .map(|err| format!("(error {})", wat_type(err, declared)));
            return format!("(result {ok} {})", err.unwrap_or_default());
        }
        Shape::Record(record) => {
            let fields = record.names.iter().zip(&record.fields);
            let fields = fields.map(|(name, field)| format!(" (field \"{name}\" {})", wat_type(field, declared)));
            format!("(record{})", fields.collect::<String>())
        }
        Shape::Variant(variant) => {
            let cases = variant.names.iter().zip(&variant.payloads).map(|(name, payload)| {
                let payload = payload.as_ref().map(|payload| wat_type(payload, declared));
                format!(" (case \"{name}\" {})", payload.unwrap_or_default())
            });
            format!("(variant{})", cases.collect::<String>())
        }
        Shape::Enum(names) => format!("(enum{})", quoted(names)),
        Shape::Flags(names) => format!("(flags{})", quoted(names)),
        plain => return plain.to_string(),
    };
    let number = declared.lines().count();
    declared.push_str(&format!(
        "(type $i{number} {text}) (export $t{number} \"t{number}\" (type $i{number}))\n"
    ));
    format!("$t{number}")
}

#[test]
fn lists_cross_the_same_with_and_without_values_in_between() {
    let mut dice = Dice::new(5);
    let mut as_lists = 0;
    for _ in 0..100 {
        let list = dice.plain_list();
        let mut echo = Echo::new(&list, "utf8");
        for _ in 0..10 {
            let given = echo.signature.lift(&[dice.val(&list)]).unwrap();
            let (as_list, back) = echo.call(&given);
            as_lists += u32::from(as_list);
            assert_eq!(back, given, "{list}");
            let values = Arguments::Values(echo.signature.lower(&given, PLENTY).unwrap());
            let back = echo.call_with(&values).unwrap().lift(&echo.signature).unwrap();
            assert_eq!(back, given, "{list}");
        }
    }
    // Every form that a guest gives is one that it can get.
    assert_eq!(as_lists, 1_000);
}

#[test]
fn texts_cross_in_every_encoding() {
    let list = Shape::list(
        Shape::record([("a".to_owned(), Shape::String), ("b".to_owned(), Shape::String)]),
        None,
    );
    let texts = ["", "plain", "grün", "日本", "𝄞 and plain", "ünd 日"];
    let records = texts.map(|text| Value::map([("a", Value::from(text)), ("b", Value::from("end"))]));
    let given = Packed::from_value(&Value::array(records));
    for encoding in ["utf8", "utf16", "latin1+utf16"] {
        let (as_list, back) = Echo::new(&list, encoding).call(&given);
        assert!(as_list, "{encoding}");
        // Records come back as such, which does not show.
        assert_eq!(format!("{back:?}"), format!("{given:?}"), "{encoding}");
    }
}

#[test]
fn an_image_is_as_strict_as_values_are() {
    let list = Shape::list(
        Shape::record([
            ("an-id".to_owned(), Shape::Int(Int::U8)),
            ("note".to_owned(), Shape::Option(Box::new(Shape::String))),
        ]),
        None,
    );
    let mut echo = Echo::new(&list, "utf8");
    for (given, expected) in [
        (r#"[[{"an_id": 1}]]"#, r#"{1: {"an-id": 1}}"#),
        (
            r#"[[{"note": "x", "an-id": 255}]]"#,
            r#"{1: {"an-id": 255, "note": "x"}}"#,
        ),
        ("[{}]", "{}"),
    ] {
        let (as_list, back) = echo.call(&args(given));
        assert_eq!(
            (as_list, format!("{:?}", back.to_value().unwrap())),
            (true, expected.to_owned()),
            "{given}"
        );
    }
    for (given, problem) in [
        (
            r#"[[{"an-id": 256}]]"#,
            "argument 1 [1].an-id: expected u8 (0..255), got 256",
        ),
        (r#"[[{}]]"#, "argument 1 [1].an-id: expected u8, got nil"),
        (
            r#"[[{"an-id": 1, "an_id": 1}]]"#,
            "argument 1 [1].an-id: expected one spelling, got both an-id and an_id",
        ),
        (
            r#"[[{"an-id": 1, "x": 1}]]"#,
            "argument 1 [1]: expected fields an-id, note, got unknown field \"x\"",
        ),
        (
            r#"[[{"an-id": 1, "note": true}]]"#,
            "argument 1 [1].note: expected string, got boolean",
        ),
        (
            r##"[{"#2": {"an-id": 1}}]"##,
            "argument 1 [1]: expected record, got nil",
        ),
        (r##"[5]"##, "argument 1: expected list<record>, got number"),
    ] {
        let error = echo.signature.prepare(&args(given), PLENTY).unwrap_err();
        assert_eq!(error.message(), problem);
    }
}

#[test]
fn a_list_that_a_guest_gets_wrong_is_its_failure() {
    // Gives back the numbers that stand in its list of four as address and length.
    let wat = r#"(component
        (core module $m
            (memory (export "memory") 1)
            (data (i32.const 16) "\ff\ff\ff\ff")
            (data (i32.const 24) "\10\00\00\00\02\00\00\00")
            (func (export "give") (param i32 i32) (result i32) (local.get 0))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
        (core instance $i (instantiate $m))
        (func (export "chars") (param "v" (list u32)) (result (list char))
            (canon lift (core func $i "give") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
        (func (export "texts") (param "v" (list u32)) (result (list string))
            (canon lift (core func $i "give") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
        (func (export "flags") (param "v" (list u32)) (result (list (option bool)))
            (canon lift (core func $i "give") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#;
    for (name, address, length, problem) in [
        ("chars", 1, 1, "list pointer is not aligned"),
        ("chars", 65536, 1, "list pointer/length out of bounds of memory"),
        (
            "chars",
            0,
            i64::from(u32::MAX),
            "list pointer/length out of bounds of memory",
        ),
        ("chars", 16, 2, "out of range for `char`"),
        ("texts", 24, 1, "invalid utf-8"),
        ("texts", 16, 1, "string pointer/length out of bounds of memory"),
        ("flags", 16, 1, "discriminant 255 out of range [0..2)"),
    ] {
        let engine = Engine::default();
        let component = Component::new(&engine, wat::parse_str(wat).unwrap()).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
        let function = instance.get_func(&mut store, name).unwrap();
        let signature = Signature::of_component(name, &function.ty(&store));
        let given = Packed::from_value(&Value::array([Value::Int(address), Value::Int(length)]));
        let arguments = signature.prepare(&given, PLENTY).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let called = runtime.block_on(signature.call(&function, store.as_context_mut(), &arguments));
        let error = called.unwrap_err().root_cause().to_string();
        assert!(error.contains(problem), "{name} {address} {length}: {error}");
    }
}

#[test]
fn what_a_guest_gives_is_charged_before_it_is_written() {
    // A list of so many strings, all of them the same 60 KiB.
    let list = Shape::list(Shape::String, None);
    let mut echo = Echo::new(&list, "utf8");
    echo.store.set_hostcall_fuel(1 << 20);
    let text = Value::from("x".repeat(60 << 10));
    let mut given = |count: usize| {
        let given = Packed::from_value(&Value::array(vec![text.clone(); count]));
        let arguments = echo.signature.prepare(&given, PLENTY).unwrap();
        echo.call_with(&arguments).map(|_| ())
    };
    assert!(given(17).is_ok());
    let error = given(18).unwrap_err().root_cause().to_string();
    assert!(error.starts_with("too much data is being copied"), "{error}");
}

#[test]
fn images_that_multiply_end_at_the_bound() {
    // One table of a thousand numbers, a thousand times.
    let mut packer = Packer::new();
    let all = packer.open(false);
    let first = packer.open(false);
    (0..1_000).for_each(|number| packer.int(number));
    packer.close(first, 1_000, 0);
    (1..1_000).for_each(|_| packer.reference(first));
    packer.close(all, 1_000, 0);
    let given = packer.finish();
    let list = Shape::list(Shape::list(Shape::Int(Int::U32), None), None);
    let signature = Signature::new("f", vec![("v".to_owned(), list)], None);
    let prepared = |max_transfer| signature.prepare(&given, max_transfer);
    assert!(matches!(prepared(8 << 20), Ok(Arguments::Typed(..))));
    assert_eq!(prepared(1 << 20).unwrap_err().kind(), Kind::LimitExceeded);
}
