//! What a signal that ends the program on the spot, SIGQUIT or SIGABRT, leaves behind: a terminal as it was found. For those that
//! nothing can be done about here there is the [`caretaker`].
//!
//! Invariant: the handler does nothing but read atomics, write and set the mode, which POSIX allows in one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Once, OnceLock};

use super::caretaker::{self, PASTE_OFF};

/// The mode before anything changed it.
static MODE: OnceLock<libc::termios> = OnceLock::new();
/// A line is edited: the terminal marks what is pasted.
static EDITING: AtomicBool = AtomicBool::new(false);

/// From now on such a signal gives the terminal this mode, or the one that was given first, before it has its default effect.
pub fn keep(mode: &libc::termios) {
    static INSTALLED: Once = Once::new();
    MODE.get_or_init(|| *mode);
    INSTALLED.call_once(|| {
        [libc::SIGQUIT, libc::SIGABRT].into_iter().for_each(install);
        // Without one the handlers have to do.
        let _ = caretaker::hire(mode);
    });
}

/// An editor draws on the terminal, or has stopped to.
pub fn set_editing(on: bool) {
    EDITING.store(on, Ordering::SeqCst);
}

/// Takes back what an editor asked of the terminal, if it could not do so itself.
pub fn end_editing() {
    if EDITING.swap(false, Ordering::SeqCst) {
        // SAFETY: the bytes are valid for that length. It fails when the terminal has gone, and then nobody misses it.
        unsafe { libc::write(libc::STDOUT_FILENO, PASTE_OFF.as_ptr().cast(), PASTE_OFF.len()) };
    }
}

fn install(signal: libc::c_int) {
    // SAFETY: sigaction is plain data for which all zeroes is a valid value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: without a new action nothing is changed, and `action` is a valid place for the old one.
    unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    if action.sa_sigaction == libc::SIG_IGN {
        return;
    }
    action.sa_sigaction = restore as extern "C" fn(libc::c_int) as usize;
    action.sa_flags = libc::SA_RESETHAND;
    // SAFETY: `action` is a valid sigaction whose handler is safe in a signal; the old one is not asked for. It fails for no
    // signal that can be caught.
    unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
}

/// The handler. The second delivery, which waits until it returns, has the default effect.
extern "C" fn restore(signal: libc::c_int) {
    if let Some(mode) = MODE.get() {
        // SAFETY: the mode is initialised and lives for ever; tcsetattr is safe in a signal handler.
        unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, mode) };
    }
    end_editing();
    // SAFETY: raise is safe in a signal handler.
    unsafe { libc::raise(signal) };
}
