//! `wippy help`: what clap knows about a command of ours, and what an entry tells about a command of the project.

use std::path::Path;
use std::sync::Arc;

use clap::CommandFactory;

use super::args::{Cli, Globals, Help, ModuleOptions};
use super::console::Console;
use super::failure::{Failure, code};
use super::script::{Surroundings, folder_of};
use super::{module, open, script, target};
use crate::project::near::nearest;
use crate::project::{Entry, Project, Registry, Spec};
use crate::runtime::{Options, Runtime};

pub fn run(args: &Help, globals: &Globals, console: &Console) -> Result<u8, Failure> {
    match args.words.as_slice() {
        [first, name] if first == "run" && is_file(name) => file(name, globals, console)?,
        [first, name] if first == "run" && name != "list" => program(name, globals, console)?,
        words => console.answer(&ours(words)?),
    }
    Ok(code::SUCCESS)
}

fn ours(words: &[String]) -> Result<String, Failure> {
    let mut command = Cli::command();
    command.build();
    let mut at = &mut command;
    for word in words {
        let known: Vec<String> = at
            .get_subcommands()
            .map(|command| command.get_name().to_owned())
            .collect();
        at = at.find_subcommand_mut(word).ok_or_else(|| {
            let failure = Failure::usage(format!("no command `{word}`"));
            match nearest(word, known.iter().map(String::as_str)) {
                Some(near) => failure.help(format!("did you mean `{near}`?")),
                None => failure,
            }
        })?;
    }
    Ok(at.render_long_help().to_string())
}

/// Whether `run` would take it for a file.
fn is_file(name: &str) -> bool {
    (module::is_module(name) || script::is_script(name)) && Path::new(name).is_file()
}

/// How a script is called, or the functions of a module.
fn file(name: &str, globals: &Globals, console: &Console) -> Result<(), Failure> {
    if script::is_script(name) {
        console.answer(&format!("{}\n", any(name)));
        return Ok(());
    }
    let around = Surroundings::find(folder_of(Path::new(name)), module::NAMESPACE, globals)?;
    let (registry, entry) = module::declare(&around.registry, Path::new(name), &ModuleOptions::default())?;
    let runtime = dry(Arc::new(registry), console)?;
    let found = runtime.inspect(&entry);
    let found = found.map_err(|error| Failure::entry(error, &runtime.findings(&entry)))?;
    for export in found
        .exports
        .iter()
        .filter(|export| export.command || export.is_callable())
    {
        let usage = match export.command {
            true => any(name),
            false => export.signature.usage(&format!("--method {} {name}", export.method)),
        };
        console.answer(&format!("{usage}\n"));
    }
    Ok(())
}

fn any(name: &str) -> String {
    format!("usage: wippy run {name} [ARGS…]")
}

/// A runtime that looks and runs nothing.
fn dry(registry: Arc<Registry>, console: &Console) -> Result<Runtime, Failure> {
    let runtime = Runtime::boot(Options {
        workers: 1,
        oneshot: true,
        dry: true,
        ..Options::new(registry, console.terminal().clone())
    });
    runtime.map_err(|error| Failure::new(code::FAILED, error))
}

fn program(name: &str, globals: &Globals, console: &Console) -> Result<(), Failure> {
    let project = open::project(globals)?;
    let entry = target::command(&project, name)?;
    if let Err(error) = project.registry.usable(&entry.id) {
        return Err(Failure::entry(error, &entry.problems));
    }
    let short = entry
        .command
        .as_ref()
        .map(|command| command.short.clone())
        .unwrap_or_default();
    let usage = usage(project, &entry, name, console)?;
    let lead = if short.is_empty() {
        short
    } else {
        format!("{short}\n\n")
    };
    console.answer(&format!("{lead}{usage}\n\nEntry: {} ({})\n", entry.id, entry.kind));
    Ok(())
}

/// The line with the parameters: by WIT types for a function, any words for everything else.
fn usage(project: Project, entry: &Arc<Entry>, name: &str, console: &Console) -> Result<String, Failure> {
    if !matches!(entry.spec, Spec::Wasm(_)) {
        return Ok(any(name));
    }
    let runtime = dry(project.registry, console)?;
    let program = runtime.block_on(runtime.wasm_program(&entry.id));
    match program.map_err(|error| Failure::entry(error, &runtime.findings(entry)))? {
        Some(program) if !program.is_command() => Ok(program.signature().usage(name)),
        _ => Ok(any(name)),
    }
}
