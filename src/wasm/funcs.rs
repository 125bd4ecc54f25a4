//! The host interface `wippy:runtime/funcs`, behind the grant `funcs`: a guest calls what Lua calls with `funcs.call`, in its
//! own context, and waits without holding a thread.

use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use super::state::State;
use crate::error::{Error, Result};
use crate::id::EntryId;
use crate::json;
use crate::process::{Call, Options, Permission, Process};
use crate::value::{Packed, Value};

/// The interface as it is linked. A guest for any other 0.1 gets the same functions.
pub const INTERFACE: &str = "wippy:runtime/funcs@0.1.0";

/// Adds the functions of the interface.
///
/// # Errors
/// When the linker has them already.
pub fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut at = linker.instance(INTERFACE)?;
    at.func_wrap_async("call-string", |store, (target, input): (String, String)| {
        let called = call(caller(&store), target, Value::from(input));
        Box::new(async { Ok((called.await.and_then(text).map_err(|error| error.to_string()),)) })
    })?;
    at.func_wrap_async("call-bytes", |store, (target, input): (String, Vec<u8>)| {
        let called = call(caller(&store), target, Value::Str(input));
        Box::new(async { Ok((called.await.map_err(|error| error.to_string()),)) })
    })
}

fn caller(store: &StoreContextMut<'_, State>) -> Arc<Process> {
    store.data().process().clone()
}

/// Calls what `target` names with one argument. The answer is a string as it is, nothing for nil, else JSON.
async fn call(caller: Arc<Process>, target: String, input: Value) -> Result<Vec<u8>> {
    let id = EntryId::parse(&target).map_err(|_| Error::invalid(format!("invalid function target: {target}")))?;
    caller.kernel().authorize(&caller, Permission::FuncsCall, &id)?;
    let call = Call {
        target: caller.kernel().programs().target(&id)?,
        args: Packed::from_value(&input),
        context: caller.context().clone(),
        options: Options::default(),
        caller,
    };
    Ok(match call.run().await?.to_value()? {
        Value::Str(bytes) => bytes,
        Value::Nil => Vec::new(),
        value => json::from(&value).to_string().into_bytes(),
    })
}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| Error::invalid("the result is not UTF-8 text; call-bytes takes it as it is"))
}
