//! WASM processes in a kernel of their own, with the guests of `fixtures/wasm`.

mod actors;
mod borders;
mod collected;
mod concurrent;
mod dense;
mod limits;
mod network;
mod pools;
mod proposals;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::Runtime;

use super::module::sha256;
use super::*;
use crate::error::Kind;
use crate::id::EntryId;
use crate::log::{Level, Log, Record, Sink};
use crate::process::{Cause, Clock, Exit, Host, HostSpec, Kernel, KernelOptions, Process, Programs, Spawn};
use crate::project::Registry;
use crate::project::entry::{Limits, Mount, Spec, StorageSpec, VariableSpec, WasiEnv, WasmSource, WasmSpec};
use crate::system::Volume;
use crate::system::terminal::Terminal;
use crate::system::volume::FRESH;
use crate::value::{Packed, Value};

/// Longer than anything here takes on the slowest machine.
const WATCHDOG: Duration = Duration::from_secs(60);

/// A runtime of one kernel, three hosts and the volume `app:wasm`.
struct World {
    kernel: Kernel,
    host: Arc<Host>,
    dense: Arc<Host>,
    terminal: Arc<Terminal>,
    terminal_host: Arc<Host>,
    wasm: Arc<Wasm>,
    programs: Arc<Table>,
    records: Arc<Mutex<Vec<Record>>>,
    io: Option<Runtime>,
    /// Volume `app:data`.
    data: tempfile::TempDir,
}

struct Table(Mutex<HashMap<EntryId, Arc<Entry>>>, std::sync::OnceLock<Arc<Wasm>>);

impl Programs for Table {
    fn resolve(&self, id: &EntryId) -> Resolved {
        match (lock(&self.0).get(id), self.1.get()) {
            (Some(entry), Some(wasm)) => wasm.resolve(entry),
            _ => Resolved::Ready(Err(Error::not_found(format!("entry not found: {id}")))),
        }
    }
}

struct Kept(Arc<Mutex<Vec<Record>>>);

impl Sink for Kept {
    fn record(&self, record: Record) {
        lock(&self.0).push(record);
    }

    fn enabled(&self, _: Level) -> bool {
        true
    }
}

impl World {
    fn new() -> World {
        World::with(Settings::default(), b"")
    }

    fn with(settings: Settings, stdin: &[u8]) -> World {
        let io = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let data = tempfile::tempdir().unwrap();
        let system = Arc::new(system(data.path()));
        let wasm = Wasm::new(settings, system, io.handle().clone());
        let records = Arc::default();
        let programs = Arc::new(Table(Mutex::default(), wasm.clone().into()));
        let kernel = Kernel::new(KernelOptions {
            workers: 2,
            log: Log::new(Kept(Arc::clone(&records))),
            io: io.handle().clone(),
            programs: programs.clone(),
            clock: Clock::real(),
        });
        let ticked = wasm.clone();
        kernel.on_tick(move || ticked.tick());
        let terminal = Terminal::captured(stdin.to_vec());
        let mut on_terminal = HostSpec::new(EntryId::new("app", "terminal"));
        on_terminal.terminal = Some(terminal.clone());
        let mut dense = HostSpec::new(EntryId::new("app", "dense"));
        dense.dense = true;
        World {
            host: kernel
                .add_host(HostSpec::new(EntryId::new("app", "processes")))
                .unwrap(),
            dense: kernel.add_host(dense).unwrap(),
            terminal_host: kernel.add_host(on_terminal).unwrap(),
            terminal,
            kernel,
            wasm,
            programs,
            records,
            io: Some(io),
            data,
        }
    }

    fn io(&self) -> &Runtime {
        self.io.as_ref().expect("taken at the end only")
    }

    /// Makes an entry known, for guests that spawn it.
    fn declare(&self, entry: Entry) {
        lock(&self.programs.0).insert(entry.id.clone(), Arc::new(entry));
    }

    fn program(&self, entry: Entry) -> Result<Arc<WasmProgram>> {
        self.wasm.program_blocking(&Arc::new(entry))
    }

    fn spawn_on(&self, host: &Arc<Host>, entry: Entry, args: &[Value], words: &[&str]) -> Result<Arc<Process>> {
        let program = Arc::new(Handle(self.program(entry)?));
        self.kernel.spawn(Spawn {
            args: Packed::from_values(args),
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            ..Spawn::new(program, host.clone())
        })
    }

    fn spawn(&self, entry: Entry, args: &[Value]) -> Result<Arc<Process>> {
        self.spawn_on(&self.host, entry, args, &[])
    }

    fn exit(&self, process: &Arc<Process>) -> Arc<Exit> {
        let exited = process.exited();
        self.io()
            .block_on(async { tokio::time::timeout(WATCHDOG, exited).await })
            .expect("the process ends")
    }

