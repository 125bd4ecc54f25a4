//! The wasmtime engines and how many instances may live in them.
//!
//! Each engine is made when it is first needed: a small pool, which is ready in a fraction of a millisecond and serves most
//! programs; a large pool for the rest of the machine's room, made in the background once the small one is half full; and
//! an engine that allocates on demand, for modules that do not fit a pool's slot and for the moment until the large pool is
//! ready. Code compiled for one of these three loads in all of them. What an entry or a module asks for beyond that
//! ([`Flavor`]) makes every guest slower that does not use it, and has engines of its own, on demand too. What a module is
//! and what it imports is left to `module` and `linker`.
//!
//! Invariant: an instance is only made by whoever holds a [`Seat`], and gives the seat back after its store is gone. That
//! bounds the memory mappings of the program: running out of those would abort it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::runtime::Handle;
use wasmtime::{Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::cache::Cache;
use crate::error::{Error, Result};
use crate::log::Log;

/// What is set for all guests of a runtime.
#[derive(Clone)]
pub struct Settings {
    /// `wasm.max_instances`: how many instances may live at once; unset: what the kernel's mapping limit allows.
    pub max_instances: Option<usize>,
    /// `wasm.max_stack`: bytes of stack that a guest's code may use.
    pub max_stack: usize,
    /// The program runs a single guest: pools are not worth making.
    pub oneshot: bool,
    /// Where compiled code is kept; unset: nowhere.
    pub cache: Option<Cache>,
    /// Is told of compilations that take long.
    pub log: Log,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            max_instances: None,
            max_stack: 128 << 10,
            oneshot: false,
            cache: None,
            log: Log::none(),
        }
    }
}

/// Which engine an instance lives in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alloc {
    SmallPool,
    LargePool,
    OnDemand,
    /// On demand, with code that counts fuel.
    Fuel,
    /// On demand, with the component model's concurrency: WASI 0.3 and asynchronous functions.
    Concurrent,
    ConcurrentFuel,
}

/// What shapes the code of a module beside its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flavor {
    /// It counts fuel.
    pub fuel: bool,
    /// The component model's concurrency. It costs 2.3 times on spawn and 4 times on calls.
    pub concurrent: bool,
}

impl Flavor {
    /// The engine that takes any module of that flavor.
    pub fn engine(self) -> Alloc {
        match (self.concurrent, self.fuel) {
            (false, false) => Alloc::OnDemand,
            (false, true) => Alloc::Fuel,
            (true, false) => Alloc::Concurrent,
            (true, true) => Alloc::ConcurrentFuel,
        }
    }
}

impl Alloc {
    pub const COUNT: usize = 6;

    /// The flavor of the code that loads there.
    pub fn flavor(self) -> Flavor {
        Flavor {
            fuel: matches!(self, Alloc::Fuel | Alloc::ConcurrentFuel),
            concurrent: matches!(self, Alloc::Concurrent | Alloc::ConcurrentFuel),
        }
    }

    pub fn index(self) -> usize {
        self as usize
    }

    /// What `inspect` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Alloc::SmallPool | Alloc::LargePool => "pool",
            Alloc::OnDemand => "on demand",
            Alloc::Fuel => "on demand, counting fuel",
            Alloc::Concurrent => "on demand, concurrent (experimental)",
            Alloc::ConcurrentFuel => "on demand, concurrent (experimental), counting fuel",
        }
    }
}

/// Slots of the small pool: each costs two mappings and some microseconds at start.
const SMALL: usize = 32;
/// Memory mappings that one living instance takes at most, its stack included.
const MAPPINGS: usize = 6;
/// What the rest of the program may map.
const RESERVED_MAPPINGS: usize = 2_000;
/// A guest on demand that was too large for a slot has more than one memory or large tables.
const MISFIT_WEIGHT: usize = 2;
/// Below this not even an empty function is sure to run.
const SMALLEST_STACK: usize = 4 << 10;
/// Host functions run on the guest's stack too; what they need stands beside what the guest may use.
const HOST_STACK: usize = 128 << 10;

/// All engines of a runtime.
pub struct Engines {
    settings: Settings,
    capacity: Arc<Capacity>,
    made: [OnceLock<Result<Arc<Made>>>; Alloc::COUNT],
    /// The large pool is being made.
    growing: AtomicBool,
    /// Everything that has been made, for the tick.
    epochs: Mutex<Vec<EngineWeak>>,
    io: Handle,
}

struct Made {
    engine: Engine,
    slots: usize,
    used: AtomicUsize,
}

