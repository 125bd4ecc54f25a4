//! The wasmtime engines and which of them a guest lives in.
//!
//! Each engine is made when it is first needed. Three have the same code settings: a small pool, which is ready in a
//! fraction of a millisecond and serves most programs; a large pool, made in the background once the small one is half
//! full; and an engine that allocates on demand, for modules that do not fit a pool's slot and for guests beyond the pools.
//! All others allocate on demand too, each for code of another [`Flavor`]: that counts fuel; for hosts with `wasm.density:
//! dense`, whose memories and stacks stand in slabs; for components with asynchronous functions; for modules with
//! exceptions or garbage-collected references. Nobody else pays for what those need. Code loads in all engines of its
//! flavor, and is kept apart from that of any other. What a module is and what it imports is left to `module` and `linker`, how many guests may live
//! to `capacity`.
//!
//! Invariant: an instance is only made by whoever holds a [`Seat`], and gives the seat back after its store is gone.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use wasmtime::{
    Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails,
};

use super::Io;
use super::cache::Cache;
use super::capacity::{Capacity, Layout, Permit};
use super::slab::{Memories, Stacks};
use crate::error::{Error, Result};
use crate::lock::lock;
use crate::log::Log;

/// What is set for all guests of a runtime.
#[derive(Clone)]
pub struct Settings {
    /// `wasm.max_instances`: how many instances may live at once; unset: what the kernel's mapping limit allows.
    pub max_instances: Option<usize>,
    /// Some host has `wasm.density: dense`: pools leave it most of the room.
    pub dense: bool,
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
            dense: false,
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
    /// The engine that takes any module of that flavor. Made by [`Flavor::engine`] alone.
    OnDemand(Flavor),
}

/// What shapes the code of a module beside its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flavor {
    /// It counts fuel.
    pub fuel: bool,
    /// For memories in slabs: every access is checked.
    pub dense: bool,
    /// With the component model's concurrency, which costs 2.3 times on spawn and 4 times on calls.
    pub concurrent: bool,
    /// With exceptions and garbage-collected references: their heap is one more memory of the guest.
    pub collected: bool,
}

impl Flavor {
    /// The engine that takes any module of that flavor.
    pub fn engine(self) -> Alloc {
        // Guests with stacks or a heap of their own gain nothing from a slab.
        let dense = self.dense && !self.concurrent && !self.collected;
        Alloc::OnDemand(Flavor { dense, ..self })
    }

    /// The place of its engine among those on demand.
    fn index(self) -> usize {
        let shape = match self.dense {
            true => 4,
            false => usize::from(self.concurrent) + 2 * usize::from(self.collected),
        };
        2 * shape + usize::from(self.fuel)
    }
}

impl Alloc {
    pub const COUNT: usize = POOLS + 10;

    /// The flavor of the code that loads there.
    pub fn flavor(self) -> Flavor {
        match self {
            Alloc::SmallPool | Alloc::LargePool => Flavor::default(),
            Alloc::OnDemand(flavor) => flavor,
        }
    }

    pub fn index(self) -> usize {
        match self {
            Alloc::SmallPool => 0,
            Alloc::LargePool => 1,
            Alloc::OnDemand(flavor) => POOLS + flavor.index(),
        }
    }

    /// What `inspect` calls it.
    pub fn name(self) -> String {
        let Alloc::OnDemand(flavor) = self else {
            return "pool".to_owned();
        };
        let with = [
            (flavor.concurrent, ", concurrent (experimental)"),
            (flavor.collected, ", garbage-collected"),
            (flavor.fuel, ", counting fuel"),
        ];
        let layout = if flavor.dense { "dense" } else { "on demand" };
        let with = with.iter().filter(|(is, _)| *is).map(|(_, name)| *name);
        std::iter::once(layout).chain(with).collect()
    }
}

/// Engines that are pools.
const POOLS: usize = 2;
/// Slots of the small pool: each costs two mappings and some microseconds at start.
const SMALL: usize = 32;
/// Memories of a slot.
const SLOT_MEMORIES: u32 = 1;
/// Slots of the large pool at most where there is a dense host.
const LARGE_BESIDE_DENSE: usize = 1_000;
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
    io: Io,
}

struct Made {
    engine: Engine,
    slots: usize,
    used: AtomicUsize,
    /// The mappings of its slots.
    _reserved: Option<Permit>,
}

impl Engines {
    pub fn new(settings: Settings, io: impl Into<Io>) -> Arc<Engines> {
        Engines::within(Capacity::new(settings.max_instances), settings, io)
    }