    /// Waits until no instance is left. The end of a process that is terminated within a step is told before it is closed
    /// when the step takes long, as it does on a busy machine.
    fn emptied(&self) {
        let began = Instant::now();
        while self.wasm.engines().living() > 0 {
            assert!(began.elapsed() < WATCHDOG, "{} left", self.wasm.engines().living());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn run(&self, entry: Entry, args: &[Value]) -> Arc<Exit> {
        let process = self.spawn(entry, args).unwrap();
        self.exit(&process)
    }

    /// The value of a run that ends well.
    fn value(&self, entry: Entry, args: &[Value]) -> Value {
        value(&self.run(entry, args))
    }

    fn failure(&self, entry: Entry, args: &[Value]) -> Error {
        self.run(entry, args).error().expect("it fails").clone()
    }

    /// A command on the terminal host: how it ended, and what it wrote.
    fn command(&self, entry: Entry, words: &[&str]) -> (Arc<Exit>, String, String) {
        let (before, errors_before) = (self.terminal.output().len(), self.terminal.errors().len());
        let process = self.spawn_on(&self.terminal_host, entry, &[], words).unwrap();
        let exit = self.exit(&process);
        self.io().block_on(self.terminal.flush()).unwrap();
        let text = |bytes: Vec<u8>, before: usize| String::from_utf8(bytes[before..].to_vec()).unwrap();
        let out = text(self.terminal.output(), before);
        (exit, out, text(self.terminal.errors(), errors_before))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kernel.close();
        // A thread that a guest managed to block must fail its test, not hang it.
        if let Some(io) = self.io.take() {
            io.shutdown_background();
        }
    }
}

fn value(exit: &Exit) -> Value {
    match &exit.result {
        Ok(packed) => packed.to_value().unwrap(),
        Err(error) => panic!("{error:?}"),
    }
}

fn fixtures() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/wasm"))
}

fn system(data: &Path) -> System {
    let storage = Spec::Storage(StorageSpec::Static(vec![("PREFIX".to_owned(), "> ".to_owned())]));
    let variable = |name: &str| {
        let spec = VariableSpec {
            storage: EntryId::new("app", "static"),
            name: Some(name.to_owned()),
            default: None,
            read_only: false,
        };
        Entry::made(
            EntryId::new("app", &name.to_lowercase()),
            "env.variable",
            Spec::Variable(spec),
        )
    };
    let entries = [
        Entry::made(EntryId::new("app", "static"), "env.storage.static", storage),
        variable("PREFIX"),
        variable("ABSENT"),
    ];
    let system = System::new(&Registry::new(entries.into_iter().map(Arc::new)));
    for (name, path) in [("wasm", fixtures()), ("data", data)] {
        system
            .volumes
            .add(Volume::ambient(EntryId::new("app", name), path).unwrap());
    }
    system
}

fn wasm_spec(fs: &str, path: &str, hash: String, method: &str) -> WasmSpec {
    let fs = EntryId::new("app", fs);
    WasmSpec {
        source: WasmSource::File {
            fs: fs.clone(),
            path: path.to_owned(),
            hash,
        },
        ..WasmSpec::of_file(fs, path, Some(method))
    }
}

fn made(spec: WasmSpec) -> Entry {
    Entry::made(EntryId::new("app", "guest"), "process.wasm", Spec::Wasm(spec))
}

/// An entry for a fixture, changed by `change`.
fn guest_with(name: &str, method: &str, change: impl FnOnce(&mut WasmSpec)) -> Entry {
    let file = format!("{name}.wasm");
    let bytes = std::fs::read(fixtures().join(&file)).unwrap();
    let mut spec = wasm_spec("wasm", &file, format!("sha256:{}", sha256(&bytes)), method);
    change(&mut spec);
    made(spec)
}

/// A core module from its text, in the data folder.
fn core(world: &World, text: &str, change: impl FnOnce(&mut WasmSpec)) -> Entry {
    let bytes = wat::parse_str(text).unwrap();
    std::fs::write(world.data.path().join("core.wasm"), &bytes).unwrap();
    let mut spec = wasm_spec("data", "core.wasm", format!("sha256:{}", sha256(&bytes)), "f");
    change(&mut spec);
    made(spec)
}

fn guest(name: &str, method: &str) -> Entry {
    guest_with(name, method, |_| {})
}

fn granted(name: &str, method: &str, grants: &[&str]) -> Entry {
    guest_with(name, method, |spec| spec.imports = owned(grants))
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn ints(numbers: &[i64]) -> Vec<Value> {
    numbers.iter().copied().map(Value::Int).collect()
}

#[test]
fn a_component_computes() {
    let world = World::new();
    assert_eq!(world.value(guest("compute", "compute"), &ints(&[6, 7])), Value::Int(42));
    assert_eq!(world.wasm.engines().living(), 0);
}

#[test]
fn arguments_are_checked_before_the_start() {
    let world = World::new();
    let error = world.spawn(guest("compute", "compute"), &ints(&[6])).err().unwrap();
    assert_eq!(
        (error.kind(), error.message()),
        (Kind::Invalid, "compute: expected 2 arguments (a: s32, b: s32), got 1")
    );
    assert_eq!(world.wasm.engines().living(), 0);
}

#[test]
fn every_form_of_a_method_is_found() {
    let world = World::new();
    for (name, method, args, expected) in [
        ("methods", "acme:math/calc@1.2.3#op", &[6, 7][..], 13),
        ("methods", "acme:math/calc#op", &[6, 7], 13),
        ("methods", "other:math/calc#op", &[6, 7], 42),
        ("methods", "only#op", &[6, 7], 42),
        ("methods", "exports#run", &[], 7),
        ("methods", "run", &[], 7),
        ("types", "calc#add", &[6, 7], 13),
        ("core", "answer", &[], 42),
        ("core", "add64", &[1, -2], -1),
    ] {
        assert_eq!(
            world.value(guest(name, method), &ints(args)),
            Value::Int(expected),
            "{method}"
        );
    }
}

#[test]
fn a_missing_export_is_answered_with_those_that_exist() {
    let world = World::new();
    let error = world.program(guest("compute", "comptue")).err().unwrap();
    assert_eq!(
        (error.kind(), error.message()),
        (
            Kind::Internal,
            "failed to call wasm method: comptue; did you mean compute?; exported functions: compute"
        )
    );
    let error = world.program(guest("methods", "calc#op")).err().unwrap();
    assert!(error.message().contains("several interfaces have that name"), "{error}");
    let error = world
        .program(guest("resources", "acme:resources/shop#[constructor]counter"))
        .err()
        .unwrap();
    assert!(error.message().starts_with("failed to call wasm method"), "{error}");
    assert!(!error.message().contains("[method]"), "{error}");
}

#[test]
fn core_modules_take_their_signature_from_wit_or_from_themselves() {
    let world = World::new();
    let pair = world.value(guest("core", "pair"), &[]);
    assert_eq!(pair, Value::array(ints(&[7, 8_589_934_592])));
    assert_eq!(world.value(guest("core", "initialized"), &[]), Value::Int(1));
    assert_eq!(world.value(guest("core", "nothing"), &[]), Value::Nil);
    let typed = guest_with("core", "add", |spec| {
        spec.wit = Some("add: func(a: s8, b: u8) -> s32;".into())
    });
    assert_eq!(world.value(typed, &ints(&[-1, 3])), Value::Int(2));
    let wrong = guest_with("core", "add", |spec| {
        spec.wit = Some("add: func(a: s64) -> s32;".into())
    });
    assert_eq!(world.program(wrong).err().unwrap().kind(), Kind::Invalid);
    let empty = guest_with("core", "add", |spec| spec.wit = Some(" ".into()));
    assert_eq!(world.value(empty, &ints(&[-1, 3])), Value::Int(2));
    let wrong_elsewhere = guest_with("core", "add", |spec| {
        spec.wit = Some("add: func(a: s8, b: u8) -> s32; nothing: func() -> s32;".into())
    });
    let error = world.program(wrong_elsewhere).err().unwrap();
    assert!(
        error.message().starts_with("wit does not fit the module: nothing"),
        "{error}"
    );
}

#[test]
fn the_hash_of_the_very_bytes_decides() {
    let world = World::new();
    let hash = |hash: &str| {
        let spec = wasm_spec("wasm", "/compute.wasm", hash.to_owned(), "compute");
        world.program(made(spec)).err().unwrap()
    };
    let error = hash("sha256:...");
    assert!(error.message().contains("placeholder"), "{error}");
    let error = hash(&format!("sha256:{}", "0".repeat(64)));
    assert!(
        error
            .message()
            .starts_with("hash verification failed: hash mismatch: expected 000"),
        "{error}"
    );
    assert_eq!(error.kind(), Kind::Invalid);
}

#[test]
fn missing_files_and_volumes_are_not_found() {
    let world = World::new();
    for (fs, path, message) in [
        ("gone", "x.wasm", "filesystem not found: app:gone"),
        ("wasm", "x.wasm", "failed to open file: x.wasm"),
        ("wasm", "../../Cargo.toml", "failed to open file: ../../Cargo.toml"),
    ] {
        let error = world
            .program(made(wasm_spec(fs, path, "sha256:00".into(), "f")))
            .err()
            .unwrap();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.message().starts_with(message), "{error}");
    }
}

#[test]
fn a_changed_file_is_loaded_again_and_verified_again() {
    let world = World::new();
    let path = world.data.path().join("m.wasm");
    std::fs::copy(fixtures().join("compute.wasm"), &path).unwrap();
    let hash = format!("sha256:{}", sha256(&std::fs::read(&path).unwrap()));
    let entry = Arc::new(made(wasm_spec("data", "m.wasm", hash, "compute")));
    let first = world.wasm.program_blocking(&entry).unwrap();
    std::thread::sleep(FRESH * 2);
    assert!(Arc::ptr_eq(&first, &world.wasm.program_blocking(&entry).unwrap()));
    std::fs::copy(fixtures().join("tiny.wasm"), &path).unwrap();
    std::thread::sleep(FRESH * 2);
    let error = world.wasm.program_blocking(&entry).err().unwrap();
    assert!(error.message().starts_with("hash verification failed"), "{error}");
}

#[test]
fn a_module_written_twice_within_one_step_of_the_clock_is_read_twice() {
    let world = World::new();
    let path = world.data.path().join("m.wasm");
    let module = std::fs::read(fixtures().join("compute.wasm")).unwrap();
    // Long after it is read, so that no machine is too slow for it.
    let at = SystemTime::now() + Duration::from_secs(3600);
    // The same length, the same time, the same file: only the bytes differ.
    let write = |mark: u8| {
        let bytes = [&module[..], &[0, 3, 1, b'n', mark]].concat();
        std::fs::write(&path, &bytes).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(at).unwrap();
        format!("sha256:{}", sha256(&bytes))
    };
    let entry = Arc::new(made(wasm_spec("data", "m.wasm", write(b'a'), "compute")));
    world.wasm.program_blocking(&entry).unwrap();
    write(b'b');
    std::thread::sleep(FRESH * 2);
    let error = world.wasm.program_blocking(&entry).err().expect("it was read again");
    assert!(error.message().starts_with("hash verification failed"), "{error}");
}

#[test]
fn a_stamp_is_old_a_step_of_the_clock_after_the_write() {
    let written = SystemTime::now();
    let stamp = Stamp::File {
        size: 1,
        modified: Some(written),
        inode: (1, 1),
    };
    let step = Duration::from_millis(20);
    assert!(stamp.is_young(written - step) && stamp.is_young(written) && !stamp.is_young(written + step));
}

#[test]
fn many_who_ask_at_once_wait_for_one_load() {
    let world = World::new();
    let entry = Arc::new(guest("greet", "greet"));
    let programs = world.io().block_on(async {
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let (wasm, entry) = (world.wasm.clone(), entry.clone());
                tokio::spawn(async move { wasm.program(&entry).await.unwrap() })
            })
            .collect();
        let mut programs = Vec::new();
        for task in tasks {
            programs.push(task.await.unwrap());
        }
        programs
    });
    assert!(programs.iter().all(|program| Arc::ptr_eq(program, &programs[0])));
}

