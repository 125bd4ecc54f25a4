//! `wippy repl`: a session at a prompt, or texts of the command line that run in one.
//!
//! The session is a process (`lua::modules::repl`); here is who it works for. `batch` has a list of texts, `prompt` a person
//! with an `editor` on a thread of its own, a `screen` that both share with the output, and a `history`. `reach` is what both
//! can ask of the project. What the values look like is decided in `lua/repl/`.

mod batch;
mod editor;
mod history;
mod prompt;
mod reach;
mod screen;
mod word;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::CommandFactory;

use super::args::{Cli, Globals, Repl};
use super::console::Console;
use super::failure::{Failure, code};
use super::log::ConsoleLog;
use super::script::Surroundings;
use super::signals::take_stops;
use crate::log::Log;
use crate::lua::modules::repl::Desk;
use crate::process::Process;
use crate::project::Spec;
use crate::runtime::{Options, Runtime};
use crate::system::terminal::Stream;
use crate::value::Packed;
use reach::Reach;

/// Of the entries that a session brings with it.
const NAMESPACE: &str = "repl";

/// `wippy` without a command: a session on a terminal, elsewhere a word about usage.
///
/// # Errors
/// As [`run`].
pub fn alone(globals: &Globals, console: &Console) -> Result<u8, Failure> {
    let args = Repl {
        eval: Vec::new(),
        file: None,
    };
    if console.terminal().is_tty_in() && console.terminal().is_tty(Stream::Out) {
        return run(&args, globals, console);
    }
    console.say(&Cli::command().render_help().to_string());
    Ok(code::USAGE)
}

/// # Errors
/// Whatever keeps the session from running, or it ended with.
pub fn run(args: &Repl, globals: &Globals, console: &Console) -> Result<u8, Failure> {
    if args.eval.is_empty() && console.terminal().is_tty_in() && console.terminal().is_tty(Stream::Out) {
        take_stops(false);
        if !globals.silent {
            console.say(concat!(
                "wippy ",
                env!("CARGO_PKG_VERSION"),
                "; :help lists the commands, Ctrl-D ends\n"
            ));
        }
        let first = args.file.as_ref().map(|file| format!(":load {}", file.display()));
        return prompt::run(&World::boot(globals, console)?, first, console);
    }
    let texts = batch::texts(args)?;
    let world = World::boot(globals, console)?;
    batch::run(&world, texts, console)
}

/// A runtime for a session.
struct World {
    runtime: Runtime,
    around: Surroundings,
    reach: Arc<Reach>,
}

impl World {
    fn boot(globals: &Globals, console: &Console) -> Result<World, Failure> {
        let around = Surroundings::find(Path::new("."), NAMESPACE, globals)?;
        let log = ConsoleLog::new(console, globals);
        if matches!(&around.terminal.spec, Spec::TerminalHost(spec) if spec.hide_logs) {
            log.hide();
        }
        let runtime = Runtime::boot(Options {
            log: Log::new(log),
            shutdown_timeout: around.shutdown_timeout,
            ..Options::new(around.registry.clone(), console.terminal().clone())
        });
        let runtime = runtime.map_err(|error| Failure::new(code::FAILED, error))?;
        Ok(World {
            reach: Arc::new(Reach::new(globals, &runtime)),
            runtime,
            around,
        })
    }

    /// Starts a session that works for that desk.
    fn start(&self, desk: Arc<dyn Desk>) -> Result<Arc<Process>, Failure> {
        let folders: Vec<PathBuf> = self.around.folders.clone();
        let program = self.runtime.session(desk, folders);
        let started = program.and_then(|program| {
            let host = &self.around.terminal.id;
            self.runtime.start(program, host, Packed::empty(), Vec::new())
        });
        started.map_err(|error| Failure::new(code::FAILED, error))
    }
}
