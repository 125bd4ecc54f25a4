//! `wippy test --watch`: everything once, then again whatever a changed file concerns.
//!
//! Whom a change concerns is known from what the tests have used ([`concern`]). A run that is outdated before its end is ended, and all of it is run again with what the change concerns.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use tokio::sync::oneshot;

use super::concern::{self, Before, Concern};
use super::discover::FOLDER;
use super::event::Summary;
use super::runner::{Job, Ledger, Setting};
use super::stop::Stop;
use super::{jobs, report, seed, setting, shuffled, verdict};
use crate::cli::args::{self, Globals};
use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::open;
use crate::cli::watch::{Root, Watch, driver, roots, shown};
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
        ledger: Arc::default(),
    };
    let mut wanted = Wanted::All;
    loop {
        wanted = match watcher.round(&wanted) {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(stop.signal().map_or(0, |signal| signal.code())),
            Err(failure) => {
                watcher.tell(&failure);
                match watcher.wait() {
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
    ledger: Arc<Ledger>,
}

impl Watcher<'_> {
    /// Runs what is wanted and waits for a change: what is wanted then. None at the end.
    fn round(&mut self, wanted: &Wanted) -> Result<Option<Wanted>, Failure> {
        self.project = open::find(self.globals)?;
        while self.follow() {
            // It was read before anybody watched.
            self.project = open::find(self.globals)?;
        }
        if let Some(project) = &self.project {
            open::tell_unread(project, self.globals, self.console);
        }
        let mut all = jobs(self.args, self.project.as_ref())?;
        self.known = all.iter().map(|job| job.name().to_owned()).collect();
        all.retain(|job| wanted.has(job.name()));
        let ended = self.run(all)?;
        if let Some(next) = ended.outdated {
            return Ok(Some(wanted.and(&next)));
        }
        if let Err(failure) = verdict(&ended.summary, self.args) {
            self.tell(&failure);
        }
        Ok(self.wait())
    }

    /// Watches the project, or without one what was named. Whether these are others than before.
    fn follow(&mut self) -> bool {
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
        self.watch.follow(folders, self.console)
    }

    /// Runs the jobs, until a change that concerns a test comes before their end.
    fn run(&mut self, jobs: Vec<Job>) -> Result<Ended, Failure> {
        let stop = self.stop.for_one_run();
        let setting = Setting {
            ledger: Some(self.ledger.clone()),
            ..setting(
                self.args,
                self.timeout,
                self.project.as_ref(),
                stop.clone(),
                self.globals,
            )?
        };
        let jobs = shuffled(jobs, seed(self.args));
        let (format, console) = (self.args.format, self.console);
        let (driver, watch) = (&self.driver, &mut self.watch);
        let seen = Seen {
            args: self.args,
            globals: self.globals,
            project: self.project.as_ref(),
            known: &self.known,
            ledger: &self.ledger,
            here: &self.here,
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
    fn wait(&mut self) -> Option<Wanted> {
        if self.stop.is_asked() {
            return None;
        }
        self.console.say("waiting for a change; stop with Ctrl-C\n");
        let (driver, watch, console, stop) = (&self.driver, &mut self.watch, self.console, self.stop);
        let seen = Seen {
            args: self.args,
            globals: self.globals,
            project: self.project.as_ref(),
            known: &self.known,
            ledger: &self.ledger,
            here: &self.here,
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
    project: Option<&'a Project>,
    known: &'a BTreeSet<String>,
    ledger: &'a Ledger,
    here: &'a Path,
}

/// Waits for a change that concerns tests; says what has changed, what runs again, and why.
async fn concerned(watch: &mut Watch, seen: Seen<'_>, console: &Console) -> Wanted {
    loop {
        let files = watch.changed(console).await;
        let concern = seen.concerned(&files);
        let text = concern.to_text();
        let wanted = match concern {
            Concern::Everything(_) => Wanted::All,
            Concern::Some(names) if names.is_empty() => continue,
            Concern::Some(names) => Wanted::Some(names.into_keys().collect()),
        };
        console.say(&format!("\nchanged: {}\n{text}", shown(&files, seen.folder())));
        return wanted;
    }
}

impl Seen<'_> {
    /// As seen from which files are named.
    fn folder(&self) -> &Path {
        self.project.map_or(self.here, |project| project.folder.as_path())
    }

    fn concerned(&self, files: &[PathBuf]) -> Concern {
        // What cannot be loaded any more is told by the next run.
        let loaded = open::find(self.globals).and_then(|project| Ok((jobs(self.args, project.as_ref())?, project)));
        let Ok((jobs, project)) = loaded else {
            return Concern::Everything("the project cannot be loaded".to_owned());
        };
        let used = self.ledger.lock();
        let before = Before {
            project: self.project,
            known: self.known,
            used: &used,
            folder: self.folder(),
        };
        concern::of(files, &before, project.as_ref(), &jobs)
    }
}
