//! Runs test files and test entries, each in a runtime of its own, several at once. Their events come out file by file in the
//! order of the files, those of the first unfinished one as they happen.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::bench::{FileBench, Place};
use super::discover::File;
use super::event::{Event, Failure, Report, Status};
use super::stop::Stop;
use crate::error::{Error, Result};
use crate::id::EntryId;
use crate::lock::lock;
use crate::log::Log;
use crate::lua::modules::test::Bench;
use crate::lua::uses::{Used, Uses};
use crate::process::{Clock, Exit, Process};
use crate::project::{DirectorySpec, Entry, LuaKind, ProcessHostSpec, Registry, Spec, TerminalHostSpec};
use crate::race::{First, first};
use crate::runtime::{Options, Runtime};
use crate::value::{Packed, Value};

/// One thing to run.
pub enum Job {
    File(File),
    Entry(Arc<Entry>),
}

/// What is the same for all of them.
pub struct Setting {
    /// The project's folder.
    pub project: Option<PathBuf>,
    pub overrides: Vec<crate::project::Override>,
    /// For the half in Lua.
    pub options: Value,
    pub seed: Option<u32>,
    /// Nanoseconds.
    pub timeout: i64,
    pub fail_fast: bool,
    pub jobs: Option<usize>,
    pub stop: Stop,
    /// For a run that may be followed by another one.
    pub ledger: Option<Arc<Ledger>>,
}

/// What each job has made use of, by its name, when it last ran to its end.
#[derive(Default)]
pub struct Ledger(Mutex<HashMap<String, Used>>);

impl Ledger {
    pub fn lock(&self) -> MutexGuard<'_, HashMap<String, Used>> {
        lock(&self.0)
    }
}

/// Of entries that a test file brings with it.
pub(super) const NAMESPACE: &str = "test";

/// Runs all of it; `tell` gets every event.
pub fn run(jobs: Vec<Job>, setting: &Setting, mut tell: impl FnMut(Event)) {
    let (senders, receivers): (Vec<Sender<Event>>, Vec<Receiver<Event>>) = jobs.iter().map(|_| mpsc::channel()).unzip();
    let queue = Queue {
        work: Mutex::new(jobs.into_iter().zip(senders).rev().collect()),
        stopped: Arc::default(),
    };
    let threads = setting
        .jobs
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    std::thread::scope(|scope| {
        for _ in 0..threads.min(receivers.len()) {
            scope.spawn(|| queue.work_off(setting));
        }
        // A file's channel closes when the file is done.
        receivers.iter().flatten().for_each(&mut tell);
    });
}

/// Work that is shared by the threads.
struct Queue {
    work: Mutex<Vec<(Job, Sender<Event>)>>,
    stopped: Arc<AtomicBool>,
}

impl Queue {
    fn next(&self) -> Option<(Job, Sender<Event>)> {
        lock(&self.work).pop()
    }

    fn work_off(&self, setting: &Setting) {
        while let Some((job, events)) = self.next() {
            if self.is_over(setting) {
                // What it used the last time says nothing of a run that it did not have.
                if let Some(ledger) = &setting.ledger {
                    ledger.lock().remove(job.name());
                }
                continue;
            }
            let name = job.name().to_owned();
            if let Err(error) = self.run(&job, setting, events.clone()) {
                // A receiver that has gone wants nothing more.
                let _ = events.send(Event::Test(Report::broken(&name, failure(&error))));
            }
        }
    }

    fn is_over(&self, setting: &Setting) -> bool {
        self.stopped.load(Ordering::SeqCst) || setting.stop.is_asked()
    }

    fn run(&self, job: &Job, setting: &Setting, events: Sender<Event>) -> Result<()> {
        let place = Place {
            name: job.name(),
            folder: job.folder(setting),
            project: setting.project.clone(),
            overrides: setting.overrides.clone(),
        };
        let bench = FileBench::new(place, events, self.stopped.clone(), setting.fail_fast);
        let bench = Arc::new(bench.map_err(|error| Error::internal(format!("no temporary folder: {error}")))?);
        if let Some(ledger) = &setting.ledger {
            ledger.lock().remove(job.name());
        }
        let uses = setting.ledger.as_ref().map(|_| Arc::<Uses>::default());
        let session = Session::boot(bench, &job.folder(setting), setting, uses.clone())?;
        let done = match job {
            Job::File(file) => session.file(file, setting),
            Job::Entry(entry) => session.entry(entry, setting),
        };
        // One that was cut short would have used more.
        if let (Some(ledger), Some(uses), false) = (&setting.ledger, uses, self.is_over(setting)) {
            let used = uses.all(&session.runtime.registry());
            ledger.lock().insert(job.name().to_owned(), used);
        }
        done
    }
}

