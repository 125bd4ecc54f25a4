//! What can be called by an id: functions with their pools, and processes that have a default host.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::programs::Engines;
use crate::error::Result;
use crate::id::EntryId;
use crate::process::{Kernel, Options, Place, Pool, PoolOptions, Program, Resolved, Target, no_handler};
use crate::project::{Entry, LuaKind, PoolSpec, Spec};

/// An entry that can be called, looked at once.
#[derive(Clone)]
pub(super) struct Callable {
    entry: Arc<Entry>,
    place: Place,
    options: Options,
    /// Of a Lua function; the others are asked for at each call, because their files may change.
    program: Option<Result<Arc<dyn Program>>>,
}

impl Callable {
    /// # Errors
    /// NotFound for an entry that cannot be called; Invalid for bad `meta.options`.
    pub fn of(engines: &Engines, entry: &Arc<Entry>, io: &Handle) -> Result<Callable> {
        let (place, program) = match &entry.spec {
            Spec::Lua(spec) if spec.kind == LuaKind::Function => (
                Place::Pool(Pool::new(pool_options(spec.pool), io.clone())),
                Some(engines.lua_made(entry)),
            ),
            Spec::Wasm(spec) if entry.kind.starts_with("function.") => {
                (Place::Pool(Pool::new(pool_options(spec.pool), io.clone())), None)
            }
            Spec::Lua(_) | Spec::Wasm(_) => {
                let host = entry.default_host().ok_or_else(|| no_handler(&entry.id))?;
                (Place::Host(host), None)
            }
            _ => return Err(no_handler(&entry.id)),
        };
        let options = entry.meta.get("options").map(Options::read).transpose();
        let options = options.map_err(|error| error.context(format!("meta.options of {}", entry.id)))?;
        Ok(Callable {
            entry: entry.clone(),
            place,
            options: options.unwrap_or_default(),
            program,
        })
    }

    pub fn target(&self, engines: &Engines) -> Target {
        let program = match (&self.program, &self.place) {
            (Some(program), _) => Resolved::Ready(program.clone()),
            (None, Place::Pool(_)) => engines.wasm.resolve(&self.entry),
            (None, Place::Host(_)) => engines.process(&self.entry.id),
        };
        Target {
            id: self.entry.id.clone(),
            program,
            place: self.place.clone(),
            options: self.options.clone(),
        }
    }

    /// Its pool drops what it keeps.
    pub fn close(&self) {
        if let Place::Pool(pool) = &self.place {
            pool.close();
        }
    }

    /// Makes the instances that its pool wants at boot; those of a module when that is loaded.
    fn warm(&self, engines: &Engines, kernel: &Kernel) {
        let Place::Pool(pool) = &self.place else { return };
        match self.target(engines).program {
            Resolved::Ready(Ok(program)) => kernel.warm(pool, &program),
            // A broken function says so when it is called.
            Resolved::Ready(Err(_)) => {}
            Resolved::Pending(loading) => {
                let (pool, kernel) = (pool.clone(), kernel.clone());
                kernel.io().clone().spawn(async move {
                    if let Ok(program) = loading.await {
                        kernel.warm(&pool, &program);
                    }
                });
            }
        }
    }
}

fn pool_options(spec: Option<PoolSpec>) -> PoolOptions {
    PoolOptions::from(spec.unwrap_or_default())
}

/// Makes the instances that functions want at boot.
pub(super) fn warm(engines: &Engines, kernel: &Kernel) {
    let wants = |entry: &&Arc<Entry>| {
        let spec = match &entry.spec {
            Spec::Lua(spec) => spec.pool,
            Spec::Wasm(spec) => spec.pool,
            _ => None,
        };
        pool_options(spec).warm > 0
    };
    for entry in engines.lua.registry().iter().filter(wants) {
        if let Ok(callable) = engines.callable(&entry.id) {
            callable.warm(engines, kernel);
        }
    }
}

impl Engines {
    /// The entry of that id as something to be called.
    ///
    /// # Errors
    /// NotFound `no handler registered for <id>`; whatever is wrong with the entry.
    pub fn callable(&self, id: &EntryId) -> Result<Callable> {
        if let Some(known) = self.calls().get(id) {
            return Ok(known.clone());
        }
        let registry = self.lua.registry();
        registry.get(id).ok_or_else(|| no_handler(id))?;
        let entry = registry.usable(id)?;
        let made = Callable::of(self, &entry, &self.io)?;
        Ok(self.remember(&entry, made))
    }

    /// Keeps what was made of an entry, unless another one has taken its place meanwhile.
    fn remember(&self, entry: &Arc<Entry>, made: Callable) -> Callable {
        let mut calls = self.calls_mut();
        match self.is_current(entry) {
            true => calls.entry(entry.id.clone()).or_insert(made).clone(),
            false => made,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::runtime::tests::{boot_with, lua, registry_of};

    #[test]
    fn what_is_called_after_a_reload_is_not_what_was_looked_up_before_it() {
        let function = |source| registry_of([lua("f", LuaKind::Function, source)]);
        let (runtime, _) = boot_with(function("return function() return 'old' end"));
        let (engines, id) = (&runtime.engines, EntryId::new("app", "f"));
        let before = runtime.registry().usable(&id).unwrap();
        let made = Callable::of(engines, &before, &engines.io).unwrap();
        let new = function("return function() return 'new' end");
        runtime.replace(new, &HashSet::from([id.clone()])).unwrap();
        assert!(Arc::ptr_eq(&engines.remember(&before, made).entry, &before));
        let now = runtime.registry().usable(&id).unwrap();
        assert!(Arc::ptr_eq(&engines.callable(&id).unwrap().entry, &now));
    }
}
