//! What a WASM process costs above the instance in it: a life from spawn to exit, beside bare wasmtime with the same
//! settings in the same run.
//!
//! `cargo bench --bench wasm`. Each figure is the median of several rounds.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::{Component, Linker, Val};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};
use wippy::error::{Error, Result};
use wippy::id::EntryId;
use wippy::log::Log;
use wippy::process::{
    Clock, Host, HostSpec, Kernel, KernelOptions, Process, Program, Programs, Resolved, Spawn,
};
use wippy::project::Registry;
use wippy::project::entry::{Entry, Limits, Spec, Transport, WasmSource, WasmSpec};
use wippy::system::{System, Volume};
use wippy::value::{Packed, Value};
use wippy::wasm::{Settings, Wasm, module};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 7;
const IN_FLIGHT: usize = 1_000;
const LIVES: usize = 10_000;

fn fixtures() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/wasm"))
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Microseconds of each of `count` things, the median of some rounds.
fn measure(count: usize, mut round: impl FnMut()) -> f64 {
    round();
    let figures = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        round();
        start.elapsed().as_secs_f64() * 1e6 / count as f64
    });
    median(figures.collect())
}

/// Bare wasmtime with the settings of the small pool.
struct Bare {
    engine: Engine,
    pre: wasmtime::component::InstancePre<()>,
    function: wasmtime::component::ComponentExportIndex,
}

impl Bare {
    fn new(file: &str, function: &str) -> Bare {
        let mut pool = PoolingAllocationConfig::default();
        pool.total_component_instances(64)
            .total_core_instances(256)
            .total_memories(64)
            .total_tables(256)
            .total_stacks(64)
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
        let engine = Engine::new(&config).expect("an engine");
        let component = Component::from_file(&engine, fixtures().join(file)).expect("a fixture");
        Bare {
            pre: Linker::new(&engine).instantiate_pre(&component).expect("no imports"),
            function: component.get_export_index(None, function).expect("an export"),
            engine,
        }
    }

    async fn life(&self, args: &[Val]) {
        let mut store = Store::new(&self.engine, ());
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = self.pre.instantiate_async(&mut store).await.expect("an instance");
        let function = instance.get_func(&mut store, self.function).expect("a function");
        let mut results = [Val::Bool(false)];
        function
            .call_async(&mut store, args, &mut results)
            .await
            .expect("a result");
    }

    fn lives(&self, args: &[Val]) {
        let waker = std::task::Waker::noop();
        for _ in 0..LIVES {
            let mut life = std::pin::pin!(self.life(args));
            let polled = life.as_mut().poll(&mut std::task::Context::from_waker(waker));
            assert!(polled.is_ready(), "the guest does not wait");
        }
    }
}

struct Nothing;

impl Programs for Nothing {
    fn resolve(&self, _: &EntryId) -> Resolved {
        Resolved::Ready(Err(Error::not_found("no entries")))
    }
}

struct World {
    kernel: Kernel,
    host: Arc<Host>,
    wasm: Arc<Wasm>,
    io: tokio::runtime::Runtime,
}

impl World {
    fn new(workers: usize) -> World {
        let io = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let system = System::new(&Registry::default());
        system
            .volumes
            .add(Volume::ambient(EntryId::new("app", "wasm"), fixtures()).expect("the fixtures"));
        let wasm = Wasm::new(Settings::default(), Arc::new(system), io.handle().clone());
        let kernel = Kernel::new(KernelOptions {
            workers,
            log: Log::none(),
            io: io.handle().clone(),
            programs: Arc::new(Nothing),
            clock: Clock::real(),
        });
        let ticked = wasm.clone();
        kernel.on_tick(move || ticked.tick());
        let host = kernel
            .add_host(HostSpec::new(EntryId::new("app", "host")))
            .expect("a host");
        World { kernel, host, wasm, io }
    }

    fn resolve(&self, entry: &Arc<Entry>) -> Arc<dyn Program> {
        match self.wasm.resolve(entry) {
            Resolved::Ready(program) => program.expect("it loads"),
            Resolved::Pending(loading) => self.io.block_on(loading).expect("it loads"),
        }
    }

