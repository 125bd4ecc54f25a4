//! Values between a Lua stack and their flat form, in one pass.
//!
//! Both directions are iterative: depth costs Lua stack or heap, never native stack. Shared tables and cycles are kept. What
//! does not cross (functions, coroutines, userdata but Errors) becomes nil. A record that came from WASM is known by its
//! metatable and gets it again on the other side.
//!
//! Tables are read and filled where they lie (`layout`, `walk`, `shape`), as far as they are plain: strings, numbers, booleans
//! and tables in a table. The others, and all of them on a Lua that is laid out otherwise, cross by way of the API (`pack`,
//! `fill`).
//!
//! Everything here runs inside `raw::host` or `Driver::lifted`: nothing raises but for a stack that is too deep, which is
//! checked for. A message can have more values than the stack of who receives it has room for: only who needs all of them
//! on the stack calls [`push`], and asks whether they are there.

mod fill;
pub mod layout;
mod pack;
mod record;
pub mod shape;
mod walk;

use std::ffi::c_int;

pub use fill::{fill_array, push, push_first};
pub use pack::pack;
pub use record::{as_record, is_guarded, is_record_table};

/// Stack slots that one level of nesting takes, with room for calls.
const SLOTS: c_int = 8;

/// Levels of nesting for which memory is kept for the next value.
const KEPT: usize = 64;

/// Lets memory go that only a deeply nested value needs.
fn trim<T>(levels: &mut Vec<T>) {
    if levels.capacity() > KEPT {
        *levels = Vec::new();
    }
}

/// Memory that is used again from value to value, and what is known of tables that came before.
#[derive(Default)]
pub struct Scratch {
    packing: Option<Box<pack::Scratch>>,
    filling: Option<Box<fill::Scratch>>,
}

#[cfg(test)]
mod tests;
