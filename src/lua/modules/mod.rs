//! The Lua modules, one file each. Each has `open`, which builds its table.
//!
//! [`Module`] drives everything: which names exist, how each is opened. Leaves to `driver::sandbox` and
//! `driver::require` which of them a process sees. What waits in `time` is added by `driver::timer`.

pub mod errors;
pub mod json;
pub mod time;

use std::ffi::CStr;

use mlua::{Lua, Value};

/// A module of this runtime that is written with mlua.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Module {
    Errors,
    Json,
    Time,
}

impl Module {
    /// Present in every state.
    pub const GLOBAL: &'static [Module] = &[Module::Errors];

    /// To be declared under `modules:`, or required by scripts.
    pub const PROVIDED: &'static [Module] = &[Module::Json, Module::Time];

    /// The provided module of that name.
    pub fn find(name: &str) -> Option<Module> {
        Module::PROVIDED.iter().copied().find(|module| module.name() == name)
    }

    pub const fn c_name(self) -> &'static CStr {
        match self {
            Module::Errors => c"errors",
            Module::Json => c"json",
            Module::Time => c"time",
        }
    }

    pub fn name(self) -> &'static str {
        self.c_name().to_str().unwrap_or_default()
    }

    /// Makes its value, a table or a function.
    ///
    /// # Errors
    /// When the state has no memory for it.
    pub fn open(self, lua: &Lua) -> mlua::Result<Value> {
        let table = match self {
            Module::Errors => errors::open(lua),
            Module::Json => json::open(lua),
            Module::Time => time::open(lua),
        };
        table.map(Value::Table)
    }
}
