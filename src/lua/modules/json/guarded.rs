//! What a check against a JSON Schema may cost: the data as the library sees it, with a budget behind every look.
//!
//! Small schemas can make a checker branch without end (`anyOf` within `anyOf`), and references can take it deep into the
//! stack. The library has no bound for either, but it reaches the data through a trait: each of its looks comes by here. When
//! the budget is spent, the check ends by unwinding, which only [`run`] catches; no panic hook hears of it.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, Node, NodeIdentity, Object, SerdeJson};
use serde_json::{Map, Value};

/// Stack of a thread that checks, in bytes.
pub const STACK: usize = 128 << 20;
/// How much of it a check may have used at a look. The rest is for what happens between two looks: the longest chain of
/// references that a schema of [`super::validate::SCHEMA_SIZE`] can hold.
const STACK_LIMIT: usize = STACK / 2;
/// Errors that are made in one run, those inside of errors included.
const ERRORS: u32 = 10_000;
/// Looks between two at the clock.
const LOOKS_PER_CLOCK: u32 = 16;

/// Why a run was ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    Late,
    Deep,
    Errors,
    /// Nobody waits for the outcome any more.
    Unwanted,
}

struct Budget {
    deadline: Instant,
    wanted: Arc<AtomicBool>,
    /// An address at the bottom of the thread's stack.
    bottom: usize,
    looks: Cell<u32>,
    errors: Cell<u32>,
}

thread_local! {
    /// Of a thread that was made for one check.
    static BUDGET: OnceCell<Budget> = const { OnceCell::new() };
}

/// Sets the budget of this thread, which has a stack of [`STACK`] bytes and checks nothing else before or after.
pub fn begin(deadline: Instant, wanted: Arc<AtomicBool>) {
    let budget = Budget {
        deadline,
        wanted,
        bottom: stack_address(),
        looks: Cell::new(0),
        errors: Cell::new(0),
    };
    // A thread has one check.
    let _ = BUDGET.with(|cell| cell.set(budget));
}

/// Runs a part of the check, with an error count of its own.
pub fn run<T>(part: impl FnOnce() -> T) -> Result<T, Interrupt> {
    with_budget(|budget| budget.errors.set(0));
    // What a part leaves half done is dropped with it: validators do not change while they check.
    catch_unwind(AssertUnwindSafe(part)).map_err(|payload| match payload.downcast::<Interrupt>() {
        Ok(interrupt) => *interrupt,
        Err(panic) => resume_unwind(panic),
    })
}

fn with_budget(f: impl FnOnce(&Budget)) {
    BUDGET.with(|cell| {
        if let Some(budget) = cell.get() {
            f(budget);
        }
    });
}

#[inline(never)]
fn stack_address() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&here)).addr()
}

fn look() {
    with_budget(Budget::look);
}

fn interrupt(reason: Interrupt) {
    resume_unwind(Box::new(reason));
}

impl Budget {
    fn look(&self) {
        if self.bottom.abs_diff(stack_address()) > STACK_LIMIT {
            interrupt(Interrupt::Deep);
        }
        let looks = self.looks.get().wrapping_add(1);
        self.looks.set(looks);
        if !looks.is_multiple_of(LOOKS_PER_CLOCK) {
            return;
        }
        if !self.wanted.load(Ordering::Relaxed) {
            interrupt(Interrupt::Unwanted);
        }
        if Instant::now() > self.deadline {
            interrupt(Interrupt::Late);
        }
    }

    fn error(&self) {
        self.errors.set(self.errors.get() + 1);
        if self.errors.get() > ERRORS {
            interrupt(Interrupt::Errors);
        }
    }
}

/// The representation: JSON as `serde_json` holds it, each look counted.
pub struct Guarded;

/// The same without a budget, which does the work.
type Plain<'a> = &'a Value;

impl Json for Guarded {
    type Node<'a> = &'a Value;
    type PreparedKey = String;
    type StringBuffer = Value;

    fn prepare_key(key: &str) -> String {
        SerdeJson::prepare_key(key)
    }

    fn with_string_node<T>(buffer: &mut Value, string: &str, f: impl FnOnce(&Value) -> T) -> T {
        look();
        SerdeJson::with_string_node(buffer, string, f)
    }
}

impl<'a> Node<'a, Guarded> for &'a Value {
    type Object = &'a Map<String, Value>;
    type Array = &'a [Value];
    type Number = &'a serde_json::Number;

    fn as_object(&self) -> Option<Self::Object> {
        look();
        <Plain as Node<SerdeJson>>::as_object(self)
    }

    fn as_array(&self) -> Option<Self::Array> {
        look();
        <Plain as Node<SerdeJson>>::as_array(self)
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        look();
        <Plain as Node<SerdeJson>>::as_string(self)
    }

    fn as_number(&self) -> Option<Self::Number> {
        look();
        <Plain as Node<SerdeJson>>::as_number(self)
    }

    fn as_boolean(&self) -> Option<bool> {
        look();
        <Plain as Node<SerdeJson>>::as_boolean(self)
    }

    fn is_null(&self) -> bool {
        look();
        <Plain as Node<SerdeJson>>::is_null(self)
    }

    fn json_type(&self) -> JsonType {
        look();
        <Plain as Node<SerdeJson>>::json_type(self)
    }

    fn string_length(&self) -> Option<u64> {
        look();
        <Plain as Node<SerdeJson>>::string_length(self)
    }

    fn equals_value(&self, expected: &Value) -> bool {
        look();
        <Plain as Node<SerdeJson>>::equals_value(self, expected)
    }

    /// What an error holds of the data: this is where errors are counted.
    fn to_value(&self) -> Cow<'a, Value> {
        with_budget(Budget::error);
        <Plain as Node<SerdeJson>>::to_value(self)
    }

    fn identity(&self) -> Option<NodeIdentity> {
        look();
        <Plain as Node<SerdeJson>>::identity(self)
    }
}

