//! How long a newcomer waits: from the start of the program to its end, or to its prompt.
//!
//! `cargo bench --bench start`. The greeting of `examples/greet`, warm (its code is in the cache) beside `wippy --version`,
//! cold (the cache is empty) beside compiling the same module with bare wasmtime, once in a fresh process as every start does:
//! the call that compiles alone, and the whole program around it, from its start to its end and above one that does nothing;
//! the prompt of `wippy repl` in a project of a hundred entries; and `wippy check` of ten thousand. Each figure is the median
//! of several rounds, in milliseconds; a start and its floor take turns, so that both see the same machine.

#[path = "../tests/suite/terminal.rs"]
mod terminal;
mod world;

use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use wasmtime::component::Component;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/greet");
const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/wasm/greet.wasm");

/// Set for a child, which compiles this module once, none if it is empty, and prints how many milliseconds that took.
const COMPILE: &str = "WIPPY_BENCH_COMPILE";

fn main() {
    if let Some(module) = std::env::var_os(COMPILE) {
        return println!("{}", compile_once(Path::new(&module)));
    }
    let cache = tempfile::tempdir().expect("a folder");
    let [version, warm, cold, compile, compiler, nothing] = in_turn([
        &|| timed(|| run(wippy(cache.path()).arg("--version"))),
        &|| timed(|| run(&mut greet(cache.path()))),
        &|| {
            let empty = tempfile::tempdir().expect("a folder");
            timed(|| run(&mut greet(empty.path())))
        },
        &|| in_a_child(MODULE),
        &|| timed(|| _ = in_a_child(MODULE)),
        &|| timed(|| _ = in_a_child("")),
    ]);
    let project = entries(100);
    let many = entries(10_000);
    let check = world::median(|| timed(|| run(wippy(cache.path()).arg("-C").arg(many.path()).arg("check"))));
    let prompt = world::median(|| prompt(project.path(), cache.path()));
    println!("{:<44} {:>8} {:>8} {:>8}", "ms", "ours", "floor", "more");
    row("run greet, warm (--version; goal: 3 more)", warm, version);
    row("run greet, cold (the compile; goal: 5 more)", cold, compile);
    row("run greet, cold (a program that compiles)", cold, compiler - nothing);
    row("prompt, 100 entries (goal: 50)", prompt, 0.0);
    row("check, 10,000 entries (goal: 1,000)", check, 0.0);
}

fn compile_once(module: &Path) -> f64 {
    if module.as_os_str().is_empty() {
        return 0.0;
    }
    let engine = world::bare_engine(4);
    let bytes = fs::read(module).expect("the fixture");
    let start = Instant::now();
    drop(Component::new(&engine, &bytes).expect("it compiles"));
    start.elapsed().as_secs_f64() * 1e3
}

fn in_a_child(module: &str) -> f64 {
    let bench = std::env::current_exe().expect("this program");
    let output = Command::new(bench).env(COMPILE, module).output().expect("a child");
    let printed = String::from_utf8(output.stdout).expect("a number");
    printed.trim().parse().expect("a number")
}

fn row(name: &str, ours: f64, floor: f64) {
    println!("{name:<44} {ours:>8.2} {floor:>8.2} {:>8.2}", ours - floor);
}

/// Rounds of the starts, which are short and vary.
const STARTS: usize = 51;

/// The medians of figures that are taken in turn, after a round that does not count.
fn in_turn<const COUNT: usize>(figures: [&dyn Fn() -> f64; COUNT]) -> [f64; COUNT] {
    let round = || figures.map(|figure| figure());
    round();
    let rounds: Vec<_> = (0..STARTS).map(|_| round()).collect();
    std::array::from_fn(|at| world::middle(rounds.iter().map(|round| round[at]).collect()))
}

/// Milliseconds.
fn timed(round: impl FnOnce()) -> f64 {
    let start = Instant::now();
    round();
    start.elapsed().as_secs_f64() * 1e3
}

fn wippy(cache: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wippy"));
    command.env("XDG_CACHE_HOME", cache).env("XDG_STATE_HOME", cache);
    command
}

fn greet(cache: &Path) -> Command {
    let mut command = wippy(cache);
    command.args(["-C", EXAMPLE, "run", "greet", "World"]);
    command
}

fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status().expect("the program");
    assert!(status.success(), "{command:?}: {status}");
}

/// A project of that many entries: two hosts, and Lua.
fn entries(count: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let mut entries = String::from("version: '1.0'\nnamespace: bench\nentries:\n");
    entries.push_str("  - { name: terminal, kind: terminal.host }\n  - { name: processes, kind: process.host }\n");
    for number in 2..count {
        writeln!(
            entries,
            "  - {{ name: p{number}, kind: process.lua, source: 'return print' }}"
        )
        .expect("memory");
    }
    fs::write(folder.path().join("_index.yaml"), entries).expect("a file of the project");
    folder
}

/// Milliseconds until the session shows its prompt.
fn prompt(project: &Path, cache: &Path) -> f64 {
    let mut command = wippy(cache);
    command.arg("-C").arg(project).arg("repl").env("TERM", "xterm");
    let start = Instant::now();
    let (mut child, mut screen) = terminal::spawn(command);
    let mut drawn = Vec::new();
    let mut chunk = [0; 1024];
    while !drawn.windows(2).any(|pair| pair == b"> ") {
        let length = screen.read(&mut chunk).expect("a prompt");
        drawn.extend_from_slice(&chunk[..length]);
    }
    let waited = start.elapsed();
    child.kill().expect("it runs");
    child.wait().expect("a child");
    waited.as_secs_f64() * 1e3
}
