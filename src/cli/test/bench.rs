//! What stands behind one test file: where its events go, a folder for its modules and entries, and the log and terminal of
//! its runtime, from which each test takes what was written while it ran.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use sha2::{Digest, Sha256};

use super::event::{Event, Report, Status};
use super::runner::NAMESPACE;
use crate::error::{Error, Result};
use crate::id::{EntryId, Pid};
use crate::json;
use crate::lock::lock;
use crate::log::{Level, Record, Sink};
use crate::lua::modules::test::Bench;
use crate::process::FAILED;
use crate::project::{Override, Project};
use crate::runtime::Declarations;
use crate::system;
use crate::system::terminal::Terminal;
use crate::value::Value;

/// See the module page.
pub struct FileBench {
    /// As reports show the file.
    pub name: String,
    folder: PathBuf,
    project: Option<PathBuf>,
    overrides: Vec<Override>,
    /// `entries` and `modules`.
    scratch: tempfile::TempDir,
    made: AtomicUsize,
    pub terminal: Arc<Terminal>,
    /// How much of the terminal's two streams has been told.
    told: [AtomicUsize; 2],
    pub records: Records,
    /// The runtime's, once it is booted. Weak, because it holds the bench.
    pub declarations: OnceLock<Weak<Declarations>>,
    events: Mutex<Sender<Event>>,
    stopped: Arc<AtomicBool>,
    fail_fast: bool,
}

/// What the runtime of a file said.
#[derive(Clone, Default)]
pub struct Records(Arc<Mutex<Vec<Record>>>);

impl Sink for Records {
    fn record(&self, record: Record) {
        if record.level < Level::Info && !is_crash(&record) {
            return;
        }
        lock(&self.0).push(record);
    }

    /// The record of a failure that somebody was told of is for debugging, and so is a failed test.
    fn enabled(&self, _: Level) -> bool {
        true
    }
}

/// Whether it tells of a process that failed, in words of the kernel's. How the process of the tests themselves ended, which
/// has the terminal, is told by whoever runs it.
fn is_crash(record: &Record) -> bool {
    let of_another = |pid: &Pid| pid.host() != format!("{NAMESPACE}:terminal");
    record.logger.is_empty() && record.message == FAILED && record.pid.as_ref().is_some_and(of_another)
}

impl Records {
    fn take(&self) -> Vec<Record> {
        std::mem::take(&mut *lock(&self.0))
    }
}

/// What a bench is made from.
pub struct Place<'a> {
    pub name: &'a str,
    pub folder: PathBuf,
    pub project: Option<PathBuf>,
    pub overrides: Vec<Override>,
}

impl FileBench {
    /// # Errors
    /// When there is no room for temporary files.
    pub fn new(
        place: Place<'_>,
        events: Sender<Event>,
        stopped: Arc<AtomicBool>,
        fail_fast: bool,
    ) -> io::Result<FileBench> {
        let scratch = tempfile::Builder::new().prefix("wippy-test-").tempdir()?;
        let bench = FileBench {
            name: place.name.to_owned(),
            folder: place.folder,
            project: place.project,
            overrides: place.overrides,
            made: AtomicUsize::new(0),
            terminal: Terminal::captured(Vec::new()),
            told: Default::default(),
            records: Records::default(),
            declarations: OnceLock::new(),
            events: Mutex::new(events),
            stopped,
            fail_fast,
            scratch,
        };
        std::fs::create_dir(bench.modules())?;
        std::fs::create_dir(bench.entries())?;
        bench.write_entry(
            &Value::map([
                ("name", Value::from("modules")),
                ("kind", Value::from("fs.directory")),
                ("directory", Value::from(bench.modules().display().to_string())),
            ]),
            "test",
        )?;
        Ok(bench)
    }

    fn modules(&self) -> PathBuf {
        self.scratch.path().join("modules")
    }

    fn entries(&self) -> PathBuf {
        self.scratch.path().join("entries")
    }

    /// The project as this file sees it: with the entries that it has declared.
    pub fn load(&self) -> Project {
        let nowhere = self.scratch.path().join("nothing");
        let folder = self.project.as_deref().unwrap_or(&nowhere);
        system::load_with(folder, &[self.entries()], &self.overrides)
    }

