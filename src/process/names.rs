//! Registered names: text to one living process. Released when their process ends.
//!
//! Lock order: the names' lock first, then the process's relations. A name can therefore never outlive its process:
//! [`Names::register`] finds the relations closed when the process ends at the same moment.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Process;
use crate::error::{Error, Result};
use crate::id::Pid;

#[derive(Default)]
pub struct Names(Mutex<HashMap<String, Pid>>);

impl Names {
    /// Gives the process a name. The same name again for the same process is fine.
    ///
    /// # Errors
    /// Invalid for an empty name and one that reads as a pid; AlreadyExists when another process holds it; NotFound when
    /// the process has ended.
    pub(super) fn register(&self, name: &str, process: &Process) -> Result<()> {
        if name.is_empty() {
            return Err(Error::invalid("name cannot be empty"));
        }
        if Pid::parse(name).is_ok() {
            return Err(Error::invalid(format!(
                "name {name:?} reads as a pid: choose another one"
            )));
        }
        let mut names = self.lock();
        match names.get(name) {
            Some(holder) if holder == process.pid() => return Ok(()),
            Some(_) => return Err(Error::already_exists("name already registered")),
            None => {}
        }
        if !process.relations().add_name(name) {
            return Err(Error::not_found(format!("process not found: {}", process.pid())));
        }
        names.insert(name.to_owned(), process.pid().clone());
        Ok(())
    }

    pub fn lookup(&self, name: &str) -> Option<Pid> {
        self.lock().get(name).cloned()
    }

    /// Frees a name; false when nobody held it.
    pub fn unregister(&self, name: &str) -> bool {
        self.lock().remove(name).is_some()
    }

    /// Frees the names of an ended process, as far as they are still its own.
    pub(super) fn release(&self, released: &[String], pid: &Pid) {
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
