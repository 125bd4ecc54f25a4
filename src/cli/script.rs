//! A Lua file as a program: the entry it becomes, and the hosts and the folder it brings when there is no project.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::Globals;
use super::failure::{Failure, code};
use super::run::{Job, Source};
use super::{open, target};
use crate::error::Error;
use crate::id::EntryId;
use crate::project::{DirectorySpec, Entry, ProcessHostSpec, Registry, Spec, TerminalHostSpec};

/// Of entries that scripts bring with them.
const NAMESPACE: &str = "script";

pub fn is_script(name: &str) -> bool {
    name.ends_with(".lua")
}

pub fn missing(name: &str) -> Failure {
    Failure::new(code::UNKNOWN, Error::not_found(format!("no such file: {name}")))
}

/// The script as something to run, with the project around it if there is one.
///
/// # Errors
/// Exit 3 for a file that cannot be read or is no text, exit 4 for a host that does not exist.
pub fn job(name: String, words: Vec<String>, globals: &Globals) -> Result<Job, Failure> {
    let path = PathBuf::from(&name);
    let project = open::find(globals)?;
    let mut folders = vec![folder_of(&path)?];
    folders.extend(project.iter().map(|project| project.folder.clone()));
    let project = project.unwrap_or_default();
    let mut more = own_hosts(&project.registry);
    more.push(volume(&folders[0], &path));
    let registry = Arc::new(project.registry.with(more));
    Ok(Job {
        terminal: target::terminal_host(&registry, globals.host.as_deref())?,
        program: Source::Script {
            text: read(&path, &name)?,
            path,
            folders,
        },
        registry,
        words,
        name,
        shutdown_timeout: project.config.shutdown_timeout,
    })
}

fn read(file: &Path, name: &str) -> Result<String, Failure> {
    let bytes = std::fs::read(file).map_err(|error| unreadable(name, &error))?;
    String::from_utf8(bytes).map_err(|_| {
        let error = Error::invalid(format!("{name} is not UTF-8 text"));
        Failure::new(code::PROJECT, error)
    })
}

fn folder_of(file: &Path) -> Result<PathBuf, Failure> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    folder
        .canonicalize()
        .map_err(|error| unreadable(&folder.display().to_string(), &error))
}

/// The script's folder as a volume.
fn volume(folder: &Path, file: &Path) -> Entry {
    let spec = DirectorySpec {
        path: folder.to_owned(),
        written: file.parent().unwrap_or(file).display().to_string(),
        auto_init: false,
        mode: 0o755,
    };
    Entry::made(EntryId::new(NAMESPACE, "dir"), "fs.directory", Spec::Directory(spec))
}

/// The hosts that the project lacks.
fn own_hosts(registry: &Registry) -> Vec<Entry> {
    let terminal = (
        "terminal",
        "terminal.host",
        Spec::TerminalHost(TerminalHostSpec::default()),
    );
    let processes = (
        "processes",
        "process.host",
        Spec::ProcessHost(ProcessHostSpec::default()),
    );
    [terminal, processes]
        .into_iter()
        .filter(|(_, kind, _)| registry.of_kind(kind).next().is_none())
        .map(|(name, kind, spec)| Entry::made(EntryId::new(NAMESPACE, name), kind, spec))
        .collect()
}

fn unreadable(name: &str, error: &std::io::Error) -> Failure {
    Failure::new(code::PROJECT, Error::internal(format!("cannot read {name}: {error}")))
}

/// The hosts of a registry by id, for tests.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_brings_the_hosts_that_are_missing() {
        let own = own_hosts(&Registry::default());
        let ids: Vec<_> = own.iter().map(|entry| entry.id.as_str()).collect();
        assert_eq!(ids, ["script:terminal", "script:processes"]);
        let registry = Registry::default().with(own);
        assert!(own_hosts(&registry).is_empty());
    }
}
