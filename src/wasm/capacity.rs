//! How many guests may live at once: what `wasm.max_instances` says and what the kernel's limit of memory mappings allows.
//!
//! A program that runs out of mappings is aborted by whichever allocation comes next, so whoever maps memory for guests
//! takes the mappings from here first. What an engine does with them is its own business.
//!
//! Invariant: mappings taken and not given back stay below what the kernel allows, with a fifth to spare.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// Memory mappings that one instance takes at most when its memory has a mapping of its own, its stack included.
const MAPPINGS: usize = 6;
/// A stack and its guard; the memory stands in a slab.
const DENSE_MAPPINGS: usize = 2;
/// What the rest of the program may map.
const RESERVED: usize = 2_000;
/// Where the kernel's limit is not known: its default.
const STOCK_LIMIT: usize = 65_530;
/// Address space, too, is limited: a memory of its own reserves 4 GiB of 128 TiB.
const MOST_RESERVATIONS: usize = 24_000;
/// Room for this many is there on the smallest system.
const LEAST: usize = 16;

/// How a guest is laid out in memory, which decides how many mappings it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A memory with a reservation of its own.
    Reserved,
    /// What does not fit a pool's slot: so many memories, each with a reservation of its own, or large tables beside one.
    Misfit { memories: usize },
    /// A memory in a slab.
    Dense,
}

/// Counts living instances and their mappings, across all engines.
#[derive(Debug)]
pub struct Capacity {
    instances: Counter,
    mappings: Counter,
    /// The kernel's limit of mappings.
    kernel: usize,
}

impl Capacity {
    /// `max_instances`: the setting, if there is one.
    pub fn new(max_instances: Option<usize>) -> Arc<Capacity> {
        Capacity::under(max_map_count(), max_instances)
    }

    /// `kernel`: its limit of mappings.
    pub fn under(kernel: usize, max_instances: Option<usize>) -> Arc<Capacity> {
        let mappings = (kernel / 5 * 4).saturating_sub(RESERVED).max(LEAST * MAPPINGS);
        Arc::new(Capacity {
            instances: Counter::new(max_instances.map_or(usize::MAX, |max| max.max(1))),
            mappings: Counter::new(mappings),
            kernel,
        })
    }

    /// How many instances live.
    pub fn living(&self) -> usize {
        self.instances.used.load(Ordering::Relaxed)
    }

    /// How many mappings are taken.
    #[cfg(test)]
    pub fn mapped(&self) -> usize {
        self.mappings.used.load(Ordering::Relaxed)
    }

    /// How many instances of that layout there would be room for if nothing else were there.
    pub fn room(&self, layout: Layout) -> usize {
        (self.mappings.limit / self.weight(layout)).min(self.instances.limit)
    }

    /// Counts an instance whose mappings are somebody else's.
    ///
    /// # Errors
    /// Unavailable, retryable, when as many live as `wasm.max_instances` allows.
    pub fn instance(self: &Arc<Self>) -> Result<Permit> {
        match self.instances.take(1) {
            true => Ok(self.permit(1, 0)),
            false => Err(refusal(&format!("wasm.max_instances is {}", self.instances.limit))),
        }
    }

    /// The mappings of one instance.
    ///
    /// # Errors
    /// Unavailable, retryable, when the kernel allows no more.
    pub fn mappings(self: &Arc<Self>, layout: Layout) -> Result<Permit> {
        let weight = self.weight(layout);
        match self.mappings.take(weight) {
            true => Ok(self.permit(0, weight)),
            false => Err(self.out_of_mappings(layout)),
        }
    }

    /// The mappings of several instances, as many as there is room for.
    pub fn slots(self: &Arc<Self>, wanted: usize) -> (usize, Permit) {
        let weight = self.weight(Layout::Reserved);
        let slots = self.mappings.take_up_to(wanted, weight);
        (slots, self.permit(0, slots * weight))
    }

    fn permit(self: &Arc<Self>, instances: usize, mappings: usize) -> Permit {
        Permit {
            capacity: self.clone(),
            instances,
            mappings,
        }
    }

    fn weight(&self, layout: Layout) -> usize {
        // Where mappings abound a reservation weighs more, so that address space is not exceeded either.
        let reserved = MAPPINGS.max(self.mappings.limit.div_ceil(MOST_RESERVATIONS));
        match layout {
            Layout::Reserved => reserved,
            Layout::Misfit { memories } => reserved.saturating_mul(memories.max(2)),
            Layout::Dense => DENSE_MAPPINGS,
        }
    }

