//! WebAssembly: what a guest is, what it may reach, and how values get in and out of it.
//!
//! The way of an entry: `module` reads, verifies and compiles the file, `export` finds the function that `method` means,
//! `grants` and `linker` decide what stands behind its imports, `program` keeps all of that for its processes. The way of
//! a process: `value` lowers its arguments, `wasi` captures what it sees of the world (of 0.3 `wasi_0_3`; where WASI's own functions
//! could hold a thread or memory `files`, `listing`, `random`, `timers` and `stdio` stand in), `body` runs it in one of `engine`'s
//! engines (where `capacity` counts it and `slab` may hold its memory), `limits` bounds it, `error` gives its end a name,
//! with what `aftermath` finds in the store of a failed one;
//! `actor` is what the runtime itself offers to it, `serving` what a function's instance is between two calls.
//! What a guest reaches of the network goes through `network`, by `sockets` and `lookup` or by `http` and `tls`.
//! `inspect` looks at a module without running it, `sections` before it is compiled, `interface` tells what has changed in it, `findings`
//! what `check` has to say; `cache` keeps compiled code, `state` is what a store holds beside the guest.

mod actor;
mod aftermath;
mod body;
pub mod cache;
mod capacity;
pub mod engine;
mod error;
pub mod export;
mod files;
mod findings;
pub mod grants;
mod http;
pub mod inspect;
mod interface;
mod limits;
mod linker;
mod listing;
mod lookup;
pub mod module;
mod network;
mod program;
mod random;
mod sections;
mod serving;
mod slab;
mod sockets;
mod state;
mod stdio;
mod timers;
mod tls;
pub mod value;
mod wasi;
mod wasi_0_3;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::SystemTime;

use tokio::runtime::Handle as Tokio;
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinHandle;

pub use cache::Cache;
pub use engine::Settings;
pub use findings::{findings, refused};
pub use linker::{Import, Provision};
pub use program::WasmProgram;

use crate::error::{Error, Result};
use crate::id::ById;
use crate::lock::lock;
use crate::process::{Program, Resolved};
use crate::project::diagnostic::explained;
use crate::project::entry::Entry;
use crate::system::System;
use crate::system::volume::{Look, writes};
use engine::Engines;
use linker::Linkers;
use module::{Artifacts, CLOCK_STEP, Source, Stamp};
use network::Outside;
use program::{Handle, load, spec};
use serving::Shelf;

/// tokio, for what blocks. It may be named later: a module begins to load before there is one.
#[derive(Clone, Default)]
pub struct Io(Arc<OnceLock<Tokio>>);

impl Io {
    /// Names it, once.
    pub fn set(&self, tokio: Tokio) {
        let fresh = self.0.set(tokio);
        debug_assert!(fresh.is_ok(), "a runtime has one tokio");
    }

    /// Waits until it is named.
    fn spawn_blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        self.0.wait().spawn_blocking(work)
    }
}

impl From<Tokio> for Io {
    fn from(tokio: Tokio) -> Io {
        Io(Arc::new(OnceLock::from(tokio)))
    }
}

/// Everything that the WASM entries of one runtime share.
pub struct Wasm {
    shared: Arc<Shared>,
    entries: Mutex<ById<Arc<Slot>>>,
}

struct Shared {
    engines: Arc<Engines>,
    artifacts: Artifacts,
    linkers: Linkers,
    system: Arc<System>,
    io: Io,
    outside: Arc<Outside>,
    /// Instances of functions between two calls.
    shelf: Arc<Shelf>,
}

/// One entry: what was loaded last, and when its file was looked at.
pub struct Slot {
    entry: Arc<Entry>,
    loaded: Mutex<Option<Loaded>>,
    /// Held while loading: whoever asks meanwhile waits for the same load.
    loading: Arc<Loading>,
}

type Loading = tokio::sync::Mutex<()>;

