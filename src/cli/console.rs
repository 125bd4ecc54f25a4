//! What a person sees: text on stdout for answers, on stderr for everything else, colour where it is welcome.
//!
//! All of it goes through the one [`Terminal`], so that a program's output and the word about its end keep their order.

use std::io::{self, IsTerminal};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::args::Color;
use super::log::ConsoleLog;
use super::signals;
use crate::system::terminal::{Stream, Terminal};

/// How long a program that was stopped waits for a reader that does not read.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long one waits that a second signal has ended.
const MOMENT: Duration = Duration::from_millis(100);

/// The way out for every command.
pub struct Console {
    terminal: Arc<Terminal>,
    color: Color,
    /// Where log records go, if there is such a place.
    log: OnceLock<ConsoleLog>,
}

impl Console {
    pub fn new(color: Color) -> Console {
        Console {
            terminal: Terminal::standard(),
            color,
            log: OnceLock::new(),
        }
    }

    /// At the end, that log may have something left to say.
    pub fn set_log(&self, log: &ConsoleLog) {
        // A watch has one for each of its runs, with the same way out.
        let _ = self.log.set(log.clone());
    }

    pub fn terminal(&self) -> &Arc<Terminal> {
        &self.terminal
    }

    /// The answer itself, on stdout.
    pub fn answer(&self, text: &str) {
        self.write(Stream::Out, text.as_bytes());
    }

    /// Bytes that are the answer, unchanged.
    pub fn answer_bytes(&self, bytes: &[u8]) {
        self.write(Stream::Out, bytes);
    }

    /// A word to the person, on stderr.
    pub fn say(&self, text: &str) {
        self.write(Stream::Err, text.as_bytes());
    }

    /// Waits until everything is written, however slow its reader is (a pager may show one page for an hour): a signal ends the
    /// program all the same, at once. One that has ended by a signal, as its exit code says, waits for a moment only.
    ///
    /// # Errors
    /// Why stdout did not take all of it. That its reader has gone is none.
    pub fn finish(&self, code: u8) -> io::Result<()> {
        self.terminal.restore();
        let limit = match signals::is_code(code) {
            true if signals::is_hurried() => Some(MOMENT),
            true => Some(PATIENCE),
            false => None,
        };
        signals::release();
        self.terminal.drain(limit);
        if self.log.get().is_some_and(ConsoleLog::tell_dropped) {
            self.terminal.drain(limit);
        }
        match self.terminal.broken(Stream::Out) {
            None | Some(io::ErrorKind::BrokenPipe) => Ok(()),
            Some(kind) => Err(kind.into()),
        }
    }

    pub fn paint(&self, stream: Stream) -> Paint {
        let on = match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && self.is_tty(stream),
        };
        Paint { on }
    }

    fn is_tty(&self, stream: Stream) -> bool {
        match stream {
            Stream::Out => std::io::stdout().is_terminal(),
            Stream::Err => std::io::stderr().is_terminal(),
        }
    }

    /// A reader that has gone wants nothing more: what cannot be written is dropped.
    fn write(&self, stream: Stream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.terminal.write_now(stream, bytes) {
                Ok(0) => self.terminal.drain(Some(PATIENCE)),
                Ok(length) => bytes = &bytes[length..],
                Err(_) => return,
            }
        }
    }
}

/// Colours, or none.
#[derive(Clone, Copy)]
pub struct Paint {
    on: bool,
}

/// Text as it is.
pub const PLAIN: Paint = Paint { on: false };

impl Paint {
    pub fn is_on(self) -> bool {
        self.on
    }

    pub fn red(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    pub fn yellow(self, text: &str) -> String {
        self.wrap("1;33", text)
    }

    pub fn blue(self, text: &str) -> String {
        self.wrap("1;34", text)
    }

    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
