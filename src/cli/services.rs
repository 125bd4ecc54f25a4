//! `wippy run` alone: every host with `auto_start`, until SIGINT or SIGTERM.

use super::args::Globals;
use super::console::Console;
use super::failure::{Failure, code};
use super::log::ConsoleLog;
use super::signals::Signals;
use super::{open, run};
use crate::error::Error;
use crate::log::{Level, Log, Record};
use crate::project::{Project, Spec};
use crate::runtime::{Options, Runtime};

const SERVICE: &str = "  - name: main_service
    kind: process.service
    process: app:main
    host: app:processes
    lifecycle: { auto_start: true }";

pub fn run(globals: &Globals, console: &Console) -> Result<u8, Failure> {
    let project = open::project(globals)?;
    run::warn(&project.diagnostics, globals, console);
    say_what_is_not_started(&project, console);
    if !has_anything_to_start(&project) {
        let error = Error::not_found("nothing to start: no service and no host has `auto_start`");
        let help =
            format!("add a service to the entries of a YAML file, or name a command (wippy run list):\n{SERVICE}");
        return Err(Failure::new(code::PROJECT, error).help(help));
    }
    let log = Log::new(ConsoleLog::new(console, globals));
    let runtime = Runtime::boot(Options {
        log: log.clone(),
        shutdown_timeout: project.config.shutdown_timeout,
        ..Options::new(project.registry, console.terminal().clone())
    })
    .map_err(|error| Failure::new(code::FAILED, error))?;
    runtime.block_on(until_signal(&runtime, &log))
}

fn has_anything_to_start(project: &Project) -> bool {
    project.registry.iter().any(|entry| match &entry.spec {
        Spec::ProcessHost(spec) => spec.lifecycle.auto_start,
        _ => false,
    })
}

/// Supervision has its own place in the house, which is still empty: better a word than silence.
fn say_what_is_not_started(project: &Project, console: &Console) {
    for entry in project.registry.of_kind("process.service") {
        console.say(&format!(
            "warning: {} is not started: this version runs no services yet\n",
            entry.id
        ));
    }
}

async fn until_signal(runtime: &Runtime, log: &Log) -> Result<u8, Failure> {
    let mut signals =
        Signals::listen().map_err(|error| Failure::new(code::FAILED, Error::internal(error.to_string())))?;
    log.record(Record::new(Level::Info, "running; stop with Ctrl-C"));
    let signal = signals.next().await;
    run::stop(runtime, &mut signals).await;
    Ok(signal.code())
}
