//! Wippy: Lua and WebAssembly processes that cannot hurt each other.

pub mod duration;
pub mod error;
pub mod id;
pub mod log;
pub mod lua;
pub mod process;
pub mod size;
pub mod system;
pub mod value;
