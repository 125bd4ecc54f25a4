//! What processes share with the machine they run on: the terminal, folders, the environment.

pub mod caretaker;
pub mod env;
mod fatal;
pub mod terminal;
pub mod volume;

pub use env::Env;
pub use volume::{Volume, Volumes};

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock, RwLockReadGuard};

use crate::id::EntryId;
use crate::lock::{read, write};
use crate::project::{self, Entry, Override, Project, Registry};

/// Loads a project, with the variables it declares at hand for its `${env:…}`.
pub fn load(folder: &Path, overrides: &[Override]) -> Project {
    load_with(folder, &[], overrides)
}

/// The same with further source roots.
pub fn load_with(folder: &Path, more: &[PathBuf], overrides: &[Override]) -> Project {
    project::load(folder, more, overrides, &|entries| {
        let env = Env::new(entries);
        Box::new(move |key, namespace| env.get(key, namespace))
    })
}

/// The folders and the environment of one runtime.
#[derive(Debug)]
pub struct System {
    pub volumes: Volumes,
    env: RwLock<Env>,
}

impl System {
    /// For the entries of a registry. Opens nothing yet: [`Volumes::open_all`] does at boot.
    pub fn new(registry: &Registry) -> System {
        System {
            volumes: Volumes::new(registry),
            env: RwLock::new(Env::new(registry.iter())),
        }
    }

    pub fn env(&self) -> RwLockReadGuard<'_, Env> {
        read(&self.env)
    }

    /// Makes a folder or an `env.*` entry known, in place of one with its id; other kinds are nothing to this room.
    pub fn declare(&self, entry: &Arc<Entry>) {
        self.volumes.declare(entry);
        write(&self.env).declare(entry);
    }

    /// The entry of that id is gone. Whoever holds what it described keeps it.
    pub fn forget(&self, id: &EntryId) {
        self.volumes.forget(id);
        write(&self.env).forget(id);
    }
}
