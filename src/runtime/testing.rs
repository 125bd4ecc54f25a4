//! Test files: each runs in a runtime of its own, so that nothing of one is seen by another, and whatever still lives when
//! it ends goes with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Runtime;
use crate::error::Result;
use crate::id::EntryId;
use crate::lua::modules::test::{self, Bench};
use crate::process::Program;
use crate::project::Limits;

impl Runtime {
    /// The program that runs test files for that bench; its arguments are the text of a file, its name, and the options of
    /// `lua/test/suite.lua`. Files can be required from `folders`.
    ///
    /// # Errors
    /// None that a user could cause.
    pub fn test_program(&self, name: &str, bench: Arc<dyn Bench>, folders: Vec<PathBuf>) -> Result<Arc<dyn Program>> {
        let lua = &self.engines.lua;
        // A runtime has one bench; the first stays.
        let _ = lua.bench.set(bench);
        let stem = Path::new(name).file_stem().unwrap_or_default().to_string_lossy();
        let id = EntryId::new("test", &stem);
        let path = Path::new("[test]/main");
        lua.script_as(id, path, test::MAIN, folders, Limits::default())
    }
}
