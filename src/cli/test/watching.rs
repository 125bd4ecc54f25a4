//! `wippy test --watch`: everything once, then again whatever a changed file concerns.
//!
//! A test file that changed concerns itself; other code, modules and entries concern every test, because a test may use any of
//! them. A run that is outdated before its end is ended, and all of it is run again with what the change concerns.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::thread;

use tokio::sync::oneshot;

use super::discover::{FOLDER, is_test_name};
use super::event::Summary;
use super::runner::Job;
use super::stop::Stop;
use super::{jobs, report, seed, setting, shuffled, verdict};
use crate::cli::args::{self, Globals};
use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::open;
use crate::cli::watch::{Root, Watch, driver, is_code, is_other, roots, shown};
use crate::project::Project;
use crate::race::{First, first};
use crate::system::terminal::Stream;

/// # Errors
/// What keeps the first run from beginning; later failures are shown, and waited for to be mended.
pub fn run(args: &args::Test, timeout: i64, stop: &Stop, globals: &Globals, console: &Console) -> Result<u8, Failure> {
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    let mut watcher = Watcher {
        args,
        timeout,
        stop,
        globals,
        console,
        here: here.unwrap_or_default(),
        driver: driver()?,
        watch: Watch::open(Vec::new(), console),
        project: None,
        known: BTreeSet::new(),
    };
    let mut wanted = Wanted::All;
    loop {
        wanted = match watcher.round(&wanted) {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(stop.signal().map_or(0, |signal| signal.code())),
            Err(failure) => {
                watcher.tell(&failure);
                match watcher.wait(None) {
                    Some(_) => Wanted::All,
                    None => return Ok(stop.signal().map_or(failure.code, |signal| signal.code())),
                }
            }
        };
    }
}

/// Which files and entries are to run, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Some(BTreeSet<String>),
}

impl Wanted {
    fn has(&self, name: &str) -> bool {
        match self {
            Wanted::All => true,
            Wanted::Some(names) => names.contains(name),
        }
    }

    fn and(&self, other: &Wanted) -> Wanted {
        match (self, other) {
            (Wanted::Some(one), Wanted::Some(other)) => Wanted::Some(one | other),
            _ => Wanted::All,
        }
    }
}

struct Watcher<'a> {
    args: &'a args::Test,
    timeout: i64,
    stop: &'a Stop,
    globals: &'a Globals,
    console: &'a Console,
    here: PathBuf,
    driver: tokio::runtime::Runtime,
    watch: Watch,
    /// As the last run saw it.
    project: Option<Project>,
    /// The files and entries of the last run.
    known: BTreeSet<String>,
}

