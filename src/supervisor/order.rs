//! Which services run, and in which order: what is to start, what that needs, and levels of which each needs only the ones
//! before it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::id::EntryId;
use crate::project::{Entry, Registry, Spec};

/// A service or host in its place.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub entry: Arc<Entry>,
    /// The services and hosts of earlier levels that must run before it does.
    pub requires: Vec<EntryId>,
}

/// The services and hosts that `wanted` chooses and all that they require, level by level, each in load order. A broken one
/// requires nothing: it will be refused, whoever runs.
pub(super) fn levels(registry: &Registry, wanted: impl Fn(&Entry) -> bool) -> Vec<Vec<Planned>> {
    let mut needed = needed(registry, wanted);
    let mut left: Vec<Planned> = registry
        .iter()
        .filter_map(|entry| {
            let requires = needed.remove(&entry.id)?;
            Some(Planned {
                entry: entry.clone(),
                requires,
            })
        })
        .collect();
    let mut levels = Vec::new();
    while !left.is_empty() {
        let is_left = |id: &EntryId| left.iter().any(|planned| planned.entry.id == *id);
        let (later, level): (Vec<_>, Vec<_>) = left
            .iter()
            .cloned()
            .partition(|planned| planned.requires.iter().any(is_left));
        if level.is_empty() {
            // A circle. Its members are broken and require nothing, so there is none; if there were, each would say what it
            // waits for.
            levels.push(left);
            break;
        }
        levels.push(level);
        left = later;
    }
    levels
}

/// Those of the planned that may go on when the `stale` ones are stopped: neither stale nor, directly or not, behind one that
/// is. The order of start and stop stays true.
pub(super) fn staying(planned: &[Vec<Planned>], stale: &HashSet<EntryId>) -> HashSet<EntryId> {
    let mut staying = HashSet::new();
    for planned in planned.iter().flatten() {
        let stands = planned.requires.iter().all(|id| staying.contains(id));
        // A host that has not changed stays: nothing would make it again, and a changed one starts everything again.
        let is_host = matches!(planned.entry.spec, Spec::ProcessHost(_) | Spec::TerminalHost(_));
        if is_host || stands && !stale.contains(&planned.entry.id) {
            staying.insert(planned.entry.id.clone());
        }
    }
    staying
}

/// What each of them requires, for those that are wanted and all that these need.
fn needed(registry: &Registry, wanted: impl Fn(&Entry) -> bool) -> HashMap<EntryId, Vec<EntryId>> {
    let mut needed = HashMap::new();
    let mut next: Vec<&Arc<Entry>> = registry
        .iter()
        .filter(|entry| entry.lifecycle.is_some() && wanted(entry))
        .collect();
    while let Some(entry) = next.pop() {
        if needed.contains_key(&entry.id) {
            continue;
        }
        let services: Vec<_> = requirements(entry)
            .into_iter()
            .filter_map(|id| registry.get(&id))
            .filter(|entry| entry.lifecycle.is_some())
            .collect();
        needed.insert(
            entry.id.clone(),
            services.iter().map(|entry| entry.id.clone()).collect(),
        );
        next.extend(services);
    }
    needed
}

/// Declared by `requires`, and inferred: a service runs on a host. The process is no service, and needs none.
fn requirements(entry: &Entry) -> Vec<EntryId> {
    let declared = entry.lifecycle.iter().flat_map(|lifecycle| lifecycle.requires.clone());
    match &entry.spec {
        Spec::Broken => Vec::new(),
        Spec::Service(spec) => declared.chain([spec.host.clone()]).collect(),
        _ => declared.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{Lifecycle, ProcessHostSpec, ServiceSpec};

    fn id(name: &str) -> EntryId {
        EntryId::new("app", name)
    }

    fn entry(name: &str, auto_start: bool, requires: &[&str], spec: Spec) -> Entry {
        let mut entry = Entry::made(id(name), "process.service", spec);
        entry.lifecycle = Some(Lifecycle {
            auto_start,
            requires: requires.iter().map(|name| id(name)).collect(),
            ..Lifecycle::default()
        });
        entry
    }

    fn service(name: &str, auto_start: bool, requires: &[&str]) -> Entry {
        let spec = ServiceSpec {
            process: id("main"),
            host: id("host"),
            input: Vec::new(),
        };
        entry(name, auto_start, requires, Spec::Service(spec))
    }

    fn host(requires: &[&str]) -> Entry {
        entry("host", false, requires, Spec::ProcessHost(ProcessHostSpec::default()))
    }

    fn names(entries: Vec<Entry>) -> Vec<Vec<String>> {
        let registry = Registry::default().with(entries);
        let wanted = |entry: &Entry| entry.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.auto_start);
        let names = |level: Vec<Planned>| level.iter().map(|planned| planned.entry.id.name().to_owned()).collect();
        levels(&registry, wanted).into_iter().map(names).collect()
    }

    #[test]
    fn the_host_comes_first_and_what_is_not_wanted_is_left_out() {
        let entries = vec![service("a", true, &[]), service("b", false, &[]), host(&[])];
        assert_eq!(names(entries), [["host"], ["a"]]);
    }

    #[test]
    fn what_is_required_is_started_too_whatever_its_own_wish() {
        let entries = vec![
            service("last", true, &["left", "right"]),
            service("left", false, &["first"]),
            service("right", true, &[]),
            service("first", false, &[]),
            host(&[]),
        ];
        let expected = [vec!["host"], vec!["right", "first"], vec!["left"], vec!["last"]];
        assert_eq!(names(entries), expected);
    }

    #[test]
    fn what_requires_a_stale_one_does_not_stay() {
        let entries = vec![
            service("a", true, &["b"]),
            service("b", true, &["c"]),
            service("c", true, &[]),
            service("bystander", true, &[]),
            host(&[]),
        ];
        let planned = levels(&Registry::default().with(entries), |_| true);
        let mut names: Vec<_> = staying(&planned, &HashSet::from([id("b")]))
            .into_iter()
            .map(|id| id.name().to_owned())
            .collect();
        names.sort();
        assert_eq!(names, ["bystander", "c", "host"]);
    }

    #[test]
    fn a_host_that_has_not_changed_stays_though_what_it_requires_does_not() {
        let elsewhere = ServiceSpec {
            process: id("main"),
            host: id("elsewhere"),
            input: Vec::new(),
        };
        let entries = vec![
            entry("first", true, &[], Spec::Service(elsewhere)),
            host(&["first"]),
            service("last", true, &[]),
        ];
        let planned = levels(&Registry::default().with(entries), |_| true);
        let staying = staying(&planned, &HashSet::from([id("first")]));
        assert_eq!(staying, HashSet::from([id("host"), id("last")]));
    }

    #[test]
    fn a_requirement_that_is_no_service_orders_nothing() {
        let inert = Entry::made(id("note"), "registry.entry", Spec::Registry);
        assert_eq!(
            names(vec![host(&[]), inert, service("a", true, &["note"])]),
            [["host"], ["a"]]
        );
    }

    #[test]
    fn a_broken_one_stands_in_nobodys_way() {
        let entries = vec![
            entry("a", true, &["b"], Spec::Broken),
            service("b", true, &[]),
            host(&[]),
        ];
        assert_eq!(names(entries), [vec!["a", "host"], vec!["b"]]);
    }
}
