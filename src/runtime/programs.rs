//! Which engine runs an entry: the one place where an entry's kind chooses between Lua and wasm.
//!
//! Lua programs are kept per entry, so that a spawn of one that ran before compiles and plans nothing; of wasm entries the
//! engine's place for them is, which looks whether their files have changed.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::runtime::Handle;

use super::calls::Callable;
use super::files::Files;
use super::findings;
use crate::error::{Error, Result};
use crate::id::{ById, EntryId};
use crate::lock::{read, write};
use crate::lua::LuaEngine;
use crate::process::{Program, Programs, Resolved, Target};
use crate::project::diagnostic::refusal;
use crate::project::{Entry, LuaKind, Registry, Spec};
use crate::wasm::{self, Wasm, WasmProgram};

/// What a process entry was found to be.
enum Known {
    Lua(Result<Arc<dyn Program>>),
    Wasm(Arc<wasm::Slot>),
}

type Calls = ById<Callable>;

/// Both engines behind the kernel's trait.
pub(super) struct Engines {
    /// Programs of files that no entry names.
    pub files: Arc<Files>,
    pub lua: Arc<LuaEngine>,
    pub wasm: Arc<Wasm>,
    known: RwLock<ById<Known>>,
    /// Entries that were called, with their pools.
    calls: RwLock<Calls>,
    pub io: Handle,
}

impl Engines {
    pub fn new(lua: Arc<LuaEngine>, wasm: Arc<Wasm>, io: Handle) -> Engines {
        Engines {
            files: Files::new(lua.clone(), wasm.clone(), io.clone()),
            lua,
            wasm,
            known: RwLock::default(),
            calls: RwLock::default(),
            io,
        }
    }

    /// The program of a process entry.
    pub fn process(&self, id: &EntryId) -> Resolved {
        self.find(id).unwrap_or_else(|error| Resolved::Ready(Err(error)))
    }

    pub fn calls(&self) -> RwLockReadGuard<'_, Calls> {
        read(&self.calls)
    }

    pub fn calls_mut(&self) -> RwLockWriteGuard<'_, Calls> {
        write(&self.calls)
    }

    /// The WASM program of an entry; none for an entry of another kind.
    pub async fn wasm_program(&self, id: &EntryId) -> Result<Option<Arc<WasmProgram>>> {
        let entry = self.lua.registry().usable(id)?;
        match &entry.spec {
            Spec::Wasm(_) => self.wasm.program(&entry).await.map(Some),
            _ => Ok(None),
        }
    }

    fn find(&self, id: &EntryId) -> Result<Resolved> {
        match read(&self.known).get(id) {
            Some(Known::Lua(result)) => return Ok(Resolved::Ready(result.clone())),
            Some(Known::Wasm(slot)) => return Ok(self.wasm.resolve_in(slot)),
            None => {}
        }
        let entry = self.lua.registry().usable(id)?;
        match &entry.spec {
            Spec::Lua(spec) if spec.kind == LuaKind::Process => Ok(Resolved::Ready(self.lua_program(&entry))),
            Spec::Wasm(_) if entry.kind == "process.wasm" => {
                let slot = self.wasm.slot(&entry);
                self.keep(&entry, Known::Wasm(slot.clone()));
                Ok(self.wasm.resolve_in(&slot))
            }
            _ => Err(Error::invalid(format!(
                "{} is a {}, which is no process",
                entry.id, entry.kind
            ))),
        }
    }

    /// Makes an entry known, in place of one with its id.
    pub fn declare(&self, entry: Arc<Entry>) {
        let mut known = write(&self.known);
        known.remove(&entry.id);
        let mut calls = self.calls_mut();
        let called = calls.remove(&entry.id);
        self.lua.declare(entry);
        drop(calls);
        if let Some(called) = called {
            called.close();
        }
    }

    /// Takes other entries in place of all there are; what was made of the `changed` ones, and of those that refer to them, is
    /// made anew when it is asked for.
    pub fn replace(&self, registry: Arc<Registry>, changed: &HashSet<EntryId>) {
        let stale = registry.reaching(changed);
        let mut known = write(&self.known);
        known.retain(|id, _| !stale.contains(id));
        let mut calls = self.calls_mut();
        let called: Vec<Callable> = stale.iter().filter_map(|id| calls.remove(id)).collect();
        self.lua.replace(registry);
        drop(calls);
        called.iter().for_each(Callable::close);
    }

    /// The program of a Lua process, kept unless another entry has taken the place of this one meanwhile.
    pub fn lua_program(&self, entry: &Arc<Entry>) -> Result<Arc<dyn Program>> {
        let made = self.lua_made(entry);
        self.keep(entry, Known::Lua(made.clone()));
        made
    }

    /// Remembers what an entry was found to be, unless another entry has taken its place meanwhile.
    fn keep(&self, entry: &Arc<Entry>, found: Known) {
        let mut known = write(&self.known);
        if self.is_current(entry) {
            known.entry(entry.id.clone()).or_insert(found);
        }
    }

    /// The program of a Lua entry.
    ///
    /// # Errors
    /// As [`LuaEngine::program`], with what was found in the sources.
    pub fn lua_made(&self, entry: &Arc<Entry>) -> Result<Arc<dyn Program>> {
        let made = self.lua.program(entry);
        made.map_err(|error| findings::explained(error, &entry.id, &self.lua.registry()))
    }

    fn note(&self, id: &EntryId) {
        if let Some(uses) = &self.lua.uses {
            uses.entry(id);
        }
    }

    /// Whether no other entry has taken its place since. To be asked with what remembers programs locked, which is emptied
    /// before the registry changes and locked until it has.
    pub fn is_current(&self, entry: &Arc<Entry>) -> bool {
        let registry = self.lua.registry();
        registry.get(&entry.id).is_some_and(|now| Arc::ptr_eq(now, entry))
    }
}

impl Programs for Engines {
    fn resolve(&self, id: &EntryId) -> Resolved {
        self.note(id);
        self.process(id)
    }

    fn target(&self, id: &EntryId) -> Result<Target> {
        self.note(id);
        Ok(self.callable(id)?.target(self))
    }

    fn close(&self) {
        let calls = std::mem::take(&mut *self.calls_mut());
        calls.values().for_each(Callable::close);
    }

    fn broken_host(&self, id: &EntryId) -> Option<Error> {
        refusal(id, &self.lua.registry().get(id)?.problems)
    }

    fn resolve_file(&self, folders: &[PathBuf], name: &str) -> Resolved {
        self.files.resolve(folders, name)
    }
}
