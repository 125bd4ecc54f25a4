//! A module's file as a program: the entry it becomes, with the folders, variables, grants and limits of the command line.
//!
//! Everything becomes entries made on the fly, so that a module runs as an entry of a project would; nothing of the
//! machine is visible to it that an option does not name.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::{Globals, ModuleOptions};
use super::failure::Failure;
use super::run::{Job, Source};
use super::script::{Surroundings, folder_of};
use crate::error::Error;
use crate::id::EntryId;
use crate::project::grants::{Grant, unknown};
use crate::project::network::complaint;
use crate::project::{DirectorySpec, Entry, Limits, Mount, Registry, Spec, WasiEnv, WasmSpec, clean_guest};
use crate::size;

/// Of the entries that are made here.
pub const NAMESPACE: &str = "file";
/// Of what `--env` sets: the names are the user's.
const VARIABLES: &str = "file.env";
/// Granted without being asked for: with them alone a guest reaches nothing but its terminal.
const GRANTED: [Grant; 4] = [Grant::Io, Grant::Cli, Grant::Clocks, Grant::Random];

pub fn is_module(name: &str) -> bool {
    name.ends_with(".wasm")
}

/// The module as something to run, with the project around it if there is one.
///
/// # Errors
/// Exit 2 for options that cannot be understood, 3 for a folder that cannot be read, 4 for a host that does not exist.
pub fn job(name: String, words: Vec<String>, options: &ModuleOptions, globals: &Globals) -> Result<Job, Failure> {
    let file = Path::new(&name);
    let around = Surroundings::find(folder_of(&target(file)), NAMESPACE, globals)?;
    let (registry, entry) = declare(&around.registry, file, options)?;
    Ok(Job {
        found: around.config_findings(),
        program: Source::Entry(entry),
        registry: Arc::new(registry),
        terminal: around.terminal,
        words,
        name: called(&name, options),
        shutdown_timeout: around.shutdown_timeout,
        logger: around.logger,
    })
}

/// As the user called it: behind the function, if one was chosen.
fn called(name: &str, options: &ModuleOptions) -> String {
    match &options.method {
        Some(method) => format!("--method {method} {name}"),
        None => name.to_owned(),
    }
}

/// What to do about a module that is no command, when it was not said which function to call.
pub fn help(error: &Error, source: &Source) -> Option<&'static str> {
    let Source::Entry(entry) = source else { return None };
    let unsaid = matches!(&entry.spec, Spec::Wasm(spec) if spec.method.is_empty());
    let unfound = error.message().starts_with("failed to call wasm method");
    (unsaid && unfound).then_some("choose a function: wippy run --method EXPORT FILE.wasm [ARGS…]")
}

/// Options of a module, where no module is run.
///
/// # Errors
/// Exit 2 when there are any.
pub fn refuse(options: &ModuleOptions) -> Result<(), Failure> {
    let given = [
        ("--method", options.method.is_some()),
        ("--dir", !options.dir.is_empty()),
        ("--env", !options.env.is_empty()),
        ("--grant", !options.grant.is_empty()),
        ("--network", !options.network.is_empty()),
        ("--limit", !options.limit.is_empty()),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(Failure::usage(format!("{name} is for FILE.wasm alone"))),
        None => Ok(()),
    }
}

/// Where a module's file is: a link may lead anywhere, and a volume does not lead out of its folder.
pub fn target(file: &Path) -> PathBuf {
    let link = file.is_symlink().then(|| file.canonicalize().ok());
    link.flatten().unwrap_or_else(|| file.to_owned())
}

/// The registry with the module's entry and those it refers to. The folder of its [`target`] must be there as the volume
/// `file:dir`.
///
/// # Errors
/// Exit 2 for options that cannot be understood.
pub fn declare(registry: &Registry, file: &Path, options: &ModuleOptions) -> Result<(Registry, Arc<Entry>), Failure> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let target = target(file);
    let path = target.file_name().unwrap_or_default().to_string_lossy();
    let volume = EntryId::new(NAMESPACE, "dir");
    let mut made = Vec::new();
    let spec = WasmSpec {
        imports: grants(options)?,
        env: environment(&options.env)?,
        mounts: mounts(&options.dir, &mut made)?,
        network: network(&options.network)?,
        limits: limits(&options.limit)?,
        ..WasmSpec::of_file(volume, &path, options.method.as_deref())
    };
    let id = EntryId::new(NAMESPACE, &name);
    made.push(Entry::made(id.clone(), "process.wasm", Spec::Wasm(spec)));
    let registry = registry.with(made);
    let entry = registry.usable(&id).map_err(|error| Failure::entry(error, &[]))?;
    Ok((registry, entry))
}

fn grants(options: &ModuleOptions) -> Result<Vec<String>, Failure> {
    let mut grants: Vec<String> = GRANTED.map(|grant| grant.name().to_owned()).to_vec();
    if !options.dir.is_empty() {
        grants.push(Grant::Filesystem.name().to_owned());
    }
    for name in &options.grant {
        let grant = Grant::find(name).ok_or_else(|| wrong("--grant", name, unknown(name)))?;
        if !grants.iter().any(|known| known == grant.name()) {
            grants.push(grant.name().to_owned());
        }
    }
    Ok(grants)
}