    fn write_entry(&self, fields: &Value, namespace: &str) -> io::Result<()> {
        // The file that is read last counts.
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let file = serde_json::json!({"version": "1.0", "namespace": namespace, "entries": [json::from(fields)]});
        std::fs::write(self.entries().join(format!("{number:06}.json")), file.to_string())
    }

    /// Publishes an event, with what was written and logged since the last one.
    pub fn tell(&self, event: Event) {
        let event = match event {
            Event::Test(report) => Event::Test(self.complete(report)),
            other => other,
        };
        if self.fail_fast && matches!(&event, Event::Test(report) if report.status == Status::Failed) {
            self.stopped.store(true, Ordering::SeqCst);
        }
        // A receiver that has gone wants nothing more.
        let _ = lock(&self.events).send(event);
    }

    /// What was written to a stream since it was last asked.
    fn news(&self, stream: usize, written: &[u8]) -> String {
        let told = self.told[stream].swap(written.len(), Ordering::Relaxed);
        String::from_utf8_lossy(written.get(told..).unwrap_or_default()).into_owned()
    }

    fn complete(&self, report: Report) -> Report {
        let mut output = self.news(0, &self.terminal.output()) + &self.news(1, &self.terminal.errors());
        let mut crashes = Vec::new();
        for record in self.records.take() {
            match record.level {
                // Whoever was told of it may have wanted it.
                Level::Debug if report.status != Status::Failed => {}
                Level::Error | Level::Debug => crashes.push(self.shortened(&record)),
                _ => output.push_str(&format!("{}\n", self.shortened(&record))),
            }
        }
        Report {
            output,
            crashes,
            ..report
        }
    }

    /// A record as a line, without the folder in which declared entries happen to be.
    fn shortened(&self, record: &Record) -> String {
        text(record).replace(&format!("{}/", self.entries().display()), "")
    }
}

/// A record as a line: what, about whom, with which values.
fn text(record: &Record) -> String {
    let mut line = match &record.entry {
        Some(entry) => format!("{entry}: {}", record.message),
        None => record.message.clone(),
    };
    for (name, value) in &record.fields {
        match value {
            Value::Error(error) => line.push_str(&format!(" {name}={error}")),
            value => line.push_str(&format!(" {name}={}", json::compact(value))),
        }
    }
    line
}

impl Bench for FileBench {
    fn report(&self, event: Value) {
        if let Some(event) = Event::read(&self.name, &event) {
            self.tell(event);
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    fn folder(&self) -> &Path {
        &self.folder
    }

    fn keep(&self, module: &[u8]) -> Result<Vec<(&'static str, Value)>> {
        let digest = Sha256::digest(module);
        let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let file = format!("{hash}.wasm");
        std::fs::write(self.modules().join(&file), module).map_err(unwritable)?;
        Ok(vec![
            ("fs", Value::from("test:modules")),
            ("path", Value::from(format!("/{file}"))),
            ("hash", Value::from(format!("sha256:{hash}"))),
        ])
    }

    fn declare(&self, fields: Value) -> Result<EntryId> {
        let Value::Table(mut table) = fields else {
            return Err(Error::invalid("an entry is a table of fields"));
        };
        let namespace = text_field(&table, "namespace").unwrap_or_else(|| "test".to_owned());
        let name = text_field(&table, "name").unwrap_or_else(|| format!("entry-{}", self.made.load(Ordering::Relaxed)));
        table
            .pairs
            .retain(|(key, _)| *key != Value::from("namespace") && *key != Value::from("name"));
        table.pairs.push((Value::from("name"), Value::from(name.as_str())));
        let id = EntryId::new(&namespace, &name);
        self.write_entry(&Value::Table(table), &namespace).map_err(unwritable)?;
        let entry = self.load().registry.usable(&id)?;
        let declarations = self.declarations.get().and_then(Weak::upgrade);
        let declarations = declarations.ok_or_else(|| Error::unavailable("the runtime of this file has stopped"))?;
        declarations.declare(entry)?;
        Ok(id)
    }
}

fn text_field(table: &crate::value::Table, field: &str) -> Option<String> {
    table.get(field).and_then(Value::as_str).map(str::to_owned)
}

fn unwritable(error: io::Error) -> Error {
    Error::internal(format!("cannot write a temporary file: {error}"))
}
