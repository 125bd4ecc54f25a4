//! How it is noticed that something happens in folders: the system tells, or, where it has no room for more watches, it is
//! time to look again.
//!
//! The fallback is a clock and not `notify`'s poll watcher, which sees no two writes within a second: files are compared by
//! ourselves anyway.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{ErrorKind, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// How often is looked where the system does not tell.
const EVERY: Duration = Duration::from_secs(1);

pub struct Eyes {
    /// None: nobody tells.
    watcher: Option<Box<dyn Watcher + Send>>,
    told: Arc<Notify>,
    /// Why there is none, until it is said.
    blind: Option<String>,
}

impl Eyes {
    pub fn open() -> Eyes {
        let told = Arc::new(Notify::new());
        let tell = told.clone();
        let made = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // That events were lost is an event too.
            if event.map_or(true, |event| is_change(event.kind)) {
                tell.notify_one();
            }
        });
        Eyes::with(made.map(|watcher| Box::new(watcher) as Box<dyn Watcher + Send>), told)
    }

    pub(super) fn with(made: notify::Result<Box<dyn Watcher + Send>>, told: Arc<Notify>) -> Eyes {
        let (watcher, blind) = match made {
            Ok(watcher) => (Some(watcher), None),
            Err(error) => (None, Some(reason(&error))),
        };
        Eyes { watcher, told, blind }
    }

    /// Watches these folders too; one that is gone again is left out. Gives the reason when this turns out to be more than the
    /// system allows, once.
    pub fn follow(&mut self, folders: &BTreeSet<PathBuf>) -> Option<String> {
        if let Some(watcher) = &mut self.watcher {
            let too_many = folders
                .iter()
                .filter_map(|folder| watcher.watch(folder, RecursiveMode::NonRecursive).err())
                .find(is_exhausted);
            if let Some(error) = too_many {
                self.watcher = None;
                self.blind = Some(reason(&error));
            }
        }
        self.blind.take()
    }

    /// Waits until something may have changed.
    pub async fn something(&self) {
        match self.watcher {
            Some(_) => self.told.notified().await,
            None => tokio::time::sleep(EVERY).await,
        }
    }
}

/// Reading changes nothing.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

/// Whether the system has no room for more, in contrast to a folder that cannot be watched.
fn is_exhausted(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::MaxFilesWatch => true,
        ErrorKind::Io(error) => {
            let code = error.raw_os_error();
            [libc::ENOSPC, libc::EMFILE, libc::ENFILE, libc::ENOMEM]
                .map(Some)
                .contains(&code)
        }
        _ => false,
    }
}

fn reason(error: &notify::Error) -> String {
    match &error.kind {
        ErrorKind::MaxFilesWatch => {
            "the system has no watches left for these folders (fs.inotify.max_user_watches)".to_owned()
        }
        ErrorKind::Io(error) if error.kind() == io::ErrorKind::Unsupported => "files cannot be watched here".to_owned(),
        _ => format!("files cannot be watched: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_watches_it_is_looked_again_and_said_once() {
        let mut eyes = Eyes::with(Err(notify::Error::new(ErrorKind::MaxFilesWatch)), Arc::default());
        let said = eyes.follow(&BTreeSet::new()).unwrap();
        assert!(said.contains("max_user_watches"), "{said}");
        assert_eq!(eyes.follow(&BTreeSet::new()), None);
        let io = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        // It would never come back if it waited to be told.
        io.block_on(eyes.something());
    }

    #[test]
    fn a_folder_that_is_gone_is_no_reason_to_stop_watching() {
        let mut eyes = Eyes::open();
        let there = tempfile::tempdir().unwrap();
        let folders = BTreeSet::from(["/no/such/folder".into(), there.path().to_owned()]);
        assert_eq!(eyes.follow(&folders), None);
        std::fs::write(there.path().join("new.lua"), "").unwrap();
        let io = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        io.block_on(eyes.something());
    }
}
