//! A Lua file as a program: the entry it becomes, and the hosts and the folder it brings when there is no project.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::args::Globals;
use super::failure::{Failure, code};
use super::run::{Job, Source};
use super::{open, target};
use crate::error::Error;
use crate::id::EntryId;
use crate::project::{Diagnostic, DirectorySpec, Entry, Logger, ProcessHostSpec, Registry, Spec, TerminalHostSpec};

/// Of entries that scripts bring with them.
const NAMESPACE: &str = "script";

pub fn is_script(name: &str) -> bool {
    name.ends_with(".lua")
}

pub fn missing(name: &str) -> Failure {
    Failure::new(code::UNKNOWN, Error::not_found(format!("no such file: {name}")))
}

/// What a script, or a session, runs in: the project if there is one, and what it brings itself.
pub struct Surroundings {
    pub registry: Arc<Registry>,
    pub terminal: Arc<Entry>,
    /// Where it may `require` files from, its own folder first.
    pub folders: Vec<PathBuf>,
    pub shutdown_timeout: Duration,
    /// How the project wants log records to be shown.
    pub logger: Logger,
    /// What was found in the project.
    pub diagnostics: Vec<Diagnostic>,
}

impl Surroundings {
    /// What is wrong with the settings of the project, which are those of whatever runs in it.
    pub fn config_findings(&self) -> Vec<Diagnostic> {
        let is_config = |found: &&Diagnostic| found.is_about_config();
        self.diagnostics.iter().filter(is_config).cloned().collect()
    }

    /// For code in that folder, whose own entries are in that namespace.
    ///
    /// # Errors
    /// Exit 3 for folders that cannot be read, exit 4 for a host that does not exist.
    pub fn find(folder: &Path, namespace: &'static str, globals: &Globals) -> Result<Surroundings, Failure> {
        let project = open::find(globals)?;
        if let Some(project) = &project {
            open::fields_fit(&project.registry, globals)?;
        }
        let mut folders = vec![canonical(folder)?];
        folders.extend(project.iter().map(|project| project.folder.clone()));
        let project = project.unwrap_or_default();
        let mut more = own_hosts(&project.registry, namespace);
        more.push(volume(&folders[0], folder, namespace));
        let registry = Arc::new(project.registry.with(more));
        Ok(Surroundings {
            terminal: target::terminal_host(&registry, globals.host.as_deref())?,
            registry,
            folders,
            shutdown_timeout: project.config.shutdown_timeout,
            logger: project.config.logger,
            diagnostics: project.diagnostics,
        })
    }
}

/// The script as something to run, with the project around it if there is one.
///
/// # Errors
/// Exit 3 for a file that cannot be read, exit 4 for a host that does not exist.
pub fn job(name: String, words: Vec<String>, globals: &Globals) -> Result<Job, Failure> {
    let path = PathBuf::from(&name);
    let around = Surroundings::find(folder_of(&path), NAMESPACE, globals)?;
    Ok(Job {
        found: around.config_findings(),
        registry: around.registry,
        terminal: around.terminal,
        program: Source::Script {
            text: read(&path, &name)?,
            path,
            folders: around.folders,
        },
        words,
        name,
        shutdown_timeout: around.shutdown_timeout,
        logger: around.logger,
    })
}

/// What is in a Lua file.
///
/// # Errors
/// Exit 4 for a file that is not there, exit 3 for one that cannot be read.
pub fn read(file: &Path, name: &str) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| match error.kind() {
        ErrorKind::NotFound => missing(name),
        _ => unreadable(name, &error),
    })
}

/// The folder in which a file is.
pub fn folder_of(file: &Path) -> &Path {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

fn canonical(folder: &Path) -> Result<PathBuf, Failure> {
    folder
        .canonicalize()
        .map_err(|error| unreadable(&folder.display().to_string(), &error))
}

/// The folder as a volume.
fn volume(folder: &Path, written: &Path, namespace: &str) -> Entry {
    let spec = DirectorySpec {
        path: folder.to_owned(),
        written: written.display().to_string(),
        auto_init: false,
        mode: 0o755,
    };
    Entry::made(EntryId::new(namespace, "dir"), "fs.directory", Spec::Directory(spec))
}

/// The hosts that the project lacks.
fn own_hosts(registry: &Registry, namespace: &str) -> Vec<Entry> {
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
        .map(|(name, kind, spec)| Entry::made(EntryId::new(namespace, name), kind, spec))
        .collect()
}

fn unreadable(name: &str, error: &std::io::Error) -> Failure {
    Failure::new(code::PROJECT, Error::internal(format!("cannot read {name}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_brings_the_hosts_that_are_missing() {
        let own = own_hosts(&Registry::default(), NAMESPACE);
        let ids: Vec<_> = own.iter().map(|entry| entry.id.as_str()).collect();
        assert_eq!(ids, ["script:terminal", "script:processes"]);
        let registry = Registry::default().with(own);
        assert!(own_hosts(&registry, NAMESPACE).is_empty());
    }
}
