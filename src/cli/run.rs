//! `wippy run NAME`, `wippy run FILE.lua`, `wippy run FILE.wasm` and `wippy run -x ID`: one process on the terminal host, from its start to the
//! program's exit code.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::args::{Globals, ModuleOptions, What};
use super::console::Console;
use super::failure::{Failure, code};
use super::log::ConsoleLog;
use super::outcome::{Stopped, settle};
use super::signals::{self, Signals};
use super::{module, open, script, target};
use crate::error::{Error, Result as Outcome};
use crate::id::EntryId;
use crate::log::Log;
use crate::process::{Exit, Process, Program};
use crate::project::diagnostic::to_text;
use crate::project::{Diagnostic, Entry, Logger, Project, Registry, Spec};
use crate::race::{First, first};
use crate::runtime::{Occasion, Options, Runtime};
use crate::system::terminal::Stream;
use crate::value::{Packed, Value};
use crate::wasm::WasmProgram;

/// What is to run, on what.
pub struct Job {
    pub registry: Arc<Registry>,
    pub program: Source,
    pub terminal: Arc<Entry>,
    pub words: Vec<String>,
    /// As the user called it.
    pub name: String,
    pub shutdown_timeout: Duration,
    /// How its project wants log records to be shown.
    pub logger: Logger,
    /// What is wrong with the settings of the project.
    pub found: Vec<Diagnostic>,
}

/// Where the program comes from.
pub enum Source {
    Entry(Arc<Entry>),
    Script {
        path: PathBuf,
        text: Vec<u8>,
        /// Where it may `require` files from.
        folders: Vec<PathBuf>,
    },
}

/// A command by its name, or a script or module by its file.
///
/// # Errors
/// Whatever keeps it from running.
pub fn named(words: Vec<OsString>, options: &ModuleOptions, globals: &Globals) -> Result<Job, Failure> {
    let (name, words) = split(words)?;
    if module::is_module(&name) && Path::new(&name).is_file() {
        return module::job(name, words, options, globals);
    }
    if !module::is_module(&name) {
        module::refuse(options)?;
    }
    if script::is_script(&name) && Path::new(&name).is_file() {
        return script::job(name, words, globals);
    }
    let project = match open::find(globals)? {
        Some(project) => project,
        None if is_file(&name) => return Err(script::missing(&name)),
        None => open::project(globals)?,
    };
    if is_file(&name) && project.registry.command(&name).is_none() {
        return Err(script::missing(&name));
    }
    // A command may be named like a module's file.
    module::refuse(options)?;
    let entry = target::command(&project, &name)?;
    job(project, entry, name, words, globals)
}

/// Whether it means a file, if no command has that name.
fn is_file(name: &str) -> bool {
    script::is_script(name) || module::is_module(name)
}

/// An entry by its id.
///
/// # Errors
/// As [`named`].
pub fn entry(what: Option<What>, globals: &Globals) -> Result<Job, Failure> {
    let Some(What::Program(words)) = what else {
        return Err(Failure::usage(
            "-x needs the id of an entry: wippy run -x NS:NAME [ARGS…]",
        ));
    };
    let (name, words) = split(words)?;
    let id = EntryId::parse(&name).map_err(|error| Failure::usage(error.message()))?;
    let project = open::project(globals)?;
    let entry = target::entry(&project, &id)?;
    job(project, entry, format!("-x {name}"), words, globals)
}

fn job(
    project: Project,
    entry: Arc<Entry>,
    name: String,
    words: Vec<String>,
    globals: &Globals,
) -> Result<Job, Failure> {
    if let Err(error) = project.registry.usable(&entry.id) {
        return Err(Failure::entry(error, &entry.problems));
    }
    open::fields_fit(&project.registry, globals)?;
    let terminal = target::terminal_host(&project.registry, globals.host.as_deref())?;
    let found = project.about_files().filter(|found| found.is_about_config());
    Ok(Job {
        found: found.cloned().collect(),
        shutdown_timeout: project.config.shutdown_timeout,
        logger: project.config.logger,
        registry: project.registry,
        program: Source::Entry(entry),
        terminal,
        words,
        name,
    })
}

/// The name and the program's words; a first `--` is ours.
fn split(words: Vec<OsString>) -> Result<(String, Vec<String>), Failure> {
    let mut words = words.into_iter().map(|word| {
        word.into_string()
            .map_err(|word| Failure::usage(format!("argument is not UTF-8: {}", word.to_string_lossy())))
    });
    let name = words.next().unwrap_or_else(|| Err(Failure::usage("nothing to run")))?;
    let mut words = words.collect::<Result<Vec<_>, _>>()?;
    if words.first().is_some_and(|word| word == "--") {
        words.remove(0);
    }
    Ok((name, words))
}

/// Runs it; the program ends with it.
///
/// # Errors
/// What keeps it from running, or it ended with.
pub fn run(job: &Job, globals: &Globals, console: &Console) -> Result<u8, Failure> {
    let runtime = boot(job, globals, console)?;
    let ended = runtime.block_on(async {
        let mut signals = Signals::listen().map_err(|error| Failure::refused("cannot listen for signals", &error))?;
        session(&runtime, job, &mut signals, console).await
    });
    runtime.leave();
    ended
}

