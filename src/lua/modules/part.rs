//! The files in Lua that some modules are made of, embedded in the program.

use mlua::chunk::ChunkMode;
use mlua::{IntoLuaMulti, Lua, Table};

/// A file that returns a table. Its chunk is called `[module]/name`, by which frames of our own are known in a trace.
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
        let chunk = lua
            .load(self.source)
            .set_name(format!("=[{}]/{}", self.module, self.name));
        chunk.set_mode(ChunkMode::Text).into_function()?.call(args)
    }
}
