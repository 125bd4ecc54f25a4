//! `--watch`: waits until files have changed, and says which. What that means for what runs is decided by those who wait:
//! `services`, `program`, and the test runner.
//!
//! The system tells only that something happened in a folder; which files are others than before is found by looking at them
//! ([`files`]). So an editor that renames, a burst of writes, a touch and an event that got lost all come to the same.
//! Invariant: folders are watched before they are looked at, so nothing can happen between the two unseen.

mod eyes;
mod files;
pub mod program;
pub mod services;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::console::Console;
use super::failure::Failure;
use crate::project::{Project, Registry, Spec};
use eyes::Eyes;
use files::Files;

/// How long nothing must happen before files are looked at: an editor or a build writes many files in a row.
const QUIET: Duration = Duration::from_millis(100);
/// Where something happens all the time, files are looked at as often as that.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often a look begins again because there are folders that were not there when it began.
const ROUNDS: u32 = 10;

/// A folder that is watched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Root {
    folder: PathBuf,
    /// With the folders in it.
    is_deep: bool,
}

impl Root {
    pub fn deep(folder: PathBuf) -> Root {
        Root { folder, is_deep: true }
    }

    /// Of a file that belongs to no project: its folder may be the home of everything.
    pub fn flat(folder: PathBuf) -> Root {
        Root { folder, is_deep: false }
    }
}

/// Folders whose files are watched.
pub struct Watch {
    roots: Vec<Root>,
    eyes: Eyes,
    files: Files,
    /// When something happened that was not looked at yet. Kept here, so that a wait that is dropped loses nothing.
    since: Option<Instant>,
}

impl Watch {
    /// Watches what is below these folders from now on.
    pub fn open(roots: Vec<Root>, console: &Console) -> Watch {
        let mut watch = Watch {
            roots: Vec::new(),
            eyes: Eyes::open(),
            files: Files::default(),
            since: None,
        };
        watch.follow(roots, console);
        watch
    }

    /// Watches these folders in place of the former ones. What changed in folders that were watched already is not forgotten.
    /// False when they are the same.
    pub fn follow(&mut self, mut roots: Vec<Root>, console: &Console) -> bool {
        roots.sort();
        roots.dedup();
        if roots == self.roots {
            return false;
        }
        self.roots = roots;
        let before = std::mem::take(&mut self.files);
        self.look(console);
        self.files.keep(&before);
        true
    }

    /// Waits until files are others than before, and for [`QUIET`] nothing more has happened: their paths, sorted, files that
    /// are new or gone among them.
    pub async fn changed(&mut self, console: &Console) -> Vec<PathBuf> {
        loop {
            self.quiet().await;
            self.since = None;
            let changed = self.look(console);
            if !changed.is_empty() {
                return changed;
            }
        }
    }

    async fn quiet(&mut self) {
        if self.since.is_none() {
            self.eyes.something().await;
        }
        let end = *self.since.get_or_insert_with(Instant::now) + PATIENCE;
        while Instant::now() < end && tokio::time::timeout(QUIET, self.eyes.something()).await.is_ok() {}
    }

    fn look(&mut self, console: &Console) -> Vec<PathBuf> {
        let mut watched = files::folders(&self.roots);
        let mut rounds = 0;
        loop {
            if let Some(why) = self.eyes.follow(&watched) {
                console.say(&format!("{why}; looking for changes every second instead\n"));
            }
            let (folders, files) = files::below(&self.roots);
            rounds += 1;
            // One that has come meanwhile is not watched yet. Where they come all the time, the next look is near anyway.
            if folders.is_subset(&watched) || rounds == ROUNDS {
                return self.files.update(files);
            }
            watched = folders;
        }
    }
}

/// The folders that a project is made of: its own, source roots elsewhere, and volumes in it that would not be searched
/// otherwise, because modules are built into them.
pub fn roots(project: &Project) -> Vec<Root> {
    let volumes = project.registry.iter().filter_map(|entry| match &entry.spec {
        Spec::Directory(spec) => spec.path.canonicalize().ok(),
        _ => None,
    });
    let volumes = volumes.filter(|path| path.starts_with(&project.folder));
    let own = std::iter::once(project.folder.clone());
    let all = own.chain(project.roots.iter().cloned()).chain(volumes);
    all.map(Root::deep).collect()
}

