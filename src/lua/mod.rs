//! Lua processes: states, sandbox, the coroutine driver, conversion, and the Lua modules.
//!
//! One state per process. `compile` turns sources into shared bytecode, `state` and `sandbox` make a state that holds exactly
//! what the contract lists, `driver` resumes its coroutines and is the only place (with `stack`) that uses the raw Lua API,
//! `host` is what a module author sees, `modules` has one file per Lua module, `error` is the border post for errors.

pub mod error;
pub mod host;
pub mod modules;
pub mod syntax;
pub mod tree;