impl Job {
    pub fn name(&self) -> &str {
        match self {
            Job::File(file) => &file.name,
            Job::Entry(entry) => entry.id.as_str(),
        }
    }

    fn folder(&self, setting: &Setting) -> PathBuf {
        match self {
            Job::File(file) => super::folder_of(&file.path),
            Job::Entry(_) => setting.project.clone().unwrap_or_default(),
        }
    }
}

/// The runtime of one job.
struct Session {
    runtime: Runtime,
    bench: Arc<FileBench>,
    terminal: EntryId,
    folders: Vec<PathBuf>,
}

impl Session {
    fn boot(
        bench: Arc<FileBench>,
        folder: &std::path::Path,
        setting: &Setting,
        uses: Option<Arc<Uses>>,
    ) -> Result<Session> {
        let project = bench.load();
        let registry = Arc::new(project.registry.with(own_entries(&project.registry, folder)));
        let runtime = Runtime::boot(Options {
            log: Log::new(bench.records.clone()),
            shutdown_timeout: project.config.shutdown_timeout,
            clock: Clock::stoppable(),
            uses,
            ..Options::new(registry, bench.terminal.clone())
        })?;
        // Set once, here.
        let _ = bench.declarations.set(Arc::downgrade(runtime.declarations()));
        let mut folders = vec![folder.to_owned()];
        folders.extend(setting.project.iter().cloned());
        Ok(Session {
            runtime,
            bench,
            terminal: EntryId::new(NAMESPACE, "terminal"),
            folders,
        })
    }

    /// Runs a test file; its tests report themselves, only its own end is left to tell.
    fn file(&self, file: &File, setting: &Setting) -> Result<()> {
        let text = std::fs::read(&file.path).map_err(|error| Error::not_found(format!("{}: {error}", file.name)))?;
        let bench: Arc<dyn Bench> = self.bench.clone();
        let program = self.runtime.test_program(&file.name, bench, self.folders.clone())?;
        let args = [
            Value::str(&text),
            Value::from(file.name.as_str()),
            setting.options.clone(),
        ];
        let args = Packed::from_values(&args);
        let process = self.runtime.start(program, &self.terminal, args, Vec::new())?;
        match self.end(&process, None, &setting.stop) {
            End::Exited(exit) => {
                if let Err(error) = &exit.result {
                    let report = Report::broken(&file.name, failure(error));
                    self.bench.tell(Event::Test(report));
                }
            }
            End::Late => {}
            End::Stopped => self.tell_stopped(&file.name),
        }
        Ok(())
    }

    /// Runs an entry; its result is the test's.
    fn entry(&self, entry: &Arc<Entry>, setting: &Setting) -> Result<()> {
        if setting.options.get("list") == Some(&Value::Bool(true)) {
            self.bench.tell(Event::Listed {
                file: entry.id.as_str().to_owned(),
                path: vec!["runs".to_owned()],
                line: 0,
            });
            return Ok(());
        }
        let filter = setting.options.get("filter").and_then(Value::as_str);
        if filter.is_some_and(|filter| !entry.id.as_str().contains(filter)) {
            return Ok(());
        }
        let started = Instant::now();
        let Some(outcome) = self.outcome(entry, setting) else {
            self.tell_stopped(entry.id.as_str());
            return Ok(());
        };
        let failure = outcome.err();
        self.bench.tell(Event::Test(Report {
            path: vec!["runs".to_owned()],
            status: if failure.is_some() {
                Status::Failed
            } else {
                Status::Passed
            },
            took: started.elapsed(),
            failure,
            ..Report::broken(entry.id.as_str(), Failure::default())
        }));
        Ok(())
    }

