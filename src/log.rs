//! Log records as data. Any room may hand one to the [`Log`] it was given; only the command line decides where they go.

use std::sync::Arc;
use std::time::SystemTime;

use crate::error::Error;
use crate::id::{EntryId, Pid};
use crate::value::Value;

/// How much a record matters, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    pub const fn as_str(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}

/// One record: what happened, to whom.
#[derive(Clone, Debug)]
pub struct Record {
    pub at: SystemTime,
    pub level: Level,
    /// Dotted name of the logger, empty for the root.
    pub logger: String,
    pub message: String,
    pub pid: Option<Pid>,
    pub entry: Option<EntryId>,
    /// Named values in the order given.
    pub fields: Vec<(String, Value)>,
}

impl Record {
    pub fn new(level: Level, message: impl Into<String>) -> Record {
        Record {
            at: SystemTime::now(),
            level,
            logger: String::new(),
            message: message.into(),
            pid: None,
            entry: None,
            fields: Vec::new(),
        }
    }

    /// The same record, about that process.
    #[must_use]
    pub fn about(mut self, pid: &Pid, entry: &EntryId) -> Record {
        self.pid = Some(pid.clone());
        self.entry = Some(entry.clone());
        self
    }

    /// The same record, with the error that it is about: kind, text, and the frames if there are any.
    #[must_use]
    pub fn because(self, error: &Error) -> Record {
        let record = self
            .field("kind", error.kind().as_str())
            .field("error", error.to_string());
        let frames: Vec<Value> = error
            .frames()
            .iter()
            .map(|frame| Value::from(frame.to_string()))
            .collect();
        match frames.is_empty() {
            true => record,
            false => record.field("frames", Value::array(frames)),
        }
    }

    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Record {
        self.fields.push((name.to_owned(), value.into()));
        self
    }
}

/// Takes records. Must not block: it is called on worker threads.
pub trait Sink: Send + Sync {
    fn record(&self, record: Record);
    /// Whether records of that level are wanted at all.
    fn enabled(&self, level: Level) -> bool;
}

/// A shared handle to wherever records go.
#[derive(Clone)]
pub struct Log(Arc<dyn Sink>);

impl Log {
    pub fn new(sink: impl Sink + 'static) -> Log {
        Log(Arc::new(sink))
    }

    /// Drops every record.
    pub fn none() -> Log {
        struct Nowhere;
        impl Sink for Nowhere {
            fn record(&self, _: Record) {}
            fn enabled(&self, _: Level) -> bool {
                false
            }
        }
        Log::new(Nowhere)
    }

    pub fn record(&self, record: Record) {
        if self.0.enabled(record.level) {
            self.0.record(record);
        }
    }

    pub fn enabled(&self, level: Level) -> bool {
        self.0.enabled(level)
    }
}
