//! Whom a change of files concerns: the test files and entries that made use of what is other now, when they last ran.
//!
//! Invariant: what cannot be known concerns everything. A job whose last run was cut short runs again, and a change of code
//! that nobody is known to use, and that belongs to no entry, runs all.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::discover::is_test_name;
use super::runner::Job;
use crate::cli::watch::{is_code, is_ground, of_modules, shown};
use crate::id::EntryId;
use crate::lua::uses::Used;
use crate::project::{Diagnostic, Entry, Project, Registry, Spec};

/// What the last run saw.
pub struct Before<'a> {
    pub project: Option<&'a Project>,
    /// The names of all files and entries that there were.
    pub known: &'a BTreeSet<String>,
    /// What they have used.
    pub used: &'a HashMap<String, Used>,
    /// As seen from which files are named.
    pub folder: &'a Path,
}

/// Whom it concerns, and why.
#[derive(Debug, PartialEq, Eq)]
pub enum Concern {
    Everything(String),
    /// By name; may be empty.
    Some(BTreeMap<String, String>),
}

/// Names that are shown of those that run again.
const MOST: usize = 10;

impl Concern {
    /// One line for a person.
    pub fn to_text(&self) -> String {
        match self {
            Concern::Everything(why) => format!("again: everything ({why})\n"),
            Concern::Some(names) => {
                let shown = names.iter().take(MOST).map(|(name, why)| format!("{name} ({why})"));
                let mut shown: Vec<String> = shown.collect();
                if names.len() > MOST {
                    shown.push(format!("{} more", names.len() - MOST));
                }
                format!("again: {}\n", shown.join(", "))
            }
        }
    }
}

/// What these changed files come to, the project and its jobs being what they are now.
pub fn of(files: &[PathBuf], before: &Before<'_>, now: Option<&Project>, jobs: &[Job]) -> Concern {
    let entries = match changed_entries(files, before.project, now) {
        Ok(entries) => entries,
        Err(why) => return Concern::Everything(why),
    };
    let is_known = |path: &Path| {
        is_test_name(path)
            || jobs.iter().any(|job| is_own(job, path))
            || before.used.values().any(|used| used.has_file(path))
            || [before.project, now]
                .into_iter()
                .flatten()
                .any(|of| is_of_entry(of, path))
    };
    let unknown = files.iter().find(|path| is_code(path) && !is_known(path));
    if let Some(path) = unknown {
        let name = shown(std::slice::from_ref(path), before.folder);
        return Concern::Everything(format!("no test is known to use {name}, and no entry"));
    }
    let concerned = jobs.iter().filter_map(|job| {
        let why = reason(job, files, &entries, before)?;
        Some((job.name().to_owned(), why))
    });
    Concern::Some(concerned.collect())
}

/// The entries that say something else, or whose modules are others; or why it is no use to ask for them.
fn changed_entries(
    files: &[PathBuf],
    before: Option<&Project>,
    now: Option<&Project>,
) -> Result<HashSet<EntryId>, String> {
    let (before, now) = match (before, now) {
        (Some(before), Some(now)) => (before, now),
        (None, None) => return Ok(HashSet::new()),
        (None, Some(_)) => return Err("there is a project now".to_owned()),
        (Some(_), None) => return Err("there is no project any more".to_owned()),
    };
    if before.config != now.config {
        return Err("the configuration is another one".to_owned());
    }
    if !before.about_files().map(what).eq(now.about_files().map(what)) {
        return Err("files of the project are broken, or mended".to_owned());
    }
    let mut changed = now.registry.changed_since(&before.registry);
    let kind = |registry: &Registry, id: &EntryId| registry.get(id).is_some_and(|entry| is_ground(&entry.kind));
    let ground = changed
        .iter()
        .find(|id| kind(&before.registry, id) || kind(&now.registry, id));
    if let Some(ground) = ground {
        return Err(format!("all may stand on {ground}"));
    }
    changed.extend(of_modules(&now.registry, files));
    Ok(changed)
}

/// A finding, wherever in its file it has moved to.
fn what(found: &Diagnostic) -> (&str, Option<&str>) {
    (&found.message, found.place.as_ref().map(|place| &*place.file))
}

fn is_own(job: &Job, path: &Path) -> bool {
    matches!(job, Job::File(file) if file.path == path)
}

/// Whether what is in the file is compared as the entry that it belongs to.
fn is_of_entry(project: &Project, path: &Path) -> bool {
    let is_source = |entry: &Entry| match &entry.spec {
        Spec::Lua(spec) => project.folder.join(&spec.chunk) == path,
        _ => project.registry.module_file(entry).is_some_and(|file| file == path),
    };
    project.registry.iter().any(|entry| is_source(entry))
}

fn reason(job: &Job, files: &[PathBuf], entries: &HashSet<EntryId>, before: &Before<'_>) -> Option<String> {
    if files.iter().any(|path| is_own(job, path)) {
        return Some("it has changed".to_owned());
    }
    if !before.known.contains(job.name()) {
        return Some("it is new".to_owned());
    }
    let Some(used) = before.used.get(job.name()) else {
        let is_code = files.iter().any(|path| is_code(path) && !is_test_name(path));
        return (is_code || !entries.is_empty()).then(|| "what it uses is not known".to_owned());
    };
    let file = files.iter().find(|path| is_code(path) && used.has_file(path));
    if let Some(file) = file {
        return Some(format!("uses {}", shown(std::slice::from_ref(file), before.folder)));
    }
    let entry = entries.iter().filter(|id| used.entries.contains(id)).min();
    match entry {
        Some(id) => Some(format!("uses {id}")),
        None if used.registry && !entries.is_empty() => Some("looks at the entries".to_owned()),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::test::discover::File;

    #[test]
    fn what_runs_again_is_told_with_the_reason_and_bounded() {
        let names = |count: usize| {
            let name = |n: usize| (format!("tests/{n:02}_test.lua"), "uses app:a".to_owned());
            Concern::Some((0..count).map(name).collect())
        };
        assert_eq!(names(1).to_text(), "again: tests/00_test.lua (uses app:a)\n");
        assert!(
            names(12)
                .to_text()
                .ends_with("tests/09_test.lua (uses app:a), 2 more\n")
        );
        let all = Concern::Everything("there is a project now".to_owned());
        assert_eq!(all.to_text(), "again: everything (there is a project now)\n");
    }

    #[test]
    fn what_is_not_known_concerns_everything() {
        let job = |name: &str| {
            Job::File(File {
                name: name.to_owned(),
                path: Path::new("/p").join(name),
            })
        };
        let jobs = [job("a_test.lua"), job("b_test.lua")];
        let uses = crate::lua::uses::Uses::default();
        uses.file(Path::new("/p/words.lua"));
        let used = HashMap::from([("a_test.lua".to_owned(), uses.all(&Registry::default()))]);
        let known = BTreeSet::from(["a_test.lua".to_owned(), "b_test.lua".to_owned()]);
        let before = Before {
            project: None,
            known: &known,
            used: &used,
            folder: Path::new("/p"),
        };
        let concerned = |path: &str| of(&[path.into()], &before, None, &jobs).to_text();
        assert_eq!(
            concerned("/p/words.lua"),
            "again: a_test.lua (uses words.lua), b_test.lua (what it uses is not known)\n"
        );
        for nothing in ["/p/README.md", "/p/c_test.lua"] {
            assert_eq!(concerned(nothing), "again: \n", "{nothing}");
        }
        assert_eq!(
            concerned("/p/others.lua"),
            "again: everything (no test is known to use others.lua, and no entry)\n"
        );
    }
}
