//! The instances of functions between their calls.
//!
//! [`Serving`] is whom an instance runs for: a process has one for life, a function's instance gets another with each
//! call. What stands beside the guest (its log lines, its view of the network) asks here, because it outlives the call.
//! [`Shelf`] keeps the instances that lie idle. They take places that others may need: when there is no room for a new
//! guest the one that has lain there longest goes.
//!
//! Invariant: an instance is either on the shelf or in the body of a call, never in both.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::body::Guest;
use crate::lock::lock;
use crate::process::Process;
use crate::value::Packed;

/// The process of the current call, and what it was started with.
pub struct Serving(Mutex<(Arc<Process>, Packed)>);

impl Serving {
    /// `args`: for a guest that cannot ask for them what a report shows of them.
    pub fn new(process: Arc<Process>, args: Packed) -> Serving {
        Serving(Mutex::new((process, args)))
    }

    /// The instance runs for that process from now on.
    pub fn serve(&self, process: Arc<Process>, args: Packed) {
        let last = std::mem::replace(&mut *lock(&self.0), (process, args));
        drop(last);
    }

    pub fn process(&self) -> Arc<Process> {
        lock(&self.0).0.clone()
    }

    pub fn args(&self) -> Packed {
        lock(&self.0).1.clone()
    }
}

/// The idle instances of all functions, oldest first.
#[derive(Default)]
pub struct Shelf(Mutex<Places>);

#[derive(Default)]
struct Places {
    last: u64,
    guests: BTreeMap<u64, Guest>,
}

impl Shelf {
    /// Keeps an instance; gives what finds it again.
    pub fn keep(self: &Arc<Self>, guest: Guest) -> Ticket {
        let mut places = lock(&self.0);
        places.last += 1;
        let number = places.last;
        places.guests.insert(number, guest);
        Ticket {
            shelf: self.clone(),
            number,
        }
    }

    /// Drops the instance that has lain idle longest, with everything it held; false when none is left.
    pub fn make_room(&self) -> bool {
        let oldest = lock(&self.0).guests.pop_first();
        oldest.is_some()
    }
}

/// Where an idle instance lies. Dropping it drops the instance.
pub struct Ticket {
    shelf: Arc<Shelf>,
    number: u64,
}

impl Ticket {
    /// The instance; none when it had to make room.
    pub fn take(self) -> Option<Guest> {
        self.remove()
    }

    fn remove(&self) -> Option<Guest> {
        lock(&self.shelf.0).guests.remove(&self.number)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // The lock is free again before the store goes.
        drop(self.remove());
    }
}