#[test]
fn a_result_at_the_top_is_the_outcome_of_the_process() {
    let world = World::new();
    assert_eq!(
        world.value(guest("types", "check"), &[Value::Bool(true)]),
        Value::from("fine")
    );
    let error = world.failure(guest("types", "check"), &[Value::Bool(false)]);
    assert_eq!(
        (error.kind(), error.message(), error.retryable()),
        (Kind::Internal, "not fine", Some(false))
    );
    assert_eq!(error.details().unwrap().get("value"), Some(&Value::from("not fine")));
}

#[test]
fn traps_have_names_and_frames() {
    let world = World::new();
    for (method, args, name) in [
        ("trap-unreachable", &[][..], "unreachable"),
        ("divide", &[1, 0], "integer-divide-by-zero"),
        ("divide", &[i64::from(i32::MIN), -1], "integer-overflow"),
        ("out-of-bounds", &[], "memory-out-of-bounds"),
        ("bad-index", &[], "table-out-of-bounds"),
        ("null-call", &[], "indirect-call-to-null"),
        ("bad-signature", &[], "bad-signature"),
        ("bad-conversion", &[], "bad-conversion-to-integer"),
    ] {
        let exit = world.run(guest("trapper", method), &ints(args));
        let error = exit.error().unwrap();
        assert_eq!(error.message(), format!("wasm trap: {name}"));
        assert_eq!(
            (exit.cause, error.kind(), error.retryable()),
            (Cause::Trap, Kind::Internal, None)
        );
        assert_eq!(error.details().unwrap().get("trap"), Some(&Value::from(name)));
    }
    let error = world.failure(guest("trapper", "trap-unreachable"), &[]);
    let names: Vec<&str> = error.frames().iter().map(|frame| frame.name.as_str()).collect();
    assert_eq!(&names[..3], ["bottom", "middle", "trap_unreachable"]);
    let Some(Value::Table(frames)) = error.details().unwrap().get("frames") else {
        panic!("{error:?}")
    };
    assert!(
        matches!(frames.array[0].get("offset"), Some(Value::Int(_))),
        "{frames:?}"
    );
    assert_eq!(world.wasm.engines().living(), 0);
}

#[test]
fn a_trap_while_the_instance_is_made_is_a_failed_instantiation() {
    let world = World::new();
    let trapping = "(func $boom unreachable)";
    for (fields, name, frame) in [
        (
            "(memory 1) (data (i32.const 65536) \"x\")",
            "memory-out-of-bounds",
            None,
        ),
        (
            "(table 1 funcref) (elem (i32.const 1) $boom)",
            "table-out-of-bounds",
            None,
        ),
        ("(start $boom)", "unreachable", Some("boom")),
        (
            "(func (export \"_initialize\") call $boom)",
            "unreachable",
            Some("boom"),
        ),
    ] {
        let text = format!("(module {trapping} {fields} (func (export \"f\")))");
        let exit = world.run(core(&world, &text, |_| {}), &[]);
        let error = exit.error().expect(fields);
        assert_eq!(
            error.message(),
            format!("failed to instantiate wasm module: wasm trap: {name}")
        );
        assert_eq!((exit.cause, error.kind()), (Cause::Trap, Kind::Internal), "{fields}");
        assert_eq!(error.details().unwrap().get("trap"), Some(&Value::from(name)));
        assert_eq!(error.frames().first().map(|frame| frame.name.as_str()), frame);
    }
}

