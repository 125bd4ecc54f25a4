//! What the programs of a runtime make use of: for whoever wants to know whom a change of files concerns.
//!
//! Noted is what was asked for, whether it was there or not: that something comes concerns those who missed it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use crate::id::EntryId;
use crate::lock::lock;
use crate::project::{Entry, Registry, Spec};

/// Taken down while a runtime runs.
#[derive(Debug, Default)]
pub struct Uses(Mutex<Used>);

/// What was used.
#[derive(Clone, Debug, Default)]
pub struct Used {
    /// Those that were spawned and called, and what these refer to.
    pub entries: HashSet<EntryId>,
    files: HashSet<PathBuf>,
    folders: HashSet<PathBuf>,
    /// Any entry: they were looked through.
    pub registry: bool,
}

impl Uses {
    pub fn entry(&self, id: &EntryId) {
        let mut used = self.lock();
        if !used.entries.contains(id) {
            used.entries.insert(id.clone());
        }
    }

    /// A file that is read, or looked for.
    pub fn file(&self, path: &Path) {
        self.lock().file(path);
    }

    /// The folder of a volume: whatever lies below it.
    pub fn folder(&self, path: &Path) {
        self.lock().folder(path);
    }

    /// The entries themselves, whichever they are.
    pub fn registry(&self) {
        self.lock().registry = true;
    }

    /// All of it, with what the entries need in their turn.
    pub fn all(&self, registry: &Registry) -> Used {
        let mut used = self.lock().clone();
        let mut open: Vec<EntryId> = used.entries.iter().cloned().collect();
        while let Some(entry) = open.pop().and_then(|id| registry.get(&id)) {
            used.files_of(entry, registry);
            let new = entry.references.iter().filter(|id| used.entries.insert((*id).clone()));
            open.extend(new.cloned());
        }
        used
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        lock(&self.0)
    }
}

impl Used {
    /// Whether a change of that file can make a difference.
    pub fn has_file(&self, path: &Path) -> bool {
        self.files.contains(path) || path.ancestors().any(|folder| self.folders.contains(folder))
    }

    /// Under its own name and the one that it has without links.
    fn file(&mut self, path: &Path) {
        self.files.extend(path.canonicalize());
        self.files.insert(path.to_owned());
    }

    fn folder(&mut self, path: &Path) {
        self.folders.extend(path.canonicalize());
        self.folders.insert(path.to_owned());
    }

    /// What an entry has a guest read.
    fn files_of(&mut self, entry: &Entry, registry: &Registry) {
        let Spec::Wasm(spec) = &entry.spec else { return };
        if let Some(module) = registry.module_file(entry) {
            self.file(&module);
        }
        for mount in &spec.mounts {
            if let Some(Spec::Directory(volume)) = registry.get(&mount.fs).map(|entry| &entry.spec) {
                self.folder(&volume.path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_a_folder_and_behind_a_link_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("real")).unwrap();
        std::fs::write(root.join("real/a.lua"), "").unwrap();
        std::os::unix::fs::symlink(root.join("real"), root.join("link")).unwrap();
        let uses = Uses::default();
        uses.file(&root.join("link/a.lua"));
        uses.file(&root.join("missing.lua"));
        uses.folder(&root.join("data"));
        let used = uses.all(&Registry::default());
        for (file, expected) in [
            ("real/a.lua", true),
            ("missing.lua", true),
            ("data/deep/b.lua", true),
            ("real/b.lua", false),
            ("data.lua", false),
        ] {
            assert_eq!(used.has_file(&root.join(file)), expected, "{file}");
        }
    }
}
