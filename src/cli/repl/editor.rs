//! The prompt: a line editor on a thread of its own, between the keys and the session.
//!
//! It reads a line only when the session has asked for one, so keys typed meanwhile stay in the terminal for whoever runs. What it
//! needs to know of the session for a completion it asks the session itself, which waits for nothing else at that time.

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper};
use tokio::sync::oneshot;

use super::screen::Screen;
use super::{history, word};
use crate::cli::signals::take_stops;
use crate::lua::modules::repl::Request;
use crate::lua::syntax::input::{Input, classify, parts};
use crate::system::terminal::{Stream, Terminal};

/// How long a completion may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long output may take before the prompt appears.
const DRAIN: Duration = Duration::from_secs(1);
const HISTORY: usize = 10_000;

/// The session asks for a request.
pub type Ask = oneshot::Sender<Option<Request>>;

/// What the editor is connected to.
pub struct Line {
    pub asks: Receiver<Ask>,
    /// Answers to completions.
    pub names: Receiver<Vec<String>>,
    /// How many items wait in the session's mailbox.
    pub waiting: Box<dyn Fn() -> usize + Send>,
    /// Ids of entries and hosts, sorted.
    pub ids: Box<dyn Fn() -> Vec<String> + Send>,
    pub terminal: Arc<Terminal>,
    pub screen: Arc<Screen>,
    /// Run first.
    pub first: Option<String>,
}

impl Line {
    fn say(&self, message: &str) {
        // Whether a person reads it or not, the session goes on.
        let _ = self.terminal.try_write(Stream::Err, message.as_bytes());
    }
}

/// Reads inputs until the end of the session. Ctrl-Z stops the program through this thread alone, so the terminal has its mode
/// until the program goes on.
pub fn run(line: Line) -> rustyline::Result<()> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(HISTORY)?
        .history_ignore_dups(true)?
        .history_ignore_space(true)
        .build();
    let mut editor = Editor::with_config(config)?;
    match editor.create_external_printer() {
        Ok(printer) => line.screen.deliver_through(printer)?,
        // A terminal that draws nothing but text: lines are read as they are typed.
        Err(ReadlineError::Errno(errno)) if errno as i32 == libc::ENOTTY => {}
        Err(error) => return Err(error),
    }
    // The courier has been started: it stops with the others.
    take_stops(true);
    line.terminal.set_detour(line.screen.clone());
    let keys = Rc::new(Keys {
        line,
        ask: RefCell::default(),
    });
    editor.set_helper(Some(Assistant(keys.clone())));
    Session {
        history: kept_history(&mut editor),
        editor,
        keys,
    }
    .run();
    Ok(())
}

/// The file with the inputs of earlier sessions, which are read. None where it cannot be: then nothing is kept.
fn kept_history(editor: &mut Editor<Assistant, DefaultHistory>) -> Option<PathBuf> {
    let path = history::file().ok()?;
    editor.load_history(&path).ok()?;
    Some(path)
}

struct Session {
    editor: Editor<Assistant, DefaultHistory>,
    history: Option<PathBuf>,
    keys: Rc<Keys>,
}

impl Session {
    fn run(&mut self) {
        if let Some(text) = self.keys.first() {
            self.keys.send(Some(Request::Input(text)));
        }
        while self.keys.is_asked() {
            match self.read() {
                // Commands that were pasted with a program are inputs of their own.
                Some(text) => parts(&text).iter().for_each(|part| {
                    let text = part.text.trim_end_matches('\n');
                    self.keys.send(Some(Request::Input(text.to_owned())));
                }),
                None => return self.keys.send(None),
            }
        }
    }

    /// The next input that is not empty; none at the end.
    fn read(&mut self) -> Option<String> {
        loop {
            let line = &self.keys.line;
            line.terminal.drain(Some(DRAIN));
            if !line.screen.begin() {
                // The program has left an unfinished line.
                println!();
            }
            let prompt = prompt((line.waiting)());
            line.terminal.set_editing(line.screen.has_editor());
            let read = self.editor.readline(&prompt);
            let line = &self.keys.line;
            line.terminal.set_editing(false);
            line.screen.end();
            match read {
                Ok(text) if text.trim().is_empty() => {}
                Ok(text) => {
                    self.keep(&text);
                    return Some(text);
                }
                Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => {}
                Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    line.say("what was typed is not UTF-8 text; the line is left out\n");
                }
                Err(_) => return None,
            }
        }
    }

    /// Written at once, so that a crash loses nothing.
    fn keep(&mut self, text: &str) {
        let added = self.editor.add_history_entry(text);
        if let (Ok(true), Some(path)) = (added, &self.history)
            && let Err(error) = self.editor.append_history(path)
        {
            self.history = None;
            self.keys
                .line
                .say(&format!("the history is not kept any more: {error}\n"));
        }
    }
}

/// `> `, with the number of items that wait in the mailbox. It stands until the line is finished: the editor takes the prompt's
/// width once, and has no way to be told of another.
fn prompt(waiting: usize) -> String {
    match waiting {
        0 => "> ".to_owned(),
        count => format!("[{count}] > "),
    }
}

/// The connection to the session, shared by the loop and the completion.
struct Keys {
    line: Line,
    /// The question that is to be answered.
    ask: RefCell<Option<Ask>>,
}

impl Keys {
    fn first(&self) -> Option<String> {
        self.line.first.clone().filter(|_| self.is_asked())
    }

    /// Waits until the session asks. False when there will be none any more.
    fn is_asked(&self) -> bool {
        let mut ask = self.ask.borrow_mut();
        if ask.as_ref().is_none_or(Ask::is_closed) {
            *ask = self.line.asks.recv().ok();
        }
        ask.is_some()
    }

    /// Gives the session something to do; to the next one when this one has ended meanwhile.
    fn send(&self, mut request: Option<Request>) {
        while self.is_asked() {
            let Some(ask) = self.ask.take() else { return };
            match ask.send(request) {
                Ok(()) => return,
                Err(returned) => request = returned,
            }
        }
    }

    /// Asks the session for names, and waits until it asks again.
    fn complete(&self, path: Vec<String>, method: bool) -> Vec<String> {
        let Some(ask) = self.ask.take() else { return Vec::new() };
        while self.line.names.try_recv().is_ok() {}
        if ask.send(Some(Request::Complete { path, method })).is_err() {
            return Vec::new();
        }
        let names = self.line.names.recv_timeout(PATIENCE).unwrap_or_default();
        match self.line.asks.recv_timeout(PATIENCE) {
            Ok(next) => *self.ask.borrow_mut() = Some(next),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        names
    }
}

/// What the editor asks while a line is edited.
struct Assistant(Rc<Keys>);

impl Helper for Assistant {}
impl Hinter for Assistant {
    type Hint = String;
}
impl Highlighter for Assistant {}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input();
        let is_command = text.trim_start().starts_with(':');
        Ok(match classify(text) {
            Input::Incomplete if !is_command => ValidationResult::Incomplete,
            _ => ValidationResult::Valid(None),
        })
    }
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let before = &line[..position];
        Ok(match word::before(before) {
            word::Word::Text(start) => {
                let begun = &before[start..];
                let mut ids = (self.0.line.ids)();
                ids.retain(|id| id.starts_with(begun));
                (start, ids)
            }
            word::Word::Path { path, method, start } => (start, self.0.complete(path, method)),
            word::Word::None => (position, Vec::new()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prompt_counts_what_waits() {
        assert_eq!(prompt(0), "> ");
        assert_eq!(prompt(3), "[3] > ");
    }
}
