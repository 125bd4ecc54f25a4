//! SIGINT and SIGTERM as something to wait for: the first begins an orderly stop, the second ends it.

use std::io;

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

/// Listens from the moment it is made; a signal that comes between two waits is not lost.
pub struct Signals {
    interrupt: Listener,
    terminate: Listener,
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
        })
    }

    /// The next signal.
    pub async fn next(&mut self) -> Signal {
        match first(self.interrupt.recv(), self.terminate.recv()).await {
            First::Left(_) => Signal::Interrupt,
            First::Right(_) => Signal::Terminate,
        }
    }
}
