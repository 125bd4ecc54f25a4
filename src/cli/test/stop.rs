//! SIGINT and SIGTERM in a test run: the first ends what runs, and what is known by then is reported; a second one ends the
//! program at once.

use std::io;

use tokio::sync::watch;

use crate::cli::signals::{Signal, Signals};

/// Whether the run shall end.
pub struct Stop(watch::Receiver<Option<Signal>>);

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
        Ok(Stop(asked))
    }

    /// The signal that asked for it, if one did.
    pub fn signal(&self) -> Option<Signal> {
        *self.0.borrow()
    }

    /// Waits for a signal.
    pub async fn asked(&self) {
        // The listener lives as long as the program.
        let _ = self.0.clone().wait_for(Option::is_some).await;
    }
}
