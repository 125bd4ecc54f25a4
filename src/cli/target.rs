//! What the user meant: the entry behind a name or an id, and the hosts it needs.

use std::sync::Arc;

use super::failure::{Failure, code};
use crate::error::Error;
use crate::id::EntryId;
use crate::project::near::nearest;
use crate::project::{Diagnostic, Entry, Project, Registry, Spec};

/// The entry of a command.
///
/// # Errors
/// Exit 4, with the nearest name and with the files that could not be read, one of which may hold it.
pub fn command(project: &Project, name: &str) -> Result<Arc<Entry>, Failure> {
    if let Some(entry) = project.registry.command(name) {
        return Ok(entry.clone());
    }
    let failure = unknown(format!("no command named `{name}`")).with_diagnostics(unread(project));
    let names = project.registry.commands();
    let names = names.iter().map(|(command, _)| command.name.as_str());
    Err(match (by_id(&project.registry, name), nearest(name, names)) {
        (Some(id), _) => failure.help(format!("to run an entry by its id: wippy run -x {id}")),
        (None, Some(near)) => failure.help(format!("did you mean `{near}`?")),
        (None, None) => failure.help("wippy run list shows the commands of the project"),
    })
}

/// The process entry of that id.
///
/// # Errors
/// Exit 2 for what is no process, 4 for an id that nothing has.
pub fn entry(project: &Project, id: &EntryId) -> Result<Arc<Entry>, Failure> {
    let entry = any(project, id)?;
    if !entry.kind.starts_with("process.") || matches!(entry.spec, Spec::ProcessHost(_) | Spec::Service(_)) {
        return Err(Failure::usage(format!("{id} is a {}, which is no process", entry.kind)));
    }
    Ok(entry)
}

/// The entry of that id, of whatever kind.
///
/// # Errors
/// Exit 4 for an id that nothing has.
pub fn any(project: &Project, id: &EntryId) -> Result<Arc<Entry>, Failure> {
    let Some(entry) = project.registry.get(id) else {
        let failure = unknown(format!("no entry {id}")).with_diagnostics(unread(project));
        let ids = project.registry.iter().map(|entry| entry.id.as_str());
        return Err(match nearest(id.as_str(), ids) {
            Some(near) => failure.help(format!("did you mean {near}?")),
            None => failure,
        });
    };
    Ok(entry.clone())
}

/// The terminal host to run on: the one asked for, else the first.
///
/// # Errors
/// Exit 4 for a host that does not exist, 3 and the YAML to add when the project has no hosts.
pub fn terminal_host(registry: &Registry, asked: Option<&str>) -> Result<Arc<Entry>, Failure> {
    let terminals: Vec<_> = registry.of_kind("terminal.host").collect();
    let chosen = match asked {
        Some(text) => Some(chosen_host(&terminals, text)?),
        None => terminals.first().copied(),
    };
    match (chosen, registry.of_kind("process.host").next()) {
        (Some(terminal), Some(_)) => Ok(terminal.clone()),
        (Some(_), None) => Err(missing_host(
            "process.host",
            "add to the entries of a YAML file",
            &[PROCESSES],
        )),
        (None, Some(_)) => Err(missing_host(
            "terminal.host",
            "add to the entries of a YAML file",
            &[TERMINAL],
        )),
        (None, None) => {
            let both = [TERMINAL, PROCESSES];
            Err(missing_host(
                "terminal.host and no process.host",
                "add to the entries of a YAML file",
                &both,
            ))
        }
    }
}

const TERMINAL: &str = "  - name: terminal\n    kind: terminal.host";
const PROCESSES: &str = "  - name: processes\n    kind: process.host\n    lifecycle: { auto_start: true }";

fn missing_host(what: &str, how: &str, lines: &[&str]) -> Failure {
    let error = Error::not_found(format!("the project has no {what} to run this on"));
    Failure::new(code::PROJECT, error).help(format!("{how}:\n{}", lines.join("\n")))
}

fn chosen_host<'a>(terminals: &[&'a Arc<Entry>], text: &str) -> Result<&'a Arc<Entry>, Failure> {
    terminals
        .iter()
        .find(|entry| entry.id.as_str() == text)
        .copied()
        .ok_or_else(|| {
            let failure = unknown(format!("no terminal host {text}"));
            match nearest(text, terminals.iter().map(|entry| entry.id.as_str())) {
                Some(near) => failure.help(format!("did you mean {near}?")),
                None => failure,
            }
        })
}

fn unknown(message: String) -> Failure {
    Failure::new(code::UNKNOWN, Error::not_found(message))
}

fn by_id(registry: &Registry, text: &str) -> Option<EntryId> {
    let id = EntryId::parse(text).ok()?;
    registry.get(&id).map(|entry| entry.id.clone())
}

/// Findings about whole files: what they would have held is not known.
pub fn unread(project: &Project) -> Vec<Diagnostic> {
    project
        .about_files()
        .filter(|found| found.is_error())
        .cloned()
        .collect()
}
