//! What a module may be made of: the proposals that wasmtime's command line runs, and every type of WIT.

use super::*;
use crate::wasm::value::words;

/// A component with the function `f`, which gives back its argument. `flat`: how many core values that is.
fn echo(ty: &str, flat: usize) -> String {
    let params = " i32".repeat(flat);
    let stores: String = (0..flat)
        .map(|index| format!("(i32.store offset={} (i32.const 8) (local.get {index}))", index * 4))
        .collect();
    format!(
        r#"(component
            (core module $m
                (memory (export "memory") 1)
                (global $end (mut i32) (i32.const 256))
                (func (export "f") (param{params}) (result i32) {stores} (i32.const 8))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
                    (local.set $at (i32.and (i32.add (global.get $end) (i32.const 15)) (i32.const -16)))
                    (global.set $end (i32.add (local.get $at) (local.get 3)))
                    (local.get $at)))
            (core instance $i (instantiate $m))
            (func (export "f") (param "v" {ty}) (result {ty})
                (canon lift (core func $i "f") (memory (core memory $i "memory"))
                    (realloc (core func $i "realloc")))))"#
    )
}

fn json(text: &str) -> Value {
    words::from_json(serde_json::from_str(text).unwrap(), None).unwrap()
}

#[test]
fn maps_and_lists_of_fixed_length_cross_as_every_type_does() {
    let world = World::new();
    for (ty, flat, given, expected) in [
        ("(map string u32)", 2, r#"{"a": 1, "b": 2}"#, r#"{"a": 1, "b": 2}"#),
        (
            "(map u8 (map string bool))",
            2,
            r#"[{"x": true}]"#,
            r#"{1: {"x": true}}"#,
        ),
        (
            "(list (map string (list u8)))",
            2,
            r#"[{"k": "v"}, {}]"#,
            r#"{1: {"k": "v"}, 2: {}}"#,
        ),
        ("(list u32 3)", 3, "[7, 8, 9]", "{1: 7, 2: 8, 3: 9}"),
        (
            "(list (list u32 2))",
            2,
            "[[1, 2], [3, 4]]",
            "{1: {1: 1, 2: 2}, 2: {1: 3, 2: 4}}",
        ),
        (
            "(list (option (list u16 2)))",
            2,
            "[[1, 2]]",
            r#"{1: {1: 1, 2: 2}, "n": 1}"#,
        ),
    ] {
        let entry = core(&world, &echo(ty, flat), |_| {});
        let value = world.value(entry, &[json(given)]);
        assert_eq!(format!("{value:?}"), expected, "{ty}");
    }
    let error = world.spawn(core(&world, &echo("(list u32 3)", 3), |_| {}), &[json("[1]")]);
    assert_eq!(
        error.err().unwrap().message(),
        "argument 1: expected list<u32, 3>, got 1 value"
    );
}

#[test]
fn a_module_may_be_made_of_every_proposal_that_is_on_by_default() {
    let world = World::new();
    for (name, text, expected) in [
        (
            "64-bit memory",
            "(memory i64 1) (func (export \"f\") (result i32) (i32.store (i64.const 8) (i32.const 7)) (i32.load (i64.const 8)))",
            7,
        ),
        (
            "several memories",
            "(memory 1) (memory $b 1) (func (export \"f\") (result i32)
                (i32.store $b (i32.const 8) (i32.const 7)) (i32.load $b (i32.const 8)))",
            7,
        ),
        (
            "tail calls",
            "(func $down (param i32) (result i32) (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 42))
                (else (return_call $down (i32.sub (local.get 0) (i32.const 1))))))
             (func (export \"f\") (result i32) (return_call $down (i32.const 1000000)))",
            42,
        ),
        (
            "SIMD",
            "(func (export \"f\") (result i32) (i32x4.extract_lane 1 (i32x4.add (v128.const i32x4 1 2 3 4) (v128.const i32x4 1 2 3 4))))",
            4,
        ),
        (
            "relaxed SIMD",
            "(func (export \"f\") (result i32) (i32x4.extract_lane 2 (i32x4.relaxed_trunc_f32x4_s (v128.const f32x4 1 2 3 4))))",
            3,
        ),
        (
            "bulk memory",
            "(memory 1) (data $d \"hello\") (func (export \"f\") (result i32)
                (memory.init $d (i32.const 0) (i32.const 1) (i32.const 4)) (data.drop $d) (i32.load8_u (i32.const 0)))",
            101,
        ),
        (
            "extended constants",
            "(global $g i32 (i32.add (i32.const 1) (i32.const 2))) (func (export \"f\") (result i32) (global.get $g))",
            3,
        ),
        (
            "typed function references",
            "(type $t (func (result i32))) (func $g (type $t) (i32.const 5)) (elem declare func $g)
             (func (export \"f\") (result i32) (call_ref $t (ref.func $g)))",
            5,
        ),
    ] {
        let value = world.value(core(&world, &format!("(module {text})"), |_| {}), &[]);
        assert_eq!(value, Value::Int(expected), "{name}");
    }
}

#[test]
fn atomics_work_on_a_memory_of_ones_own_and_a_shared_one_is_refused() {
    let world = World::new();
    let text = |shared: &str, body: &str| {
        format!(r#"(module (memory (export "memory") 1 1{shared}) (func (export "f") (result i32) {body}))"#)
    };
    let add = "(drop (i32.atomic.rmw.add (i32.const 8) (i32.const 42))) (atomic.fence)
        (drop (memory.atomic.notify (i32.const 8) (i32.const 1))) (i32.atomic.load (i32.const 8))";
    assert_eq!(world.value(core(&world, &text("", add), |_| {}), &[]), Value::Int(42));
    // Nobody could wake it.
    let wait = "(memory.atomic.wait32 (i32.const 8) (i32.const 0) (i64.const -1))";
    let error = world.failure(core(&world, &text("", wait), |_| {}), &[]);
    assert_eq!(error.message(), "wasm trap: atomic-wait-non-shared-memory");
    let error = world.failure(core(&world, &text(" shared", add), |_| {}), &[]);
    assert_eq!(
        error.message(),
        "failed to instantiate wasm module: its memory is shared between threads, which guests do not have; build it \
         without threads"
    );
}
