//! How a running coroutine is interrupted: a signal sets a hook, the hook yields.
//!
//! The kernel's tick sends SIGURG to a worker whose Lua code has outlasted its slice, at every beat until its step is over.
//! The handler does nothing but set a count hook on the coroutine that runs; the hook removes itself and yields where Lua
//! can yield, else the next beat tries again. A state that holds too much is collected first. A doomed process yields and
//! is never resumed; where it cannot yield the hook stays and raises, on every instruction.
//!
//! Setting a hook marks every frame of the coroutine, a millisecond's work for the deepest ones, and removing it marks none.
//! So one that is set is not set again: signals that come while the handler is at work would do nothing else for ever.
//!
//! Invariant: [`CURRENT`] names the coroutine whose code this thread executes, in nested coroutines too (`resume` of this
//! room keeps it), and is null outside of them. It is a `const` thread-local without destructor, so that the handler may
//! read it.

use std::cell::Cell;
use std::ffi::c_int;
use std::ptr;
use std::sync::Once;

use super::Driver;
use super::raw::{self, Lua, lua_Debug, lua_error, lua_gethookmask, lua_pushlightuserdata, lua_sethook, lua_yield};

thread_local! {
    static CURRENT: Cell<Lua> = const { Cell::new(ptr::null_mut()) };
}

/// Installs the handler, once for the program.
pub fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: a zeroed sigaction is valid; the handler only does what a handler may do (see `interrupt`).
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = interrupt as extern "C" fn(c_int) as usize;
            action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(libc::SIGURG, &raw const action, ptr::null_mut());
        }
    });
}

/// The handler. No allocation, no lock, no system call, so `errno` stays as it is.
extern "C" fn interrupt(_: c_int) {
    strike_current();
}

/// Makes the running coroutine call [`hook`] before its next instruction.
pub fn strike_current() {
    let l = CURRENT.get();
    if !l.is_null() {
        // SAFETY: CURRENT is a coroutine that this thread executes.
        unsafe { strike(l) };
    }
}

/// Makes `l` call [`hook`] before its next instruction, as it may be about to already.
///
/// # Safety
/// `l` is alive and belongs to this thread.
pub unsafe fn strike(l: Lua) {
    // SAFETY: lua_sethook is the one call that Lua allows at any moment, from a signal handler too; the other one is a
    // read. A hook that is being removed at this very moment is set by the next beat.
    unsafe {
        if lua_gethookmask(l) == 0 {
            lua_sethook(l, Some(hook), raw::LUA_MASKCOUNT, 1);
        }
    }
}

/// Sets the coroutine that runs and gives back the one that ran.
pub fn swap_current(l: Lua) -> Lua {
    CURRENT.replace(l)
}

unsafe extern "C-unwind" fn hook(l: Lua, _: *mut lua_Debug) {
    // SAFETY: called by Lua for a running coroutine; nothing with a destructor is alive.
    unsafe {
        let driver = Driver::of(l);
        if (*driver).memory.is_over() {
            raw::squeeze(l, &mut *driver);
        }
        let can_yield = (*driver).can_yield(l);
        if !can_yield && ((*driver).is_doomed() || (*driver).must_cut()) {
            lua_pushlightuserdata(l, ptr::null_mut());
            lua_error(l);
        }
        lua_sethook(l, None, 0, 0);
        if can_yield {
            (*driver).host_yield = true;
            (*driver).preempted = true;
            lua_yield(l, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lua::driver::raw::{lua_close, lua_gethookcount, luaL_newstate};

    #[test]
    fn a_hook_that_is_set_is_not_set_again() {
        // SAFETY: a state of its own, in which nothing runs.
        unsafe {
            let l = luaL_newstate();
            strike(l);
            assert_eq!((lua_gethookmask(l), lua_gethookcount(l)), (raw::LUA_MASKCOUNT, 1));
            lua_sethook(l, Some(hook), raw::LUA_MASKCOUNT, 7);
            strike(l);
            assert_eq!(lua_gethookcount(l), 7, "every frame would be marked once more");
            lua_close(l);
        }
    }
}