impl<'a> Object<'a, Guarded> for &'a Map<String, Value> {
    type Node = &'a Value;
    type MemberName = &'a str;
    type MembersIter = Looking<<&'a Map<String, Value> as Object<'a, SerdeJson>>::MembersIter>;

    fn len(&self) -> usize {
        Map::len(self)
    }

    fn get(&self, key: &String) -> Option<&'a Value> {
        look();
        <&Map<_, _> as Object<SerdeJson>>::get(self, key)
    }

    fn members(&self) -> Self::MembersIter {
        Looking(<&Map<_, _> as Object<SerdeJson>>::members(self))
    }
}

impl<'a> Array<'a, Guarded> for &'a [Value] {
    type Node = &'a Value;
    type ElementsIter = Looking<std::slice::Iter<'a, Value>>;

    fn len(&self) -> usize {
        <[Value]>::len(self)
    }

    fn elements(&self) -> Self::ElementsIter {
        Looking(self.iter())
    }

    fn is_unique(&self) -> bool {
        <&[Value] as Array<SerdeJson>>::is_unique(self)
    }
}

/// An iterator over data, each step of which is a look.
pub struct Looking<I>(I);

impl<I: Iterator> Iterator for Looking<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        look();
        self.0.next()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    /// Runs something in a thread like those that check, with that long to go.
    fn checking<T: Send + 'static>(time: Duration, part: impl FnOnce(&AtomicBool) -> T + Send + 'static) -> T {
        let work = move || {
            let wanted = Arc::new(AtomicBool::new(true));
            begin(Instant::now() + time, wanted.clone());
            part(&wanted)
        };
        let thread = std::thread::Builder::new().stack_size(STACK).spawn(work);
        thread.unwrap().join().unwrap()
    }

    const LONG: Duration = Duration::from_secs(600);

    fn look_for_ever() {
        loop {
            look();
        }
    }

    #[test]
    fn a_run_ends_when_its_time_is_over_or_nobody_wants_it() {
        let late = checking(Duration::from_millis(20), |_| run(look_for_ever));
        assert_eq!(late, Err(Interrupt::Late));
        let unwanted = checking(LONG, |wanted| {
            wanted.store(false, Ordering::Relaxed);
            run(look_for_ever)
        });
        assert_eq!(unwanted, Err(Interrupt::Unwanted));
    }

    #[test]
    fn a_run_ends_before_the_stack_does() {
        fn go(levels: u64) -> u64 {
            look();
            match levels {
                0 => 0,
                levels => std::hint::black_box(go(levels - 1)) + 1,
            }
        }
        assert_eq!(checking(LONG, |_| run(|| go(u64::MAX))), Err(Interrupt::Deep));
    }

    #[test]
    fn errors_are_counted_in_each_run() {
        let value = json!([1]);
        let errors = move |count| {
            let value = value.clone();
            checking(LONG, move |_| {
                let make = || (0..count).for_each(|_| drop(Node::<Guarded>::to_value(&&value)));
                [run(make), run(make)]
            })
        };
        assert_eq!(errors(ERRORS), [Ok(()), Ok(())]);
        assert_eq!(errors(ERRORS + 1), [Err(Interrupt::Errors), Err(Interrupt::Errors)]);
    }

    #[test]
    fn without_a_budget_nothing_is_counted() {
        assert_eq!(run(|| (0..100_000).for_each(|_| look())), Ok(()));
    }

    /// Every keyword goes through the guarded representation as it does through the plain one.
    #[test]
    fn it_reads_as_the_plain_one_does() {
        let schema = json!({
            "type": "object", "propertyNames": {"maxLength": 5}, "minProperties": 1,
            "properties": {
                "a": {"type": "array", "uniqueItems": true, "contains": {"const": 2}, "items": {"enum": [1, 2, 2.5]}},
                "b": {"type": ["boolean", "null"]}, "c": {"pattern": "^x", "minLength": 2},
            },
        });
        let guarded = jsonschema::options_for::<Guarded>().build(&schema).unwrap();
        let plain = jsonschema::validator_for(&schema).unwrap();
        for data in [
            json!({"a": [1, 2], "b": null, "c": "xé"}),
            json!({"a": [1, 2.5]}),
            json!({"a": [2, 2]}),
            json!({"b": 1}),
            json!({"b": true}),
            json!({"c": "x"}),
            json!({"c": "yyyy"}),
            json!({"long name": 1}),
            json!({}),
            json!([]),
        ] {
            assert_eq!(guarded.is_valid(&data), plain.is_valid(&data), "{data}");
        }
    }
}
