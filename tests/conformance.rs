//! Runs folders of WASI programs in the form of the WebAssembly organisation's test suite: `NAME.wasm`, and beside it
//! `NAME.json` with `args`, `env`, `dirs`, `exit_code`, `stdout` and `stderr`, each of which may be left out.
//!
//! `WASI_TESTS=FOLDER[:FOLDER…] cargo test --test conformance` runs those; `fixtures/conformance` is always run. A program
//! finds each of `dirs` under its name below `/`, in a copy of its folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;

#[path = "suite/harness.rs"]
mod harness;

use harness::{Folder, Outcome};

/// What is expected of a program. A field that is not known here would not be tested: it is refused.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Expected {
    args: Vec<String>,
    env: BTreeMap<String, String>,
    dirs: Vec<String>,
    exit_code: i32,
    stdout: Option<String>,
    stderr: Option<String>,
}

fn main() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/conformance");
    let named = std::env::var_os("WASI_TESTS").unwrap_or_default();
    let folders = std::iter::once(own).chain(std::env::split_paths(&named).filter(|path| !path.as_os_str().is_empty()));
    let trials = folders.flat_map(|folder| trials(&folder)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn trials(folder: &Path) -> Vec<Trial> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut modules: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "wasm"))
        .collect();
    modules.sort();
    assert!(!modules.is_empty(), "{}: no NAME.wasm", folder.display());
    let group = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let trial = |module: PathBuf| {
        let name = module.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Trial::test(format!("{group}::{name}"), move || run(&module))
    };
    modules.into_iter().map(trial).collect()
}

fn run(module: &Path) -> Result<(), Failed> {
    let expected = expected(&module.with_extension("json"))?;
    let folder = Folder::new();
    let name = module.file_name().unwrap_or_default().to_string_lossy().into_owned();
    folder.copy_in(module, &name);
    let beside = module.parent().ok_or("a module in a folder")?;
    for dir in &expected.dirs {
        folder.copy_in(&beside.join(dir), dir);
    }
    let words = words(&expected, &name);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    check(&expected, &folder.wippy_args(&words).run())
}

fn expected(file: &Path) -> Result<Expected, Failed> {
    if !file.exists() {
        return Ok(Expected::default());
    }
    let text = fs::read_to_string(file)?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()).into())
}

/// The command line. Folders are mounted at absolute paths, so that arguments which name one become absolute too.
fn words(expected: &Expected, module: &str) -> Vec<String> {
    let mounted = |arg: &String| {
        let below = |dir: &String| {
            arg.strip_prefix(dir.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        match expected.dirs.iter().any(below) {
            true => format!("/{arg}"),
            false => arg.clone(),
        }
    };
    let dirs = expected
        .dirs
        .iter()
        .flat_map(|dir| ["--dir".to_owned(), format!("{dir}::/{dir}")]);
    let env = expected
        .env
        .iter()
        .flat_map(|(name, value)| ["--env".to_owned(), format!("{name}={value}")]);
    std::iter::once("run".to_owned())
        .chain(dirs)
        .chain(env)
        .chain([module.to_owned()])
        .chain(expected.args.iter().map(mounted))
        .collect()
}

fn check(expected: &Expected, outcome: &Outcome) -> Result<(), Failed> {
    let differs = |what: &str| Err(format!("{what} differs\n{outcome}").into());
    if outcome.status != expected.exit_code {
        return Err(format!("expected exit code {}\n{outcome}", expected.exit_code).into());
    }
    let is_other = |text: &Option<String>, bytes: &[u8]| text.as_ref().is_some_and(|text| text.as_bytes() != bytes);
    if is_other(&expected.stdout, &outcome.stdout) {
        return differs("stdout");
    }
    if is_other(&expected.stderr, &outcome.stderr) {
        return differs("stderr");
    }
    Ok(())
}
