//! Texts of the command line in a session: `-e CODE`, a file, piped input. Each runs as a whole, but for the commands in it,
//! which are lines of their own; the results of the last one are the program's, as those of a script are.

use std::collections::VecDeque;
use std::future::ready;
use std::io::{IsTerminal, Read};
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::World;
use super::reach::Reach;
use crate::cli::args::Repl;
use crate::cli::console::Console;
use crate::cli::failure::{Failure, code};
use crate::cli::outcome::settle;
use crate::cli::run::{attend, beside};
use crate::cli::script;
use crate::cli::signals::Signals;
use crate::error::{Error, Frame};
use crate::lines::Lines;
use crate::lock::lock;
use crate::lua::compile::{Source, bare_text, compile};
use crate::lua::modules::repl::{Asked, Desk, Request};
use crate::lua::syntax::input;
use crate::process::Exit;
use crate::runtime::Runtime;

/// A program or a command, and where it comes from.
pub struct Text {
    text: String,
    /// As messages show it.
    name: String,
    is_command: bool,
}

/// What the command line gives to run: the file, then every `-e`; without one of these, what is piped in.
///
/// # Errors
/// Exit 3 for a text that cannot be read or is no Lua.
pub fn texts(args: &Repl) -> Result<Vec<Text>, Failure> {
    let mut texts = Vec::new();
    if let Some(file) = &args.file {
        let name = file.display().to_string();
        let text = String::from_utf8(script::read(file, &name)?);
        let text = text.map_err(|_| unreadable(&format!("{name} is not UTF-8 text")))?;
        add(&mut texts, &name, &text);
    }
    args.eval.iter().for_each(|code| add(&mut texts, "-e", code));
    // What is typed is read too where nothing else was given: the answers go elsewhere.
    if args.eval.is_empty() && (args.file.is_none() || !std::io::stdin().is_terminal()) {
        add(&mut texts, "stdin", &piped()?);
    }
    texts.iter().try_for_each(check)?;
    Ok(texts)
}

/// Adds the parts of a text, each at the line where it stands.
fn add(texts: &mut Vec<Text>, name: &str, text: &str) {
    texts.extend(input::parts(bare_text(text)).into_iter().map(|part| Text {
        text: "\n".repeat(part.above) + part.text,
        name: name.to_owned(),
        is_command: part.is_command,
    }));
}

fn piped() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut bytes);
    read.map_err(|error| unreadable(&format!("cannot read stdin: {error}")))?;
    String::from_utf8(bytes).map_err(|_| unreadable("stdin is not UTF-8 text"))
}

fn unreadable(message: &str) -> Failure {
    Failure::new(code::PROJECT, Error::invalid(message))
}

/// Whether Lua would take it, before anything has run.
fn check(text: &Text) -> Result<(), Failure> {
    if text.is_command {
        return Ok(());
    }
    let program = input::as_expression(&text.text).unwrap_or_else(|| text.text.clone());
    let source = Source {
        text: program.as_bytes(),
        chunk: &text.name,
        lines: Lines::OWN,
    };
    compile(&source).map(drop).map_err(|error| {
        let found = Runtime::script_finding(&error, Path::new(&text.name), text.text.as_bytes());
        Failure::entry(error, &[found])
    })
}

/// Runs them, to the program's exit code.
///
/// # Errors
/// What the first one that failed failed with.
pub fn run(world: &World, texts: Vec<Text>, console: &Console) -> Result<u8, Failure> {
    let desk = Arc::new(Batch {
        requests: Mutex::new(texts.into_iter().map(Text::request).collect()),
        reach: world.reach.clone(),
    });
    world.runtime.block_on(async {
        let mut signals = Signals::listen().map_err(|error| Failure::refused("cannot listen for signals", &error))?;
        beside(&world.runtime, &mut signals).await?;
        let process = world.start(desk)?;
        let (exit, stopped) = attend(&world.runtime, &process, &mut signals, console).await;
        settle(&process, &without_session(&exit), stopped, None, console)
    })
}

impl Text {
    fn request(self) -> Request {
        let is_file = self.name.ends_with(".lua");
        let mark = if is_file { '@' } else { '=' };
        Request::Text {
            name: format!("{mark}{}", self.name),
            text: self.text,
        }
    }
}

/// The exit with the frames of the user's code alone.
fn without_session(exit: &Exit) -> Exit {
    let result = exit.result.clone().map_err(|error| {
        let own = |frame: &Frame| frame.source.starts_with("[repl]") || frame.source == "[C]";
        let frames = error.frames().iter().filter(|frame| !own(frame)).cloned().collect();
        error.with_frames(frames)
    });
    Exit {
        result,
        cause: exit.cause,
    }
}

/// A desk with a pile of work.
#[derive(Debug)]
struct Batch {
    requests: Mutex<VecDeque<Request>>,
    reach: Arc<Reach>,
}

impl Desk for Batch {
    fn next(&self) -> Asked {
        let next = lock(&self.requests).pop_front();
        Box::pin(ready(next))
    }

    fn reply(&self, _: Vec<String>) {}

    fn quit(&self) {
        lock(&self.requests).clear();
    }

    fn reload(&self) -> crate::error::Result<String> {
        self.reach.reload()
    }

    fn inspect(&self, id: &str) -> crate::error::Result<String> {
        self.reach.inspect(id)
    }
}
