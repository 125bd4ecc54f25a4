//! What is different between two loads of a project, and whom that concerns.

use std::collections::HashSet;
use std::path::PathBuf;

use super::entry::{Entry, Spec, WasmSource};
use super::registry::Registry;
use crate::id::EntryId;

impl Registry {
    /// The entries that are new, gone, or say something else than in `before`. That they moved within their file is nothing.
    pub fn changed_since(&self, before: &Registry) -> HashSet<EntryId> {
        let is_other = |entry: &&std::sync::Arc<Entry>| {
            let old = before.get(&entry.id);
            old.is_none_or(|old| !says_the_same(old, entry))
        };
        let here = self.iter().filter(is_other).map(|entry| entry.id.clone());
        let gone = before.iter().filter(|entry| self.get(&entry.id).is_none());
        here.chain(gone.map(|entry| entry.id.clone())).collect()
    }

    /// Those of these entries, and the entries that refer to one of them, directly or not.
    pub fn reaching(&self, ids: &HashSet<EntryId>) -> HashSet<EntryId> {
        let mut reached = ids.clone();
        loop {
            let more: Vec<EntryId> = self
                .iter()
                .filter(|entry| !reached.contains(&entry.id))
                .filter(|entry| entry.references.iter().any(|id| reached.contains(id)))
                .map(|entry| entry.id.clone())
                .collect();
            if more.is_empty() {
                return reached;
            }
            reached.extend(more);
        }
    }

    /// Where the module of a WASM entry is on the disk.
    pub fn module_file(&self, entry: &Entry) -> Option<PathBuf> {
        let Spec::Wasm(spec) = &entry.spec else { return None };
        let (WasmSource::File { fs, path, .. } | WasmSource::Given { fs, path }) = &spec.source else {
            return None;
        };
        match &self.get(fs)?.spec {
            Spec::Directory(volume) => Some(volume.path.join(path.trim_start_matches('/'))),
            _ => None,
        }
    }
}

fn says_the_same(one: &Entry, other: &Entry) -> bool {
    one.kind == other.kind
        && one.meta == other.meta
        && one.lifecycle == other.lifecycle
        && one.references == other.references
        && one.node == other.node
        && one.spec == other.spec
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const INDEX: &str = "namespace: app\nentries:\n  - name: base\n    kind: library.lua\n    source: return {}\n  - name: top\n    \
                         kind: process.lua\n    source: return function() end\n    imports: { base: base }\n  - name: other\n    \
                         kind: registry.entry\n";

    fn load(text: &str) -> Registry {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("_index.yaml"), text).unwrap();
        let none = |_: &[std::sync::Arc<Entry>]| -> crate::project::Lookup<'_> {
            Box::new(|_, _| Err(crate::error::Error::not_found("no variables")))
        };
        let project = crate::project::load(Path::new(folder.path()), &[], &[], &none);
        assert!(!project.has_errors(), "{:?}", project.diagnostics);
        (*project.registry).clone()
    }

    fn names(ids: &HashSet<EntryId>) -> Vec<&str> {
        let mut names: Vec<&str> = ids.iter().map(EntryId::name).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn only_what_an_entry_says_counts() {
        let before = load(INDEX);
        assert!(load(&format!("# moved\n{INDEX}")).changed_since(&before).is_empty());
        let after = load(&INDEX.replace("return {}", "return { 1 }"));
        let changed = after.changed_since(&before);
        assert_eq!(names(&changed), ["base"]);
        assert_eq!(names(&after.reaching(&changed)), ["base", "top"]);
        let less = load(INDEX.split("  - name: other").next().unwrap());
        assert_eq!(names(&less.changed_since(&before)), ["other"]);
        assert_eq!(names(&before.changed_since(&less)), ["other"]);
    }
}
