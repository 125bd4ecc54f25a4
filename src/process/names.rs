//! Registered names: text to one living process. Released when their process ends.
//!
//! Lock order: the names' lock first, then the table, mailboxes and the process's relations. A name can therefore never
//! outlive its process: [`Names::register`] finds the relations closed when the process ends at the same moment.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};

use super::Process;
use crate::error::{Error, Kind, Result};
use crate::id::Pid;
use crate::lock::lock;

/// Bytes that a name may have.
const LONGEST: usize = 1024;

/// Names that a process may have.
const MOST: usize = 10_000;

#[derive(Default)]
pub struct Names(Mutex<HashMap<String, Pid>>);

impl Names {
    /// Gives the process a name. The same name again for the same process is fine.
    ///
    /// # Errors
    /// As [`Names::reserve`] and [`Reserved::give`].
    pub(super) fn register(&self, name: &str, process: &Process, lives: impl Fn(&Pid) -> bool) -> Result<()> {
        match self.reserve(name, lives) {
            Ok(reserved) => reserved.give(process),
            Err(Refusal::Taken(holder)) if holder == *process.pid() => Ok(()),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Keeps everybody else from a free name until it is given, or not. A name is free, too, when its holder does not live
    /// but has not been released yet.
    ///
    /// # Errors
    /// Invalid for a name that is empty, too long or reads as a pid; the holder when it is taken.
    pub(super) fn reserve<'a>(
        &'a self,
        name: &'a str,
        lives: impl Fn(&Pid) -> bool,
    ) -> std::result::Result<Reserved<'a>, Refusal> {
        if name.is_empty() {
            return Err(Error::invalid("name cannot be empty").into());
        }
        if name.len() > LONGEST {
            let message = format!("name too long: {} bytes, {LONGEST} at most", name.len());
            return Err(Error::invalid(message).into());
        }
        if Pid::has_form(name) {
            return Err(Error::invalid(format!("name {name:?} reads as a pid: choose another one")).into());
        }
        let names = self.lock();
        match names.get(name) {
            Some(holder) if lives(holder) => Err(Refusal::Taken(holder.clone())),
            _ => Ok(Reserved { names, name }),
        }
    }

    pub fn lookup(&self, name: &str) -> Option<Pid> {
        self.lock().get(name).cloned()
    }

    /// Frees a name and has `forget` told who held it, before anybody else can take it; false when nobody did.
    pub(super) fn unregister(&self, name: &str, forget: impl Fn(&Pid)) -> bool {
        let mut names = self.lock();
        let holder = names.remove(name);
        holder.iter().for_each(forget);
        holder.is_some()
    }

    /// Frees the names of an ended process, as far as they are still its own.
    pub(super) fn release(&self, released: &HashSet<String>, pid: &Pid) {
        if released.is_empty() {
            return;
        }
        let mut names = self.lock();
        for name in released {
            if names.get(name) == Some(pid) {
                names.remove(name);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Pid>> {
        lock(&self.0)
    }
}

/// A name that is about to get a holder.
pub(super) struct Reserved<'a> {
    names: MutexGuard<'a, HashMap<String, Pid>>,
    name: &'a str,
}

impl Reserved<'_> {
    /// # Errors
    /// NotFound when the process has ended; LimitExceeded when it has too many names.
    pub(super) fn give(mut self, process: &Process) -> Result<()> {
        {
            let mut relations = process.relations();
            if relations.names() >= MOST {
                let message = format!("{} has {MOST} names already", process.pid());
                return Err(Error::new(Kind::LimitExceeded, message));
            }
            if !relations.add_name(self.name) {
                return Err(Error::not_found(format!("process not found: {}", process.pid())));
            }
        }
        self.names.insert(self.name.to_owned(), process.pid().clone());
        Ok(())
    }
}

/// Why a name, or a process under a name, was not to be had.
pub(super) enum Refusal {
    /// It has this holder.
    Taken(Pid),
    Other(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::Other(error)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        match refusal {
            Refusal::Taken(_) => Error::already_exists("name already registered"),
            Refusal::Other(error) => error,
        }
    }
}
