//! Why a command did not succeed: its exit code, and what a person is told.
//!
//! Layout: `error[Kind]: message (entry pid)`, then the frames, then what to do about it. Diagnostics of a project are
//! rendered by [`project::diagnostic`](crate::project::diagnostic) and only placed here.

use std::fmt::Write as _;

use super::console::Paint;
use super::hint;
use crate::error::{Error, Frame, Kind};
use crate::id::{EntryId, Pid};
use crate::legible::escaped;
use crate::process::Cause;
use crate::project::Registry;
use crate::project::diagnostic::{Code, Diagnostic, Style, to_text};
use crate::value::Value;

/// Exit codes with a name; a guest's own code and a Lua main's number are the others.
pub mod code {
    pub const SUCCESS: u8 = 0;
    pub const FAILED: u8 = 1;
    pub const USAGE: u8 = 2;
    pub const PROJECT: u8 = 3;
    pub const UNKNOWN: u8 = 4;
    pub const HASH: u8 = 5;
    pub const TIME: u8 = 124;
    pub const TRAP: u8 = 134;
    pub const LIMIT: u8 = 137;
}

/// Bytes of a message that are shown.
const LONGEST: usize = 4096;

/// Places of a stack that are shown.
const MOST_FRAMES: usize = 20;

/// A command that failed.
#[derive(Debug)]
pub struct Failure {
    pub code: u8,
    report: Box<Report>,
}

/// What there is to say about it.
#[derive(Debug, Default)]
struct Report {
    /// None when the diagnostics, or the program itself, have said it all.
    error: Option<Error>,
    /// Who failed.
    process: Option<(EntryId, Pid)>,
    diagnostics: Vec<Diagnostic>,
    /// How the program is called.
    usage: Option<String>,
    /// What to do about it; may have several lines.
    help: Option<String>,
}

impl Failure {
    pub fn new(code: u8, error: Error) -> Failure {
        Failure::silent(code).change(|report| report.error = Some(error))
    }

    /// Nothing more to say than the exit code.
    pub fn silent(code: u8) -> Failure {
        Failure {
            code,
            report: Box::default(),
        }
    }

    /// Something that the operating system does not let us do.
    pub fn refused(what: &str, error: &std::io::Error) -> Failure {
        Failure::new(code::FAILED, Error::internal(format!("{what}: {error}")))
    }

    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(code::USAGE, Error::invalid(message))
    }

    /// An entry that cannot be used: its hash, or any other error. What was found in its files says more than the error.
    pub fn entry(error: Error, diagnostics: &[Diagnostic]) -> Failure {
        let found: Vec<Diagnostic> = diagnostics.iter().filter(|found| found.is_error()).cloned().collect();
        let code = match found.iter().any(|found| is_hash(found.code)) {
            true => code::HASH,
            false => code::PROJECT,
        };
        match found.is_empty() {
            true => Failure::new(code, error),
            false => Failure::silent(code).with_diagnostics(found),
        }
    }

    /// What could not be started: the project is to blame where its diagnostics say so.
    pub fn start(error: Error) -> Failure {
        let is_found = error
            .details()
            .is_some_and(|details| details.get("diagnostics").is_some());
        Failure::new(if is_found { code::PROJECT } else { code::FAILED }, error)
    }

    /// A process that ended otherwise than well. A guest that chose its exit code has said what it had to say.
    pub fn process(entry: &EntryId, pid: &Pid, cause: Cause, error: &Error) -> Failure {
        let code = match cause {
            Cause::Code(code) => return Failure::silent(low_byte(code)),
            Cause::TimeLimit => code::TIME,
            Cause::Limit => code::LIMIT,
            Cause::Trap => code::TRAP,
            Cause::Returned | Cause::Failed | Cause::Terminated | Cause::LinkBroken => code::FAILED,
        };
        let process = (entry.clone(), pid.clone());
        Failure::new(code, error.clone()).change(|report| report.process = Some(process))
    }

    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Failure {
        self.change(|report| report.help = Some(help.into()))
    }

    /// With what the project knows about its error, unless there is help already.
    #[must_use]
    pub fn with_hint(self, registry: &Registry) -> Failure {
        let hint = self.report.error.as_ref().and_then(|error| hint::of(error, registry));
        match (hint, &self.report.help) {
            (Some(hint), None) => self.help(hint),
            _ => self,
        }
    }

    /// The line that shows how the program is called.
    #[must_use]
    pub fn with_usage(self, usage: impl Into<String>) -> Failure {
        self.change(|report| report.usage = Some(usage.into()))
    }

    #[must_use]
    pub fn with_diagnostics(self, diagnostics: Vec<Diagnostic>) -> Failure {
        self.change(|report| report.diagnostics = diagnostics)
    }

    #[must_use]
    pub fn with_code(self, code: u8) -> Failure {
        Failure { code, ..self }
    }

    fn change(mut self, edit: impl FnOnce(&mut Report)) -> Failure {
        edit(&mut self.report);
        self
    }

    /// What a person is told, ending in a newline; may be empty.
    pub fn to_text(&self, paint: Paint) -> String {
        let report = &self.report;
        let mut text: String = report
            .diagnostics
            .iter()
            .map(|found| to_text(found, paint.style()))
            .collect();
        if let Some(error) = &report.error {
            text.push_str(&head(error, report.process.as_ref(), paint));
            write_frames(&mut text, &frames(error));
        }
        if let Some(usage) = &report.usage {
            let _ = writeln!(text, "{usage}");
        }
        for (at, line) in report.help.iter().flat_map(|help| help.lines()).enumerate() {
            let lead = if at == 0 { "  = help: " } else { "          " };
            let _ = writeln!(text, "{}", format!("{lead}{line}").trim_end());
        }
        text
    }
}

