//! `wippy types`: definitions of the Lua API for editors, with the ids and the WASM functions of this project, and the settings
//! that have a language server read them. Both are read by lua-language-server and by EmmyLua's.

mod luarc;
mod overloads;
mod project;

use std::fs;
use std::io;
use std::path::Path;

use super::args::Globals;
use super::console::Console;
use super::failure::{Failure, code};
use super::log::ConsoleLog;
use super::open;
use crate::error::Error;
use crate::log::Log;
use crate::lua::definitions::FILES;
use crate::project::{Entry, Registry, Spec};
use crate::runtime::{Options, Runtime};
use overloads::Typed;

/// Below the project's folder.
const FOLDER: &str = ".wippy/types";

/// The settings that language servers look for; the second one when it is there.
const SETTINGS: [&str; 2] = [".luarc.json", ".luarc.jsonc"];

/// # Errors
/// Exit 1 when a file cannot be written, exit 3 for settings that cannot be read.
pub fn run(globals: &Globals, console: &Console) -> Result<u8, Failure> {
    let project = open::find(globals)?.unwrap_or_default();
    open::tell_unread(&project, globals, console);
    let typed = typed(&project.registry, globals, console)?;
    let mut written = 0;
    for (name, text) in FILES {
        written += write(&project.folder, name, &overloads::insert(text, &typed))?;
    }
    written += write(&project.folder, "project", &project::definitions(&project.registry))?;
    let count = FILES.len() + 1;
    console.answer(&format!("{FOLDER}: {count} files, {written} of them new or changed\n"));
    console.answer(&settings(&project.folder)?);
    Ok(code::SUCCESS)
}

/// The WASM functions of the project with their types. One that cannot be loaded is named and left out.
fn typed(registry: &std::sync::Arc<Registry>, globals: &Globals, console: &Console) -> Result<Vec<Typed>, Failure> {
    let modules: Vec<_> = registry
        .iter()
        .filter(|entry| matches!(entry.spec, Spec::Wasm(_)))
        .collect();
    if modules.is_empty() {
        return Ok(Vec::new());
    }
    let runtime = Runtime::boot(Options {
        log: Log::new(ConsoleLog::new(console, globals)),
        workers: 1,
        oneshot: true,
        dry: true,
        ..Options::new(registry.clone(), console.terminal().clone())
    })
    .map_err(|error| Failure::new(code::FAILED, error))?;
    let of = |entry: &&std::sync::Arc<Entry>| match runtime.block_on(runtime.wasm_program(&entry.id)) {
        Ok(program) => program.and_then(|program| Typed::new(entry, &program)),
        Err(error) => {
            console.say(&format!("no types for {}: {error}; see `wippy check`\n", entry.id));
            None
        }
    };
    Ok(modules.iter().filter_map(of).collect())
}

/// Whether the file was another one before, as a number.
fn write(folder: &Path, name: &str, text: &str) -> Result<usize, Failure> {
    let path = folder.join(FOLDER).join(format!("{name}.lua"));
    if fs::read_to_string(&path).is_ok_and(|found| found == text) {
        return Ok(0);
    }
    let parent = path.parent().unwrap_or(Path::new("."));
    let done = fs::create_dir_all(parent).and_then(|()| fs::write(&path, text));
    done.map(|()| 1).map_err(|error| unwritten(&path, &error))
}

/// Makes the settings, or adds to them what is missing.
fn settings(folder: &Path) -> Result<String, Failure> {
    let [usual, other] = SETTINGS.map(|name| folder.join(name));
    let (name, path) = match other.exists() && !usual.exists() {
        true => (SETTINGS[1], other),
        false => (SETTINGS[0], usual),
    };
    let found = match fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(unreadable(&path, &error.to_string())),
    };
    let text = luarc::extend(found.as_deref().unwrap_or_default(), FOLDER).map_err(|error| {
        unreadable(&path, &error).help(format!("it was left as it is; it needs {}", luarc::short(FOLDER)))
    })?;
    let said = match &found {
        Some(found) if *found == text => "has all that is needed",
        Some(_) => "extended",
        None => "created",
    };
    if found.as_ref() != Some(&text) {
        fs::write(&path, text).map_err(|error| unwritten(&path, &error))?;
    }
    Ok(format!("{name}: {said}\n"))
}

fn unreadable(path: &Path, why: &str) -> Failure {
    let error = Error::invalid(format!("cannot extend {}: {why}", path.display()));
    Failure::new(code::PROJECT, error)
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    let error = Error::internal(format!("cannot write {}: {error}", path.display()));
    Failure::new(code::FAILED, error)
}