#[test]
fn a_function_with_a_short_name_is_not_taken_for_an_encoded_type() {
    let world = World::new();
    let text = "(module (func $i unreachable) (func $f (export \"f\") call $i))";
    let error = world.failure(core(&world, text, |_| {}), &[]);
    let names: Vec<&str> = error.frames().iter().map(|frame| frame.name.as_str()).collect();
    assert_eq!(names, ["i", "f"]);
}

#[test]
fn frames_have_the_lines_that_the_module_carries() {
    let world = World::new();
    assert_eq!(world.value(guest("crash", "first"), &ints(&[5])), Value::Int(6));
    let error = world.failure(guest("crash", "first"), &ints(&[1]));
    let shown: Vec<String> = error.frames().iter().take(3).map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "./crash.c:5: in third",
            "./crash.c:10: in second",
            "./crash.c:14: in exports_guest_first"
        ]
    );
    let Some(Value::Table(frames)) = error.details().unwrap().get("frames") else {
        panic!("{error:?}")
    };
    assert_eq!(frames.array[0].get("line"), Some(&Value::Int(5)));
    assert_eq!(frames.array[0].get("file"), Some(&Value::from("./crash.c")));
}

#[test]
fn deep_recursion_is_the_stack_limit() {
    let world = World::new();
    let exit = world.run(guest("trapper", "recurse"), &[]);
    let error = exit.error().unwrap();
    assert_eq!((exit.cause, error.kind()), (Cause::Limit, Kind::LimitExceeded));
    let details = error.details().unwrap();
    assert_eq!(details.get("limit"), Some(&Value::from("max_stack")));
    assert_eq!(details.get("allowed"), Some(&Value::Int(128 << 10)));
}

#[test]
fn the_memory_limit_ends_the_run_unseen_by_the_guest() {
    let world = World::new();
    let eater = |method: &str, limit: u64| guest_with("eater", method, |spec| spec.limits.max_memory = limit);
    assert_eq!(world.value(eater("try-eat", 64 << 20), &ints(&[8])), Value::Int(8));
    for (method, limit, args) in [
        ("try-eat", 16 << 20, &[64][..]),
        ("eat-forever", 16 << 20, &[]),
        ("eat-table", 1 << 20, &[1 << 20]),
        ("eat", 1 << 10, &[0]),
    ] {
        let exit = world.run(eater(method, limit), &ints(args));
        let error = exit.error().unwrap();
        assert_eq!(
            (exit.cause, error.kind(), error.retryable()),
            (Cause::Limit, Kind::LimitExceeded, None)
        );
        let details = error.details().unwrap();
        assert_eq!(details.get("limit"), Some(&Value::from("max_memory")), "{method}");
        assert_eq!(details.get("allowed"), Some(&Value::Int(i64::try_from(limit).unwrap())));
    }
}

#[test]
fn the_time_limit_ends_busy_loops_and_sleeps() {
    let world = World::new();
    let limited = |name: &str, method: &str| guest_with(name, method, |spec| spec.limits.max_execution_ms = 30);
    for (name, method, args) in [("spin", "spin", &[][..]), ("sleeper", "sleep-ms", &[600_000])] {
        let run = |_| {
            let exit = world.run(limited(name, method), &ints(args));
            let error = exit.error().unwrap();
            assert_eq!(
                (exit.cause, error.kind()),
                (Cause::TimeLimit, Kind::Timeout),
                "{method}"
            );
            assert_eq!(error.message(), "execution time limit exceeded: 30 ms");
            error.details().is_some_and(|details| details.get("stderr").is_some())
        };
        // On a busy machine an end may be told before the guest has left its step, and then without what it said.
        assert!((0..100).any(run), "{method}");
    }
}

#[test]
fn the_fuel_limit_counts_instructions() {
    let world = World::new();
    let spin = |fuel: u64| guest_with("spin", "spin-then", |spec| spec.limits.max_fuel = fuel);
    assert_eq!(world.value(spin(1_000_000), &ints(&[100])), Value::Int(100));
    let error = world.failure(spin(1_000), &ints(&[1_000_000]));
    assert_eq!(error.kind(), Kind::LimitExceeded);
    assert_eq!(error.details().unwrap().get("limit"), Some(&Value::from("max_fuel")));
}

#[test]
fn terminate_ends_busy_and_sleeping_guests() {
    let world = World::new();
    for (name, method, args) in [("spin", "spin", &[][..]), ("sleeper", "sleep-ms", &[600_000])] {
        let process = world.spawn(guest(name, method), &ints(args)).unwrap();
        world.kernel.terminate(process.pid()).unwrap();
        assert_eq!(world.exit(&process).cause, Cause::Terminated);
    }
    world.emptied();
}

#[test]
fn busy_guests_leave_room_for_others() {
    let world = World::new();
    let spinning: Vec<_> = (0..4)
        .map(|_| world.spawn(guest("spin", "spin"), &[]).unwrap())
        .collect();
    assert_eq!(world.value(guest("compute", "compute"), &ints(&[2, 3])), Value::Int(6));
    assert!(spinning.iter().all(|process| process.exit().is_none()));
}

#[test]
fn sleeps_of_many_guests_overlap() {
    let world = World::new();
    let sleepers: Vec<_> = (0..200)
        .map(|_| world.spawn(guest("wait", "sleep-ms"), &ints(&[50])).unwrap())
        .collect();
    for sleeper in &sleepers {
        assert_eq!(value(&world.exit(sleeper)), Value::Int(50));
    }
    assert_eq!(world.wasm.engines().living(), 0);
}

#[test]
fn a_full_house_refuses_the_next_spawn_and_disturbs_nobody() {
    let settings = Settings {
        max_instances: Some(3),
        ..Settings::default()
    };
    let world = World::with(settings, b"");
    let spawn = |ms: i64| world.spawn(guest("wait", "sleep-ms"), &ints(&[ms]));
    let living: Vec<_> = (0..3).map(|_| spawn(600_000).unwrap()).collect();
    let error = spawn(1).err().unwrap();
    assert_eq!((error.kind(), error.retryable()), (Kind::Unavailable, Some(true)));
    assert!(living.iter().all(|process| process.exit().is_none()));
    world.kernel.terminate(living[0].pid()).unwrap();
    while world.wasm.engines().living() > 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(value(&world.exit(&spawn(1).unwrap())), Value::Int(1));
    assert!(living[1..].iter().all(|process| process.exit().is_none()));
}

