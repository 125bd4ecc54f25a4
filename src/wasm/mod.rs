//! WebAssembly: what a guest is, what it may reach, and how values get in and out of it.

pub mod cache;
pub mod value;
