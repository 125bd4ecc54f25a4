//! The Lua modules, one file each. Each has `open`, which builds its table.
//!
//! Leaves to `sandbox` which of them a process sees.

pub mod env;
pub mod errors;
pub mod io;
pub mod json;
pub mod logger;
pub mod time;

#[cfg(test)]
mod testing;