/// Each `NAME=VALUE`; of two with one name the last one counts, as in an environment.
fn environment(texts: &[String]) -> Result<Vec<WasiEnv>, Failure> {
    let mut env: Vec<WasiEnv> = Vec::new();
    for text in texts {
        let (name, value) = pair(text).ok_or_else(|| wrong("--env", text, "expected NAME=VALUE"))?;
        env.retain(|other| other.name != name);
        env.push(WasiEnv {
            id: EntryId::new(VARIABLES, name),
            name: name.to_owned(),
            required: false,
            value: Some(value.to_owned()),
        });
    }
    Ok(env)
}

fn pair(text: &str) -> Option<(&str, &str)> {
    text.split_once('=').filter(|(name, _)| !name.is_empty())
}

/// `HOST::GUEST[::ro]`, each as a folder of its own.
fn mounts(texts: &[String], made: &mut Vec<Entry>) -> Result<Vec<Mount>, Failure> {
    let mut mounts: Vec<Mount> = Vec::new();
    for text in texts {
        let (host, guest, read_only) =
            mount(text).ok_or_else(|| wrong("--dir", text, "expected HOST::GUEST or HOST::GUEST::ro"))?;
        let guest = clean_guest(guest);
        if mounts.iter().any(|other| other.guest == guest) {
            return Err(wrong("--dir", text, "another folder is there already"));
        }
        let fs = EntryId::new(NAMESPACE, &format!("dir{}", mounts.len() + 1));
        made.push(folder(fs.clone(), text, host)?);
        mounts.push(Mount { fs, guest, read_only });
    }
    Ok(mounts)
}

fn mount(text: &str) -> Option<(&str, &str, bool)> {
    let (paths, read_only) = match text.strip_suffix("::ro") {
        Some(paths) => (paths, true),
        None => (text, false),
    };
    let (host, guest) = paths.rsplit_once("::")?;
    (!host.is_empty() && guest.starts_with('/')).then_some((host, guest, read_only))
}

fn folder(id: EntryId, text: &str, host: &str) -> Result<Entry, Failure> {
    let path = Path::new(host)
        .canonicalize()
        .map_err(|error| wrong("--dir", text, error))?;
    if !path.is_dir() {
        return Err(wrong("--dir", text, "not a folder"));
    }
    let spec = DirectorySpec {
        path,
        written: host.to_owned(),
        auto_init: false,
        mode: 0o755,
    };
    Ok(Entry::made(id, "fs.directory", Spec::Directory(spec)))
}

fn network(patterns: &[String]) -> Result<Vec<String>, Failure> {
    for pattern in patterns {
        if let Some(instead) = complaint(pattern) {
            return Err(wrong("--network", pattern, format!("expected HOST:PORT, {instead}")));
        }
    }
    Ok(patterns.to_vec())
}

fn limits(texts: &[String]) -> Result<Limits, Failure> {
    let mut limits = Limits::default();
    for text in texts {
        let (name, value) = pair(text).ok_or_else(|| wrong("--limit", text, "expected NAME=VALUE"))?;
        set(&mut limits, name, value).map_err(|why| wrong("--limit", text, why))?;
    }
    Ok(limits)
}

fn set(limits: &mut Limits, name: &str, value: &str) -> Result<(), String> {
    let count = || value.parse::<u64>().map_err(|_| "expected a number".to_owned());
    let bytes = || size::parse(value).map_err(|error| error.message().to_owned());
    match name {
        "max_execution_ms" => limits.max_execution_ms = count()?,
        "max_memory" => limits.max_memory = bytes()?,
        "max_fuel" => limits.max_fuel = count()?,
        "max_transfer" => limits.max_transfer = bytes()?,
        "max_handles" => limits.max_handles = count()?,
        _ => {
            let names = "max_execution_ms, max_memory, max_fuel, max_transfer, max_handles";
            return Err(format!("no such limit; there are {names}"));
        }
    }
    Ok(())
}

fn wrong(option: &str, text: &str, why: impl Display) -> Failure {
    Failure::usage(format!("{option} {text}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_name_host_guest_and_read_only() {
        for (text, expected) in [
            ("a::/b", Some(("a", "/b", false))),
            ("a::/b::ro", Some(("a", "/b", true))),
            ("/x::y::/b", Some(("/x::y", "/b", false))),
            ("a", None),
            ("a::b", None),
            ("::/b", None),
            ("a::ro", None),
        ] {
            assert_eq!(mount(text), expected, "{text}");
        }
    }

    #[test]
    fn a_variable_may_be_empty_and_is_there_once() {
        let set = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            let env = environment(&texts).unwrap();
            let pairs = env
                .into_iter()
                .map(|env| format!("{}={}", env.name, env.value.unwrap()));
            pairs.collect::<Vec<_>>()
        };
        assert_eq!(set(&["A=1", "C=", "A=2=3"]), ["C=", "A=2=3"]);
        assert!(environment(&["=1".to_owned()]).is_err());
    }

    #[test]
    fn limits_are_named_as_in_entries() {
        let texts = ["max_memory=64MiB", "max_execution_ms=300"].map(str::to_owned);
        let set = limits(&texts).unwrap();
        assert_eq!((set.max_memory, set.max_execution_ms), (64 << 20, 300));
        assert_eq!(set.max_handles, Limits::default().max_handles);
        for bad in ["max_memory", "max_memory=much", "memory=1", "=1", "max_fuel=-1"] {
            assert_eq!(limits(&[bad.to_owned()]).unwrap_err().code, 2, "{bad}");
        }
    }
}
