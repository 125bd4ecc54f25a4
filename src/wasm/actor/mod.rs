//! The package `wippy:runtime`: what the runtime itself offers to components. Its text is `src/wasm/wit/runtime.wit`, which
//! the bindings are made from; each interface is behind a grant and in a file of its name.
//!
//! A guest with `wippy:process` is a process like any other to its peers: what it does goes through
//! [`acts`](crate::process::acts), as what Lua does. `payload` turns plain data into what guests see of it.
//!
//! Invariant: no function returns into a guest whose process is doomed by that very call.

mod env;
mod funcs;
mod log;
mod payload;
mod process;
mod time;

use std::sync::Arc;

use wasmtime::component::{HasSelf, Linker};

use super::export::unversioned;
use super::grants::{Grant, Grants};
use super::state::State;
use crate::system::System;
use bindings::wippy::runtime;

mod bindings {
    wasmtime::component::bindgen!({
        path: "src/wasm/wit",
        world: "wippy:runtime/actor",
        imports: {
            "wippy:runtime/process.args": trappable,
            "wippy:runtime/process.receive": async | trappable,
            "wippy:runtime/process.spawn": async,
            "wippy:runtime/process.terminate": async,
            "wippy:runtime/time.sleep-ms": async,
            "wippy:runtime/funcs.call-string": async,
            "wippy:runtime/funcs.call-bytes": async,
        },
    });
}

/// The version of the package. A guest for another 0.1 gets the same functions.
const VERSION: &str = "0.1.0";

/// The grants that an interface of the package is behind.
pub const GRANTS: [Grant; 5] = [Grant::Funcs, Grant::Process, Grant::Time, Grant::Log, Grant::Env];

/// The name under which the functions for a guest's `wippy:runtime/process@0.1.7` are linked.
pub fn linked_name(interface: &str) -> String {
    format!("{}@{VERSION}", unversioned(interface))
}

/// Adds the interfaces that are granted.
///
/// # Errors
/// When the linker has them already.
pub fn link(linker: &mut Linker<State>, grants: Grants) -> wasmtime::Result<()> {
    type Own = HasSelf<State>;
    for grant in GRANTS.into_iter().filter(|grant| grants.has(*grant)) {
        match grant {
            Grant::Process => runtime::process::add_to_linker::<State, Own>(linker, |state| state)?,
            Grant::Time => runtime::time::add_to_linker::<State, Own>(linker, |state| state)?,
            Grant::Log => runtime::log::add_to_linker::<State, Own>(linker, |state| state)?,
            Grant::Env => runtime::env::add_to_linker::<State, Own>(linker, |state| state)?,
            _ => runtime::funcs::add_to_linker::<State, Own>(linker, |state| state)?,
        }
    }
    Ok(())
}

impl runtime::types::Host for State {}

/// What these functions need to know beside the process.
pub struct Given {
    pub system: Arc<System>,
    /// Whether it reads its mailbox.
    pub reads_mail: bool,
    /// Bytes that one value may take.
    pub max_transfer: u64,
    /// Bytes that it may hold; 0: no limit.
    pub max_memory: u64,
}