    fn within(capacity: Arc<Capacity>, settings: Settings, io: impl Into<Io>) -> Arc<Engines> {
        Arc::new(Engines {
            capacity,
            settings: Settings {
                max_stack: settings.max_stack.max(SMALLEST_STACK),
                ..settings
            },
            made: Default::default(),
            growing: AtomicBool::new(false),
            epochs: Mutex::default(),
            io: io.into(),
        })
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many instances live, those that are about to be made included.
    pub fn living(&self) -> usize {
        self.capacity.living()
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
    #[cfg(test)]
    pub fn is_made(&self, alloc: Alloc) -> bool {
        self.made[alloc.index()].get().is_some()
    }

    /// Which engine is asked first about a module.
    pub fn preferred(&self, flavor: Flavor) -> Alloc {
        match flavor == Flavor::default() && !self.settings.oneshot {
            true => Alloc::SmallPool,
            false => flavor.engine(),
        }
    }

    /// How many mappings are taken.
    #[cfg(test)]
    pub fn mapped(&self) -> usize {
        self.capacity.mapped()
    }

    /// Finds a place for one instance of a module whose home is `home` and that has so many memories; `dense`: on a host that
    /// wants it in slabs.
    ///
    /// # Errors
    /// Unavailable, retryable, when as many live as may. As [`Engines::engine`].
    pub fn admit(self: &Arc<Self>, home: Alloc, memories: usize, dense: bool) -> Result<Seat> {
        let mut permit = self.capacity.instance()?;
        for alloc in [Alloc::SmallPool, Alloc::LargePool] {
            if home != Alloc::SmallPool || dense {
                break;
            }
            if let Some(made) = self.ready(alloc)
                && made.take()
            {
                return Ok(Seat::new(alloc, made, permit));
            }
        }
        let alloc = Flavor { dense, ..home.flavor() }.engine();
        match self.capacity.mappings(self.layout(home, memories, alloc)) {
            Ok(mappings) => permit.add(mappings),
            // The large pool may have what is missing, and be just in the making: this waits for it.
            Err(refused) => {
                let pooled = home == Alloc::SmallPool && !dense && self.growing.load(Ordering::Acquire);
                let pool = pooled.then(|| self.get(Alloc::LargePool).ok()).flatten();
                let made = pool.filter(|made| made.take()).ok_or(refused)?;
                return Ok(Seat::new(Alloc::LargePool, made, permit));
            }
        }
        let made = self.get(alloc)?;
        made.used.fetch_add(1, Ordering::AcqRel);
        Ok(Seat::new(alloc, made, permit))
    }

    fn layout(&self, home: Alloc, memories: usize, alloc: Alloc) -> Layout {
        let memories = memories + usize::from(alloc.flavor().collected);
        match home {
            _ if alloc.flavor().dense => Layout::Dense,
            // It would not be at home there if it fitted a slot.
            _ if home == Flavor::default().engine() && !self.settings.oneshot => Layout::Misfit { memories },
            // No slot was tried.
            _ if memories > SLOT_MEMORIES as usize => Layout::Misfit { memories },
            _ => Layout::Reserved,
        }
    }

    /// A pool that can be used now.
    fn ready(self: &Arc<Self>, alloc: Alloc) -> Option<&Arc<Made>> {
        if alloc == Alloc::SmallPool {
            let made = self.get(alloc).ok()?;
            if made.used.load(Ordering::Relaxed) * 2 >= made.slots {
                self.grow();
            }
            return Some(made);
        }
        self.made[alloc.index()].get()?.as_ref().ok()
    }

    /// Starts to make the large pool, once.
    fn grow(self: &Arc<Self>) {
        if self.large_slots() > 0 && !self.growing.swap(true, Ordering::AcqRel) {
            let engines = self.clone();
            // A failure is kept where `ready` looks; guests then live on demand.
            self.io.spawn_blocking(move || engines.get(Alloc::LargePool).is_ok());
        }
    }

    fn get(&self, alloc: Alloc) -> Result<&Arc<Made>> {
        let made = self.made[alloc.index()].get_or_init(|| self.make(alloc));
        made.as_ref().map_err(Error::clone)
    }

    fn make(&self, alloc: Alloc) -> Result<Arc<Made>> {
        let wanted = match alloc {
            Alloc::SmallPool => SMALL.min(self.capacity.room(Layout::Reserved)),
            Alloc::LargePool => self.large_slots(),
            _ => 0,
        };
        let (slots, reserved) = match wanted {
            0 => (0, None),
            wanted => {
                let (slots, permit) = self.capacity.slots(wanted);
                (slots, Some(permit))
            }
        };
        if slots == 0 && wanted > 0 {
            return Err(Error::unavailable("no memory mappings are left for a pool"));
        }
        let config = self.config(slots, alloc.flavor());
        let engine = Engine::new(&config)
            .map_err(|error| Error::internal(format!("failed to make the WebAssembly engine: {error:#}")))?;
        lock(&self.epochs).push(engine.weak());
        Ok(Arc::new(Made {
            engine,
            slots,
            used: AtomicUsize::new(0),
            _reserved: reserved,
        }))
    }

    /// A pool keeps the mappings of its slots while they are empty, so that it takes half of the room: the rest is for
    /// guests on demand, and where there is a dense host for those in slabs.
    fn large_slots(&self) -> usize {
        let half = self.capacity.room(Layout::Reserved).saturating_sub(SMALL).div_ceil(2);
        match self.settings.dense {
            true => half.min(LARGE_BESIDE_DENSE),
            false => half,
        }
    }

    /// Settings measured to make a component's life cheapest. Everything that decides about the code is the same for
    /// engines of one flavor.
    fn config(&self, slots: usize, flavor: Flavor) -> Config {
        let mut config = Config::new();
        config
            .epoch_interruption(true)
            .consume_fuel(flavor.fuel)
            .concurrency_support(flavor.concurrent)
            .gc_support(flavor.collected)
            .wasm_exceptions(flavor.collected)
            // Types of WIT that wasmtime has switched off until everything around them is done. Calls with them are.
            .wasm_component_model_map(true)
            .wasm_component_model_fixed_length_lists(true)
            // Lines in crash reports, of modules that carry them; nothing else pays for it.
            .wasm_backtrace_details(WasmBacktraceDetails::Enable)
            .max_wasm_stack(self.settings.max_stack)
            .async_stack_size(self.settings.max_stack + HOST_STACK);
        match flavor.dense {
            true => in_slabs(&mut config),
            false => config
                .memory_init_cow(true)
                .memory_reservation(4 << 30)
                .memory_guard_size(32 << 20),
        };
        if flavor.concurrent {
            // Each task of a guest may need one.
            config.with_host_stack(Arc::new(Stacks::counted(self.capacity.clone())));
        }
        if slots > 0 {
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots)));
        }
        config
    }
}

