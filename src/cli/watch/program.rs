//! `wippy run --watch NAME`: one program, stopped and started again when its files change; when it has ended, a change starts it
//! again too.

use std::future::ready;
use std::path::Path;

use super::{Root, Watch, driver, is_code, is_other, roots, shown};
use crate::cli::args::Globals;
use crate::cli::console::Console;
use crate::cli::failure::{Failure, code};
use crate::cli::log::ConsoleLog;
use crate::cli::run::{self, Job, Source, stop};
use crate::cli::signals::{Signal, Signals};
use crate::cli::{open, script};
use crate::log::{Level, Log, Record};
use crate::project::Project;
use crate::race::{First, first};
use crate::runtime::Runtime;
use crate::system::terminal::Stream;

/// Runs what `make` makes, until a signal, or until nobody reads its output.
///
/// # Errors
/// When it cannot be known what is to run; what is wrong with the program is shown, and waited for to be mended.
pub fn run(make: impl Fn() -> Result<Job, Failure>, globals: &Globals, console: &Console) -> Result<u8, Failure> {
    if let Err(failure) = make()
        && matches!(failure.code, code::USAGE | code::UNKNOWN)
    {
        return Err(failure);
    }
    driver()?.block_on(async {
        let mut watcher = Watcher {
            asked: listen()?,
            signals: listen()?,
            watch: Watch::open(Vec::new(), console),
            project: None,
            log: Log::new(ConsoleLog::new(console, globals)),
            globals,
            console,
        };
        loop {
            if let Some(code) = watcher.round(&make).await {
                return code;
            }
        }
    })
}

fn listen() -> Result<Signals, Failure> {
    Signals::listen().map_err(|error| Failure::refused("cannot listen for signals", &error))
}

struct Watcher<'a> {
    globals: &'a Globals,
    console: &'a Console,
    log: Log,
    /// Whether the program was asked to end, whoever heard it first.
    asked: Signals,
    /// For the run itself.
    signals: Signals,
    watch: Watch,
    /// As it was last seen.
    project: Option<Project>,
}

/// The exit code, if it is time to end.
type Over = Option<Result<u8, Failure>>;

impl Watcher<'_> {
    /// One run, and the wait for a change after it.
    async fn round(&mut self, make: &impl Fn() -> Result<Job, Failure>) -> Over {
        // Before the job: a change between the two is found as one, and not lost.
        match open::load(self.globals) {
            Ok(project) => self.project = project,
            // Its folder is gone; it may come back.
            Err(failure) => {
                self.tell(Err(failure));
                return self.wait().await;
            }
        }
        let mut job = make();
        if self.follow(job.as_ref().ok()) {
            // It was read before anybody watched.
            job = make();
        }
        let booted = job.and_then(|job| Ok((run::boot(&job, self.globals, self.console)?, job)));
        let ended = match booted {
            Ok((runtime, job)) => match self.once(&runtime, &job).await {
                Some(result) => result,
                None => return self.signal().await.map(|signal| Ok(signal.code())),
            },
            Err(failure) => Err(failure),
        };
        if let Some(signal) = self.signal().await {
            // Also when it came just after the program had ended by itself: it ends the watch.
            return Some(ended.map(|_| signal.code()));
        }
        if self.is_unread().await {
            return Some(ended);
        }
        self.tell(ended);
        self.wait().await
    }

    /// Runs the job to its end; none when a change came first, and it was stopped.
    async fn once(&mut self, runtime: &Runtime, job: &Job) -> Option<Result<u8, Failure>> {
        let ended = {
            let (watch, project) = (&mut self.watch, &mut self.project);
            let session = run::session(runtime, job, &mut self.signals, self.console);
            let changed = concerning(watch, project, self.globals, self.console);
            first(session, changed).await
        };
        match ended {
            First::Left(result) => Some(result),
            First::Right(files) => {
                self.say("files changed; the program is started again", &files);
                stop(runtime, &mut self.signals).await;
                None
            }
        }
    }

    async fn wait(&mut self) -> Over {
        let console = self.console;
        let changed = concerning(&mut self.watch, &mut self.project, self.globals, console);
        match first(self.asked.next(), first(changed, console.terminal().hung_up())).await {
            First::Left(signal) => Some(Ok(signal.code())),
            First::Right(First::Left(files)) => {
                self.say("files changed; the program is started again", &files);
                None
            }
            First::Right(First::Right(())) => Some(Ok(0)),
        }
    }

    /// Watches the project, and the folder of a file that is run. Whether these are others than before.
    fn follow(&mut self, job: Option<&Job>) -> bool {
        let mut folders: Vec<Root> = self.project.iter().flat_map(roots).collect();
        folders.extend(job.into_iter().filter_map(own_folder));
        self.watch.follow(folders, self.console)
    }

    /// A signal that has come.
    async fn signal(&mut self) -> Option<Signal> {
        match first(self.asked.next(), ready(())).await {
            First::Left(signal) => Some(signal),
            First::Right(()) => None,
        }
    }

    async fn is_unread(&self) -> bool {
        let hung_up = first(self.console.terminal().hung_up(), ready(())).await;
        matches!(hung_up, First::Left(()))
    }

    fn tell(&self, ended: Result<u8, Failure>) {
        let code = ended.unwrap_or_else(|failure| {
            self.console.say(&failure.to_text(self.console.paint(Stream::Err)));
            failure.code
        });
        let record = Record::new(Level::Info, "ended; waiting for a change; stop with Ctrl-C");
        self.log.record(record.field("code", i64::from(code)));
    }

    fn say(&self, text: &str, files: &str) {
        self.log.record(Record::new(Level::Info, text).field("files", files));
    }
}

/// Waits for a change of what the program is made of; the files, as they are shown.
async fn concerning(watch: &mut Watch, project: &mut Option<Project>, globals: &Globals, console: &Console) -> String {
    loop {
        let files = watch.changed(console).await;
        // A project that cannot be opened any more is told by the next run.
        let now = open::load(globals).ok().flatten();
        let folder = now.as_ref().map(|project| project.folder.clone());
        if is_other(project.as_ref(), now.as_ref()) || files.iter().any(|path| is_code(path)) {
            return shown(&files, folder.as_deref().unwrap_or(Path::new("")));
        }
        *project = now;
    }
}

/// The folder of a program that is run by its file.
fn own_folder(job: &Job) -> Option<Root> {
    let file = match &job.program {
        Source::Script { path, .. } => Some(path.clone()),
        Source::Entry(entry) => match entry.place() {
            Some(_) => None,
            None => job.registry.module_file(entry),
        },
    };
    let folder = file.and_then(|file| script::folder_of(&file).canonicalize().ok());
    folder.map(Root::flat)
}
