//! Which engine runs an entry: the one place where an entry's kind chooses between Lua and wasm.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::id::EntryId;
use crate::lua::LuaEngine;
use crate::process::{Programs, Resolved};
use crate::project::{Entry, LuaKind, Registry, Spec};
use crate::wasm::{Wasm, WasmProgram};

/// Both engines behind the kernel's trait.
pub(super) struct Engines {
    registry: Arc<Registry>,
    wasm: Arc<Wasm>,
    /// Set once the kernel exists, which it needs; taken back at the end, because the two hold each other.
    lua: Mutex<Option<Arc<LuaEngine>>>,
}

impl Engines {
    pub fn new(registry: Arc<Registry>, wasm: Arc<Wasm>) -> Engines {
        Engines {
            registry,
            wasm,
            lua: Mutex::default(),
        }
    }

    pub fn set_lua(&self, lua: Arc<LuaEngine>) {
        *self.lua.lock().unwrap_or_else(PoisonError::into_inner) = Some(lua);
    }

    /// Lets go of what holds the kernel.
    pub fn release(&self) {
        drop(self.lua.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn lua(&self) -> Result<Arc<LuaEngine>> {
        let lua = self.lua.lock().unwrap_or_else(PoisonError::into_inner);
        lua.clone().ok_or_else(|| Error::unavailable("the runtime has stopped"))
    }

    pub async fn wasm_program(&self, id: &EntryId) -> Result<Option<Arc<WasmProgram>>> {
        let entry = self.registry.usable(id)?;
        match &entry.spec {
            Spec::Wasm(_) => self.wasm.program(&entry).await.map(Some),
            _ => Ok(None),
        }
    }

    fn find(&self, id: &EntryId) -> Result<Resolved> {
        let entry = self.registry.usable(id)?;
        match &entry.spec {
            Spec::Lua(spec) if spec.kind == LuaKind::Process => Ok(self.lua()?.resolve(&entry)),
            Spec::Wasm(_) if entry.kind == "process.wasm" => Ok(self.wasm.resolve(&entry)),
            _ => Err(not_a_process(&entry)),
        }
    }
}

impl Programs for Engines {
    fn resolve(&self, id: &EntryId) -> Resolved {
        self.find(id).unwrap_or_else(|error| Resolved::Ready(Err(error)))
    }
}

fn not_a_process(entry: &Entry) -> Error {
    Error::invalid(format!("{} is a {}, which is no process", entry.id, entry.kind))
}
