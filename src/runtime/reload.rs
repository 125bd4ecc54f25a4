//! Other entries for a runtime that runs: what is new, gone or different takes effect, and the services that this concerns are
//! started again. Everything else goes on.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Occasion, Runtime};
use crate::error::Result;
use crate::id::EntryId;
use crate::process::Process;
use crate::project::{Registry, Spec};
use crate::supervisor::Unstarted;

impl Runtime {
    /// As [`Declarations::replace`](super::Declarations::replace).
    ///
    /// # Errors
    /// As there.
    pub fn replace(&self, registry: Arc<Registry>, changed: &HashSet<EntryId>) -> Result<()> {
        self.declarations.replace(registry, changed)
    }

    /// The services, of the entries as they are now, that a change of those entries concerns: their own entries or what these
    /// refer to have changed, or a process runs below them whose code has.
    pub fn concerned(&self, changed: &HashSet<EntryId>) -> HashSet<EntryId> {
        let registry = self.registry();
        let mut reached = registry.reaching(changed);
        let roots = self.roots_of(&reached);
        let is_root = |spec: &Spec| matches!(spec, Spec::Service(service) if roots.contains(&service.process));
        let above: Vec<EntryId> = registry
            .iter()
            .filter(|entry| is_root(&entry.spec))
            .map(|entry| entry.id.clone())
            .collect();
        reached.extend(above);
        let services = registry.iter().filter(|entry| matches!(entry.spec, Spec::Service(_)));
        services
            .map(|entry| entry.id.clone())
            .filter(|id| reached.contains(id))
            .collect()
    }

    /// The entries of the topmost living processes above those that run one of these entries.
    fn roots_of(&self, entries: &HashSet<EntryId>) -> HashSet<EntryId> {
        let running = self.kernel.processes();
        // A call ends by itself, and the next one gets the new code.
        let stale = running
            .iter()
            .filter(|process| !process.is_call() && entries.contains(&process.entry()));
        stale.map(|process| self.root_of(process.clone()).entry()).collect()
    }

    fn root_of(&self, mut process: Arc<Process>) -> Arc<Process> {
        while let Some(parent) = process.parent().and_then(|pid| self.kernel.find(pid)) {
            process = parent;
        }
        process
    }

    /// Brings the services to what the entries say now: those that are gone and the `stale` ones are stopped, with all that
    /// require them, then started again, in order; those that are new are started.
    ///
    /// # Errors
    /// As [`Runtime::start_services`], for those that were started.
    pub async fn renew_services(&self, stale: &HashSet<EntryId>) -> std::result::Result<(), Vec<Unstarted>> {
        let Some(services) = self.supervisor.get() else {
            return Ok(());
        };
        let wanted = |entry: &crate::project::Entry| self.is_wanted(entry, Occasion::Alone);
        services.renew(&self.registry(), wanted, stale).await
    }
}
