//! Compiled code kept on disk: whatever becomes of the cache, programs run and `cache clear` says what it did.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::harness::{Call, Folder, guest};
use crate::projects::wasm;

/// A call with a cache of its own below the test's folder.
fn call(folder: &Folder, words: &str) -> Call {
    folder.wippy(words).env("XDG_CACHE_HOME", folder.path().join("cache"))
}

fn runs(folder: &Folder) {
    call(folder, "run main 6 7").run().code(0).stdout("42\n").quiet();
}

fn cache(folder: &Folder) -> PathBuf {
    folder.path().join("cache/wippy")
}

fn artifacts(folder: &Folder) -> Vec<PathBuf> {
    let entries = fs::read_dir(cache(folder)).expect("a cache folder");
    let paths = entries.map(|entry| entry.expect("a readable cache").path());
    paths
        .filter(|path| path.extension().is_some_and(|kind| kind == "cwasm"))
        .collect()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a file of ours");
}

#[test]
fn clearing_says_what_it_removed() {
    let folder = wasm("compute", "compute", "");
    call(&folder, "cache clear")
        .run()
        .code(0)
        .stdout("no cache folder: nothing to remove\n");
    assert!(!cache(&folder).exists(), "clearing makes no folder");
    runs(&folder);
    assert_eq!(artifacts(&folder).len(), 1);
    call(&folder, "cache clear")
        .run()
        .code(0)
        .stdout_has("removed 1 compiled module (")
        .quiet();
    assert!(artifacts(&folder).is_empty());
    call(&folder, "cache clear")
        .run()
        .code(0)
        .stdout_has("removed 0 compiled modules");
    runs(&folder);
}

#[test]
fn a_damaged_or_half_written_artifact_is_made_anew() {
    let folder = wasm("compute", "compute", "");
    runs(&folder);
    let path = artifacts(&folder).remove(0);
    let good = fs::read(&path).expect("an artifact");
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 0xff;
    for bad in [&flipped[..], &good[..good.len() / 2], b""] {
        fs::write(&path, bad).expect("a file of ours");
        runs(&folder);
        assert_eq!(fs::read(&path).expect("an artifact"), good, "made anew");
    }
    fs::write(path.with_extension("sum"), "no checksum").expect("a file of ours");
    runs(&folder);
}

#[test]
fn a_forged_artifact_with_its_right_checksum_is_not_run() {
    use sha2::{Digest, Sha256};
    let folder = wasm("compute", "compute", "");
    runs(&folder);
    let path = artifacts(&folder).remove(0);
    let bytes = b"not code";
    let sum: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(&path, bytes).expect("a file of ours");
    fs::write(path.with_extension("sum"), sum).expect("a file of ours");
    runs(&folder);
}

#[test]
fn a_folder_that_others_may_enter_is_not_used() {
    let folder = wasm("compute", "compute", "");
    runs(&folder);
    call(&folder, "cache clear").run().code(0);
    set_mode(&cache(&folder), 0o755);
    runs(&folder);
    assert!(artifacts(&folder).is_empty());
    call(&folder, "-v run main 6 7")
        .run()
        .code(0)
        .stderr_has("compiled code is not cached");
    call(&folder, "cache clear").run().code(1).stdout("").stderr_has("0700");
}

#[test]
fn a_folder_that_cannot_be_written_is_survived() {
    let folder = wasm("compute", "compute", "");
    runs(&folder);
    call(&folder, "cache clear").run().code(0);
    set_mode(&cache(&folder), 0o500);
    runs(&folder);
    set_mode(&cache(&folder), 0o700);
    let file = Folder::with(&[("cache", "a file where the folder should be")]);
    let there = file.path().join("cache");
    folder
        .wippy("run main 6 7")
        .env("XDG_CACHE_HOME", &there)
        .run()
        .code(0)
        .stdout("42\n")
        .quiet();
}

#[test]
fn without_a_home_nothing_is_kept() {
    let folder = wasm("compute", "compute", "");
    let homeless = |words: &str| folder.wippy(words).without("HOME").without("XDG_CACHE_HOME");
    homeless("run main 6 7").run().code(0).stdout("42\n").quiet();
    homeless("cache clear")
        .run()
        .code(0)
        .stdout("no cache folder: nothing to remove\n");
    let relative = folder.wippy("run main 6 7").env("XDG_CACHE_HOME", "relative");
    relative.without("HOME").run().code(0).stdout("42\n");
    assert!(!folder.path().join("relative").exists());
}