/// What the operating system keeps of a guest's exit code; one that is not 0 stays so.
fn low_byte(exit: i32) -> u8 {
    match exit.to_le_bytes()[0] {
        0 if exit != 0 => code::FAILED,
        byte => byte,
    }
}

/// The one line that says what went wrong.
fn head(error: &Error, process: Option<&(EntryId, Pid)>, paint: Paint) -> String {
    let title = match error.kind() {
        Kind::Unknown => "error".to_owned(),
        kind => format!("error[{}]", kind.as_str()),
    };
    let who = process
        .map(|(entry, pid)| format!(" ({})", escaped(&format!("{entry} {pid}"))))
        .unwrap_or_default();
    let message = shown(&error.to_string());
    format!("{}: {message}{}\n", paint.red(&title), paint.dim(&who))
}

/// A message of the program's: no control character reaches the terminal, and no endless text.
fn shown(message: &str) -> String {
    let end = message.floor_char_boundary(LONGEST);
    let text = escaped(&message[..end]);
    match message.len() - end {
        0 => text.into_owned(),
        left => format!("{text}… ({left} more bytes)"),
    }
}

/// A function that calls itself is one line, and no stack is longer than a screen.
fn write_frames(text: &mut String, frames: &[String]) {
    let groups: Vec<&[String]> = frames.chunk_by(|a, b| a == b).collect();
    for group in groups.iter().take(MOST_FRAMES) {
        let times = match group.len() {
            1 => String::new(),
            times => format!(" ({times} times)"),
        };
        let _ = writeln!(text, "    at {}{times}", escaped(&group[0]));
    }
    let left: usize = groups.iter().skip(MOST_FRAMES).map(|group| group.len()).sum();
    if left > 0 {
        let _ = writeln!(text, "    and {left} more");
    }
}

/// Where it came from, innermost first: Lua frames, or those of the guest.
fn frames(error: &Error) -> Vec<String> {
    if !error.frames().is_empty() {
        return error.frames().iter().map(Frame::to_string).collect();
    }
    match error.details().and_then(|details| details.get("frames")) {
        Some(Value::Table(table)) => table.array.iter().filter_map(guest_frame).collect(),
        _ => Vec::new(),
    }
}

fn guest_frame(frame: &Value) -> Option<String> {
    let text = |field: &str| frame.get(field).and_then(Value::as_str).unwrap_or("?");
    let offset = match frame.get("offset")? {
        Value::Int(offset) => format!(" +{offset:#x}"),
        _ => String::new(),
    };
    Some(format!("{}: in {}{offset}", text("module"), text("func")))
}

fn is_hash(found: Code) -> bool {
    matches!(found, Code::HashMismatch | Code::HashPlaceholder)
}

impl Paint {
    /// The same choice in the words of the diagnostics.
    pub fn style(self) -> Style {
        if self.is_on() { Style::Colour } else { Style::Plain }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::console::PLAIN;
    use crate::id::HostName;

    #[test]
    fn a_process_failure_names_entry_pid_and_frames() {
        let error = Error::internal("boom").with_frames(vec![Frame {
            source: "src/main.lua".into(),
            line: 3,
            name: "main".into(),
        }]);
        let (entry, pid) = (EntryId::new("app", "main"), Pid::new(HostName::keep("app:t"), 1));
        let failure = Failure::process(&entry, &pid, Cause::Failed, &error);
        assert_eq!(failure.code, 1);
        assert_eq!(
            failure.to_text(PLAIN),
            "error[Internal]: boom (app:main {app:t|0x00001})\n    at src/main.lua:3: in main\n"
        );
    }

    #[test]
    fn messages_and_stacks_are_bounded_and_harmless() {
        let frame = |line| Frame {
            source: "a.lua".into(),
            line,
            name: "f".into(),
        };
        let frames = [vec![frame(1); 30], (2..40).map(frame).collect()].concat();
        let error = Error::internal(format!("\x1b[31m{}", "é".repeat(5000))).with_frames(frames);
        let text = Failure::new(code::FAILED, error).to_text(PLAIN);
        assert!(
            text.starts_with("error[Internal]: \\u{1b}[31mé") && text.lines().count() == 22,
            "{text}"
        );
        let expected = "é… (5910 more bytes)\n    at a.lua:1: in f (30 times)\n    at a.lua:2: in f\n";
        assert!(
            text.contains(expected) && text.ends_with("    at a.lua:20: in f\n    and 19 more\n"),
            "{text}"
        );
    }

    #[test]
    fn causes_have_their_exit_codes() {
        let (entry, pid) = (EntryId::new("app", "main"), Pid::new(HostName::keep("app:t"), 1));
        for (cause, code) in [
            (Cause::Returned, 1),
            (Cause::Failed, 1),
            (Cause::Terminated, 1),
            (Cause::TimeLimit, 124),
            (Cause::Limit, 137),
            (Cause::Trap, 134),
            (Cause::Code(7), 7),
            (Cause::Code(255), 255),
            (Cause::Code(700), 188),
            (Cause::Code(-1), 255),
            (Cause::Code(512), 1),
        ] {
            assert_eq!(Failure::process(&entry, &pid, cause, &Error::internal("x")).code, code);
        }
    }
}
