//! Lua processes: states, sandbox, the coroutine driver, conversion, and the Lua modules.
//!
//! One state per process. `compile` turns sources into shared bytecode, `engine` makes programs and bodies of it. `driver`
//! makes a state that holds exactly what the contract lists, resumes its coroutines, and is the only place (with `stack`)
//! that uses the raw Lua API. `stack` packs what crosses; it alone knows how Lua lays out its tables, because most of the cost of
//! a message is theirs. `host` is what a module author sees, `modules` has one file per Lua module, `error` is the
//! border post for errors, `uses` takes down what programs need.

#[cfg(test)]
mod bounds;
pub mod compile;
pub mod definitions;
mod driver;
pub mod engine;
pub mod error;
pub mod host;
#[cfg(test)]
mod limits;
mod message;
pub mod modules;
#[cfg(test)]
mod neighbours;
mod stack;
pub mod syntax;
#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tests;
pub mod tree;
pub mod uses;

pub use engine::LuaEngine;
