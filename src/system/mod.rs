//! What processes share with the machine they run on: the terminal, folders, the environment.

pub mod env;
pub mod terminal;
pub mod volume;

pub use env::Env;
pub use volume::{Volume, Volumes};

use crate::project::Registry;

/// The folders and the environment of one runtime.
#[derive(Debug)]
pub struct System {
    pub volumes: Volumes,
    pub env: Env,
}

impl System {
    /// For the entries of a registry. Opens nothing yet: [`Volumes::open_all`] does at boot.
    pub fn new(registry: &Registry) -> System {
        System {
            volumes: Volumes::new(registry),
            env: Env::new(registry.iter()),
        }
    }
}
