//! `wippy test`: what is a test (`discover`), one runtime for each file (`bench`, `runner`), the same events for every report
//! (`event`, `report`), an end before the end (`stop`), and runs again when files change (`watching`, `concern`). How a file's blocks run is the half in Lua, `lua/test/`.

mod bench;
mod concern;
mod discover;
mod event;
mod report;
mod runner;
mod stop;
mod watching;

pub use report::Format;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::args::{self, Globals, What};
use super::console::Console;
use super::failure::{Failure, code};
use super::open;
use crate::duration;
use crate::error::Error;
use crate::project::{Entry, Project};
use crate::system::terminal::Stream;
use crate::value::Value;
use event::{Event, Summary};
use runner::{Job, Setting};
use stop::Stop;

/// Runs the command.
///
/// # Errors
/// Wrong usage, and exit 1 when a test failed or there was none.
pub fn run(args: &args::Test, globals: &Globals, console: &Console) -> Result<u8, Failure> {
    let timeout = duration::parse(&args.timeout).ok().filter(|timeout| *timeout > 0);
    let timeout = timeout.ok_or_else(|| {
        Failure::usage(format!(
            "--timeout {}: expected a duration, like 500ms or 5s",
            args.timeout
        ))
    })?;
    let project = open::find(globals)?;
    // With --watch each run says it.
    if let Some(project) = project.as_ref().filter(|_| !args.watch) {
        open::fields_fit(&project.registry, globals)?;
        open::tell_unread(project, globals, console);
    }
    let mut jobs = jobs(args, project.as_ref())?;
    if jobs.is_empty()
        && let Some(entry) = project.as_ref().and_then(fallback)
        && args.paths.is_empty()
    {
        if args.list {
            jobs.push(Job::Entry(entry));
        } else {
            return run_entry(&entry, args, globals, console);
        }
    }
    let stop = Stop::listen().map_err(|error| Failure::refused("cannot listen for signals", &error))?;
    if args.watch {
        return watching::run(args, timeout, &stop, globals, console);
    }
    let setting = setting(args, timeout, project.as_ref(), stop, globals)?;
    let summary = report(args.format, shuffled(jobs, seed(args)), &setting, console);
    match setting.stop.signal() {
        Some(signal) => Ok(signal.code()),
        None => verdict(&summary, args),
    }
}

/// Runs the command that stands for the tests.
fn run_entry(entry: &Entry, args: &args::Test, globals: &Globals, console: &Console) -> Result<u8, Failure> {
    let words = What::Program(vec![entry.id.as_str().into()]);
    super::program(args.watch, globals, console, || {
        super::run::entry(Some(words.clone()), globals)
    })
}

fn setting(
    args: &args::Test,
    timeout: i64,
    project: Option<&Project>,
    stop: Stop,
    globals: &Globals,
) -> Result<Setting, Failure> {
    Ok(Setting {
        project: project.map(|project| project.folder.clone()),
        overrides: open::overrides(globals)?,
        options: options(args, timeout),
        seed: seed(args),
        timeout,
        fail_fast: args.fail_fast,
        jobs: args.jobs.map(usize::from),
        stop,
        ledger: None,
    })
}

/// Runs everything and prints the report.
fn report(format: Format, jobs: Vec<Job>, setting: &Setting, console: &Console) -> Summary {
    let started = Instant::now();
    let mut reporter = report::reporter(format, console.paint(Stream::Out));
    let mut summary = Summary {
        files: jobs.len(),
        seed: setting.seed,
        ..Summary::default()
    };
    let mut tell = |event: &Event| {
        let mut text = String::new();
        reporter.event(event, &mut text);
        console.answer(&text);
    };
    runner::run(jobs, setting, |event| {
        summary.count(&event);
        tell(&event);
    });
    summary.took = started.elapsed();
    tell(&Event::Ended(summary));
    summary
}

fn verdict(summary: &Summary, args: &args::Test) -> Result<u8, Failure> {
    if summary.found() > 0 {
        return Ok(if summary.failed > 0 {
            code::FAILED
        } else {
            code::SUCCESS
        });
    }
    let (what, help) = match &args.filter {
        Some(filter) => (
            format!("no test fits the filter {filter:?}"),
            "wippy test --list names all of them",
        ),
        None => (
            "no tests found".to_owned(),
            "tests are tests/**/*_test.lua and *_spec.lua, or entries with meta.type: test",
        ),
    };
    Err(Failure::new(code::FAILED, Error::not_found(what)).help(help))
}

/// What there is to run: the files that were named, or those of the project and its test entries.
fn jobs(args: &args::Test, project: Option<&Project>) -> Result<Vec<Job>, Failure> {
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    let here = here.map_err(|error| Failure::refused("cannot see the current folder", &error))?;
    let root = project.map_or(here.as_path(), |project| project.folder.as_path());
    let files = match args.paths.is_empty() {
        true => discover::of_project(root),
        false => discover::given(&args.paths, root),
    };
    let mut jobs: Vec<Job> = files.map_err(unreadable)?.into_iter().map(Job::File).collect();
    if args.paths.is_empty() {
        let entries = project.into_iter().flat_map(|project| project.registry.iter());
        jobs.extend(entries.filter(|entry| is_test(entry)).cloned().map(Job::Entry));
    }
    Ok(jobs)
}

fn unreadable((path, error): (PathBuf, std::io::Error)) -> Failure {
    Failure::usage(format!("{}: {error}", path.display()))
}

fn is_test(entry: &Arc<Entry>) -> bool {
    entry.meta.get("type") == Some(&Value::from("test"))
}

/// The command that stands for the tests of a project without any.
fn fallback(project: &Project) -> Option<Arc<Entry>> {
    let commands = project.registry.commands();
    let named = |wanted: &dyn Fn(&crate::project::Command) -> bool| {
        let found = commands.iter().find(|(command, _)| wanted(command));
        found.map(|(_, entry)| Arc::clone(entry))
    };
    named(&|command| command.use_case == "test").or_else(|| named(&|command| command.name == "test"))
}

fn seed(args: &args::Test) -> Option<u32> {
    args.shuffle.map(|seed| seed.unwrap_or_else(std::process::id))
}

/// The options of `lua/test/suite.lua`.
fn options(args: &args::Test, timeout: i64) -> Value {
    let mut options = vec![("timeout", Value::Int(timeout)), ("list", Value::Bool(args.list))];
    options.extend(args.filter.as_deref().map(|filter| ("filter", Value::from(filter))));
    options.extend(seed(args).map(|seed| ("seed", Value::Int(seed.into()))));
    Value::map(options)
}

/// The files in an order of their own too.
fn shuffled(mut jobs: Vec<Job>, seed: Option<u32>) -> Vec<Job> {
    let Some(seed) = seed else { return jobs };
    let mut state = u64::from(seed);
    for last in (1..jobs.len()).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let other = (state >> 33) as usize % (last + 1);
        jobs.swap(last, other);
    }
    jobs
}

/// The folder of a file.
fn folder_of(file: &Path) -> PathBuf {
    file.parent().unwrap_or(Path::new("/")).to_owned()
}
