//! What the benches share: the program's allocator, a kernel with one host, medians, and the engine that stands for bare
//! wasmtime.
#![allow(dead_code, reason = "each bench uses a part of it")]

pub mod wire;

use std::sync::Arc;
use std::time::Instant;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};
use wippy::error::{Error, Result};
use wippy::id::EntryId;
use wippy::log::Log;
use wippy::process::{Clock, Host, HostSpec, Kernel, KernelOptions, Process, Program, Programs, Resolved, Spawn};
use wippy::value::Packed;

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: wippy::allocator::Allocator = wippy::allocator::Allocator;

const ROUNDS: usize = 7;

/// The median of several rounds, after one that does not count.
pub fn median(mut figure: impl FnMut() -> f64) -> f64 {
    figure();
    middle((0..ROUNDS).map(|_| figure()).collect())
}

/// The median.
pub fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Nanoseconds for each of the `items` of a round, the median of several rounds.
pub fn each(items: usize, mut round: impl FnMut()) -> f64 {
    median(|| {
        let start = Instant::now();
        round();
        start.elapsed().as_nanos() as f64 / items as f64
    })
}

/// A kernel that knows no entries.
pub struct Nothing;

impl Programs for Nothing {
    fn resolve(&self, _: &EntryId) -> Resolved {
        Resolved::Ready(Err(Error::not_found("no entries")))
    }
}

/// A kernel with the host `bench:host`.
pub struct World {
    pub kernel: Kernel,
    pub host: Arc<Host>,
    pub io: tokio::runtime::Runtime,
}

impl World {
    pub fn new(workers: usize, programs: Arc<dyn Programs>) -> World {
        let io = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a tokio runtime");
        let kernel = Kernel::new(KernelOptions {
            workers,
            log: Log::none(),
            io: io.handle().clone(),
            programs,
            clock: Clock::real(),
        });
        let host = kernel.add_host(HostSpec::new(EntryId::new("bench", "host")));
        World {
            host: host.expect("a host"),
            kernel,
            io,
        }
    }

    pub fn spawn(&self, program: Arc<dyn Program>, args: Packed) -> Result<Arc<Process>> {
        self.kernel.spawn(spawn(&self.host, program, args))
    }

    /// Waits for its end, which must be a success.
    pub fn wait(&self, process: &Arc<Process>) {
        let exit = process.exit().cloned();
        let exit = exit.unwrap_or_else(|| self.io.block_on(process.exited()));
        assert!(exit.result.is_ok(), "{exit:?}");
    }
}

/// The request for a process that nobody watches.
pub fn spawn(host: &Arc<Host>, program: Arc<dyn Program>, args: Packed) -> Spawn {
    Spawn {
        args,
        ..Spawn::new(program, host.clone())
    }
}

/// Resident bytes of this program.
pub fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0.0) * 4096.0
}

/// An engine with a pool and the code settings of ours, and nothing else of ours.
pub fn bare_engine(slots: u32) -> Engine {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots * 4)
        .total_memories(slots)
        .total_tables(slots * 4)
        .total_stacks(slots)
        .max_memory_size(4 << 30)
        .linear_memory_keep_resident(1 << 20)
        .table_keep_resident(16 << 10)
        .pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .concurrency_support(false)
        .max_wasm_stack(128 << 10)
        .async_stack_size(256 << 10)
        .memory_reservation(4 << 30)
        .memory_guard_size(32 << 20)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).expect("an engine")
}
