//! The files in Lua that some modules are made of, embedded in the program.

use mlua::chunk::ChunkMode;
use mlua::{IntoLuaMulti, Lua, Table};

use crate::lua::driver::own_globals;

/// A file that returns a table. Its chunk is called `[module]/name`, by which frames of our own are known in a trace. It sees
/// globals of its own ([`own_globals`]); while it is run nothing of the program's may be called, and so no method of a string.
pub struct Part {
    module: &'static str,
    name: &'static str,
    source: &'static str,
}

impl Part {
    pub const fn new(module: &'static str, name: &'static str, source: &'static str) -> Part {
        Part { module, name, source }
    }

    /// Values as text for people, for any module.
    pub const fn show(module: &'static str) -> Part {
        Part::new(module, "show", include_str!("../../../lua/show.lua"))
    }

    /// Runs the file with the tables it asks for as `...`.
    ///
    /// # Errors
    /// When the state has no memory for it.
    pub fn run(&self, lua: &Lua, args: impl IntoLuaMulti) -> mlua::Result<Table> {
        let mut chunk = lua
            .load(self.source)
            .set_name(format!("=[{}]/{}", self.module, self.name));
        if let Some(globals) = own_globals(lua)? {
            chunk = chunk.set_environment(globals);
        }
        chunk.set_mode(ChunkMode::Text).into_function()?.call(args)
    }
}
