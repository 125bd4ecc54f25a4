//! What files are like, to find out which are others than before.
//!
//! Sources are known by their contents, so that writing the same again is no change; they are read only when their stamp is
//! another one, or so young that a further write could have left it the same. Other files are known by their stamps.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Root;

/// Stamps that are younger may be those of two contents: file systems count time in steps.
const YOUNG: Duration = Duration::from_secs(2);

/// Files by path.
#[derive(Debug, Default)]
pub struct Files(BTreeMap<PathBuf, Print>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    inode: u64,
    /// Seconds and nanoseconds of the last change of contents and of anything.
    times: [i64; 4],
}

#[derive(Clone, Copy, Debug)]
struct Print {
    stamp: Stamp,
    was_young: bool,
    /// Of sources.
    contents: Option<u64>,
}

/// A file that is there now.
pub struct Found {
    path: PathBuf,
    stamp: Stamp,
    is_young: bool,
}

impl Files {
    /// Takes what is there now; gives what is another than before, sorted.
    pub fn update(&mut self, found: Vec<Found>) -> Vec<PathBuf> {
        let mut old = std::mem::take(&mut self.0);
        let mut changed = Vec::new();
        for file in found {
            let before = old.remove(&file.path);
            let print = Print::of(&file, before.as_ref());
            if before.is_none_or(|before| !before.is_same(&print)) {
                changed.push(file.path.clone());
            }
            self.0.insert(file.path, print);
        }
        changed.extend(old.into_keys());
        changed.sort();
        changed
    }

    /// Of files that are in both, `before` is what counts: a change that nobody was told stays one.
    pub fn keep(&mut self, before: &Files) {
        for (path, print) in &mut self.0 {
            if let Some(known) = before.0.get(path) {
                *print = *known;
            }
        }
    }
}

impl Print {
    fn of(file: &Found, before: Option<&Print>) -> Print {
        let known = before.filter(|before| before.stamp == file.stamp && !before.was_young);
        let contents = match known {
            Some(before) => before.contents,
            None => is_source(&file.path).then(|| contents(&file.path)).flatten(),
        };
        Print {
            stamp: file.stamp,
            was_young: file.is_young,
            contents,
        }
    }

    fn is_same(&self, other: &Print) -> bool {
        match (self.contents, other.contents) {
            (Some(one), Some(other)) => one == other,
            _ => self.stamp == other.stamp,
        }
    }
}

/// None when it cannot be read, or is gone again.
fn contents(path: &Path) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    std::fs::read(path).ok()?.hash(&mut hasher);
    Some(hasher.finish())
}

fn is_source(path: &Path) -> bool {
    let end = path.extension().and_then(|end| end.to_str());
    matches!(end, Some("lua" | "wasm" | "wat" | "yaml" | "yml" | "json" | "lock"))
}

/// All folders below the deep roots, and the roots themselves. Links to folders are not followed; left out are `.git`,
/// `node_modules`, and caches that say so by a `CACHEDIR.TAG`, unless they are roots.
pub fn folders(roots: &[Root]) -> BTreeSet<PathBuf> {
    walk(roots, |_| {})
}

/// The same folders, and the files in them.
pub fn below(roots: &[Root]) -> (BTreeSet<PathBuf>, Vec<Found>) {
    let now = SystemTime::now();
    let mut files = BTreeMap::new();
    let folders = walk(roots, |path| {
        if let Some(found) = Found::at(path, now) {
            files.insert(found.path.clone(), found);
        }
    });
    (folders, files.into_values().collect())
}

/// Shows everything that is no folder to `see`.
fn walk(roots: &[Root], mut see: impl FnMut(PathBuf)) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    // Those that end the list are looked at first, and sorted roots have the deep one of a folder last.
    let mut open = roots.to_vec();
    while let Some(Root { folder, is_deep }) = open.pop() {
        // One that cannot be read, or is gone again, has nothing to show.
        let Ok(items) = std::fs::read_dir(&folder) else {
            continue;
        };
        if !folders.insert(folder) {
            continue;
        }
        for item in items.flatten() {
            let path = item.path();
            if item.file_type().is_ok_and(|kind| kind.is_dir()) {
                if is_deep && !is_left_out(&path) {
                    open.push(Root::deep(path));
                }
            } else {
                see(path);
            }
        }
    }
    folders
}

fn is_left_out(folder: &Path) -> bool {
    let is_named = |name: &std::ffi::OsStr| name == ".git" || name == "node_modules";
    folder.file_name().is_some_and(is_named) || folder.join("CACHEDIR.TAG").is_file()
}

impl Found {
    fn at(path: PathBuf, now: SystemTime) -> Option<Found> {
        let about = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
        let age = about.modified().ok().and_then(|at| now.duration_since(at).ok());
        Some(Found {
            path,
            stamp: Stamp {
                size: about.size(),
                inode: about.ino(),
                times: [about.mtime(), about.mtime_nsec(), about.ctime(), about.ctime_nsec()],
            },
            is_young: age.is_none_or(|age| age < YOUNG),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        folder: tempfile::TempDir,
        files: Files,
    }

    impl World {
        fn new() -> World {
            World {
                folder: tempfile::tempdir().unwrap(),
                files: Files::default(),
            }
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }

        fn changed(&mut self) -> Vec<String> {
            let root = self.folder.path().to_owned();
            let changed = self.files.update(below(&[Root::deep(root.clone())]).1);
            let short = |path: &PathBuf| path.strip_prefix(&root).unwrap().display().to_string();
            changed.iter().map(short).collect()
        }
    }

    #[test]
    fn what_is_new_other_or_gone_has_changed() {
        let mut world = World::new();
        world.write("a.lua", "1");
        world.write("deep/er/b.lua", "1");
        assert_eq!(world.changed(), ["a.lua", "deep/er/b.lua"]);
        assert!(world.changed().is_empty());
        // As long as the first, and within the same moment.
        world.write("a.lua", "2");
        world.write("new/c.yaml", "");
        assert_eq!(world.changed(), ["a.lua", "new/c.yaml"]);
        std::fs::remove_dir_all(world.folder.path().join("deep")).unwrap();
        assert_eq!(world.changed(), ["deep/er/b.lua"]);
    }

    #[test]
    fn writing_the_same_again_is_no_change() {
        let mut world = World::new();
        world.write("a.lua", "1");
        world.changed();
        world.write("other", "1");
        std::fs::rename(world.folder.path().join("other"), world.folder.path().join("a.lua")).unwrap();
        assert!(world.changed().is_empty());
    }

    #[test]
    fn what_others_make_is_left_out() {
        let mut world = World::new();
        world.write(".git/x.lua", "");
        world.write("node_modules/x.lua", "");
        world.write("target/CACHEDIR.TAG", "");
        world.write("target/x.lua", "");
        assert!(world.changed().is_empty());
        let built = world.folder.path().join("target");
        assert_eq!(below(&[Root::deep(built)]).1.len(), 2, "it was asked for");
    }

    #[test]
    fn what_nobody_was_told_stays_a_change() {
        let mut world = World::new();
        world.write("a.lua", "1");
        world.changed();
        let before = std::mem::take(&mut world.files);
        world.write("a.lua", "2");
        world.changed();
        world.files.keep(&before);
        assert_eq!(world.changed(), ["a.lua"]);
    }
}
