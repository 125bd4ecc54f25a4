//! Where log records go: one line each on stderr, as text or as JSON, and never at the price of a blocked worker.
//!
//! A line longer than 8 KiB is split. When stderr is not read as fast as records come they are dropped, counted, and the
//! number is told as soon as there is room, at the latest when the program ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use jiff::{Timestamp, Zoned, tz::TimeZone};
use serde_json::{Map, Value as Json};

use super::args::{Globals, LogFormat};
use super::console::{Console, Paint};
use super::open;
use crate::json;
use crate::legible::escaped;
use crate::log::{Level, Record, Sink};
use crate::project::Logger;
use crate::system::terminal::{Stream, Terminal};

/// Longer lines are split, so that one record cannot hold up the others.
const LONGEST_LINE: usize = 8 << 10;

/// The sink of the command line.
#[derive(Clone)]
pub struct ConsoleLog(Arc<State>);

struct State {
    terminal: Arc<Terminal>,
    format: LogFormat,
    paint: Paint,
    lowest: Level,
    /// The terminal host has `hide_logs`.
    hidden: AtomicBool,
    dropped: AtomicU64,
}

impl ConsoleLog {
    /// For the project that the command line means, which nobody has loaded.
    pub fn new(console: &Console, globals: &Globals) -> ConsoleLog {
        ConsoleLog::configured(open::logger(globals), console, globals)
    }

    /// As a project wants it, unless the command line says something else.
    pub fn configured(configured: Logger, console: &Console, globals: &Globals) -> ConsoleLog {
        let lowest = match (globals.silent, globals.verbose) {
            (true, _) => Level::Error,
            (false, 0) => configured.level.unwrap_or(Level::Info),
            _ => Level::Debug,
        };
        let format = globals.log_format.unwrap_or(match configured.json {
            Some(true) => LogFormat::Json,
            _ => LogFormat::Text,
        });
        let log = ConsoleLog(Arc::new(State {
            terminal: console.terminal().clone(),
            format,
            paint: console.paint(Stream::Err),
            lowest,
            hidden: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
        }));
        console.set_log(&log);
        log
    }

    /// Says how many records were dropped since that was last said; false if none was.
    pub fn tell_dropped(&self) -> bool {
        let dropped = self.0.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let record = Record::new(Level::Warn, format!("{dropped} log records dropped"));
            self.0.emit(&record, dropped);
        }
        dropped > 0
    }

    /// Shows nothing from now on: the program has the screen for itself.
    pub fn hide(&self) {
        self.0.hidden.store(true, Ordering::Relaxed);
    }
}

impl Sink for ConsoleLog {
    fn record(&self, record: Record) {
        self.tell_dropped();
        self.0.emit(&record, 0);
    }

    fn enabled(&self, level: Level) -> bool {
        level >= self.0.lowest && !self.0.hidden.load(Ordering::Relaxed)
    }
}

impl State {
    /// Writes the record whole or not at all; `carried` is what is lost with it.
    fn emit(&self, record: &Record, carried: u64) {
        let lines = match self.format {
            LogFormat::Text => text(record, self.paint),
            LogFormat::Json => json_line(record),
        };
        // A broken stream has no reader who could miss it.
        let taken = self.terminal.try_write_whole(Stream::Err, lines.as_bytes());
        if !taken.unwrap_or(false) {
            self.dropped.fetch_add(1 + carried, Ordering::Relaxed);
        }
    }
}

fn text(record: &Record, paint: Paint) -> String {
    let mut line = format!("{} {}", paint.dim(&clock(record.at)), level(record.level, paint));
    if !record.logger.is_empty() {
        line.push_str(&format!(" {}:", escaped(&record.logger)));
    }
    line.push(' ');
    line.push_str(&escaped(&record.message));
    for (name, value) in &record.fields {
        let name = paint.dim(&format!("{}=", escaped(name)));
        line.push_str(&format!(" {name}{}", escaped(&json::compact(value))));
    }
    if let Some(pid) = &record.pid {
        let entry = record
            .entry
            .as_ref()
            .map(|entry| format!("{entry} "))
            .unwrap_or_default();
        line.push_str(&format!(" {}", paint.dim(&escaped(&format!("[{entry}{pid}]")))));
    }
    split(&line)
}

/// Ends every line, and breaks those that are too long.
fn split(text: &str) -> String {
    let mut lines = String::with_capacity(text.len() + 1);
    for line in text.lines() {
        let mut rest = line;
        while rest.len() > LONGEST_LINE {
            let (head, tail) = rest.split_at(rest.floor_char_boundary(LONGEST_LINE));
            lines.push_str(head);
            lines.push('\n');
            rest = tail;
        }
        lines.push_str(rest);
        lines.push('\n');
    }
    lines
}

fn level(level: Level, paint: Paint) -> String {
    match level {
        Level::Debug => paint.dim("debug"),
        Level::Info => paint.blue("info"),
        Level::Warn => paint.yellow("warn"),
        Level::Error => paint.red("error"),
    }
}

fn clock(at: SystemTime) -> String {
    let at = Timestamp::try_from(at).unwrap_or_default();
    Zoned::new(at, TimeZone::system()).strftime("%H:%M:%S%.3f").to_string()
}

fn json_line(record: &Record) -> String {
    let at = Timestamp::try_from(record.at).unwrap_or_default();
    let mut object = Map::new();
    let mut put = |name: &str, value: String| object.insert(name.to_owned(), Json::String(value));
    put("time", at.to_string());
    put("level", record.level.as_str().to_owned());
    if !record.logger.is_empty() {
        put("logger", record.logger.clone());
    }
    put("message", record.message.clone());
    if let Some(entry) = &record.entry {
        put("entry", entry.to_string());
    }
    if let Some(pid) = &record.pid {
        put("pid", pid.to_string());
    }
    if !record.fields.is_empty() {
        let fields = record
            .fields
            .iter()
            .map(|(name, value)| (name.clone(), json::from(value)));
        object.insert("fields".to_owned(), Json::Object(fields.collect()));
    }
    format!("{}\n", Json::Object(object))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_split_and_none_is_lost() {
        let text = "ä".repeat(LONGEST_LINE);
        let lines = split(&text);
        assert!(lines.lines().all(|line| line.len() <= LONGEST_LINE));
        assert_eq!(lines.lines().collect::<String>(), text);
    }

    #[test]
    fn control_characters_of_a_record_do_nothing_to_the_terminal() {
        let record = Record::new(Level::Info, "\x1b[2Ja\0b\r\nc\td\re\u{9b}ä").field("\x07", "\x1b\u{9d}");
        let line = text(&record, crate::cli::console::PLAIN);
        let shown: String = line.split(" info ").skip(1).collect();
        assert_eq!(
            shown,
            "\\u{1b}[2Ja\\u{0}b\nc\td\\re\\u{9b}ä \\u{7}=\"\\u001b\\u{9d}\"\n"
        );
    }

    #[test]
    fn a_json_record_is_one_line() {
        let record = Record::new(Level::Warn, "two\nlines").field("n", 7i64);
        let line = json_line(&record);
        assert_eq!(line.lines().count(), 1);
        let back: Json = serde_json::from_str(&line).unwrap();
        assert_eq!(back["message"], "two\nlines");
        assert_eq!(back["fields"]["n"], 7);
    }
}