impl Engines {
    pub fn new(settings: Settings, io: Handle) -> Arc<Engines> {
        // A setting beyond what the kernel allows would end in an abort.
        let most = computed_instances();
        let limit = settings.max_instances.map_or(most, |wanted| wanted.clamp(1, most));
        Arc::new(Engines {
            capacity: Arc::new(Capacity {
                limit,
                computed: limit == most,
                used: AtomicUsize::new(0),
            }),
            settings: Settings {
                max_stack: settings.max_stack.max(SMALLEST_STACK),
                ..settings
            },
            made: Default::default(),
            growing: AtomicBool::new(false),
            epochs: Mutex::default(),
            io,
        })
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many instances may live at once.
    pub fn max_instances(&self) -> usize {
        self.capacity.limit
    }

    /// How many places are taken.
    pub fn living(&self) -> usize {
        self.capacity.used.load(Ordering::Relaxed)
    }

    /// One beat of the ticker: busy guests yield.
    pub fn tick(&self) {
        for engine in lock(&self.epochs).iter().filter_map(EngineWeak::upgrade) {
            engine.increment_epoch();
        }
    }

    /// The engine that code is compiled with: the one without pool has no slots to prepare.
    pub fn compiler(&self, flavor: Flavor) -> Result<Engine> {
        self.engine(flavor.engine())
    }

    /// The engine of that kind, made at the first call.
    ///
    /// # Errors
    /// Internal, when the address space or the mappings do not suffice.
    pub fn engine(&self, alloc: Alloc) -> Result<Engine> {
        Ok(self.get(alloc)?.engine.clone())
    }

    /// Whether that engine has been made.
    pub fn is_made(&self, alloc: Alloc) -> bool {
        self.made[alloc.index()].get().is_some()
    }

    /// Which engine is asked first about a module.
    pub fn preferred(&self, flavor: Flavor) -> Alloc {
        match flavor.engine() {
            Alloc::OnDemand if !self.settings.oneshot => Alloc::SmallPool,
            alloc => alloc,
        }
    }

    /// Reserves room for one instance; `misfit`: of a module too large for a slot.
    ///
    /// # Errors
    /// Unavailable, retryable, when as many live as may.
    pub fn admit(&self, misfit: bool) -> Result<Permit> {
        self.capacity.take(if misfit { MISFIT_WEIGHT } else { 1 })
    }

    /// Chooses the engine for an instance of a module whose home is `home`.
    ///
    /// # Errors
    /// As [`Engines::engine`].
    pub fn seat(self: &Arc<Self>, home: Alloc, permit: Permit) -> Result<Seat> {
        for alloc in [Alloc::SmallPool, Alloc::LargePool] {
            if home != Alloc::SmallPool {
                break;
            }
            if let Some(made) = self.ready(alloc)
                && made.take()
            {
                return Ok(Seat::new(alloc, made, permit));
            }
        }
        let alloc = home.flavor().engine();
        let made = self.get(alloc)?;
        made.used.fetch_add(1, Ordering::AcqRel);
        Ok(Seat::new(alloc, made, permit))
    }

    /// A pool that can be used now.
    fn ready(self: &Arc<Self>, alloc: Alloc) -> Option<Arc<Made>> {
        if alloc == Alloc::SmallPool {
            let made = self.get(alloc).ok()?;
            if made.used.load(Ordering::Relaxed) * 2 >= made.slots {
                self.grow();
            }
            return Some(made);
        }
        self.made[alloc.index()].get()?.as_ref().ok().cloned()
    }

    /// Starts to make the large pool, once.
    fn grow(self: &Arc<Self>) {
        if self.large_slots() > 0 && !self.growing.swap(true, Ordering::AcqRel) {
            let engines = self.clone();
            // A failure is kept where `ready` looks; guests then live on demand.
            self.io.spawn_blocking(move || drop(engines.get(Alloc::LargePool)));
        }
    }

    fn get(&self, alloc: Alloc) -> Result<Arc<Made>> {
        self.made[alloc.index()].get_or_init(|| self.make(alloc)).clone()
    }

    fn make(&self, alloc: Alloc) -> Result<Arc<Made>> {
        let slots = match alloc {
            Alloc::SmallPool => SMALL.min(self.capacity.limit),
            Alloc::LargePool => self.large_slots(),
            _ => 0,
        };
        let config = self.config(slots, alloc.flavor());
        let engine = Engine::new(&config)
            .map_err(|error| Error::internal(format!("failed to make the WebAssembly engine: {error:#}")))?;
        lock(&self.epochs).push(engine.weak());
        Ok(Arc::new(Made {
            engine,
            slots,
            used: AtomicUsize::new(0),
        }))
    }

    fn large_slots(&self) -> usize {
        self.capacity.limit.saturating_sub(SMALL)
    }

    /// Settings measured to make a component's life cheapest. Everything that decides about the code is the same for
    /// each engine, [`Flavor`] excepted.
    fn config(&self, slots: usize, flavor: Flavor) -> Config {
        let mut config = Config::new();
        config
            .epoch_interruption(true)
            .consume_fuel(flavor.fuel)
            .concurrency_support(flavor.concurrent)
            .memory_init_cow(true)
            .max_wasm_stack(self.settings.max_stack)
            .async_stack_size(self.settings.max_stack + HOST_STACK)
            .memory_reservation(4 << 30)
            .memory_guard_size(32 << 20);
        if slots > 0 {
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots)));
        }
        config
    }
}