struct Loaded {
    stamp: Stamp,
    looked: Look,
    /// When the first of the readings in a row began that found the same stamp and the same bytes.
    since: SystemTime,
    /// It had just been written when it was read: another write may have left the same stamp.
    young: bool,
    result: Result<Arc<Handle>>,
}

impl Wasm {
    pub fn new(mut settings: Settings, system: Arc<System>, io: impl Into<Io>) -> Arc<Wasm> {
        let io = io.into();
        let artifacts = Artifacts::new(settings.cache.take(), settings.log.clone());
        Arc::new(Wasm {
            shared: Arc::new(Shared {
                engines: Engines::new(settings, io.clone()),
                artifacts,
                linkers: Linkers::default(),
                system,
                io,
                outside: Arc::default(),
                shelf: Arc::default(),
            }),
            entries: Mutex::default(),
        })
    }

    /// Writes what the cache is to keep, or waits until it is written.
    pub fn write_back(&self) {
        self.shared.artifacts.write_back();
    }

    /// To be called at every beat of the kernel: busy guests yield.
    pub fn tick(&self) {
        self.shared.engines.tick();
    }

    /// How many modules were compiled here: neither found in the cache nor shared with another entry.
    pub fn compilations(&self) -> usize {
        self.shared.artifacts.compilations()
    }

    pub fn engines(&self) -> &Arc<Engines> {
        &self.shared.engines
    }

    /// The program of an entry, for [`Programs`](crate::process::Programs): at once when it is loaded and its file has
    /// not changed since.
    pub fn resolve(self: &Arc<Self>, entry: &Arc<Entry>) -> Resolved {
        self.resolve_in(&self.slot(entry))
    }

    /// The same for an entry whose place is known.
    pub fn resolve_in(self: &Arc<Self>, slot: &Arc<Slot>) -> Resolved {
        if let Some(result) = self.current(slot) {
            return Resolved::Ready(result.map(|handle| handle as Arc<dyn Program>));
        }
        let (wasm, slot) = (self.clone(), slot.clone());
        Resolved::Pending(Box::pin(async move {
            wasm.load(slot).await.map(|handle| handle as Arc<dyn Program>)
        }))
    }