    fn spawn(&self, entry: &Arc<Entry>, args: &Packed) -> Result<Arc<Process>> {
        self.kernel.spawn(Spawn {
            args: args.clone(),
            ..Spawn::new(self.resolve(entry), self.host.clone())
        })
    }

    /// `LIVES` processes, so many at a time.
    fn lives(&self, entry: &Arc<Entry>, args: &Packed, in_flight: usize) {
        let mut living = std::collections::VecDeque::with_capacity(in_flight);
        for _ in 0..LIVES {
            if living.len() == in_flight {
                self.wait(living.pop_front().expect("it is not empty"));
            }
            living.push_back(self.spawn(entry, args).expect("it starts"));
        }
        living.into_iter().for_each(|process| self.wait(process));
    }

    fn wait(&self, process: Arc<Process>) {
        if process.exit().is_none() {
            self.io.block_on(process.exited());
        }
    }
}

fn entry(file: &str, method: &str) -> Arc<Entry> {
    let bytes = std::fs::read(fixtures().join(file)).expect("a fixture");
    let spec = WasmSpec {
        source: WasmSource::File {
            fs: EntryId::new("app", "wasm"),
            path: file.to_owned(),
            hash: format!("sha256:{}", module::sha256(&bytes)),
        },
        method: method.to_owned(),
        wit: None,
        transport: Transport::Payload,
        imports: Vec::new(),
        args: Vec::new(),
        cwd: "/".to_owned(),
        env: Vec::new(),
        mounts: Vec::new(),
        network: Vec::new(),
        limits: Limits::default(),
        pool: None,
    };
    Arc::new(Entry::made(
        EntryId::new("app", "guest"),
        "process.wasm",
        Spec::Wasm(spec),
    ))
}

fn lives() {
    println!("{:<44} {:>9} {:>9} {:>7}", "one life, µs", "bare", "process", "ratio");
    let cases = [
        (
            "compute.wasm",
            "compute",
            vec![Val::S32(6), Val::S32(7)],
            vec![Value::Int(6), Value::Int(7)],
        ),
        (
            "greet.wasm",
            "greet",
            vec![Val::String("you".into())],
            vec![Value::from("you")],
        ),
    ];
    for (file, method, vals, values) in cases {
        let bare = Bare::new(file, method);
        let floor = measure(LIVES, || bare.lives(&vals));
        let args = Packed::from_values(&values);
        for (workers, in_flight) in [(1, 1), (1, 32), (1, IN_FLIGHT), (2, IN_FLIGHT)] {
            let world = World::new(workers);
            let entry = entry(file, method);
            let figure = measure(LIVES, || world.lives(&entry, &args, in_flight));
            let name = format!("{method}, {workers} workers, {in_flight} in flight");
            println!("{name:<44} {floor:>9.2} {figure:>9.2} {:>7.2}", figure / floor);
            world.kernel.close();
        }
    }
}

/// As many sleeping guests as may live, and the refusal of the next one.
fn sleepers(file: &str) {
    let world = World::new(2);
    let entry = entry(file, "sleep-ms");
    let args = Packed::from_value(&Value::Int(20_000));
    world.resolve(&entry);
    let before = resident();
    let start = Instant::now();
    let mut living = Vec::new();
    let refused = loop {
        match world.spawn(&entry, &args) {
            Ok(process) => living.push(process),
            Err(error) => break error,
        }
    };
    while living.iter().any(|process| process.steps() == 0) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let each = (resident() - before) / living.len() as f64;
    println!(
        "\n{} guests of {file} asleep in {:?}, {:.1} KB and {:.1} mappings each; then: {refused}",
        living.len(),
        start.elapsed(),
        each / 1e3,
        mappings() / living.len() as f64
    );
    world.kernel.close();
}

fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .unwrap_or(0.0);
    pages * 4096.0
}

fn mappings() -> f64 {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    maps.lines().count() as f64
}

fn main() {
    lives();
    sleepers("wait.wasm");
    sleepers("sleeper.wasm");
}
