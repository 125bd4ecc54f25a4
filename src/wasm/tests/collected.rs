//! Modules with exceptions, garbage-collected references and typed references to functions.

use super::*;
use crate::wasm::engine::Flavor;

/// The fixture as text, to stand in a component.
const TEXT: &str = include_str!("../../../fixtures/guests/collected.wat");

/// The functions of [`TEXT`] that take and give numbers, in a component. `more`: something else in it.
fn component(more: &str) -> String {
    let inner = TEXT.replacen("(module", "(core module $m", 1);
    format!(
        r#"(component {inner} {more}
          (core instance $i (instantiate $m))
          (func (export "caught") (param "n" s32) (result s32) (canon lift (core func $i "caught")))
          (func (export "uncaught") (param "n" s32) (canon lift (core func $i "uncaught")))
          (func (export "list") (param "n" s64) (result s64) (canon lift (core func $i "list")))
          (func (export "hoard") (canon lift (core func $i "hoard"))))"#
    )
}

fn limited(method: &str, change: impl FnOnce(&mut Limits)) -> Entry {
    guest_with("collected", method, |spec| change(&mut spec.limits))
}

fn collected() -> Flavor {
    Flavor {
        collected: true,
        ..Flavor::default()
    }
}

#[track_caller]
fn is_limit(exit: &Exit, limit: &str) {
    let error = exit.error().expect("it is too much");
    let details = error.details().unwrap();
    assert_eq!(
        (error.kind(), details.get("limit")),
        (Kind::LimitExceeded, Some(&Value::from(limit))),
        "{error}"
    );
}

#[test]
fn exceptions_and_references_work_and_their_engine_exists_once_something_needs_it() {
    let world = World::new();
    let is_made = || world.wasm.engines().is_made(collected().engine());
    assert_eq!(world.value(guest("compute", "compute"), &ints(&[6, 7])), Value::Int(42));
    assert!(!is_made());
    for (method, args, expected) in [
        ("caught", &[5][..], 5),
        ("by-reference", &[9, 4], 5),
        ("small", &[-3], -3),
        ("externs", &[], 11),
        ("array", &[100_000], 100_000),
        ("list", &[100_000], 5_000_050_000),
        ("churn", &[1_000], 1),
    ] {
        assert_eq!(
            world.value(guest("collected", method), &ints(args)),
            Value::Int(expected),
            "{method}"
        );
    }
    assert!(is_made());
    let program = world.program(guest("collected", "caught")).unwrap();
    assert_eq!(program.engine_name(), "on demand, garbage-collected");
    let program = world.program(guest("compute", "compute")).unwrap();
    assert_eq!(program.engine_name(), "pool");
}

#[test]
fn a_module_that_the_other_engines_refuse_counts_as_compiled_once() {
    let world = World::new();
    world.program(guest("collected", "caught")).unwrap();
    assert_eq!(world.wasm.compilations(), 1);
}

#[test]
fn an_exception_that_nobody_catches_ends_the_run_and_says_what_it_was() {
    let world = World::new();
    for (method, args, message, tag, values) in [
        (
            "uncaught",
            &[7][..],
            "fail(7, 1.5)",
            Some(Value::from("fail")),
            vec![Value::Int(7), Value::Float(1.5)],
        ),
        (
            "rethrown",
            &[],
            "fail(3, 1.5)",
            Some(Value::from("fail")),
            vec![Value::Int(3), Value::Float(1.5)],
        ),
        (
            "hidden",
            &[],
            "(-7, externref)",
            None,
            vec![Value::Int(-7), Value::from("externref")],
        ),
    ] {
        let exit = world.run(guest("collected", method), &ints(args));
        let error = exit.error().unwrap();
        assert_eq!(
            (exit.cause, error.kind(), error.retryable()),
            (Cause::Trap, Kind::Internal, None)
        );
        assert_eq!(error.message(), format!("uncaught exception: {message}"));
        let details = error.details().unwrap();
        assert_eq!(details.get("trap"), Some(&Value::from("uncaught-exception")));
        let exception = details.get("exception").unwrap();
        assert_eq!(exception.get("tag"), tag.as_ref());
        assert_eq!(exception.get("values"), Some(&Value::array(values)));
        assert!(!error.frames().is_empty(), "{method}");
    }
    assert_eq!(world.wasm.engines().living(), 0);
}

#[test]
fn an_exception_of_the_start_function_is_told_as_well() {
    let world = World::new();
    let text =
        "(module (tag $t (param i32)) (func $main (throw $t (i32.const 4))) (start $main) (func (export \"f\")))";
    let error = world.failure(core(&world, text, |_| {}), &[]);
    assert_eq!(
        error.message(),
        "failed to instantiate wasm module: uncaught exception: (4)"
    );
}

