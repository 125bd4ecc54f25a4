//! What only its store knows of a failure: the exception that nobody caught, the growth of a heap that was refused.
//!
//! To be asked before the store is dropped. What such an end is called is left to `error`.

use std::fmt;

use wasmtime::{AsContextMut, ExnRef, Extern, GcHeapOutOfMemory, Instance, Rooted, Store, ThrownException, Val};

use super::state::State;
use crate::value::Value;

/// An exception that left the guest.
#[derive(Clone, Debug, Default)]
pub struct Uncaught {
    /// The name under which the core module exports its tag, if it does.
    pub tag: Option<String>,
    /// What it carries; of a reference, its type.
    pub values: Vec<Value>,
}

impl fmt::Display for Uncaught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<String> = self.values.iter().map(shown).collect();
        write!(f, "{}({})", self.tag.as_deref().unwrap_or_default(), values.join(", "))
    }
}

/// The error with what the store knows about it. `instance`: that of a core module.
pub fn explained(error: wasmtime::Error, instance: Option<&Instance>, store: &mut Store<State>) -> wasmtime::Error {
    if error.is::<ThrownException>() {
        return error.context(uncaught(instance, store));
    }
    if error.is::<GcHeapOutOfMemory<()>>()
        && let Some(stop) = store.data().memory.refusal()
    {
        return error.context(stop);
    }
    error
}

fn uncaught(instance: Option<&Instance>, store: &mut Store<State>) -> Uncaught {
    let Some(exception) = store.take_pending_exception() else {
        return Uncaught::default();
    };
    let values = exception.fields(store.as_context_mut());
    Uncaught {
        values: values.map(|values| values.map(value).collect()).unwrap_or_default(),
        tag: instance.and_then(|instance| exported_tag(exception, instance, store)),
    }
}

/// The name of the export that is the exception's tag.
fn exported_tag(exception: Rooted<ExnRef>, instance: &Instance, store: &mut Store<State>) -> Option<String> {
    let thrown = exception.tag(&mut *store).ok()?;
    let named = |export: wasmtime::Export<'_>| (export.name().to_owned(), export.into_extern());
    let exports: Vec<_> = instance.exports(&mut *store).map(named).collect();
    let is_thrown = |item: &Extern| matches!(item, Extern::Tag(tag) if wasmtime::Tag::eq(tag, &thrown, &*store));
    exports
        .into_iter()
        .find(|(_, item)| is_thrown(item))
        .map(|(name, _)| name)
}

fn value(value: Val) -> Value {
    match value {
        Val::I32(number) => Value::Int(i64::from(number)),
        Val::I64(number) => Value::Int(number),
        Val::F32(bits) => Value::Float(f64::from(f32::from_bits(bits))),
        Val::F64(bits) => Value::Float(f64::from_bits(bits)),
        Val::V128(vector) => Value::from(format!("{:#034x}", vector.as_u128())),
        Val::FuncRef(_) => Value::from("funcref"),
        Val::ExternRef(_) => Value::from("externref"),
        Val::AnyRef(_) => Value::from("anyref"),
        Val::ExnRef(_) => Value::from("exnref"),
        Val::ContRef(_) => Value::from("contref"),
    }
}

/// A value that [`value`] made.
fn shown(value: &Value) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Str(text) => String::from_utf8_lossy(text).into_owned(),
        other => format!("{other:?}"),
    }
}