/// One function of that many additions, as a core module: what compiles slowly.
pub fn slow_module(additions: usize) -> Vec<u8> {
    let body = "local.get 0 i32.const 7 i32.mul local.get 0 i32.xor local.set 0 ".repeat(additions);
    let functions = format!("(func (param i32) (result i32) {body} local.get 0)").repeat(4);
    wat::parse_str(format!(
        "(module {functions} (func (export \"f\") (result i32) i32.const 42))"
    ))
    .expect("a module")
}

#[test]
fn a_start_that_is_killed_leaves_nothing_that_the_next_one_stumbles_over() {
    let folder = wasm("compute", "compute", "");
    for milliseconds in (0..100).step_by(14) {
        let mut running = call(&folder, "run main 6 7").start_open();
        std::thread::sleep(Duration::from_millis(milliseconds));
        running.child.kill().expect("a child");
        running.child.wait().expect("a child");
        runs(&folder);
        call(&folder, "cache clear").run().code(0);
    }
}

#[test]
fn a_long_compilation_is_told_once() {
    let folder = Folder::new();
    folder.write("slow.wasm", slow_module(60_000));
    let run = || call(&folder, "run --method f slow.wasm").run().code(0).stdout("42\n");
    let started = Instant::now();
    let first = run();
    // A machine on which it takes no second has nothing to tell.
    if started.elapsed() > Duration::from_secs(3) {
        first.stderr_has("compiling slow.wasm (");
    }
    run().quiet();
}

/// Puts another module in the place of the one whose hash the entry has.
fn replace(folder: &Folder, text: &str) {
    let module = wat::parse_str(text).expect("a module");
    fs::write(folder.path().join("wasm/guest.wasm"), module).expect("a file of ours");
}

const SINCE: &str = "= help: since the module of that hash was used here:";

#[test]
fn a_hash_that_fits_no_more_is_answered_with_what_changed_since_it_did() {
    let folder = wasm("compute", "compute", "");
    let other = r#"(component
        (core module $m
          (func (export "compute") (param i64) (result i32) i32.const 1)
          (func (export "more") (result i32) i32.const 1))
        (core instance $i (instantiate $m))
        (import "wasi:clocks/monotonic-clock@0.2.0" (instance (export "now" (func (result u64)))))
        (func (export "compute") (param "a" s64) (result s32) (canon lift (core func $i "compute")))
        (func (export "more") (result s32) (canon lift (core func $i "more"))))"#;
    replace(&folder, other);
    let outcome = call(&folder, "run main 6 7").run().code(5);
    assert!(
        !outcome.to_string().contains(SINCE),
        "it was never used here: {outcome}"
    );

    folder.copy_in(&guest("compute"), "wasm/guest.wasm");
    runs(&folder);
    replace(&folder, other);
    let told = |words: &str, code: i32| {
        let outcome = call(&folder, words).run().code(code);
        let text = outcome.to_string();
        for line in [
            SINCE,
            "export compute is now func(a: s64) -> s32, was func(a: s32, b: s32) -> s32",
            "export more is new: func() -> s32",
            "import wasi:clocks/monotonic-clock@0.2.0 is new, with 1 function",
        ] {
            assert!(text.contains(line), "{line}: {outcome}");
        }
    };
    told("run main 6 7", 5);
    told("check", 3);
    let same = r#"(component
        (core module $m (func (export "compute") (param i32 i32) (result i32) i32.const 1))
        (core instance $i (instantiate $m))
        (func (export "compute") (param "a" s32) (param "b" s32) (result s32) (canon lift (core func $i "compute"))))"#;
    replace(&folder, same);
    call(&folder, "run main 6 7")
        .run()
        .code(5)
        .stderr_has(SINCE)
        .stderr_has("only the code has changed");
    fs::write(folder.path().join("wasm/guest.wasm"), "no module").expect("a file of ours");
    call(&folder, "run main 6 7")
        .run()
        .code(5)
        .stderr_has(SINCE)
        .stderr_has("the file is not WebAssembly");

    replace(&folder, other);
    let notes = fs::read_dir(cache(&folder)).expect("a cache folder");
    for note in notes.map(|entry| entry.expect("a readable cache").path()) {
        if note.extension().is_some_and(|kind| kind == "note") {
            fs::write(note, "damaged").expect("a file of ours");
        }
    }
    let outcome = call(&folder, "run main 6 7").run().code(5);
    assert!(
        !outcome.to_string().contains(SINCE),
        "what is damaged is not told: {outcome}"
    );
    folder.copy_in(&guest("compute"), "wasm/guest.wasm");
    runs(&folder);
    replace(&folder, other);
    told("run main 6 7", 5);
}
