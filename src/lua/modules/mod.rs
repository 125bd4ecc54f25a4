//! The modules that Lua code can `require`, one file each.

pub mod errors;
