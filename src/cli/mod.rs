//! The command line: one file per command, and the only room that prints.
//!
//! Answers go to stdout, everything else to stderr. A command gives an exit code or a [`Failure`]; what a failure looks
//! like is decided here, once.

mod args;
mod cache;
mod check;
mod columns;
mod completions;
mod console;
mod failure;
mod hash;
mod help;
mod hint;
mod init;
mod inspect;
mod list;
mod log;
mod module;
mod open;
mod outcome;
mod registry;
mod repl;
mod run;
mod schema;
mod script;
mod services;
mod signals;
mod target;
mod test;
mod types;
mod watch;

use std::ffi::OsString;
use std::io::{self, Write as _};

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Parser};

use crate::error::Error;
use crate::project::near::nearest;
use crate::system::caretaker;
use crate::system::terminal::Stream;
use args::{CacheCommand, Cli, Command, Globals, Run, What};
use console::Console;
use failure::{Failure, code};

/// Runs the program with these arguments, the first of which is its name; gives its exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    caretaker::enable(args::CARETAKER);
    match Cli::try_parse_from(args) {
        Ok(cli) => run_command(cli),
        Err(error) => refuse(&with_nearest(error)),
    }
}

/// A misspelt subcommand with the one that was meant, by the measure that holds for every other name too.
fn with_nearest(mut error: clap::Error) -> clap::Error {
    if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) {
        let known = Cli::command();
        let near = nearest(
            word,
            known
                .get_subcommands()
                .filter(|command| !command.is_hide_set())
                .map(clap::Command::get_name),
        )
        .map(str::to_owned);
        error.remove(ContextKind::SuggestedSubcommand);
        if let Some(near) = near {
            error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![near]));
        }
    }
    error
}

/// Help and version go to stdout and are a success, everything else is wrong usage.
fn refuse(error: &clap::Error) -> u8 {
    let written = error.print().and_then(|()| io::stdout().flush());
    if error.use_stderr() {
        return code::USAGE;
    }
    match written {
        Ok(()) => code::SUCCESS,
        // Whoever closed the stream does not want to read it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => code::SUCCESS,
        Err(error) => incomplete(code::SUCCESS, &error.kind().into(), &Console::new(args::Color::Auto)),
    }
}

fn run_command(cli: Cli) -> u8 {
    let console = Console::new(cli.globals.color);
    let result = dispatch(cli.command, &cli.globals, &console);
    let code = result.unwrap_or_else(|failure| {
        console.say(&failure.to_text(console.paint(Stream::Err)));
        failure.code
    });
    match console.finish(code) {
        Ok(()) => code,
        Err(error) => incomplete(code, &error, &console),
    }
}

/// The exit code of a command whose output did not get through: what was printed is not all, so it is no success.
fn incomplete(code: u8, error: &io::Error, console: &Console) -> u8 {
    let failure = Failure::new(
        code::FAILED,
        Error::internal(format!("cannot write to stdout: {error}")),
    );
    console.say(&failure.to_text(console.paint(Stream::Err)));
    // Why stdout fails is known by now.
    let _ = console.finish(code);
    if code == code::SUCCESS { failure.code } else { code }
}

fn dispatch(command: Option<Command>, globals: &Globals, console: &Console) -> Result<u8, Failure> {
    let Some(command) = command else {
        return repl::alone(globals, console);
    };
    match command {
        Command::Repl(args) => repl::run(&args, globals, console),
        Command::Test(args) => test::run(&args, globals, console),
        Command::Run(args) => run_what(args, globals, console),
        Command::Check(args) => check::run(&args, globals, console),
        Command::Inspect(args) => inspect::run(&args, globals, console),
        Command::Hash(args) => hash::run(&args, globals, console),
        Command::Cache {
            what: CacheCommand::Clear,
        } => cache::clear(console),
        Command::Registry { what } => registry::run(&what, globals, console),
        Command::Init(args) => init::run(&args, console),
        Command::Completions { shell } => Ok(completions::run(shell, console)),
        Command::Offer { shell, words } => Ok(completions::offer(shell, &words, console)),
        Command::Caretaker { mode } => {
            caretaker::serve(&mode);
            Ok(code::SUCCESS)
        }
        Command::Types => types::run(globals, console),
        Command::Schema => Ok(schema::run(console)),
        Command::Help(args) => help::run(&args, globals, console),
    }
}

fn run_what(args: Run, globals: &Globals, console: &Console) -> Result<u8, Failure> {
    let Run {
        entry,
        watch,
        module,
        what,
    } = args;
    match what {
        Some(What::Program(words)) if !entry => {
            program(watch, globals, console, || run::named(words.clone(), &module, globals))
        }
        what => {
            module::refuse(&module)?;
            match what {
                what if entry => program(watch, globals, console, || run::entry(what.clone(), globals)),
                Some(What::List { .. }) if watch => {
                    Err(Failure::usage("--watch is for what runs; a list is printed once"))
                }
                Some(What::List { json }) => list::run(json, globals, console),
                _ if watch => watch::services::run(globals, console),
                _ => services::run(globals, console),
            }
        }
    }
}

/// Runs what `job` makes, once or, watched, after each change of its files.
fn program(
    watch: bool,
    globals: &Globals,
    console: &Console,
    job: impl Fn() -> Result<run::Job, Failure>,
) -> Result<u8, Failure> {
    match watch {
        true => watch::program::run(job, globals, console),
        false => run::run(&job()?, globals, console),
    }
}