    /// The program of an entry, loaded if need be.
    ///
    /// # Errors
    /// Whatever is wrong with the entry or its file.
    pub async fn program(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<Arc<WasmProgram>> {
        let slot = self.slot(entry);
        let loaded = match self.current(&slot) {
            Some(result) => result,
            None => self.clone().load(slot).await,
        };
        loaded.map(|handle| handle.0.clone())
    }

    /// Begins to load an entry that somebody will ask for soon, on a thread of its own: there need not be a tokio yet.
    pub fn begin(self: &Arc<Self>, entry: &Arc<Entry>) {
        let slot = self.slot(entry);
        let Ok(loading) = slot.loading.clone().try_lock_owned() else {
            return;
        };
        let wasm = self.clone();
        let load = move || wasm.load_here(&slot, loading).map(drop);
        // Without a thread whoever asks loads it, and meets its error in either case.
        let _ = thread::Builder::new().name("load".to_owned()).spawn(load);
    }

    /// The program of an entry, loaded on this thread, which may block.
    ///
    /// # Errors
    /// As [`Wasm::program`].
    pub fn program_blocking(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<Arc<WasmProgram>> {
        let slot = self.slot(entry);
        let loaded = match self.current(&slot) {
            Some(result) => result,
            None => self.read_and_load(&slot),
        };
        loaded.map(|handle| handle.0.clone())
    }

    /// The place of an entry's program.
    pub fn slot(&self, entry: &Arc<Entry>) -> Arc<Slot> {
        let mut entries = lock(&self.entries);
        match entries.get(&entry.id) {
            Some(slot) if Arc::ptr_eq(&slot.entry, entry) => slot.clone(),
            _ => {
                let slot = Arc::new(Slot {
                    entry: entry.clone(),
                    loaded: Mutex::default(),
                    loading: Arc::default(),
                });
                entries.insert(entry.id.clone(), slot.clone());
                slot
            }
        }
    }

    /// Keeps nothing of an entry that nobody will ask for again.
    pub fn forget(&self, entry: &Arc<Entry>) {
        let mut entries = lock(&self.entries);
        if entries
            .get(&entry.id)
            .is_some_and(|slot| Arc::ptr_eq(&slot.entry, entry))
        {
            entries.remove(&entry.id);
        }
    }

    /// What was loaded last, unless the file has changed.
    fn current(&self, slot: &Slot) -> Option<Result<Arc<Handle>>> {
        let mut loaded = lock(&slot.loaded);
        let known = loaded.as_mut()?;
        if !known.looked.holds() {
            let writes = writes();
            match self.stamp(&slot.entry) {
                Ok(stamp) if stamp == known.stamp && !known.young => known.looked = Look::after(writes),
                // Reading it tells.
                _ => return None,
            }
        }
        Some(known.result.clone())
    }

    fn stamp(&self, entry: &Entry) -> Result<Stamp> {
        Stamp::of(&spec(entry)?.source, &self.shared.system.volumes)
    }

    /// The bytes of an entry's module. Blocks.
    fn source(&self, entry: &Entry) -> Result<Source> {
        Source::of(&entry.id, &spec(entry)?.source, &self.shared.system.volumes)
    }

    async fn load(self: Arc<Self>, slot: Arc<Slot>) -> Result<Arc<Handle>> {
        let loading = slot.loading.clone().lock_owned().await;
        if let Some(result) = self.current(&slot) {
            return result;
        }
        self.load_off(slot, loading)
            .await
            .unwrap_or_else(|error| Err(Error::internal(format!("failed to compile wasm module: {error}"))))
    }

    /// Loads an entry on a thread that may block. Whoever waits does so no longer than until it can be used: what the cache
    /// is to keep of it is written after that.
    fn load_off(self: &Arc<Self>, slot: Arc<Slot>, loading: OwnedMutexGuard<()>) -> JoinHandle<Result<Arc<Handle>>> {
        let wasm = self.clone();
        self.shared.io.spawn_blocking(move || wasm.load_here(&slot, loading))
    }

    fn load_here(&self, slot: &Slot, loading: OwnedMutexGuard<()>) -> Result<Arc<Handle>> {
        let result = self.read_and_load(slot);
        drop(loading);
        self.write_back();
        result
    }

    fn read_and_load(&self, slot: &Slot) -> Result<Arc<Handle>> {
        let (writes, began) = (writes(), SystemTime::now());
        let in_entry = |error: Error| {
            let found = findings::refused(&slot.entry, &error);
            explained(error, &[found])
        };
        let bytes = self.source(&slot.entry).map_err(in_entry)?;
        let before = lock(&slot.loaded).take();
        let same = before.and_then(|known| {
            let handle = known.result.ok()?;
            let is_same = handle.0.sha256() == module::sha256(&bytes.bytes);
            is_same.then_some((handle, if known.stamp == bytes.stamp { known.since } else { began }))
        });
        // A step of the clock after a reading that found the same, the time of the file has nothing more to say, even if it lies
        // in the future.
        let since = same.as_ref().map_or(began, |(_, since)| *since);
        let is_settled = began.duration_since(since).is_ok_and(|age| age >= CLOCK_STEP);
        let result = match same {
            Some((handle, _)) => Ok(handle),
            None => load(&slot.entry, &bytes, &self.shared)
                .map(Handle::of)
                .map_err(in_entry),
        };
        *lock(&slot.loaded) = Some(Loaded {
            young: !is_settled && bytes.stamp.is_young(began),
            since,
            stamp: bytes.stamp,
            looked: Look::after(writes),
            result: result.clone(),
        });
        result
    }
}