    fn out_of_mappings(&self, layout: Layout) -> Error {
        let cure = match layout {
            Layout::Dense => "raise it to have more",
            Layout::Reserved | Layout::Misfit { .. } => "raise it, or set wasm.density: dense, to have more",
        };
        let kernel = self.kernel;
        refusal(&format!("vm.max_map_count of the operating system is {kernel}; {cure}"))
    }
}

fn refusal(why: &str) -> Error {
    Error::unavailable(format!("too many WebAssembly instances are alive: {why}")).with_retryable(Some(true))
}

fn max_map_count() -> usize {
    let text = std::fs::read_to_string("/proc/sys/vm/max_map_count");
    text.ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(STOCK_LIMIT)
}

#[derive(Debug)]
struct Counter {
    limit: usize,
    used: AtomicUsize,
}

impl Counter {
    fn new(limit: usize) -> Counter {
        Counter {
            limit,
            used: AtomicUsize::new(0),
        }
    }

    fn take(&self, amount: usize) -> bool {
        let more = |used: usize| used.checked_add(amount).filter(|used| *used <= self.limit);
        let taken = self.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, more);
        taken.is_ok()
    }

    /// Takes as many times `weight` as fit, `wanted` times at most; says how often.
    fn take_up_to(&self, wanted: usize, weight: usize) -> usize {
        let times = |used: usize| wanted.min(self.limit.saturating_sub(used) / weight);
        let more = |used: usize| Some(used + times(used) * weight);
        let before = self.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, more);
        before.map_or(0, times)
    }

    fn give(&self, amount: usize) {
        if amount > 0 {
            self.used.fetch_sub(amount, Ordering::AcqRel);
        }
    }
}

/// What was taken, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    capacity: Arc<Capacity>,
    instances: usize,
    mappings: usize,
}

impl Permit {
    /// Adds what was taken from the same capacity.
    pub fn add(&mut self, mut other: Permit) {
        self.instances += std::mem::take(&mut other.instances);
        self.mappings += std::mem::take(&mut other.mappings);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // Whoever finds the instance gone finds its mappings free.
        self.capacity.mappings.give(self.mappings);
        self.capacity.instances.give(self.instances);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn room_follows_from_the_mapping_limit() {
        let room = |kernel, layout| Capacity::under(kernel, None).room(layout);
        assert_eq!(room(STOCK_LIMIT, Layout::Reserved), 8_404);
        assert_eq!(room(STOCK_LIMIT, Layout::Dense), 25_212);
        assert_eq!(room(262_144, Layout::Dense), 103_856);
        assert_eq!(room(0, Layout::Reserved), LEAST);
        assert!(room(usize::MAX / 8, Layout::Reserved) <= MOST_RESERVATIONS);
        assert_eq!(Capacity::under(STOCK_LIMIT, Some(20)).room(Layout::Dense), 20);
    }

    #[test]
    fn a_full_house_is_a_retryable_refusal_and_a_drop_makes_room() {
        let capacity = Capacity::under(STOCK_LIMIT, Some(2));
        let first = capacity.instance().unwrap();
        let _second = capacity.instance().unwrap();
        let error = capacity.instance().unwrap_err();
        assert_eq!((error.kind(), error.retryable()), (Kind::Unavailable, Some(true)));
        assert_eq!(
            error.message(),
            "too many WebAssembly instances are alive: wasm.max_instances is 2"
        );
        drop(first);
        assert_eq!(capacity.living(), 1);
        capacity.instance().unwrap();
    }

    #[test]
    fn every_layout_takes_from_the_same_mappings_and_the_refusal_names_the_cure() {
        let capacity = Capacity::under(0, None);
        let (slots, reserved) = capacity.slots(LEAST - 1);
        assert_eq!(slots, LEAST - 1);
        let dense: Vec<Permit> = (0..3).map(|_| capacity.mappings(Layout::Dense).unwrap()).collect();
        let dense_refused = capacity.mappings(Layout::Dense).unwrap_err();
        let refused = capacity.mappings(Layout::Reserved).unwrap_err();
        for (error, cure) in [
            (
                dense_refused,
                "vm.max_map_count of the operating system is 0; raise it to have more",
            ),
            (refused, "raise it, or set wasm.density: dense, to have more"),
        ] {
            assert_eq!((error.kind(), error.retryable()), (Kind::Unavailable, Some(true)));
            assert!(error.message().ends_with(cure), "{error}");
        }
        assert_eq!(capacity.slots(1).0, 0);
        drop(dense);
        let (slots, _more) = capacity.slots(7);
        assert_eq!(slots, 1, "as many as fit");
        drop(reserved);
        capacity.mappings(Layout::Misfit { memories: 2 }).unwrap();
    }
}
