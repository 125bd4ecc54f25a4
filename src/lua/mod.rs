//! Lua processes.

pub mod error;
pub mod modules;
pub mod tree;
