//! `wippy run` alone: every service and host with `auto_start`, until SIGINT or SIGTERM.

use super::args::Globals;
use super::console::Console;
use super::failure::{Failure, code};
use super::log::ConsoleLog;
use super::signals::{self, Signals};
use super::{open, run};
use crate::error::Error;
use crate::id::EntryId;
use crate::log::{Level, Log, Record};
use crate::project::{Diagnostic, Entry, Project, Registry, Spec};
use crate::race::{First, first};
use crate::runtime::{Occasion, Options, Runtime};
use crate::supervisor::Unstarted;

pub fn run(globals: &Globals, console: &Console) -> Result<u8, Failure> {
    let project = open::project(globals)?;
    run::warn(&project.diagnostics, globals, console);
    something_to_start(&project.registry)?;
    let log = ConsoleLog::new(console, globals);
    if is_screen_taken(&project.registry) {
        log.hide();
    }
    let log = Log::new(log);
    let runtime = Runtime::boot(options(&project, &log, console));
    let runtime = runtime.map_err(|error| Failure::new(code::FAILED, error))?;
    let told: &[Diagnostic] = if globals.silent { &[] } else { &project.diagnostics };
    runtime.block_on(until_signal(&runtime, &project.registry, told, &log))
}

/// Whether a service has a terminal for itself, on which no log record is to appear.
fn is_screen_taken(registry: &Registry) -> bool {
    let hides = |id: &EntryId| {
        let host = registry.get(id).map(|host| &host.spec);
        matches!(host, Some(Spec::TerminalHost(host)) if host.hide_logs)
    };
    let starts = |entry: &Entry| entry.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.auto_start);
    registry
        .iter()
        .any(|entry| starts(entry) && matches!(&entry.spec, Spec::Service(service) if hides(&service.host)))
}

/// What the runtime of a project's services is made from.
pub fn options(project: &Project, log: &Log, console: &Console) -> Options {
    Options {
        log: log.clone(),
        shutdown_timeout: project.config.shutdown_timeout,
        ..Options::new(project.registry.clone(), console.terminal().clone())
    }
}

/// # Errors
/// Exit 3 when there is nothing to start.
pub fn something_to_start(registry: &Registry) -> Result<(), Failure> {
    let mut lifecycles = registry.iter().filter_map(|entry| entry.lifecycle.as_ref());
    if lifecycles.any(|lifecycle| lifecycle.auto_start) {
        return Ok(());
    }
    let error = Error::not_found("nothing to start: no service and no host has `auto_start`");
    let help = format!(
        "add a service to the entries of a YAML file, or name a command (wippy run list):\n{}",
        service(registry)
    );
    Err(Failure::new(code::PROJECT, error).help(help))
}

/// The lines of a service, of what the project has where it has it.
fn service(registry: &Registry) -> String {
    let first = |kinds: &[&str], otherwise: &str| {
        let found = registry.iter().find(|entry| kinds.contains(&entry.kind.as_str()));
        found.map_or_else(|| otherwise.to_owned(), |entry| entry.id.to_string())
    };
    let process = first(&["process.lua", "process.wasm"], "app:main");
    let host = first(&["process.host"], "app:processes");
    format!(
        "  - name: main_service
    kind: process.service
    process: {process}
    host: {host}
    lifecycle: {{ auto_start: true }}"
    )
}

/// `told` is what the user knows to be wrong.
async fn until_signal(runtime: &Runtime, registry: &Registry, told: &[Diagnostic], log: &Log) -> Result<u8, Failure> {
    let mut signals = Signals::listen().map_err(|error| Failure::refused("cannot listen for signals", &error))?;
    let ended = match first(runtime.start_services(Occasion::Alone), signals.next()).await {
        First::Left(Err(unstarted)) => Err(boot_failed(&unstarted, runtime, registry, told)),
        First::Right(signal) => Ok(signal.code()),
        First::Left(Ok(())) => {
            log.record(Record::new(Level::Info, "running; stop with Ctrl-C"));
            match first(signals.next(), runtime.terminal_over()).await {
                First::Left(signal) => Ok(signal.code()),
                First::Right(None) => Ok(code::SUCCESS),
                First::Right(Some(error)) => Err(Failure::new(code::FAILED, error)),
            }
        }
    };
    match ended {
        Ok(code) if signals::is_code(code) => run::stop_for_signal(runtime, &mut signals).await,
        _ => drop(run::stop(runtime, &mut signals).await),
    }
    ended
}

/// The first of them is shown, with what is wrong in its files and was not told before; all of them have their log records.
pub fn boot_failed(unstarted: &[Unstarted], runtime: &Runtime, registry: &Registry, told: &[Diagnostic]) -> Failure {
    let Unstarted { id, error } = &unstarted[0];
    let entry = registry.get(id);
    let process = entry.and_then(|entry| match &entry.spec {
        Spec::Service(spec) => registry.get(&spec.process),
        _ => None,
    });
    let found = [entry, process].into_iter().flatten().flat_map(|entry| {
        let known = entry.problems.iter().cloned();
        known.chain(runtime.findings(entry)).collect::<Vec<_>>()
    });
    let found: Vec<Diagnostic> = found.filter(Diagnostic::is_error).collect();
    let code = match error.retryable() {
        // Nothing in the project is to blame.
        Some(true) => code::FAILED,
        _ => Failure::entry(error.clone(), &found).code,
    };
    let found = found.into_iter().filter(|found| !told.contains(found)).collect();
    let message = format!("the required service {id} cannot be started: {error}");
    Failure::new(code, Error::new(error.kind(), message))
        .with_diagnostics(found)
        .help("with `lifecycle: { startup: optional }` the others run without it")
}