/// Memories and stacks that share mappings. An image of the first contents would be a mapping of its own.
fn in_slabs(config: &mut Config) -> &mut Config {
    config
        .memory_init_cow(false)
        .memory_reservation(0)
        .memory_guard_size(0)
        .guard_before_linear_memory(false)
        .with_host_memory(Arc::new(Memories::new()))
        .with_host_stack(Arc::new(Stacks::new()))
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
        .max_memories_per_component(SLOT_MEMORIES)
        .max_memories_per_module(SLOT_MEMORIES)
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

impl Made {
    fn take(&self) -> bool {
        let free = |used| (used < self.slots).then_some(used + 1);
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, free)
            .is_ok()
    }
}

/// A place in an engine, given back when dropped: after the store that used it.
pub struct Seat {
    alloc: Alloc,
    made: Arc<Made>,
    _permit: Permit,
}

impl Seat {
    fn new(alloc: Alloc, made: &Arc<Made>, permit: Permit) -> Seat {
        Seat {
            alloc,
            made: made.clone(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn engines(max_instances: usize) -> Arc<Engines> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let settings = Settings {
            max_instances: Some(max_instances),
            ..Settings::default()
        };
        Engines::new(settings, runtime.handle().clone())
    }

    const PLAIN: Flavor = Flavor {
        fuel: false,
        dense: false,
        concurrent: false,
        collected: false,
    };
    const FUEL: Flavor = Flavor { fuel: true, ..PLAIN };
    const DENSE: Flavor = Flavor { dense: true, ..PLAIN };
    const CONCURRENT: Flavor = Flavor {
        concurrent: true,
        ..PLAIN
    };
    const COLLECTED: Flavor = Flavor {
        collected: true,
        ..PLAIN
    };

    /// Every engine that allocates on demand.
    fn on_demand() -> Vec<Alloc> {
        let counted = |flavor: Flavor| [flavor, Flavor { fuel: true, ..flavor }].map(Flavor::engine);
        let both = Flavor {
            concurrent: true,
            ..COLLECTED
        };
        [PLAIN, DENSE, CONCURRENT, COLLECTED, both]
            .into_iter()
            .flat_map(counted)
            .collect()
    }

    #[test]
    fn every_engine_has_a_place_and_a_name_of_its_own() {
        let pools = [Alloc::SmallPool, Alloc::LargePool];
        let indexes: Vec<usize> = pools.into_iter().chain(on_demand()).map(Alloc::index).collect();
        let mut distinct = indexes.clone();
        distinct.sort_unstable();
        assert_eq!(distinct, (0..Alloc::COUNT).collect::<Vec<_>>(), "{indexes:?}");
        let mut names: Vec<String> = on_demand().into_iter().map(Alloc::name).collect();
        assert!(names.contains(&"on demand, garbage-collected, counting fuel".to_owned()));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), on_demand().len());
    }