#[test]
fn a_command_gets_words_environment_and_stdin() {
    for (name, cwd) in [("command", ""), ("command3", "cwd: /work\n")] {
        let world = World::with(Settings::default(), b"typed\n");
        let entry = guest_with(name, "run", |spec| {
            spec.imports = owned(&["wasi:cli"]);
            spec.args = owned(&["fixed"]);
            spec.cwd = "/work".to_owned();
            spec.env = vec![
                WasiEnv {
                    id: EntryId::new("app", "prefix"),
                    name: "P".into(),
                    required: true,
                    value: None,
                },
                WasiEnv {
                    id: EntryId::new("app", "absent"),
                    name: "A".into(),
                    required: false,
                    value: None,
                },
            ];
        });
        let (exit, out, err) = world.command(entry, &["--stderr", "careful"]);
        assert_eq!(value(&exit), Value::Nil, "{name}");
        let args = "arg 0: guest\narg 1: fixed\narg 2: --stderr\narg 3: careful\n";
        assert_eq!(out, format!("{args}{cwd}P=> \ntyped\n"), "{name}");
        assert_eq!(err, "careful\n", "{name}");
    }
}

#[test]
fn a_preview_1_command_does_the_same_and_keeps_its_exit_code() {
    let world = World::with(Settings::default(), b"typed\n");
    let entry = || granted("p1", "_start", &["wasi1"]);
    let (exit, out, _) = world.command(entry(), &["a"]);
    assert_eq!(value(&exit), Value::Nil);
    assert_eq!(out, "arg 0: guest\narg 1: a\ntyped\n");
    let (exit, ..) = world.command(entry(), &["--no-stdin", "--exit", "7"]);
    assert_eq!(exit.cause, Cause::Code(7));
    let error = exit.error().unwrap();
    assert_eq!((error.message(), error.retryable()), ("exit status 7", None));
}

