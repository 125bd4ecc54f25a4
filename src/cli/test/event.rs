//! What happens in a test run, as data: the core publishes events, every reporter reads the same ones.
//!
//! Events of a test file begin as tables of the half in Lua (`lua/test/suite.lua`); here they get types. Reporters never
//! see a Lua value, and nothing here knows what a report looks like.

use std::time::Duration;

use crate::error::Frame;
use crate::value::Value;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Test(Report),
    /// Something to know about a file that belongs to no test.
    Note {
        file: String,
        text: String,
    },
    /// A test that `--list` names.
    Listed {
        file: String,
        path: Vec<String>,
        line: u32,
    },
    Ended(Summary),
}

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Passed,
    Failed,
    Pending,
}

/// A test and its outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The file as the user would name it, or the id of an entry.
    pub file: String,
    /// Names of the blocks around it and its own; empty when the file itself is meant.
    pub path: Vec<String>,
    /// Where it is declared; 0 when unknown.
    pub line: u32,
    pub status: Status,
    pub took: Duration,
    pub failure: Option<Failure>,
    /// Why it is pending.
    pub reason: Option<String>,
    /// Processes that it left running, as `entry pid`.
    pub left: Vec<String>,
    /// What was written to the terminal meanwhile.
    pub output: String,
    /// What the log says about processes that died meanwhile.
    pub crashes: Vec<String>,
}

/// Why a test failed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Failure {
    pub message: String,
    /// The hook it happened in.
    pub hook: Option<String>,
    /// Lines of a comparison: `- ` expected, `+ ` found.
    pub diff: Vec<String>,
    pub frames: Vec<Frame>,
}

/// All of it in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    pub files: usize,
    pub passed: usize,
    pub failed: usize,
    pub pending: usize,
    pub listed: usize,
    /// Of a random order.
    pub seed: Option<u32>,
    pub took: Duration,
}

impl Summary {
    pub fn count(&mut self, event: &Event) {
        match event {
            Event::Test(report) => match report.status {
                Status::Passed => self.passed += 1,
                Status::Failed => self.failed += 1,
                Status::Pending => self.pending += 1,
            },
            Event::Listed { .. } => self.listed += 1,
            Event::Note { .. } | Event::Ended(_) => {}
        }
    }

    /// Tests that were seen at all.
    pub fn found(&self) -> usize {
        self.passed + self.failed + self.pending + self.listed
    }
}

impl Report {
    /// The failure of a file as a whole.
    pub fn broken(file: &str, failure: Failure) -> Report {
        Report {
            file: file.to_owned(),
            path: Vec::new(),
            line: 0,
            status: Status::Failed,
            took: Duration::ZERO,
            failure: Some(failure),
            reason: None,
            left: Vec::new(),
            output: String::new(),
            crashes: Vec::new(),
        }
    }

    /// Its full name: `block › test`, or the file.
    pub fn title(&self) -> String {
        match self.path.is_empty() {
            true => self.file.clone(),
            false => self.path.join(" › "),
        }
    }

    /// Where it failed, else where it stands: `file:line`.
    pub fn place(&self) -> String {
        let mut frames = self.failure.iter().flat_map(|failure| &failure.frames);
        // A guest's frame may have no line.
        match frames.find(|frame| frame.line > 0) {
            Some(frame) => format!("{}:{}", frame.source, frame.line),
            None if self.line > 0 => format!("{}:{}", self.file, self.line),
            None => self.file.clone(),
        }
    }
}

impl Event {
    /// Reads an event of the Lua half. None for a table that is no event.
    pub fn read(file: &str, value: &Value) -> Option<Event> {
        match text(value, "type")?.as_str() {
            "test" if text(value, "status")? == "listed" => Some(Event::Listed {
                file: file.to_owned(),
                path: texts(value, "path"),
                line: line(value),
            }),
            "test" => read_test(file, value).map(Event::Test),
            "broken" => {
                let failure = value.get("failure").map(read_failure)?;
                Some(Event::Test(Report::broken(file, failure)))
            }
            "left" => Some(Event::Note {
                file: file.to_owned(),
                text: format!(
                    "{}: left running, ended: {}",
                    texts(value, "path").join(" › "),
                    texts(value, "left").join(", ")
                ),
            }),
            _ => None,
        }
    }
}

fn read_test(file: &str, value: &Value) -> Option<Report> {
    Some(Report {
        file: file.to_owned(),
        path: texts(value, "path"),
        line: line(value),
        status: match text(value, "status")?.as_str() {
            "passed" => Status::Passed,
            "pending" => Status::Pending,
            _ => Status::Failed,
        },
        took: Duration::from_nanos(value.get("took").and_then(integer).unwrap_or(0)),
        failure: value.get("failure").map(read_failure),
        reason: text(value, "reason"),
        left: texts(value, "left"),
        output: String::new(),
        crashes: Vec::new(),
    })
}