/// A pool of slots for instances of one memory and a few small tables.
fn pool(slots: usize) -> PoolingAllocationConfig {
    let slots = u32::try_from(slots).unwrap_or(u32::MAX / 16);
    let scan = PoolingAllocationConfig::is_pagemap_scan_available();
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(slots)
        .total_core_instances(slots * 16)
        .total_memories(slots)
        .total_tables(slots * 4)
        .total_stacks(slots)
        .max_core_instances_per_component(16)
        .max_memories_per_component(1)
        .max_memories_per_module(1)
        .max_tables_per_component(4)
        .max_tables_per_module(4)
        .max_component_instance_size(64 << 10)
        .max_core_instance_size(32 << 10)
        .max_memory_size(4 << 30)
        .table_elements(10_000)
        .max_unused_warm_slots(100)
        .table_keep_resident(16 << 10)
        // Keeping much is only cheap where the kernel tells which pages were written.
        .linear_memory_keep_resident(if scan { 1 << 20 } else { 64 << 10 })
        .pagemap_scan(if scan { Enabled::Yes } else { Enabled::No });
    pool
}

/// How many instances the kernel's limit of mappings allows with a fifth to spare.
fn computed_instances() -> usize {
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(65_530);
    instances_for(limit)
}

fn instances_for(max_map_count: usize) -> usize {
    // Beyond that address space runs out: a slot reserves 4 GiB of 128 TiB.
    const MOST: usize = 24_000;
    ((max_map_count / 5 * 4).saturating_sub(RESERVED_MAPPINGS) / MAPPINGS).clamp(16, MOST)
}

impl Made {
    fn take(&self) -> bool {
        let free = |used| (used < self.slots).then_some(used + 1);
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, free)
            .is_ok()
    }
}

/// Counts living instances, across all engines.
#[derive(Debug)]
struct Capacity {
    limit: usize,
    /// The limit is what the kernel allows.
    computed: bool,
    used: AtomicUsize,
}

impl Capacity {
    fn take(self: &Arc<Self>, weight: usize) -> Result<Permit> {
        let weight = weight.min(self.limit);
        let free = |used: usize| (used + weight <= self.limit).then_some(used + weight);
        match self.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, free) {
            Ok(_) => Ok(Permit {
                capacity: self.clone(),
                weight,
            }),
            Err(_) => Err(self.refusal()),
        }
    }

    fn refusal(&self) -> Error {
        let origin = match self.computed {
            true => ", what vm.max_map_count of the operating system allows",
            false => "",
        };
        let limit = self.limit;
        Error::unavailable(format!(
            "too many WebAssembly instances are alive: wasm.max_instances is {limit}{origin}"
        ))
        .with_retryable(Some(true))
    }
}

/// Room for one instance, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    capacity: Arc<Capacity>,
    weight: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.capacity.used.fetch_sub(self.weight, Ordering::AcqRel);
    }
}

/// A place in an engine, given back when dropped: after the store that used it.
pub struct Seat {
    alloc: Alloc,
    made: Arc<Made>,
    _permit: Permit,
}

impl Seat {
    fn new(alloc: Alloc, made: Arc<Made>, permit: Permit) -> Seat {
        Seat {
            alloc,
            made,
            _permit: permit,
        }
    }

    pub fn alloc(&self) -> Alloc {
        self.alloc
    }

    pub fn engine(&self) -> &Engine {
        &self.made.engine
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.made.used.fetch_sub(1, Ordering::AcqRel);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn engines(max_instances: usize) -> Arc<Engines> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let settings = Settings {
            max_instances: Some(max_instances),
            ..Settings::default()
        };
        Engines::new(settings, runtime.handle().clone())
    }

    #[test]
    fn instances_follow_from_the_mapping_limit() {
        assert_eq!(instances_for(65_530), 8_404);
        assert_eq!(instances_for(0), 16);
        assert_eq!(instances_for(usize::MAX / 8), 24_000);
    }

    #[test]
    fn a_full_house_is_a_retryable_refusal_and_a_drop_makes_room() {
        let engines = engines(2);
        let first = engines.admit(false).unwrap();
        let _second = engines.admit(false).unwrap();
        let error = engines.admit(false).unwrap_err();
        assert_eq!((error.kind(), error.retryable()), (Kind::Unavailable, Some(true)));
        assert!(error.message().contains("wasm.max_instances"), "{error}");
        drop(first);
        assert_eq!(engines.living(), 1);
        engines.admit(false).unwrap();
    }

    #[test]
    fn guests_beyond_a_pool_live_on_demand() {
        let engines = engines(3);
        let seats: Vec<_> = (0..3)
            .map(|_| engines.seat(Alloc::SmallPool, engines.admit(false).unwrap()).unwrap())
            .collect();
        assert!(seats.iter().all(|seat| seat.alloc() == Alloc::SmallPool));
        drop(seats);
        let seat = engines.seat(Alloc::OnDemand, engines.admit(true).unwrap()).unwrap();
        assert_eq!(seat.alloc(), Alloc::OnDemand);
        assert_eq!(engines.living(), 2);
    }
}
