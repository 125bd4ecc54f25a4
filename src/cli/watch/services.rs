//! `wippy run --watch`: the services of a project, kept at what its files say.
//!
//! A change that can be taken over while everything runs is: code, services, data. Then only the services that it concerns are
//! started again. Hosts, folders, variables and `.wippy.yaml` are what everything stands on, so a change of these starts
//! everything again. What is broken is shown and not taken over: what runs goes on as it was until it is mended.

use std::collections::HashSet;
use std::path::PathBuf;

use super::{Watch, driver, is_ground, of_modules, roots, shown};
use crate::cli::args::Globals;
use crate::cli::console::Console;
use crate::cli::failure::{Failure, code};
use crate::cli::log::ConsoleLog;
use crate::cli::open;
use crate::cli::run::{self, stop};
use crate::cli::services::{boot_failed, options, something_to_start};
use crate::cli::signals::{Signal, Signals};
use crate::error::Error;
use crate::id::EntryId;
use crate::log::{Level, Log, Record};
use crate::project::{Diagnostic, Project, Registry, Spec};
use crate::race::{First, first};
use crate::runtime::{Occasion, Runtime};
use crate::supervisor::Unstarted;

/// # Errors
/// Exit 3 without a project; whatever is wrong within it is shown, and waited for to be mended.
pub fn run(globals: &Globals, console: &Console) -> Result<u8, Failure> {
    let project = open::project(globals)?;
    driver()?.block_on(async {
        let mut watcher = Watcher {
            signals: Signals::listen().map_err(|error| Failure::refused("cannot listen for signals", &error))?,
            watch: Watch::open(roots(&project), console),
            log: Log::new(ConsoleLog::new(console, globals)),
            globals,
            console,
        };
        loop {
            if let Some(signal) = watcher.round().await {
                return Ok(signal.code());
            }
        }
    })
}

struct Watcher<'a> {
    globals: &'a Globals,
    console: &'a Console,
    log: Log,
    signals: Signals,
    watch: Watch,
}

/// What runs, and from which files it was made.
struct Running {
    runtime: Runtime,
    project: Project,
    /// Entries whose modules have changed since.
    modules: HashSet<EntryId>,
    /// The last that was seen of the files is not what runs.
    is_behind: bool,
    /// What was found wrong with it.
    told: Vec<Diagnostic>,
}

/// What a change of files comes to.
enum Change {
    Nothing,
    /// It cannot be used.
    Broken(Vec<Diagnostic>),
    /// Everything stands on it.
    Everything,
    Entries(HashSet<EntryId>),
}

impl Watcher<'_> {
    /// One runtime, from its boot to a change that needs another one, or to the signal that ends the program.
    async fn round(&mut self) -> Option<Signal> {
        let mut running = match self.boot() {
            Ok(running) => running,
            Err(failure) => {
                self.tell(&failure);
                self.say(Level::Warn, "nothing runs; waiting for a change; stop with Ctrl-C");
                return self.changed_or_signal().await.err();
            }
        };
        let ended = self.serve(&mut running).await;
        stop(&running.runtime, &mut self.signals).await;
        ended
    }

    /// The project, read after its folders are watched: what changes between the two is found as a change, and not lost.
    fn load(&mut self) -> Result<Project, Failure> {
        loop {
            let project = open::project(self.globals)?;
            if !self.watch.follow(roots(&project), self.console) {
                return Ok(project);
            }
        }
    }

    fn boot(&mut self) -> Result<Running, Failure> {
        let project = self.load()?;
        run::warn(&project.diagnostics, self.globals, self.console);
        something_to_start(&project.registry)?;
        let runtime = Runtime::boot(options(&project, &self.log, self.console));
        Ok(Running {
            runtime: runtime.map_err(|error| Failure::new(code::FAILED, error))?,
            project,
            modules: HashSet::new(),
            is_behind: false,
            told: Vec::new(),
        })
    }

    async fn serve(&mut self, running: &mut Running) -> Option<Signal> {
        let starting = running.runtime.start_services(Occasion::Alone);
        match first(starting, self.signals.next()).await {
            First::Left(started) => self.tell_unstarted(started, &running.runtime),
            First::Right(signal) => return Some(signal),
        }
        self.say(Level::Info, "running and watching for changes; stop with Ctrl-C");
        let mut is_over = false;
        loop {
            let files = {
                let over = async {
                    match is_over {
                        true => std::future::pending().await,
                        false => running.runtime.terminal_over().await,
                    }
                };
                let changed = self.watch.changed(self.console);
                match first(self.signals.next(), first(changed, over)).await {
                    First::Left(signal) => return Some(signal),
                    First::Right(First::Left(files)) => files,
                    First::Right(First::Right(error)) => {
                        is_over = true;
                        self.tell_over(error);
                        continue;
                    }
                }
            };
            let change = running.look(&files, self);
            let named = shown(&files, &running.project.folder);
            match change {
                Change::Nothing => {}
                Change::Broken(found) => {
                    run::warn(&found, self.globals, self.console);
                    let record = Record::new(Level::Warn, "files changed, with errors; what runs goes on as it was");
                    self.log.record(record.field("files", named));
                }
                Change::Everything => {
                    let record = Record::new(Level::Info, "files changed; everything is started again");
                    self.log.record(record.field("files", named));
                    return None;
                }
                Change::Entries(changed) => {
                    is_over = false;
                    if let Some(signal) = self.renew(running, &changed, named).await {
                        return Some(signal);
                    }
                }
            }
        }
    }

    /// Takes the entries over that have changed, and starts again what they concern.
    async fn renew(&mut self, running: &mut Running, changed: &HashSet<EntryId>, named: String) -> Option<Signal> {
        let runtime = &running.runtime;
        let before = runtime.registry();
        if let Err(error) = runtime.replace(running.project.registry.clone(), changed) {
            self.tell(&Failure::new(code::FAILED, error));
        }
        let mut stale = runtime.concerned(changed);
        stale.extend(changed.iter().filter(|id| is_service(&before, id)).cloned());
        self.tell_change(named, changed, &stale);
        match first(runtime.renew_services(&stale), self.signals.next()).await {
            First::Left(started) => {
                self.tell_unstarted(started, runtime);
                self.say(Level::Info, "up to date with the files");
                None
            }
            First::Right(signal) => Some(signal),
        }
    }

    /// Waits for a change of files; what came instead, if that was a signal.
    async fn changed_or_signal(&mut self) -> Result<Vec<PathBuf>, Signal> {
        match first(self.signals.next(), self.watch.changed(self.console)).await {
            First::Left(signal) => Err(signal),
            First::Right(files) => Ok(files),
        }
    }

    fn tell_unstarted(&self, started: Result<(), Vec<Unstarted>>, runtime: &Runtime) {
        if let Err(unstarted) = started {
            self.tell(&boot_failed(&unstarted, runtime, &runtime.registry(), &[]));
        }
    }

    fn tell_change(&self, named: String, changed: &HashSet<EntryId>, stale: &HashSet<EntryId>) {
        let record = match stale.is_empty() {
            true => Record::new(Level::Info, "files changed; no service is concerned"),
            false => Record::new(Level::Info, "files changed; services are started again"),
        };
        let mut record = record.field("files", named);
        // None has changed where what kept a file from being read is over.
        for (name, ids) in [("entries", changed), ("services", stale)] {
            if !ids.is_empty() {
                record = record.field(name, list(ids));
            }
        }
        self.log.record(record);
    }

    fn tell_over(&self, error: Option<Error>) {
        if let Some(error) = error {
            self.tell(&Failure::new(code::FAILED, error));
        }
        self.say(
            Level::Info,
            "the service on the terminal has ended; waiting for a change; stop with Ctrl-C",
        );
    }

    fn tell(&self, failure: &Failure) {
        let paint = self.console.paint(crate::system::terminal::Stream::Err);
        self.console.say(&failure.to_text(paint));
    }

    fn say(&self, level: Level, text: &str) {
        self.log.record(Record::new(level, text));
    }
}

