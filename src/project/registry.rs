//! The loaded entries, by id and in load order. Read-only: a reload makes a new one.

use std::sync::Arc;

use super::diagnostic::refusal;
use super::entry::{Command, Entry};
use crate::error::{Error, Result};
use crate::id::{ById, EntryId};

/// All entries of a project.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    entries: Vec<Arc<Entry>>,
    index: ById<usize>,
}

impl Registry {
    /// Takes entries in load order. Of two with one id the last one counts, at its own place in the order.
    pub fn new(entries: impl IntoIterator<Item = Arc<Entry>>) -> Registry {
        let all: Vec<Arc<Entry>> = entries.into_iter().collect();
        let last: ById<usize> = all
            .iter()
            .enumerate()
            .map(|(at, entry)| (entry.id.clone(), at))
            .collect();
        let kept = all.into_iter().enumerate().filter(|(at, entry)| last[&entry.id] == *at);
        let entries: Vec<Arc<Entry>> = kept.map(|(_, entry)| entry).collect();
        let index = entries
            .iter()
            .enumerate()
            .map(|(at, entry)| (entry.id.clone(), at))
            .collect();
        Registry { entries, index }
    }

    /// The same entries and more, for a script or a test that brings its own.
    #[must_use]
    pub fn with(&self, more: impl IntoIterator<Item = Entry>) -> Registry {
        Registry::new(self.entries.iter().cloned().chain(more.into_iter().map(Arc::new)))
    }

    pub fn get(&self, id: &EntryId) -> Option<&Arc<Entry>> {
        self.index.get(id).map(|at| &self.entries[*at])
    }

    /// All entries in load order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Entry>> {
        self.entries.iter()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry, if it can be used.
    ///
    /// # Errors
    /// NotFound `entry not found: <id>`; for a broken entry the first of its errors, NotFound for missing things and
    /// Invalid otherwise, with all its diagnostics as `details.diagnostics`.
    pub fn usable(&self, id: &EntryId) -> Result<Arc<Entry>> {
        let entry = self
            .get(id)
            .ok_or_else(|| Error::not_found(format!("entry not found: {id}")))?;
        match refusal(id, &entry.problems) {
            Some(error) => Err(error),
            None => Ok(entry.clone()),
        }
    }

    /// The commands in load order; the first of one name counts.
    pub fn commands(&self) -> Vec<(&Command, &Arc<Entry>)> {
        let mut names = std::collections::HashSet::new();
        let all = self
            .entries
            .iter()
            .filter_map(|entry| Some((entry.command.as_ref()?, entry)));
        all.filter(|(command, _)| names.insert(command.name.as_str())).collect()
    }

    pub fn command(&self, name: &str) -> Option<&Arc<Entry>> {
        let named = |entry: &&Arc<Entry>| entry.command.as_ref().is_some_and(|command| command.name == name);
        self.entries.iter().find(named)
    }

    /// The entries of one kind, in load order, broken ones included.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Arc<Entry>> {
        self.entries.iter().filter(move |entry| entry.kind == kind)
    }
}
