//! Sessions: a process that does what a desk asks of it, one request after the other.

use std::path::PathBuf;
use std::sync::Arc;

use super::Runtime;
use crate::error::Result;
use crate::lua::modules::repl::Desk;
use crate::process::Program;

impl Runtime {
    /// The program of a session that works for that desk. Files can be required from `folders`, and named as processes below
    /// the first of them.
    ///
    /// # Errors
    /// As [`LuaEngine::session`](crate::lua::LuaEngine::session).
    pub fn session(&self, desk: Arc<dyn Desk>, folders: Vec<PathBuf>) -> Result<Arc<dyn Program>> {
        self.engines.lua.session(desk, folders)
    }
}
