//! The Lua modules, one file each. Each has `open`, which builds its table.
//!
//! [`Module`] drives everything: which names exist, how each is opened. The names that entries may declare, those of
//! modules that are not provided included, are listed in `project::modules`. Leaves to `driver::sandbox` and
//! `driver::require` which of them a process sees.

pub mod ctx;
pub mod env;
pub mod errors;
pub mod fs;
pub mod funcs;
pub mod io;
pub mod json;
pub mod logger;
pub mod os;
pub mod payload;
pub mod registry;
pub mod repl;
pub mod security;
pub mod supervisor;
pub mod test;
pub mod time;
pub mod uuid;

mod part;
#[cfg(test)]
mod testing;

use std::ffi::CStr;

use mlua::{Lua, Value};

/// A module of this runtime that is written with mlua.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Module {
    Ctx,
    Env,
    Errors,
    Fs,
    Funcs,
    Io,
    Json,
    Logger,
    Os,
    Payload,
    Registry,
    /// Of a session alone; nobody else can require it.
    Repl,
    Security,
    Supervisor,
    Test,
    Time,
    Uuid,
}

impl Module {
    /// Present in every state.
    pub const GLOBAL: &'static [Module] = &[Module::Errors, Module::Os, Module::Payload];

    /// To be declared under `modules:`, or required by scripts.
    pub const PROVIDED: &'static [Module] = &[
        Module::Ctx,
        Module::Env,
        Module::Fs,
        Module::Funcs,
        Module::Io,
        Module::Json,
        Module::Logger,
        Module::Registry,
        Module::Security,
        Module::Supervisor,
        Module::Test,
        Module::Time,
        Module::Uuid,
    ];

    /// Whether a half of it is written in Lua, with globals of its own.
    pub const fn is_partly_lua(self) -> bool {
        matches!(self, Module::Repl | Module::Supervisor | Module::Test)
    }

    /// The provided module of that name.
    pub fn find(name: &str) -> Option<Module> {
        Module::PROVIDED.iter().copied().find(|module| module.name() == name)
    }

    pub const fn c_name(self) -> &'static CStr {
        match self {
            Module::Ctx => c"ctx",
            Module::Env => c"env",
            Module::Errors => c"errors",
            Module::Fs => c"fs",
            Module::Funcs => c"funcs",
            Module::Io => c"io",
            Module::Json => c"json",
            Module::Logger => c"logger",
            Module::Os => c"os",
            Module::Payload => c"payload",
            Module::Registry => c"registry",
            Module::Repl => c"repl",
            Module::Security => c"security",
            Module::Supervisor => c"supervisor",
            Module::Test => c"test",
            Module::Time => c"time",
            Module::Uuid => c"uuid",
        }
    }

    pub fn name(self) -> &'static str {
        self.c_name().to_str().unwrap_or_default()
    }

    /// Makes its value, a table or an object.
    ///
    /// # Errors
    /// When the state has no memory for it.
    pub fn open(self, lua: &Lua) -> mlua::Result<Value> {
        match self {
            Module::Ctx => ctx::open(lua),
            Module::Env => env::open(lua),
            Module::Errors => errors::open(lua),
            Module::Fs => fs::open(lua),
            Module::Funcs => funcs::open(lua),
            Module::Io => io::open(lua),
            Module::Json => json::open(lua),
            Module::Logger => return logger::open(lua),
            Module::Os => os::open(lua),
            Module::Payload => payload::open(lua),
            Module::Registry => registry::open(lua),
            Module::Repl => repl::open(lua),
            Module::Security => security::open(lua),
            Module::Supervisor => supervisor::open(lua),
            Module::Test => test::open(lua),
            Module::Time => time::open(lua),
            Module::Uuid => uuid::open(lua),
        }
        .map(Value::Table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::modules;

    #[test]
    fn every_module_opens_and_may_be_declared() {
        let lua = Lua::new();
        let provided: Vec<&str> = Module::PROVIDED.iter().map(|module| module.name()).collect();
        assert_eq!(provided, modules::PROVIDED);
        for module in Module::GLOBAL {
            assert!(modules::GLOBALS.contains(&module.name()), "{}", module.name());
            assert!(module.open(&lua).unwrap().is_table());
        }
        for module in Module::PROVIDED {
            assert_eq!(Module::find(module.name()), Some(*module));
            assert!(!module.open(&lua).unwrap().is_nil());
        }
    }
}
