//! The interface `funcs`: a guest calls what Lua calls with `funcs.call`, in its own context, and waits without holding a
//! thread.

use std::sync::Arc;

use super::runtime::funcs::Host;
use crate::error::{Error, Result};
use crate::id::EntryId;
use crate::json;
use crate::process::{Call, Options, Permission, Process};
use crate::value::{Item, Packed, Value};
use crate::wasm::state::State;

impl Host for State {
    async fn call_string(&mut self, target: String, input: String) -> Result<String, String> {
        let called = call(self.process(), target, Value::from(input)).await;
        called.and_then(text).map_err(|error| error.to_string())
    }

    async fn call_bytes(&mut self, target: String, input: Vec<u8>) -> Result<Vec<u8>, String> {
        let called = call(self.process(), target, Value::Str(input)).await;
        called.map_err(|error| error.to_string())
    }
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
    let answer = call.run().await?;
    let mut reader = answer.reader();
    let mut ahead = reader;
    if reader.is_at_end() {
        return Ok(Vec::new());
    }
    Ok(match ahead.item() {
        Item::Str(bytes) => bytes.to_vec(),
        Item::Nil => Vec::new(),
        _ => {
            let mut text = String::new();
            json::write(&mut reader, &mut text);
            text.into_bytes()
        }
    })
}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| Error::invalid("the result is not UTF-8 text; call-bytes takes it as it is"))
}