fn read_failure(value: &Value) -> Failure {
    let frames = items(value, "frames");
    Failure {
        message: text(value, "message").unwrap_or_default(),
        hook: text(value, "where"),
        diff: texts(value, "diff"),
        frames: frames.iter().map(read_frame).collect(),
    }
}

fn read_frame(value: &Value) -> Frame {
    Frame {
        source: text(value, "source").unwrap_or_default(),
        line: line(value),
        name: text(value, "name").unwrap_or_default(),
    }
}

fn text(value: &Value, field: &str) -> Option<String> {
    value.get(field).and_then(lossy)
}

fn lossy(value: &Value) -> Option<String> {
    match value {
        Value::Str(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    }
}

fn items(value: &Value, field: &str) -> Vec<Value> {
    match value.get(field) {
        Some(Value::Table(table)) => table.array.clone(),
        _ => Vec::new(),
    }
}

fn texts(value: &Value, field: &str) -> Vec<String> {
    items(value, field).iter().filter_map(lossy).collect()
}

fn integer(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

fn line(value: &Value) -> u32 {
    let line = value.get("line").and_then(integer).unwrap_or(0);
    u32::try_from(line).unwrap_or(0)
}

#[cfg(test)]
pub mod samples {
    //! One event of each sort, for the tests of the reporters.

    use super::*;

    fn report(path: &[&str], line: u32, status: Status) -> Report {
        Report {
            path: path.iter().map(|name| (*name).to_owned()).collect(),
            line,
            status,
            took: Duration::from_millis(3),
            failure: None,
            ..Report::broken("tests/sum_test.lua", Failure::default())
        }
    }

    /// A failure of a test that knows how to speak to terminals.
    pub fn unruly() -> Report {
        Report {
            file: "tests/\x1b.lua".into(),
            failure: Some(Failure {
                message: "one\x1b[2J\ntwo".into(),
                diff: vec!["- \0".into()],
                ..Failure::default()
            }),
            output: "\x1b[31mred".into(),
            ..report(&["a\nb", "c\x1b[2J"], 3, Status::Failed)
        }
    }

    pub fn events() -> Vec<Event> {
        let failed = Report {
            failure: Some(Failure {
                message: "values are not equal".into(),
                diff: vec!["- 42".into(), "+ \"<41>\"".into()],
                frames: vec![Frame {
                    source: "tests/sum_test.lua".into(),
                    line: 9,
                    name: "check".into(),
                }],
                hook: Some("before_each".into()),
            }),
            left: vec!["app:worker {app:processes|0x00003}".into()],
            output: "one\ntwo".into(),
            crashes: vec!["app:worker {app:processes|0x00002} failed: boom".into()],
            ..report(&["sum", "adds & \"more\""], 8, Status::Failed)
        };
        let pending = Report {
            reason: Some("not yet".into()),
            took: Duration::ZERO,
            ..report(&["sum", "overflows"], 14, Status::Pending)
        };
        let broken = Failure {
            message: "tests/bad_test.lua:1: syntax error near <eof>".into(),
            ..Failure::default()
        };
        vec![
            Event::Test(report(&["sum", "is zero"], 4, Status::Passed)),
            Event::Test(failed),
            Event::Test(pending),
            Event::Note {
                file: "tests/sum_test.lua".into(),
                text: "sum: left running, ended: app:w {h|0x1}".into(),
            },
            Event::Test(Report::broken("tests/bad_test.lua", broken)),
            Event::Ended(Summary {
                files: 2,
                passed: 1,
                failed: 2,
                pending: 1,
                listed: 0,
                seed: Some(7),
                took: Duration::from_millis(1234),
            }),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_becomes_a_report() {
        let table = Value::map([
            ("type", Value::from("test")),
            ("status", Value::from("failed")),
            ("path", Value::array([Value::from("a"), Value::from("b")])),
            ("line", Value::Int(7)),
            ("took", Value::Int(1_500_000)),
            (
                "failure",
                Value::map([
                    ("message", Value::from("no")),
                    ("diff", Value::array([Value::from("- 1"), Value::from("+ 2")])),
                    (
                        "frames",
                        Value::array([Value::map([("source", Value::from("x.lua")), ("line", Value::Int(3))])]),
                    ),
                ]),
            ),
        ]);
        let Some(Event::Test(report)) = Event::read("x.lua", &table) else {
            panic!("no report")
        };
        assert_eq!(report.title(), "a › b");
        assert_eq!(report.place(), "x.lua:3");
        assert_eq!(report.took, Duration::from_micros(1500));
        assert_eq!(report.failure.unwrap().diff, ["- 1", "+ 2"]);
        assert_eq!(Event::read("x.lua", &Value::map([("type", Value::from("?"))])), None);
    }

    #[test]
    fn a_summary_counts_what_it_sees() {
        let mut summary = Summary::default();
        samples::events().iter().for_each(|event| summary.count(event));
        assert_eq!((summary.passed, summary.failed, summary.pending), (1, 2, 1));
        assert_eq!(summary.found(), 4);
    }
}
