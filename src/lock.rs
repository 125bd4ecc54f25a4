//! Locks that outlive a panic: whoever takes one goes on with what is behind it.
//!
//! A panic ends the process that caused it and nothing else. What is locked is never left half changed by one: it is
//! changed in one go, or by code that does not panic. So a poisoned lock says nothing, and is not asked.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn read<T: ?Sized>(behind: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    behind.read().unwrap_or_else(PoisonError::into_inner)
}

pub fn write<T: ?Sized>(behind: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    behind.write().unwrap_or_else(PoisonError::into_inner)
}