impl Watcher<'_> {
    /// Runs what is wanted and waits for a change: what is wanted then. None at the end.
    fn round(&mut self, wanted: &Wanted) -> Result<Option<Wanted>, Failure> {
        self.project = open::find(self.globals)?;
        self.follow();
        let mut all = jobs(self.args, self.project.as_ref())?;
        self.known = all.iter().map(|job| job.name().to_owned()).collect();
        all.retain(|job| wanted.has(job.name()));
        let ended = self.run(all)?;
        if let Err(failure) = verdict(&ended.summary, self.args) {
            self.tell(&failure);
        }
        Ok(match ended.outdated {
            Some(next) => Some(wanted.and(&next)),
            None => self.wait(Some("waiting for a change; stop with Ctrl-C\n")),
        })
    }

    /// Watches the project, or without one what was named.
    fn follow(&mut self) {
        let mut folders: Vec<Root> = self.project.iter().flat_map(roots).collect();
        let named = self.args.paths.iter().filter_map(|path| path.canonicalize().ok());
        folders.extend(named.map(|path| match path.is_dir() {
            true => Root::deep(path),
            false => Root::flat(super::folder_of(&path)),
        }));
        if self.project.is_none() {
            folders.push(Root::flat(self.here.clone()));
            folders.push(Root::deep(self.here.join(FOLDER)));
        }
        self.watch.follow(folders, self.console);
    }

    /// Runs the jobs, until a change that concerns a test comes before their end.
    fn run(&mut self, jobs: Vec<Job>) -> Result<Ended, Failure> {
        let stop = self.stop.for_one_run();
        let setting = setting(
            self.args,
            self.timeout,
            self.project.as_ref(),
            stop.clone(),
            self.globals,
        )?;
        let jobs = shuffled(jobs, seed(self.args));
        let (format, console) = (self.args.format, self.console);
        let (driver, watch) = (&self.driver, &mut self.watch);
        let seen = Seen {
            args: self.args,
            globals: self.globals,
            project: &mut self.project,
            known: &self.known,
            folder: &self.here,
        };
        thread::scope(|scope| {
            let (done, ended) = oneshot::channel();
            scope.spawn(|| done.send(report(format, jobs, &setting, console)));
            let mut ended = Box::pin(ended);
            let outdated = driver.block_on(async {
                match first(&mut ended, concerned(watch, seen, console)).await {
                    First::Left(summary) => Err(summary),
                    First::Right(next) => Ok(next),
                }
            });
            Ok(match outdated {
                Err(summary) => Ended {
                    summary: summary.unwrap_or_default(),
                    outdated: None,
                },
                Ok(next) => {
                    stop.outdate();
                    Ended {
                        summary: driver.block_on(ended).unwrap_or_default(),
                        outdated: Some(next),
                    }
                }
            })
        })
    }

    /// Waits for a change that concerns a test. None when the program shall end.
    fn wait(&mut self, say: Option<&str>) -> Option<Wanted> {
        if self.stop.is_asked() {
            return None;
        }
        self.console
            .say(say.unwrap_or("waiting for a change; stop with Ctrl-C\n"));
        let (driver, watch, console, stop) = (&self.driver, &mut self.watch, self.console, self.stop);
        let seen = Seen {
            args: self.args,
            globals: self.globals,
            project: &mut self.project,
            known: &self.known,
            folder: &self.here,
        };
        driver.block_on(async {
            let end = first(stop.asked(), console.terminal().hung_up());
            match first(end, concerned(watch, seen, console)).await {
                First::Left(_) => None,
                First::Right(next) => Some(next),
            }
        })
    }

    fn tell(&self, failure: &Failure) {
        let paint = self.console.paint(Stream::Err);
        self.console.say(&failure.to_text(paint));
    }
}

struct Ended {
    summary: Summary,
    /// What is to run again, because a change came first.
    outdated: Option<Wanted>,
}

/// What the last run saw.
struct Seen<'a> {
    args: &'a args::Test,
    globals: &'a Globals,
    project: &'a mut Option<Project>,
    known: &'a BTreeSet<String>,
    folder: &'a Path,
}

/// Waits for a change that concerns tests, and says so.
async fn concerned(watch: &mut Watch, seen: Seen<'_>, console: &Console) -> Wanted {
    loop {
        let files = watch.changed(console).await;
        let wanted = seen.concerned(&files);
        if let Some(wanted) = wanted {
            let folder = seen
                .project
                .as_ref()
                .map_or(seen.folder, |project| project.folder.as_path());
            console.say(&format!("\nchanged: {}\n", shown(&files, folder)));
            return wanted;
        }
    }
}

impl Seen<'_> {
    fn concerned(&self, files: &[PathBuf]) -> Option<Wanted> {
        // What cannot be loaded any more is told by the next run.
        let Ok(project) = open::find(self.globals) else {
            return Some(Wanted::All);
        };
        let Ok(jobs) = jobs(self.args, project.as_ref()) else {
            return Some(Wanted::All);
        };
        let is_own = |path: &Path| {
            jobs.iter()
                .any(|job| matches!(job, Job::File(file) if file.path == path))
        };
        let is_shared = |path: &PathBuf| is_code(path) && !is_own(path) && !is_test_name(path);
        if is_other(self.project.as_ref(), project.as_ref()) || files.iter().any(is_shared) {
            return Some(Wanted::All);
        }
        let own = |job: &&Job| match job {
            Job::File(file) => files.contains(&file.path) || !self.known.contains(&file.name),
            Job::Entry(_) => false,
        };
        let names: BTreeSet<String> = jobs.iter().filter(own).map(|job| job.name().to_owned()).collect();
        (!names.is_empty()).then_some(Wanted::Some(names))
    }
}
