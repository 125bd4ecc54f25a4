//! Why a test run ends before its end. SIGINT and SIGTERM: the first ends what runs, and what is known by then is reported; a
//! second one ends the program at once. Or, when files are watched, a change that makes it run again.

use std::io;

use tokio::sync::watch;

use crate::cli::signals::{Signal, Signals};
use crate::race::first;

/// Whether the run shall end.
#[derive(Clone)]
pub struct Stop {
    signal: watch::Receiver<Option<Signal>>,
    outdated: watch::Sender<bool>,
}

impl Stop {
    /// Listens from now on.
    ///
    /// # Errors
    /// What the operating system says against it.
    pub fn listen() -> io::Result<Stop> {
        let (told, asked) = watch::channel(None);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut signals = runtime.block_on(async { Signals::listen() })?;
        let listen = async move {
            told.send_replace(Some(signals.next().await));
            std::process::exit(signals.next().await.code().into());
        };
        let thread = std::thread::Builder::new().name("signals".to_owned());
        thread.spawn(move || runtime.block_on(listen))?;
        Ok(Stop {
            signal: asked,
            outdated: watch::Sender::new(false),
        })
    }

    /// For one of several runs, which can be outdated alone.
    pub fn for_one_run(&self) -> Stop {
        Stop {
            signal: self.signal.clone(),
            outdated: watch::Sender::new(false),
        }
    }

    /// Ends the run because its files are others by now.
    pub fn outdate(&self) {
        self.outdated.send_replace(true);
    }

    /// The signal that asked for it, if one did.
    pub fn signal(&self) -> Option<Signal> {
        *self.signal.borrow()
    }

    pub fn is_asked(&self) -> bool {
        self.signal().is_some() || *self.outdated.borrow()
    }

    /// Waits for the reason to end.
    pub async fn asked(&self) {
        let (mut signal, mut outdated) = (self.signal.clone(), self.outdated.subscribe());
        // Whoever tells either lives as long as this does.
        let signal = async { signal.wait_for(Option::is_some).await.is_ok() };
        let outdated = async { outdated.wait_for(|outdated| *outdated).await.is_ok() };
        first(signal, outdated).await;
    }
}
