//! From the command line to a loaded project: which folder, and what to say when there is none.

use std::path::PathBuf;

use super::args::Globals;
use super::console::Console;
use super::failure::{Failure, code};
use super::{run, target};
use crate::error::Error;
use crate::id::EntryId;
use crate::project::{self, Logger, Override, Project, Registry};
use crate::system;

/// The project, which must be there.
///
/// # Errors
/// Exit 3 without a project.
pub fn project(globals: &Globals) -> Result<Project, Failure> {
    find(globals)?.ok_or_else(missing)
}

fn missing() -> Failure {
    Failure::new(code::PROJECT, Error::not_found("no project here or in a folder above"))
        .help("a project has a wippy.lock, a .wippy.yaml or an entry file; -C DIR names its folder")
}

/// The project, if there is one.
///
/// # Errors
/// Exit 3 when the folder that was named does not exist, or there is no project whose fields could be set; exit 4 for a field
/// that is set of an entry that does not exist.
pub fn find(globals: &Globals) -> Result<Option<Project>, Failure> {
    let project = load(globals)?;
    if project.is_none() && !globals.overrides.is_empty() {
        return Err(missing());
    }
    if let Some(project) = &project {
        overrides(globals)?
            .iter()
            .try_for_each(|change| target::any(project, &change.id).map(drop))?;
    }
    Ok(project)
}

/// Whether the entries work with the fields that the command line sets: whoever sets one wants it to count.
///
/// # Errors
/// Exit 3 and what is wrong with such an entry.
pub fn fields_fit(registry: &Registry, globals: &Globals) -> Result<(), Failure> {
    overrides(globals)?.iter().try_for_each(|change| {
        let entry = registry.usable(&change.id);
        let problems = || registry.get(&change.id).map_or(&[][..], |entry| &entry.problems);
        entry.map(drop).map_err(|error| Failure::entry(error, problems()))
    })
}

/// The project, if there is one, whether it has the entries that the command line names or not.
///
/// # Errors
/// Exit 3 when the folder that was named does not exist.
pub fn load(globals: &Globals) -> Result<Option<Project>, Failure> {
    let overrides = overrides(globals)?;
    Ok(folder(globals)?.map(|folder| system::load(&folder, &overrides)))
}

/// The project for a command that shows what is in it.
///
/// # Errors
/// As [`project`].
pub fn to_show(globals: &Globals, console: &Console) -> Result<Project, Failure> {
    let project = project(globals)?;
    tell_unread(&project, globals, console);
    Ok(project)
}

/// Says which files could not be read: what they hold is missing in whatever is shown.
pub fn tell_unread(project: &Project, globals: &Globals, console: &Console) {
    run::warn(&target::unread(project), globals, console);
}

/// What the command line says about fields of entries.
///
/// # Errors
/// Exit 2 for a text that does not say which.
pub fn overrides(globals: &Globals) -> Result<Vec<Override>, Failure> {
    globals.overrides.iter().map(|text| over(text)).collect()
}

/// Names that the path of a field may have: YAML is not nested deeper either.
const DEEPEST_FIELD: usize = 128;

/// How the project, if there is one, wants log records to be shown.
pub fn logger(globals: &Globals) -> Logger {
    // A folder that cannot be used is told of by whoever opens the project.
    let folder = folder(globals).ok().flatten();
    folder.map_or_else(Logger::default, |folder| Logger::of(&folder))
}

fn folder(globals: &Globals) -> Result<Option<PathBuf>, Failure> {
    let Some(named) = &globals.project else {
        let here = std::env::current_dir().map_err(unreadable)?;
        return Ok(project::find(&here));
    };
    if named.is_dir() {
        return named.canonicalize().map(Some).map_err(unreadable);
    }
    let error = Error::not_found(format!("no such project folder: {}", named.display()));
    Err(Failure::new(code::PROJECT, error))
}

/// `NS:NAME:FIELD=VALUE`.
fn over(text: &str) -> Result<Override, Failure> {
    let parsed = text.split_once('=').and_then(|(target, value)| {
        let (id, field) = target.rsplit_once(':')?;
        Some(Override {
            id: EntryId::parse(id).ok()?,
            field: field.to_owned(),
            value: value.to_owned(),
        })
    });
    let parsed = parsed.filter(|over| over.field.split('.').count() <= DEEPEST_FIELD);
    parsed.ok_or_else(|| Failure::usage(format!("-o {text}: expected NS:NAME:FIELD=VALUE")))
}

fn unreadable(error: std::io::Error) -> Failure {
    Failure::new(
        code::PROJECT,
        Error::internal(format!("cannot read the project folder: {error}")),
    )
}