impl Running {
    /// Loads the project again and compares it with what runs, which it becomes unless it is broken.
    fn look(&mut self, files: &[PathBuf], watcher: &mut Watcher<'_>) -> Change {
        let project = match watcher.load() {
            Ok(project) => project,
            Err(failure) => {
                watcher.tell(&failure);
                self.is_behind = true;
                return Change::Broken(Vec::new());
            }
        };
        let modules: Vec<EntryId> = of_modules(&project.registry, files).collect();
        self.modules.extend(modules);
        let mut changed = project.registry.changed_since(&self.project.registry);
        changed.extend(self.modules.iter().cloned());
        let is_config = project.config != self.project.config;
        let found = self.errors(&project, &changed);
        if !found.is_empty() {
            let is_known = self.is_behind && found == self.told;
            self.is_behind = true;
            self.told.clone_from(&found);
            return match is_known {
                true => Change::Nothing,
                false => Change::Broken(found),
            };
        }
        self.told.clear();
        if is_config || stands_on(&changed, &self.project.registry) {
            return Change::Everything;
        }
        if changed.is_empty() && !std::mem::take(&mut self.is_behind) {
            return Change::Nothing;
        }
        self.is_behind = false;
        self.modules.clear();
        self.project = project;
        Change::Entries(changed)
    }

    /// What keeps the changed entries from being used, and errors of whole files that were not there before.
    fn errors(&self, project: &Project, changed: &HashSet<EntryId>) -> Vec<Diagnostic> {
        let concerns = |found: &&Diagnostic| match &found.entry {
            Some(id) => changed.contains(id),
            None => !self.project.diagnostics.contains(found),
        };
        let mut errors: Vec<Diagnostic> = project.diagnostics.iter().filter(concerns).cloned().collect();
        let entries = changed.iter().filter_map(|id| project.registry.get(id));
        errors.extend(entries.flat_map(|entry| self.runtime.findings(entry)));
        errors.retain(Diagnostic::is_error);
        errors
    }
}

/// Whether one of these entries is what others stand on while they run, and was there before.
fn stands_on(changed: &HashSet<EntryId>, before: &Registry) -> bool {
    let mut entries = changed.iter().filter_map(|id| before.get(id));
    entries.any(|entry| is_ground(&entry.kind))
}

fn is_service(registry: &Registry, id: &EntryId) -> bool {
    registry
        .get(id)
        .is_some_and(|entry| matches!(entry.spec, Spec::Service(_)))
}

fn list(ids: &HashSet<EntryId>) -> String {
    let mut ids: Vec<&str> = ids.iter().map(EntryId::as_str).collect();
    ids.sort_unstable();
    ids.join(", ")
}