/// Files as a person calls them: seen from the folder, a few of them.
pub fn shown(files: &[PathBuf], folder: &Path) -> String {
    const MOST: usize = 5;
    let mut names: Vec<String> = files
        .iter()
        .take(MOST)
        .map(|path| path.strip_prefix(folder).unwrap_or(path).display().to_string())
        .collect();
    if files.len() > MOST {
        names.push(format!("{} more", files.len() - MOST));
    }
    names.join(", ")
}

/// Whether what is in a file is code that runs: Lua or a module. Entry files are compared as what they mean.
pub fn is_code(path: &Path) -> bool {
    let end = path.extension().and_then(|end| end.to_str());
    matches!(end, Some("lua" | "wasm" | "wat"))
}

/// Whether everything stands on entries of that kind while it runs.
pub fn is_ground(kind: &str) -> bool {
    kind.starts_with("env.") || matches!(kind, "process.host" | "terminal.host" | "fs.directory")
}

/// Whether the entries, or what is wrong with them, are others.
pub fn is_other(before: Option<&Project>, now: Option<&Project>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => {
            now.config != before.config
                || now.diagnostics != before.diagnostics
                || !now.registry.changed_since(&before.registry).is_empty()
        }
        (before, now) => before.is_some() != now.is_some(),
    }
}

/// The entries whose modules are among these files.
pub fn of_modules<'a>(registry: &'a Registry, files: &'a [PathBuf]) -> impl Iterator<Item = crate::id::EntryId> + 'a {
    registry.iter().filter_map(|entry| {
        let path = registry.module_file(entry)?;
        let path = path.canonicalize().unwrap_or(path);
        files.contains(&path).then(|| entry.id.clone())
    })
}

/// What drives a command that waits for more than one runtime: signals, files, time.
///
/// # Errors
/// What the operating system says against it.
pub fn driver() -> Result<tokio::runtime::Runtime, Failure> {
    let made = tokio::runtime::Builder::new_current_thread().enable_all().build();
    made.map_err(|error| Failure::refused("cannot wait for files and signals", &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Color;
    use notify::{Config, EventHandler, RecursiveMode, Watcher, WatcherKind};
    use std::sync::Arc;

    /// Does something to a folder at the moment at which it is watched, and tells nobody.
    struct Meanwhile<F>(F);

    impl<F: FnMut(&Path) + Send> Watcher for Meanwhile<F> {
        fn new<H: EventHandler>(_: H, _: Config) -> notify::Result<Self> {
            Err(notify::Error::generic("it is made by hand"))
        }

        fn watch(&mut self, path: &Path, _: RecursiveMode) -> notify::Result<()> {
            (self.0)(path);
            Ok(())
        }

        fn unwatch(&mut self, _: &Path) -> notify::Result<()> {
            Ok(())
        }

        fn kind() -> WatcherKind {
            WatcherKind::NullWatcher
        }
    }

    #[test]
    fn what_happens_while_a_folder_is_taken_on_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let (inner, file) = (root.join("inner"), root.join("inner/new.lua"));
        let (own, late) = (root.clone(), file.clone());
        let watcher = Meanwhile(move |path: &Path| {
            if path == own {
                std::fs::create_dir_all(&inner).unwrap();
            } else {
                std::fs::write(&late, "return 1").unwrap();
            }
        });
        let mut watch = Watch {
            roots: vec![Root::deep(root)],
            eyes: Eyes::with(Ok(Box::new(watcher)), Arc::default()),
            files: Files::default(),
            since: None,
        };
        assert_eq!(watch.look(&Console::new(Color::Never)), [file]);
    }

    #[test]
    fn many_files_are_shown_by_the_first_ones() {
        let files: Vec<PathBuf> = (1..=7).map(|n| PathBuf::from(format!("/p/{n}.lua"))).collect();
        assert_eq!(shown(&files[..2], Path::new("/p")), "1.lua, 2.lua");
        assert_eq!(
            shown(&files, Path::new("/p")),
            "1.lua, 2.lua, 3.lua, 4.lua, 5.lua, 2 more"
        );
        assert_eq!(shown(&files[..1], Path::new("/q")), "/p/1.lua");
    }
}
