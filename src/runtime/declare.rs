//! Entries that come while a runtime runs: hosts, folders, variables and programs of a test file.
//!
//! Boot takes the same way for hosts, so that a declared one is no different from one in YAML.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::findings;
use super::programs::Engines;
use crate::error::Result;
use crate::id::EntryId;
use crate::process::{Bound, HostSpec, Kernel};
use crate::project::entry::Density;
use crate::project::{Diagnostic, Entry, ProcessHostSpec, Registry, Spec};
use crate::system::terminal::Terminal;
use crate::wasm::inspect::Inspection;

/// Where entries become known.
pub struct Declarations {
    pub(super) kernel: Kernel,
    pub(super) engines: Arc<Engines>,
    pub(super) terminal: Arc<Terminal>,
}

impl Declarations {
    /// Makes an entry known that no project holds, in place of one with its id. Processes that run already keep what they have.
    ///
    /// # Errors
    /// AlreadyExists for a host that runs already.
    pub fn declare(&self, entry: Arc<Entry>) -> Result<()> {
        self.add_host(&entry)?;
        self.engines.lua.system.declare(&entry);
        self.engines.declare(entry);
        Ok(())
    }

    /// Takes other entries in place of all there are, of which those have `changed`. Processes that run already keep what they
    /// have, and so does a host that runs; a host that is new is added.
    ///
    /// # Errors
    /// None that a host which is not there could cause.
    pub fn replace(&self, registry: Arc<Registry>, changed: &HashSet<EntryId>) -> Result<()> {
        for id in changed {
            let Some(entry) = registry.get(id) else {
                self.engines.lua.system.forget(id);
                continue;
            };
            if self.kernel.host(&entry.id).is_none() {
                self.add_host(entry)?;
            }
            self.engines.lua.system.declare(entry);
        }
        self.engines.replace(registry, changed);
        Ok(())
    }

    /// The entries as they are now.
    pub fn registry(&self) -> Arc<Registry> {
        self.engines.lua.registry()
    }

    /// What there is to know about the module of a WASM entry. Blocks for as long as compiling takes.
    ///
    /// # Errors
    /// As [`Wasm::inspect`](crate::wasm::Wasm::inspect).
    pub fn inspect(&self, entry: &Entry) -> Result<Inspection> {
        self.engines.wasm.inspect(entry)
    }

    /// What only the engines can find wrong with an entry. Blocks for as long as compiling takes.
    pub fn findings(&self, entry: &Arc<Entry>) -> Vec<Diagnostic> {
        findings::of(&self.engines, entry)
    }

    /// Adds the host that an entry describes; nothing for other entries.
    pub(super) fn add_host(&self, entry: &Entry) -> Result<()> {
        let host = match &entry.spec {
            Spec::ProcessHost(spec) => process_host(entry, spec),
            Spec::TerminalHost(_) => terminal_host(entry, &self.terminal),
            _ => return Ok(()),
        };
        self.kernel.add_host(host).map(drop)
    }
}

fn process_host(entry: &Entry, spec: &ProcessHostSpec) -> HostSpec {
    HostSpec {
        workers: spec.workers,
        mailbox: Bound {
            messages: spec.mailbox_limit,
            bytes: spec.mailbox_bytes,
        },
        stop_timeout: stop_timeout(entry),
        dense: spec.density == Some(Density::Dense),
        ..HostSpec::new(entry.id.clone())
    }
}

fn terminal_host(entry: &Entry, terminal: &Arc<Terminal>) -> HostSpec {
    HostSpec {
        stop_timeout: stop_timeout(entry),
        terminal: Some(terminal.clone()),
        ..HostSpec::new(entry.id.clone())
    }
}

fn stop_timeout(entry: &Entry) -> Duration {
    entry.lifecycle.clone().unwrap_or_default().stop_timeout
}
