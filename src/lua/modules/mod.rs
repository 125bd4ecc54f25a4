//! The Lua modules, one file each. Each has `open`, which builds its table.
//!
//! Leaves to `sandbox` which of them a process sees.

pub mod errors;
pub mod json;
pub mod time;
