//! Memory of a guest: counted, bounded, and the end of the run when the bound is crossed.
//!
//! All linear memories and tables of an instance count together, initial sizes too, and the heap of its garbage-collected
//! objects with all of its space. wasmtime's own limits would only make `memory.grow` answer −1; here the run ends, and the
//! guest does not get to see it. A heap that may not grow is collected first, and the run ends if that does not help. Time is the kernel's limit; fuel and
//! stack are wasmtime's, and `error` gives them their names.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::error::Stop;
use crate::lock::lock;
use crate::process::{Cause, Exit, Trail};
use crate::size;

/// What a table element takes.
const ELEMENT: usize = size_of::<usize>();

/// What the body of a process and its store both look at.
#[derive(Default)]
pub struct Gauge {
    /// Bytes of memories and tables.
    pub memory: AtomicU64,
    /// Bytes that others keep for the guest: ends that it wanted to hear of and has not read, its relations.
    pub kept: AtomicU64,
    /// No tick has come since the step began: the guest has a whole slice before it.
    pub fresh: AtomicBool,
    /// The guest yielded because its slice was over.
    pub preempted: AtomicBool,
    /// Nothing but its mailbox can wake the guest.
    pub only_mail: AtomicBool,
    received: Mutex<Trail>,
}

impl Gauge {
    /// What counts as its memory.
    pub fn held(&self) -> u64 {
        let memory = self.memory.load(Ordering::Relaxed);
        memory.saturating_add(self.kept.load(Ordering::Relaxed))
    }

    /// The messages that the guest took last.
    pub fn received(&self) -> MutexGuard<'_, Trail> {
        lock(&self.received)
    }
}

/// Counts what a guest holds, in its gauge. The growths of its [`State`](super::state::State) come here.
pub struct Memory {
    /// Bytes; 0: no limit.
    allowed: u64,
    /// What was counted last, taken back if the growth fails.
    last: u64,
    /// The last growth would have crossed the limit.
    refused: bool,
}

impl Memory {
    pub fn new(allowed: u64) -> Memory {
        Memory {
            allowed,
            last: 0,
            refused: false,
        }
    }

    /// A linear memory wants to grow, or the heap.
    ///
    /// # Errors
    /// The end of the run when the limit would be crossed.
    pub fn memory_growing(&mut self, gauge: &Gauge, (current, desired): Growth, maximum: Option<usize>) -> Growing {
        self.last = 0;
        // Beyond the module's own maximum the guest sees the growth fail, as WebAssembly says.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(true);
        }
        self.grow(gauge, (current, desired), 1)
    }

    /// A table wants to grow.
    ///
    /// # Errors
    /// As [`Memory::memory_growing`].
    pub fn table_growing(&mut self, gauge: &Gauge, (current, desired): Growth, maximum: Option<usize>) -> Growing {
        // The maximum may be that of the pool's slot: our limit comes first.
        self.grow(gauge, (current, desired), ELEMENT)?;
        if maximum.is_some_and(|maximum| desired > maximum) {
            self.failed(gauge);
        }
        Ok(true)
    }

    /// What was counted last did not come about.
    pub fn failed(&mut self, gauge: &Gauge) {
        gauge.memory.fetch_sub(self.last, Ordering::Relaxed);
        self.last = 0;
    }

    /// The end of a run whose heap has no room, if that is because of the limit: wasmtime keeps the refusal to itself, since
    /// it collects then and tries again.
    pub fn refusal(&self) -> Option<Stop> {
        self.refused.then(|| self.exceeded())
    }

    fn exceeded(&self) -> Stop {
        exceeded("max_memory", self.allowed, size::format)
    }

    /// Counts a growth that will not fail for another reason.
    fn grow(&mut self, gauge: &Gauge, (current, desired): Growth, unit: usize) -> Growing {
        let more = (desired.saturating_sub(current) as u64).saturating_mul(unit as u64);
        let total = gauge.memory.load(Ordering::Relaxed).saturating_add(more);
        self.refused = self.allowed > 0 && gauge.held().saturating_add(more) > self.allowed;
        if self.refused {
            return Err(wasmtime::Error::new(self.exceeded()));
        }
        gauge.memory.store(total, Ordering::Relaxed);
        self.last = more;
        Ok(true)
    }
}

/// From how many units to how many.
type Growth = (usize, usize);

/// What the engine is told of a growth: whether it may try.
type Growing = wasmtime::Result<bool>;

/// The end of a run that crossed a limit; `show` makes a text of the amount.
pub fn exceeded(limit: &str, allowed: u64, show: impl FnOnce(u64) -> String) -> Stop {
    let word = limit.strip_prefix("max_").unwrap_or(limit);
    let message = format!("{word} limit exceeded: {}", show(allowed));
    let allowed = i64::try_from(allowed).unwrap_or(i64::MAX);
    Stop::new(Exit::limit(Cause::Limit, limit, allowed, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_count_together_and_a_failed_growth_is_taken_back() {
        let gauge = Gauge::default();
        let held = &gauge.memory;
        let mut memory = Memory::new(200_000);
        assert!(memory.memory_growing(&gauge, (0, 131_072), None).unwrap());
        assert!(memory.table_growing(&gauge, (0, 1_000), Some(2_000)).unwrap());
        assert_eq!(held.load(Ordering::Relaxed), 139_072);
        memory.failed(&gauge);
        assert_eq!(held.load(Ordering::Relaxed), 131_072);
        let error = memory.memory_growing(&gauge, (131_072, 262_144), None).unwrap_err();
        let stop = error.downcast_ref::<Stop>().unwrap();
        assert_eq!(stop.exit().error().unwrap().message(), "memory limit exceeded: 200000B");
        assert!(
            memory
                .memory_growing(&gauge, (131_072, 262_144), Some(200_000))
                .unwrap()
        );
        assert_eq!(held.load(Ordering::Relaxed), 131_072);
    }
}