    #[test]
    fn nobody_is_refused_while_the_large_pool_is_made() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        // So large a pool takes longer to make than the guests before it.
        let capacity = Capacity::under(65_530, None);
        let room = capacity.room(Layout::Reserved);
        let engines = Engines::within(capacity, Settings::default(), runtime.handle().clone());
        let seats: Vec<_> = std::iter::from_fn(|| engines.admit(Alloc::SmallPool, 1, false).ok()).collect();
        assert_eq!(seats.len(), room);
    }

    #[test]
    fn guests_beyond_a_pool_live_on_demand() {
        let engines = engines(4);
        let seats: Vec<_> = (0..3)
            .map(|_| engines.admit(Alloc::SmallPool, 1, false).unwrap())
            .collect();
        assert!(seats.iter().all(|seat| seat.alloc() == Alloc::SmallPool));
        let misfit = engines.admit(PLAIN.engine(), 2, false).unwrap();
        assert_eq!((misfit.alloc(), engines.living()), (PLAIN.engine(), 4));
        assert!(engines.admit(Alloc::SmallPool, 1, false).is_err());
        drop(seats);
        assert_eq!(engines.living(), 1);
    }

    #[test]
    fn every_memory_with_a_reservation_of_its_own_is_counted() {
        let engines = engines(9);
        let counted = |home, memories| {
            let before = engines.mapped();
            let _seat = engines.admit(home, memories, false).unwrap();
            engines.mapped() - before
        };
        let one = counted(FUEL.engine(), 1);
        assert_eq!(counted(FUEL.engine(), 0), one);
        for home in [PLAIN, FUEL, CONCURRENT].map(Flavor::engine) {
            assert_eq!(counted(home, 5), 5 * one, "{home:?}");
        }
        assert_eq!(counted(PLAIN.engine(), 1), 2 * one, "it has large tables");
        for memories in [0, 1, 5] {
            assert_eq!(
                counted(COLLECTED.engine(), memories),
                (memories + 1) * one,
                "and its heap"
            );
        }
    }

    #[test]
    fn a_dense_host_has_engines_of_its_own() {
        let engines = engines(4);
        let dense_fuel = Flavor { dense: true, ..FUEL };
        for (home, flavor) in [
            (Alloc::SmallPool, DENSE),
            (PLAIN.engine(), DENSE),
            (FUEL.engine(), dense_fuel),
            // Such guests have stacks or a heap of their own.
            (CONCURRENT.engine(), CONCURRENT),
            (COLLECTED.engine(), COLLECTED),
        ] {
            assert_eq!(engines.admit(home, 1, true).unwrap().alloc(), flavor.engine());
        }
        assert_eq!(engines.admit(FUEL.engine(), 1, false).unwrap().alloc(), FUEL.engine());
    }

    #[test]
    fn only_the_engines_for_them_take_exceptions_and_references_to_collect() {
        let engines = engines(4);
        let modules = [
            "(module (tag) (func (throw 0)))",
            "(module (type (struct (field i32))))",
            "(module (table 1 externref))",
            "(module (func (local i31ref)))",
        ];
        for (alloc, text) in on_demand().iter().flat_map(|alloc| modules.map(|text| (alloc, text))) {
            let engine = engines.engine(*alloc).unwrap();
            let taken = engine.precompile_module(&wat::parse_str(text).unwrap()).is_ok();
            assert_eq!(taken, alloc.flavor().collected, "{text} in {alloc:?}");
        }
    }

    #[test]
    fn code_of_one_flavor_loads_in_no_engine_of_another_but_one_that_collects_too() {
        let engines = engines(4);
        let all: Vec<Alloc> = on_demand().into_iter().chain([Alloc::SmallPool]).collect();
        let module = wat::parse_str("(module (memory 1))").unwrap();
        for compiled in on_demand().into_iter().map(Alloc::flavor) {
            let artifact = engines.compiler(compiled).unwrap().precompile_module(&module).unwrap();
            for &alloc in &all {
                // SAFETY: the artifact was made by wasmtime just now.
                let loaded = unsafe { wasmtime::Module::deserialize(&engines.engine(alloc).unwrap(), &artifact) };
                let fits = [
                    compiled,
                    Flavor {
                        collected: true,
                        ..compiled
                    },
                ]
                .contains(&alloc.flavor());
                assert_eq!(loaded.is_ok(), fits, "{compiled:?} in {alloc:?}");
            }
        }
    }
}