#[test]
fn components_are_made_of_such_modules_with_and_without_asynchronous_functions() {
    let world = World::new();
    for (more, engine) in [
        ("", "on demand, garbage-collected"),
        (
            "(type (func async))",
            "on demand, concurrent (experimental), garbage-collected",
        ),
    ] {
        let entry = |method: &str| {
            core(&world, &component(more), |spec| {
                spec.method = method.to_owned();
                spec.limits.max_memory = 8 << 20;
            })
        };
        assert_eq!(world.program(entry("caught")).unwrap().engine_name(), engine);
        assert_eq!(world.value(entry("caught"), &ints(&[5])), Value::Int(5));
        assert_eq!(world.value(entry("list"), &ints(&[3])), Value::Int(6));
        let error = world.failure(entry("uncaught"), &ints(&[7]));
        assert_eq!(error.message(), "uncaught exception: (7, 1.5)");
        is_limit(&world.run(entry("hoard"), &[]), "max_memory");
    }
}

#[test]
fn what_a_guest_no_longer_reaches_is_collected_and_does_not_count() {
    let world = World::new();
    let small = |method: &str| limited(method, |limits| limits.max_memory = 1 << 20);
    // 64 MB of nodes.
    assert_eq!(world.value(small("churn"), &ints(&[2_000_000])), Value::Int(1));
    assert_eq!(world.value(small("array"), &ints(&[200_000])), Value::Int(200_000));
    is_limit(&world.run(small("array"), &ints(&[2_000_000])), "max_memory");
    // A quarter of what is allowed may live at the least: one node takes 32 bytes.
    assert_eq!(world.value(small("list"), &ints(&[7_500])), Value::Int(28_128_750));
    is_limit(&world.run(small("list"), &ints(&[100_000])), "max_memory");
}

#[test]
fn a_heap_that_grows_without_end_meets_the_limit_and_its_neighbours_do_not() {
    let world = World::new();
    let churner = world.spawn(guest("collected", "churn"), &ints(&[0])).unwrap();
    let sleeper = world.spawn(guest("sleeper", "sleep-ms"), &ints(&[600_000])).unwrap();
    for _ in 0..3 {
        let hoarder = limited("hoard", |limits| limits.max_memory = 16 << 20);
        let exit = world.run(hoarder, &[]);
        assert_eq!(exit.cause, Cause::Limit);
        assert_eq!(exit.error().unwrap().message(), "memory limit exceeded: 16MiB");
        is_limit(&exit, "max_memory");
    }
    assert_eq!(world.value(guest("collected", "caught"), &ints(&[5])), Value::Int(5));
    for neighbour in [churner, sleeper] {
        assert!(neighbour.exit().is_none());
        world.kernel.terminate(neighbour.pid()).unwrap();
        assert_eq!(world.exit(&neighbour).cause, Cause::Terminated);
    }
    world.emptied();
}

#[test]
fn time_fuel_and_stack_are_limits_that_no_handler_holds_back() {
    let world = World::new();
    let exit = world.run(limited("churn", |limits| limits.max_execution_ms = 30), &ints(&[0]));
    assert_eq!(
        (exit.cause, exit.error().unwrap().kind()),
        (Cause::TimeLimit, Kind::Timeout)
    );
    let fuel = limited("churn", |limits| limits.max_fuel = 100_000);
    is_limit(&world.run(fuel, &ints(&[0])), "max_fuel");
    is_limit(&world.run(guest("collected", "recurse"), &[]), "max_stack");
}

#[test]
fn on_a_dense_host_such_a_guest_lives_as_elsewhere() {
    let world = World::new();
    let process = world
        .spawn_on(&world.dense, guest("collected", "list"), &ints(&[100]), &[])
        .unwrap();
    assert_eq!(value(&world.exit(&process)), Value::Int(5_050));
}

#[test]
fn exceptions_of_a_compiler_are_caught_and_unwind() {
    let world = World::new();
    assert_eq!(world.value(guest("throws", "guarded"), &ints(&[4])), Value::Int(8));
    assert_eq!(world.value(guest("throws", "guarded"), &ints(&[-1])), Value::Int(-101));
    let error = world.failure(guest("throws", "bare"), &ints(&[-1]));
    assert!(error.message().starts_with("uncaught exception: ("), "{error}");
    let frames: Vec<&str> = error.frames().iter().map(|frame| frame.name.as_str()).collect();
    assert!(frames.contains(&"bare"), "{frames:?}");
}

#[test]
fn exceptions_of_the_old_form_are_refused_with_the_cure() {
    let world = World::new();
    let text = "(module (tag $t) (func (export \"f\") try throw $t catch $t end))";
    let error = world.program(core(&world, text, |_| {})).err().unwrap();
    assert!(error.message().contains("legacy"), "{error}");
    assert!(error.message().contains("wasm-opt --translate-to-exnref"), "{error}");
}
