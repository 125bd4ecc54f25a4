//! Supervision: services are started in order, started again when they fail, and stopped in reverse.
//!
//! What to do is decided by pure functions: [`policy`] knows a single service, `order` all of them, [`strategy`] the children
//! of a supervisor in Lua. `service` is the task that does it to the kernel. A service is a process that is kept running, or
//! a host; what is broken or missing keeps only the service that needs it from running.
//!
//! The life of a service: `unknown`, `starting`, `running`; then `stopping` and `stopped` when it was asked to end,
//! `exited` when it ended as it meant to, `failed` when it did not. Each change is a log record with the service's id.

mod order;
pub mod policy;
mod service;
pub mod strategy;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::future::pending;
use std::sync::{Arc, RwLock};

use tokio::task::JoinSet;

use crate::error::Error;
use crate::id::EntryId;
use crate::lock::{read, write};
use crate::log::Level;
use crate::process::Kernel;
use crate::project::{Entry, Registry, Spec};
use order::Planned;
use service::{Requirement, Service, Subject};

/// The services of a runtime.
pub struct Supervisor {
    kernel: Kernel,
    usual: Level,
    levels: RwLock<Levels>,
}

/// Each level requires only the ones before it.
type Levels = Vec<Vec<Arc<Service>>>;

/// A service without which the boot has failed.
#[derive(Clone, Debug)]
pub struct Unstarted {
    pub id: EntryId,
    pub error: Error,
}

impl Supervisor {
    /// The services and hosts that `wanted` chooses, and those that they require. Nothing is started. `usual`: the level of
    /// records about changes that nobody needs to worry about.
    pub fn new(kernel: &Kernel, registry: &Registry, usual: Level, wanted: impl Fn(&Entry) -> bool) -> Supervisor {
        let supervisor = Supervisor {
            kernel: kernel.clone(),
            usual,
            levels: RwLock::default(),
        };
        let planned = order::levels(registry, wanted);
        supervisor.set(supervisor.make(registry, planned, &HashMap::new()));
        supervisor
    }

    /// The services that are planned: those of `kept`, the others made, at rest.
    fn make(&self, registry: &Registry, planned: Vec<Vec<Planned>>, kept: &HashMap<EntryId, Arc<Service>>) -> Levels {
        let mut known: HashMap<EntryId, Requirement> = HashMap::new();
        let mut levels = Vec::new();
        for level in planned {
            let made = level.iter().map(|planned| match kept.get(&planned.entry.id) {
                Some(service) => service.clone(),
                None => {
                    let requires = planned.requires.iter().filter_map(|id| known.get(id).cloned());
                    let subject = subject(registry, &planned.entry);
                    let service = Service::new(&self.kernel, &planned.entry, subject, requires.collect(), self.usual);
                    Arc::new(service)
                }
            });
            let services: Vec<_> = made.collect();
            let requirements = services
                .iter()
                .map(|service| (service.id.clone(), service.requirement()));
            known.extend(requirements);
            levels.push(services);
        }
        levels
    }

    fn levels(&self) -> Levels {
        read(&self.levels).clone()
    }

    fn set(&self, levels: Levels) {
        *write(&self.levels) = levels;
    }

    /// Whether that host or service is one of them.
    pub fn has(&self, id: &EntryId) -> bool {
        self.levels().iter().flatten().any(|service| service.id == *id)
    }

    /// Takes the services that `wanted` chooses of other entries in place of those there are. Those that are `stale`, those
    /// that are gone, and those that require one of them are stopped in reverse order; then what is planned and does not run
    /// is started in order. The others are left alone.
    ///
    /// # Errors
    /// As [`Supervisor::start`], for those that were started.
    pub async fn renew(
        &self,
        registry: &Registry,
        wanted: impl Fn(&Entry) -> bool,
        stale: &HashSet<EntryId>,
    ) -> Result<(), Vec<Unstarted>> {
        let planned = order::levels(registry, wanted);
        let stays = order::staying(&planned, stale);
        let old = self.levels();
        let leaves = |service: &&Arc<Service>| !stays.contains(&service.id);
        for level in old.iter().rev() {
            let leaving: Vec<_> = level.iter().filter(leaves).cloned().collect();
            self.together(&leaving, |service| async move { service.stop().await })
                .await;
        }
        let kept: HashMap<EntryId, Arc<Service>> = old
            .iter()
            .flatten()
            .filter(|service| stays.contains(&service.id))
            .map(|service| (service.id.clone(), service.clone()))
            .collect();
        let levels = self.make(registry, planned, &kept);
        self.set(levels.clone());
        let is_new = |service: &&Arc<Service>| !kept.contains_key(&service.id);
        let fresh: Levels = levels
            .iter()
            .map(|level| level.iter().filter(is_new).cloned().collect())
            .collect();
        self.start_levels(&fresh).await
    }

    /// Starts one level after the other, the members of a level in parallel. One whose requirement does not run waits for
    /// that, and nobody waits for it.
    ///
    /// # Errors
    /// The services with `startup: required` that could not be started. Everything else runs nevertheless.
    pub async fn start(&self) -> Result<(), Vec<Unstarted>> {
        self.start_levels(&self.levels()).await
    }

    async fn start_levels(&self, levels: &Levels) -> Result<(), Vec<Unstarted>> {
        for level in levels {
            self.together(level, |service| async move { service.start().await })
                .await;
        }
        let blame = |service: &Arc<Service>| {
            let (id, error) = (service.id.clone(), service.blame()?);
            Some(Unstarted { id, error })
        };
        let unstarted: Vec<_> = levels.iter().flatten().filter_map(blame).collect();
        match unstarted.is_empty() {
            true => Ok(()),
            false => Err(unstarted),
        }
    }

    /// Waits until the first of those services is over for good; gives the error, if it ended with one. For ever if there are
    /// none.
    pub async fn first_over(&self, wanted: impl Fn(&EntryId) -> bool) -> Option<Error> {
        let mut waiting = JoinSet::new();
        for service in self
            .levels()
            .into_iter()
            .flatten()
            .filter(|service| wanted(&service.id))
        {
            waiting.spawn_on(async move { service.over().await }, self.kernel.io());
        }
        match waiting.join_next().await {
            Some(Ok(error)) => error,
            _ => pending().await,
        }
    }

    /// Stops one level after the other in reverse order, each service within its stop timeout.
    pub async fn stop(&self) {
        for level in self.levels().iter().rev() {
            self.together(level, |service| async move { service.stop().await })
                .await;
        }
    }

    /// Gives all services up: they are neither restarted nor asked to stop any more.
    pub fn abandon(&self) {
        self.levels().iter().flatten().for_each(|service| service.abandon());
    }

    async fn together<F>(&self, level: &[Arc<Service>], work: impl Fn(Arc<Service>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut tasks = JoinSet::new();
        for service in level {
            tasks.spawn_on(work(service.clone()), self.kernel.io());
        }
        tasks.join_all().await;
    }
}

fn subject(registry: &Registry, entry: &Entry) -> Subject {
    match (registry.usable(&entry.id), &entry.spec) {
        (Err(error), _) => Subject::Broken(error),
        (Ok(_), Spec::Service(spec)) => Subject::Process(spec.clone()),
        (Ok(_), _) => Subject::Host,
    }
}