#[test]
fn a_command_from_before_preview_1_runs_with_the_same_grants_and_guards() {
    let world = World::with(Settings::default(), b"");
    let fifo = std::ffi::CString::new(world.data.path().join("fifo").to_str().unwrap()).unwrap();
    // SAFETY: the path is a C string.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    let text = "(module
        (import \"wasi_unstable\" \"fd_write\" (func $write (param i32 i32 i32 i32) (result i32)))
        (import \"wasi_unstable\" \"path_open\" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import \"wasi_unstable\" \"random_get\" (func $random (param i32 i32) (result i32)))
        (import \"wasi_unstable\" \"sock_shutdown\" (func $shutdown (param i32 i32) (result i32)))
        (import \"wasi_unstable\" \"proc_exit\" (func $exit (param i32)))
        (memory (export \"memory\") 3)
        (data (i32.const 0) \"\\10\\00\\00\\00\\04\\00\\00\\00\")
        (data (i32.const 16) \"old\\0afifo\")
        (func (export \"_start\")
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
            (if (call $random (i32.const 1024) (i32.const 100000)) (then unreachable))
            (if (i32.ne (call $shutdown (i32.const 1) (i32.const 0)) (i32.const 58)) (then unreachable))
            (call $exit (call $open (i32.const 3) (i32.const 0) (i32.const 20) (i32.const 4) (i32.const 0)
                (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 8)))))";
    let bytes = wat::parse_str(text).unwrap();
    std::fs::write(world.data.path().join("old.wasm"), &bytes).unwrap();
    let mut spec = wasm_spec("data", "old.wasm", format!("sha256:{}", sha256(&bytes)), "_start");
    spec.imports = owned(&["wasi1"]);
    spec.mounts = vec![mount("/data", false)];
    let (exit, out, _) = world.command(made(spec), &[]);
    assert_eq!(out, "old\n");
    // `perm`: a FIFO is not opened.
    assert_eq!(exit.cause, Cause::Code(63), "{:?}", exit.error());
}

#[test]
fn every_exit_code_of_preview_1_is_kept() {
    let world = World::new();
    let exits = |code: i32| {
        let text = format!(
            "(module (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))
               (func (export \"f\") (call $exit (i32.const {code}))))"
        );
        world.run(core(&world, &text, |_| {}), &[])
    };
    for code in [125, 126, 255, 256, -1] {
        let exit = exits(code);
        assert_eq!(exit.cause, Cause::Code(code));
        let error = exit.error().unwrap();
        assert_eq!(error.message(), format!("exit status {code}"));
        let details = error.details().unwrap();
        assert_eq!(details.get("exit_code"), Some(&Value::Int(i64::from(code))));
    }
    assert_eq!(value(&exits(0)), Value::Nil);
}

#[test]
fn exit_codes_of_components() {
    let world = World::new();
    for (name, method, args, code) in [
        ("exit", "run", vec![], 1),
        ("exit", "quit", vec![Value::Bool(false)], 1),
        ("exit", "quit-with", ints(&[9]), 9),
    ] {
        let exit = world.run(guest(name, method), &args);
        assert_eq!(exit.cause, Cause::Code(code), "{method}");
        assert_eq!(exit.error().unwrap().message(), format!("exit status {code}"));
    }
    assert_eq!(world.value(guest("exit", "quit"), &[Value::Bool(true)]), Value::Nil);
}

#[test]
fn without_the_grant_a_command_sees_nothing_and_writes_to_the_log() {
    for name in ["command", "command3"] {
        let world = World::with(Settings::default(), b"typed\n");
        let (exit, out, err) = world.command(guest(name, "run"), &["--stderr", "careful"]);
        assert_eq!(value(&exit), Value::Nil, "{name}");
        assert_eq!((out.as_str(), err.as_str()), ("", ""), "{name}");
        assert!(lock(&world.records).is_empty(), "{name}");
        let entry = guest_with(name, "run", |spec| {
            spec.imports = owned(&["wasi:cli"]);
            spec.args = owned(&["--stderr", "one\ntwo"]);
        });
        let exit = world.run(entry, &[]);
        assert_eq!(value(&exit), Value::Nil, "{name}");
        let records = lock(&world.records);
        let lines: Vec<(Level, &str)> = records
            .iter()
            .map(|record| (record.level, record.message.as_str()))
            .collect();
        assert!(lines.contains(&(Level::Info, "arg 0: guest")), "{name}: {lines:?}");
        let errors: Vec<&str> = lines
            .iter()
            .filter(|(level, _)| *level == Level::Warn)
            .map(|line| line.1)
            .collect();
        assert_eq!(errors, ["one", "two"], "{name}: {lines:?}");
        assert_eq!(
            records[0].fields,
            [("stream".to_owned(), Value::from("stdout"))],
            "{name}"
        );
        assert!(records[0].pid.is_some() && records[0].entry.is_some(), "{name}");
    }
}

#[test]
fn a_required_variable_that_is_missing_refuses_the_start() {
    let world = World::new();
    let entry = guest_with("environ", "env", |spec| {
        spec.imports = owned(&["wasi:cli"]);
        spec.env = vec![WasiEnv {
            id: EntryId::new("app", "absent"),
            name: "A".into(),
            required: true,
            value: None,
        }];
    });
    let error = world.spawn(entry, &[]).err().unwrap();
    assert_eq!(
        (error.kind(), error.message()),
        (Kind::NotFound, "required wasi env variable not found: app:absent")
    );
}

#[test]
fn a_trap_carries_the_last_of_stderr() {
    let world = World::new();
    let entry = guest_with("command", "run", |spec| {
        spec.imports = owned(&["wasi:cli"]);
        spec.args = owned(&["--trap"]);
    });
    let error = world.failure(entry, &[]);
    assert_eq!(error.message(), "wasm trap: unreachable");
    let stderr = error.details().unwrap().get("stderr").unwrap().as_str().unwrap();
    assert!(stderr.contains("about to trap"), "{stderr}");
}

#[test]
fn the_record_of_a_failure_has_last_output_arguments_and_limits() {
    let world = World::new();
    let fields = |entry: Entry, args: &[Value]| {
        lock(&world.records).clear();
        world.failure(entry, args);
        let records = lock(&world.records);
        let record = records.iter().find(|record| record.message == "process failed");
        let field = |name: &str| {
            let mut fields = record.expect("it is logged").fields.iter();
            fields
                .find(|(own, _)| own == name)
                .map(|(_, value)| crate::json::compact(value))
        };
        ["stderr", "arguments", "limits"].map(field)
    };
    let limits = |rest: &str| Some(format!(r#"{{"max_memory":"1GiB",{rest}"max_handles":10000}}"#));
    let defaults = limits(r#""max_stack":"128KiB","max_transfer":"128MiB","#);
    let of_trap = fields(guest("trapper", "divide"), &ints(&[7, 0]));
    assert_eq!(of_trap, [None, Some("[7,0]".to_owned()), defaults]);
    let command = guest_with("command", "run", |spec| {
        spec.imports = owned(&["wasi:cli"]);
        spec.args = owned(&["--trap"]);
        spec.limits = Limits {
            max_execution_ms: 600_000,
            max_memory: 0,
            max_fuel: 1 << 40,
            max_transfer: 0,
            max_handles: 0,
        };
    });
    let [stderr, arguments, limits] = fields(command, &[]);
    assert_eq!(stderr.as_deref(), Some(r#""about to trap\n""#));
    assert_eq!(arguments.as_deref(), Some(r#"["guest","--trap"]"#));
    let expected = r#"{"max_execution_ms":600000,"max_fuel":1099511627776,"max_stack":"128KiB"}"#;
    assert_eq!(limits.as_deref(), Some(expected));
    let small = guest_with("types", "echo-string", |spec| spec.limits.max_memory = 2 << 20);
    let [_, arguments, _] = fields(small, &[Value::from("x".repeat(10_000_000))]);
    let expected = format!("[\"{}… (10000000 bytes)\"]", "x".repeat(128));
    assert_eq!(arguments, Some(expected));
}

#[test]
fn stubs_name_the_line_to_write() {
    let world = World::new();
    assert_eq!(
        world.value(granted("needs-sockets", "fine", &["wasi:io"]), &[]),
        Value::Int(7)
    );
    let error = world.failure(granted("needs-sockets", "call-it", &["wasi:io"]), &[]);
    assert_eq!(error.kind(), Kind::PermissionDenied);
    assert_eq!(
        error.message(),
        "app:guest called wasi:sockets/instance-network.instance-network without a grant; add to the entry: \
         imports: [wasi:io, wasi:sockets]"
    );
    assert_eq!(
        world.value(granted("needs-sockets", "call-it", &["wasi:sockets"]), &[]),
        Value::Int(1)
    );
    for (name, method, call) in [
        ("needs", "call-it", "acme:db/query.run"),
        ("needs-resource", "call-it", "acme:db/pool.connection"),
        ("needs-core", "call_it", "env.lookup"),
    ] {
        assert_eq!(world.value(guest(name, "fine"), &[]), Value::Int(7), "{name}");
        let error = world.failure(guest(name, method), &[]);
        assert_eq!(error.kind(), Kind::PermissionDenied);
        assert_eq!(
            error.message(),
            format!("app:guest called {call}, which no grant provides")
        );
    }
}

#[test]
fn only_functions_can_be_stubs() {
    let world = World::new();
    for (name, message) in [
        ("needs-memory", "unsupported import: env.memory (memory)"),
        ("needs-table", "unsupported import: env.table (table)"),
        ("needs-global", "unsupported import: env.stack_pointer (global)"),
        ("needs-module", "unsupported import: plugin (module)"),
        ("needs-component", "unsupported import: plugin (component)"),
    ] {
        let error = world.program(guest(name, "fine")).err().unwrap();
        assert_eq!((error.kind(), error.message()), (Kind::Invalid, message));
    }
    let text = "(component (import \"acme:db/all@1.0.0\" (instance (export \"inner\" (instance
                  (export \"m\" (core module))))))
                  (core module $m (func (export \"f\"))) (core instance $i (instantiate $m))
                  (func (export \"f\") (canon lift (core func $i \"f\"))))";
    let error = world.program(core(&world, text, |_| {})).err().unwrap();
    assert_eq!(error.message(), "unsupported import: acme:db/all.inner.m (module)");
}

#[test]
fn one_component_may_import_several_versions() {
    let world = World::new();
    assert_eq!(world.value(guest("versions", "compare"), &[]), Value::Int(1));
}

fn mount(guest: &str, read_only: bool) -> Mount {
    Mount {
        fs: EntryId::new("app", "data"),
        guest: guest.to_owned(),
        read_only,
    }
}

fn probe(name: &str, method: &str, read_only: bool, words: &[&str]) -> Entry {
    guest_with(name, method, |spec| {
        spec.imports = owned(&["wasi:cli", "wasi:filesystem"]);
        spec.mounts = vec![mount("/data", read_only)];
        spec.args = owned(words);
    })
}

#[test]
fn mounts_are_read_and_written() {
    let world = World::new();
    for (name, method) in [("fsprobe", "run"), ("fsprobe-p1", "_start")] {
        let path = format!("/data/{name}.txt");
        let (exit, ..) = world.command(probe(name, method, false, &["write", &path, "hello"]), &[]);
        assert_eq!(value(&exit), Value::Nil, "{name}");
        let written = std::fs::read_to_string(world.data.path().join(format!("{name}.txt"))).unwrap();
        assert!(written.starts_with("hello"), "{written}");
        let (exit, out, _) = world.command(probe(name, method, true, &["read", &path]), &[]);
        assert_eq!(value(&exit), Value::Nil);
        assert!(out.contains("hello"), "{out}");
    }
}

#[test]
fn a_read_only_mount_refuses_every_change() {
    let world = World::new();
    std::fs::write(world.data.path().join("a"), "x").unwrap();
    for words in [
        &["write", "/data/a", "y"][..],
        &["create", "/data/b", "y"],
        &["append", "/data/a", "y"],
        &["truncate", "/data/a", "0"],
        &["rm", "/data/a"],
        &["mkdir", "/data/c"],
        &["mv", "/data/a", "/data/d"],
        &["link", "/data/a", "/data/e"],
        &["symlink", "a", "/data/f"],
        &["utimes", "/data/a"],
    ] {
        for (name, method) in [("fsprobe", "run"), ("fsprobe-p1", "_start")] {
            let (exit, _, err) = world.command(probe(name, method, true, words), &[]);
            assert_eq!(exit.cause, Cause::Code(1), "{words:?}");
            assert!(err.contains("error: E"), "{words:?}: {err}");
        }
    }
    assert_eq!(std::fs::read_to_string(world.data.path().join("a")).unwrap(), "x");
    assert_eq!(std::fs::read_dir(world.data.path()).unwrap().count(), 1);
}

#[test]
fn nothing_outside_a_mount_is_reached_and_no_fifo_opened() {
    let world = World::new();
    let inside = |name: &str| world.data.path().join(name);
    std::os::unix::fs::symlink("/etc/passwd", inside("out")).unwrap();
    std::os::unix::fs::symlink("/etc", inside("etc")).unwrap();
    let fifo = std::ffi::CString::new(inside("fifo").to_str().unwrap()).unwrap();
    // SAFETY: the path is a C string that lives across the call.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    for path in [
        "/data/out",
        "/data/etc/passwd",
        "/data/../etc/passwd",
        "/etc/passwd",
        "/data/fifo",
    ] {
        for (name, method) in [("fsprobe", "run"), ("fsprobe-p1", "_start")] {
            let (exit, out, err) = world.command(probe(name, method, false, &["read", path]), &[]);
            assert_eq!(exit.cause, Cause::Code(1), "{name} {path}: {out} {err}");
        }
    }
}

#[test]
fn what_a_guest_makes_has_the_permissions_that_its_volumes_allow() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    let id = EntryId::new("app", "private");
    let spec = Spec::Directory(crate::project::DirectorySpec {
        path: world.data.path().to_owned(),
        written: ".".to_owned(),
        auto_init: false,
        mode: 0o700,
    });
    let volumes = &world.wasm.shared.system.volumes;
    volumes.declare(&Arc::new(Entry::made(id.clone(), "fs.directory", spec)));
    let run = |mut entry: Entry, private: bool| {
        if let Spec::Wasm(spec) = &mut entry.spec
            && private
        {
            spec.mounts[0].fs = id.clone();
        }
        let (exit, out, err) = world.command(entry, &[]);
        assert_eq!(value(&exit), Value::Nil, "{out} {err}");
    };
    let mode = |name: &str| {
        let found = std::fs::metadata(world.data.path().join(name)).unwrap();
        found.permissions().mode() & 0o777
    };
    for (name, method) in [("fsprobe", "run"), ("fsprobe-p1", "_start")] {
        let made = |what: &str, word: &str| probe(name, method, false, &[what, &format!("/data/{name}-{word}"), "x"]);
        run(made("write", "file"), true);
        run(made("mkdir", "folder"), true);
        // One that is there already keeps what it has.
        std::fs::write(world.data.path().join(format!("{name}-old")), "").unwrap();
        let before = mode(&format!("{name}-old"));
        run(made("write", "old"), true);
        let modes = ["file", "folder", "old"].map(|word| mode(&format!("{name}-{word}")));
        assert_eq!(modes, [0o600, 0o700, before], "{name}");
        run(made("write", "open"), false);
        assert_eq!(mode(&format!("{name}-open")), before & 0o644, "{name}");
    }
    let mut later = guest_with("command3", "run", |spec| {
        spec.imports = owned(&["wasi:cli", "wasi:filesystem"]);
        spec.mounts = vec![mount("/data", false)];
        spec.args = owned(&["--no-stdin", "--write", "/data/later", "x"]);
    });
    if let Spec::Wasm(spec) = &mut later.spec {
        // Of several volumes the strictest counts.
        spec.mounts.push(Mount {
            fs: id.clone(),
            guest: "/private".into(),
            read_only: false,
        });
    }
    run(later, false);
    assert_eq!(mode("later"), 0o600);
}

#[test]
fn a_missing_mount_refuses_the_start() {
    let world = World::new();
    let entry = guest_with("fsprobe", "run", |spec| {
        spec.imports = owned(&["wasi:filesystem"]);
        spec.mounts = vec![Mount {
            fs: EntryId::new("app", "gone"),
            guest: "/x".into(),
            read_only: false,
        }];
    });
    let error = world.spawn(entry, &[]).err().unwrap();
    assert_eq!(
        (error.kind(), error.message()),
        (Kind::NotFound, "wasi mount filesystem not found: app:gone")
    );
}

#[test]
fn missing_and_unused_grants_are_found() {
    let world = World::new();
    let said = |entry: Entry| {
        let entry = Arc::new(entry);
        let program = world.wasm.program_blocking(&entry).unwrap();
        let found = findings(&entry, &program);
        let said = |found: &crate::project::Diagnostic| format!("{} {}", found.code.as_str(), found.message);
        found.iter().map(said).collect::<Vec<_>>()
    };
    assert!(said(granted("compute", "compute", &[])).is_empty());
    assert_eq!(
        said(granted("compute", "compute", &["wasi:http"])),
        ["unused-grant the grant wasi:http is not used by the module"]
    );
    assert_eq!(
        said(guest("needs-sockets", "call-it")),
        ["missing-grant the module imports wasi:sockets/instance-network@0.2.0 without the grant wasi:sockets"]
    );
    let found = said(guest("command", "run"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("missing-grant a command can neither"), "{found:?}");
    assert!(said(granted("p1", "_start", &["wasi1"])).is_empty());
}

#[test]
fn a_grant_by_another_name_is_used_and_all_findings_propose_one_line() {
    let world = World::new();
    let found = |entry: Entry| {
        let entry = Arc::new(entry);
        let program = world.wasm.program_blocking(&entry).unwrap();
        findings(&entry, &program)
    };
    assert!(found(granted("command", "run", &["wasi1"])).is_empty());
    assert!(found(granted("environ", "args", &["wasi1"])).is_empty());
    let found = found(granted(
        "needs-sockets",
        "call-it",
        &["wasi:http", " wasi:random", "funcs"],
    ));
    assert_eq!(found.len(), 4, "{found:?}");
    for finding in found {
        assert_eq!(finding.help.as_deref(), Some("imports: [wasi:sockets]"), "{finding:?}");
    }
}

#[test]
fn check_finds_stubs_in_known_interfaces_and_in_instances_of_instances() {
    let world = World::new();
    let said = |text: &str| {
        let entry = Arc::new(core(&world, text, |_| {}));
        let program = world.wasm.program_blocking(&entry).unwrap();
        let found = findings(&entry, &program);
        found.iter().map(|found| found.message.clone()).collect::<Vec<_>>()
    };
    let component = |imports: &str| {
        let module = "(core module $m (func (export \"f\"))) (core instance $i (instantiate $m))";
        format!("(component {imports} {module} (func (export \"f\") (canon lift (core func $i \"f\"))))")
    };
    let all = "is imported, and no grant provides it: calling it ends the run";
    assert_eq!(
        said(
            "(module (import \"wasi_snapshot_preview1\" \"fd_close\" (func (param i32) (result i32)))
               (import \"wasi_snapshot_preview1\" \"fd_fly\" (func)) (func (export \"f\")))"
        ),
        [format!("wasi_snapshot_preview1.fd_fly {all}")]
    );
    assert_eq!(
        said(&component(
            "(import \"wasi:random/random@0.2.3\" (instance
               (export \"get-random-u64\" (func (result u64))) (export \"get-dice\" (func (result u8)))))"
        )),
        [format!("wasi:random/random.get-dice {all}")]
    );
    assert_eq!(
        said(&component(
            "(import \"acme:db/all\" (instance (export \"inner\" (instance (export \"g\" (func))))))"
        )),
        [format!("acme:db/all {all}")]
    );
}

#[test]
fn what_has_no_effect_without_its_grant_refuses_no_start() {
    let world = World::new();
    let entry = guest_with("environ", "env", |spec| {
        spec.env = vec![WasiEnv {
            id: EntryId::new("app", "absent"),
            name: "A".into(),
            required: true,
            value: None,
        }];
        spec.mounts = vec![Mount {
            fs: EntryId::new("app", "gone"),
            guest: "/x".into(),
            read_only: false,
        }];
    });
    assert_eq!(world.value(entry, &[]), Value::array([]));
}

#[test]
fn words_become_arguments_except_for_commands() {
    let world = World::new();
    let program = world.program(guest("compute", "compute")).unwrap();
    let args = program.arguments(&owned(&["6", "7"])).unwrap();
    assert_eq!(args.to_values().unwrap(), ints(&[6, 7]));
    assert_eq!(program.arguments(&owned(&["6"])).unwrap_err().kind(), Kind::Invalid);
    let program = world.program(guest("command", "run")).unwrap();
    assert!(program.is_command() && program.arguments(&owned(&["a", "b"])).unwrap().is_empty());
}

#[test]
fn a_method_that_is_no_command_sees_the_listed_inputs_alone() {
    let world = World::new();
    let environ = |method: &str, grants: &[&str]| {
        guest_with("environ", method, |spec| {
            spec.imports = owned(grants);
            spec.args = owned(&["a", "b"]);
            spec.cwd = "/work".to_owned();
        })
    };
    let words = Value::array([Value::from("a"), Value::from("b")]);
    assert_eq!(world.value(environ("args", &["wasi:cli"]), &[]), words);
    assert_eq!(world.value(environ("cwd", &["wasi:cli"]), &[]), Value::from("/work"));
    assert_eq!(world.value(environ("args", &[]), &[]), Value::array([]));
    assert_eq!(world.value(environ("env", &["wasi:cli"]), &[]), Value::array([]));
    assert_eq!(world.value(environ("cwd", &[]), &[]), Value::Nil);
}

#[test]
fn a_long_line_becomes_several_records() {
    let world = World::new();
    let entry = guest_with("command", "run", |spec| {
        spec.imports = owned(&["wasi:cli"]);
        spec.args = owned(&["--stderr", &"x".repeat(9_000)]);
    });
    world.run(entry, &[]);
    let records = lock(&world.records);
    let warned: Vec<usize> = records
        .iter()
        .filter(|record| record.level == Level::Warn)
        .map(|record| record.message.len())
        .collect();
    assert_eq!(warned, [8 << 10, 9_000 - (8 << 10)]);
}

#[test]
fn what_a_call_moves_is_bounded() {
    let world = World::new();
    let limited = |method: &str| guest_with("types", method, |spec| spec.limits.max_transfer = 10_000);
    assert!(world.run(limited("make-string"), &ints(&[1_000])).result.is_ok());
    for (method, count) in [("make-string", 100_000), ("make-bytes", 100_000)] {
        let exit = world.run(limited(method), &ints(&[count]));
        let error = exit.error().expect("it is too much");
        assert_eq!(
            (error.kind(), exit.cause),
            (Kind::LimitExceeded, Cause::Limit),
            "{method}: {error}"
        );
        assert_eq!(
            error.details().unwrap().get("limit"),
            Some(&Value::from("max_transfer"))
        );
    }
}

#[test]
fn the_guest_sees_that_no_more_files_can_be_open() {
    let world = World::new();
    std::fs::write(world.data.path().join("a"), "x").unwrap();
    for (name, method) in [("fsprobe", "run"), ("fsprobe-p1", "_start")] {
        let mut entry = probe(name, method, false, &["open", "/data/a", "100"]);
        if let Spec::Wasm(spec) = &mut entry.spec {
            spec.limits.max_handles = 40;
        }
        let (exit, out, err) = world.command(entry, &[]);
        assert!(err.contains("error: E"), "{name}: {exit:?} {out} {err}");
    }
}

#[test]
fn funcs_are_for_components_with_their_grant() {
    let world = World::new();
    let args = [Value::from("app:x"), Value::from("y")];
    let error = world.failure(guest("caller", "call"), &args);
    assert_eq!(error.kind(), Kind::PermissionDenied);
    assert!(
        error
            .message()
            .ends_with("without a grant; add to the entry: imports: [funcs]"),
        "{error}"
    );
    let core = world.program(granted("core", "answer", &["funcs"])).err().unwrap();
    assert_eq!(core.message(), "wasm host import requires component module: funcs");
}