/// The runtime for a job.
///
/// # Errors
/// When the operating system refuses a thread.
pub fn boot(job: &Job, globals: &Globals, console: &Console) -> Result<Runtime, Failure> {
    warn(&job.found, globals, console);
    if let Source::Entry(entry) = &job.program {
        warn(&entry.problems, globals, console);
    }
    let log = ConsoleLog::configured(job.logger, console, globals);
    if matches!(&job.terminal.spec, Spec::TerminalHost(spec) if spec.hide_logs) {
        log.hide();
    }
    let module = match &job.program {
        Source::Entry(entry) if matches!(entry.spec, Spec::Wasm(_)) => Some(entry.clone()),
        _ => None,
    };
    Runtime::boot(Options {
        log: Log::new(log),
        oneshot: module.is_some(),
        first: module,
        shutdown_timeout: job.shutdown_timeout,
        ..Options::new(job.registry.clone(), console.terminal().clone())
    })
    .map_err(|error| Failure::new(code::FAILED, error))
}

/// Warnings about what was asked for.
pub fn warn(problems: &[Diagnostic], globals: &Globals, console: &Console) {
    if !globals.silent {
        let style = console.paint(Stream::Err).style();
        problems.iter().for_each(|found| console.say(&to_text(found, style)));
    }
}

/// Runs the job in its runtime, to the program's exit code.
///
/// # Errors
/// As [`run`].
pub async fn session(runtime: &Runtime, job: &Job, signals: &mut Signals, console: &Console) -> Result<u8, Failure> {
    let loaded = match first(Loaded::load(runtime, &job.program), signals.next()).await {
        First::Left(loaded) => loaded.map_err(|error| unloadable(error, runtime, &job.program))?,
        First::Right(signal) => return Err(Failure::silent(signal.code())),
    };
    beside(runtime, signals).await?;
    let process = loaded.start(runtime, job)?;
    let (exit, stopped) = attend(runtime, &process, signals, console).await;
    settle(&process, &exit, stopped, loaded.wasm.as_deref(), console)
        .map_err(|failure| failure.with_hint(&job.registry))
}

/// Starts the services of the project. One that cannot be started is no reason not to run a command; its record says why.
///
/// # Errors
/// Silent, when a signal came meanwhile: everything has stopped.
pub async fn beside(runtime: &Runtime, signals: &mut Signals) -> Result<(), Failure> {
    match first(runtime.start_services(Occasion::BesideCommand), signals.next()).await {
        First::Left(Ok(()) | Err(_)) => Ok(()),
        First::Right(signal) => {
            stop_for_signal(runtime, signals).await;
            Err(Failure::silent(signal.code()))
        }
    }
}

/// Waits for the end of the program, or of our patience with it, and stops the runtime.
pub async fn attend(
    runtime: &Runtime,
    process: &Arc<Process>,
    signals: &mut Signals,
    console: &Console,
) -> (Arc<Exit>, Option<Stopped>) {
    let asked = first(signals.next(), console.terminal().hung_up());
    let stopped = match first(process.exited(), asked).await {
        First::Left(_) => None,
        First::Right(First::Left(signal)) => Some(Stopped::By(signal)),
        First::Right(First::Right(())) => Some(Stopped::Unread),
    };
    match stopped {
        Some(Stopped::By(_)) => stop_for_signal(runtime, signals).await,
        Some(Stopped::Unread) | None => drop(stop(runtime, signals).await),
    }
    (process.exited().await, stopped)
}

/// The orderly stop, which a signal cuts short: whether one has.
pub async fn stop(runtime: &Runtime, signals: &mut Signals) -> bool {
    let is_cut = matches!(first(runtime.stop(), signals.next()).await, First::Right(_));
    if is_cut {
        runtime.terminate().await;
    }
    is_cut
}

/// The same for a signal: a second one means that nobody wants to wait for anything.
pub async fn stop_for_signal(runtime: &Runtime, signals: &mut Signals) {
    if stop(runtime, signals).await {
        signals::hurry();
    }
}

/// The program of the entry, and what only a WASM program knows.
struct Loaded {
    program: Arc<dyn Program>,
    wasm: Option<Arc<WasmProgram>>,
}

impl Loaded {
    async fn load(runtime: &Runtime, source: &Source) -> Outcome<Loaded> {
        match source {
            Source::Entry(entry) => Ok(Loaded {
                wasm: runtime.wasm_program(&entry.id).await?,
                program: runtime.program(&entry.id).await?,
            }),
            Source::Script { path, text, folders } => Ok(Loaded {
                wasm: None,
                program: runtime.script(path, text, folders.clone())?,
            }),
        }
    }

    fn start(&self, runtime: &Runtime, job: &Job) -> Result<Arc<Process>, Failure> {
        let args = self.arguments(job)?;
        runtime
            .start(self.program.clone(), &job.terminal.id, args, job.words.clone())
            .map_err(Failure::start)
    }

    fn arguments(&self, job: &Job) -> Result<Packed, Failure> {
        let Some(wasm) = &self.wasm else {
            let words: Vec<Value> = job.words.iter().map(|word| Value::from(word.as_str())).collect();
            return Ok(Packed::from_values(&words));
        };
        wasm.arguments(&job.words).map_err(|error| {
            let usage = wasm.signature().usage(&job.name);
            Failure::new(code::USAGE, error).with_usage(usage)
        })
    }
}

/// A module or source that turned out to be wrong when it was loaded. What the engines find in it says more than the
/// error, unless the fault lies elsewhere, in a library for one.
fn unloadable(error: Error, runtime: &Runtime, source: &Source) -> Failure {
    let found = match source {
        Source::Entry(entry) => runtime.findings(entry),
        Source::Script { path, text, .. } => vec![Runtime::script_finding(&error, path, text)],
    };
    let help = module::help(&error, source);
    let failure = Failure::entry(error, &found);
    match help {
        Some(help) => failure.help(help),
        None => failure,
    }
}
