//! SIGINT and SIGTERM as something to wait for: the first begins an orderly stop, the second ends it. SIGHUP, which comes
//! when the terminal has gone, counts as SIGTERM, unless whoever started the program has it ignored, as `nohup` does.

use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::race::{First, first};
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};

/// What asked the program to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Interrupt,
    Terminate,
}

impl Signal {
    /// The exit code of a program that this signal stopped.
    pub const fn code(self) -> u8 {
        match self {
            Signal::Interrupt => 130,
            Signal::Terminate => 143,
        }
    }
}

/// Whether that is the exit code of a program that a signal stopped.
pub fn is_code(code: u8) -> bool {
    [Signal::Interrupt, Signal::Terminate].map(Signal::code).contains(&code)
}

/// A second signal has cut an orderly stop short.
static HURRIED: AtomicBool = AtomicBool::new(false);

/// Nobody wants to wait any more.
pub fn hurry() {
    HURRIED.store(true, Ordering::SeqCst);
}

pub fn is_hurried() -> bool {
    HURRIED.load(Ordering::SeqCst)
}

/// Listens from the moment it is made; a signal that comes between two waits is not lost.
pub struct Signals {
    interrupt: Listener,
    terminate: Listener,
    hang_up: Option<Listener>,
}

impl Signals {
    /// Must be called inside tokio.
    ///
    /// # Errors
    /// What the operating system says against it.
    pub fn listen() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: match is_ignored(libc::SIGHUP)? {
                true => None,
                false => Some(signal(SignalKind::hangup())?),
            },
        })
    }

    /// The next signal.
    pub async fn next(&mut self) -> Signal {
        let hung_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => pending().await,
            }
        };
        match first(self.interrupt.recv(), first(self.terminate.recv(), hung_up)).await {
            First::Left(_) => Signal::Interrupt,
            First::Right(_) => Signal::Terminate,
        }
    }
}

/// Whether the signal of Ctrl-Z may stop the program through this thread and those that it starts from now on. The thread that asks
/// for the stop has to be the only one: else it goes on for a while before another one has heard of it.
pub fn take_stops(on: bool) {
    let how = if on { libc::SIG_UNBLOCK } else { libc::SIG_BLOCK };
    // SAFETY: sigset_t is plain data; sigemptyset makes it a valid set, and the old mask is not asked for. None of them can fail.
    unsafe {
        let mut stops: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut stops);
        libc::sigaddset(&raw mut stops, libc::SIGTSTP);
        libc::pthread_sigmask(how, &raw const stops, std::ptr::null_mut());
    }
}

/// Gives the signals that stop a program back to the system, which ends it at once: nothing is left that could be stopped in
/// order. Those that are ignored stay so.
pub fn release() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        if !is_ignored(signal).unwrap_or(true) {
            // SAFETY: the default action is valid for each of them, and no handler is replaced that somebody still needs.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
}

fn is_ignored(signal: libc::c_int) -> io::Result<bool> {
    // SAFETY: sigaction is plain data for which all zeroes is a valid value; the call fills it.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: without a new action nothing is changed, and `action` is a valid place for the old one.
    match unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(action.sa_sigaction == libc::SIG_IGN),
    }
}