    /// What is told of a job that a signal cut short. What it has reported until then stands.
    fn tell_stopped(&self, name: &str) {
        self.bench.tell(Event::Note {
            file: name.to_owned(),
            text: "stopped before its end".to_owned(),
        });
    }

    /// How an entry ended as a test; None when it was stopped.
    fn outcome(&self, entry: &Arc<Entry>, setting: &Setting) -> Option<Result<(), Failure>> {
        let process = match self.begin(entry) {
            Ok(process) => process,
            Err(error) => return Some(Err(failure(&error))),
        };
        let timeout = Duration::from_nanos(setting.timeout.unsigned_abs());
        match self.end(&process, Some(timeout), &setting.stop) {
            End::Exited(exit) => Some(judge(&exit)),
            End::Late => {
                let timeout = crate::duration::format(setting.timeout);
                Some(Err(said(format!("timed out after {timeout}"))))
            }
            End::Stopped => None,
        }
    }

    fn begin(&self, entry: &Arc<Entry>) -> Result<Arc<Process>> {
        self.runtime.declarations().declare(as_process(entry))?;
        let program = self.runtime.block_on(self.runtime.program(&entry.id))?;
        self.runtime.start(program, &self.terminal, Packed::empty(), Vec::new())
    }

    /// Waits for the end of a process.
    fn end(&self, process: &Arc<Process>, timeout: Option<Duration>, stop: &Stop) -> End {
        let exited = async {
            match timeout {
                Some(timeout) => tokio::time::timeout(timeout, process.exited())
                    .await
                    .map_or(End::Late, End::Exited),
                None => End::Exited(process.exited().await),
            }
        };
        match self.runtime.block_on(first(exited, stop.asked())) {
            First::Left(end) => end,
            First::Right(()) => End::Stopped,
        }
    }
}

/// What a wait for the end of a process came to.
enum End {
    Exited(Arc<Exit>),
    /// The time was up.
    Late,
    /// The whole run shall end.
    Stopped,
}

/// An error fails a test, and so does `false`.
fn judge(exit: &Exit) -> Result<(), Failure> {
    let result = exit.result.as_ref().map_err(failure)?;
    let values = result.to_values().unwrap_or_default();
    match values.first() {
        Some(Value::Bool(false)) => Err(said("it returned false".to_owned())),
        _ => Ok(()),
    }
}

/// A function is called as a process would be.
fn as_process(entry: &Arc<Entry>) -> Arc<Entry> {
    let kind = match &entry.spec {
        Spec::Lua(spec) if spec.kind == LuaKind::Function => "process.lua",
        Spec::Wasm(_) if entry.kind.starts_with("function.") => "process.wasm",
        _ => return entry.clone(),
    };
    let mut process = Entry::clone(entry);
    kind.clone_into(&mut process.kind);
    if let Spec::Lua(spec) = &mut process.spec {
        spec.kind = LuaKind::Process;
    }
    Arc::new(process)
}

/// What a test file brings with it: a terminal of its own, its folder, and a host for processes if the project has none.
fn own_entries(registry: &Registry, folder: &std::path::Path) -> Vec<Entry> {
    let id = |name| EntryId::new(NAMESPACE, name);
    let directory = DirectorySpec {
        path: folder.to_owned(),
        written: folder.display().to_string(),
        auto_init: false,
        mode: 0o755,
    };
    let mut own = vec![
        Entry::made(
            id("terminal"),
            "terminal.host",
            Spec::TerminalHost(TerminalHostSpec::default()),
        ),
        Entry::made(
            EntryId::new("script", "dir"),
            "fs.directory",
            Spec::Directory(directory),
        ),
    ];
    if registry.of_kind("process.host").next().is_none() {
        own.push(Entry::made(
            id("processes"),
            "process.host",
            Spec::ProcessHost(ProcessHostSpec::default()),
        ));
    }
    own
}

fn said(message: String) -> Failure {
    Failure {
        message,
        ..Failure::default()
    }
}

/// An error as a test's failure, without the frames of the framework.
fn failure(error: &Error) -> Failure {
    let frames = error.frames().iter();
    Failure {
        message: error.to_string(),
        frames: frames
            .filter(|frame| !frame.source.starts_with("[test]"))
            .cloned()
            .collect(),
        ..Failure::default()
    }
}
