//! Folders that entries name, opened once and held by handle.
//!
//! Invariant: what happens to the path afterwards (a rename, a symlink in its place) changes nothing for programs; every
//! path below a volume is resolved from its handle, which cannot be left. Errors show the path as the entry has it,
//! never the host's.

use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};

use crate::error::{Error, Result};
use crate::id::{ById, EntryId};
use crate::lock::{read, write};
use crate::project::{DirectorySpec, Entry, LARGEST_INLINE, Registry, Spec, check, diagnostic};

/// See [`writes`].
static WRITES: AtomicU64 = AtomicU64::new(0);

/// How often programs may have changed files, whichever: as long as the number stays, what was read of a file can only
/// have been changed from outside.
pub fn writes() -> u64 {
    WRITES.load(Ordering::Acquire)
}

/// To be called by whatever lets a program change files, after the change and before the program learns of it.
pub fn written() {
    WRITES.fetch_add(1, Ordering::Release);
}

/// How long a file that no program here can have changed is believed not to have changed since it was last looked at.
pub const FRESH: Duration = Duration::from_millis(1);

/// That files were looked at, and when.
#[derive(Clone, Copy)]
pub struct Look {
    writes: u64,
    at: Instant,
}

impl Look {
    /// Now. `writes`: what [`writes`] was before it.
    pub fn after(writes: u64) -> Look {
        Look {
            writes,
            at: Instant::now(),
        }
    }

    /// Whether the files are still as they were seen: for as long as no program here may have changed one, and for a moment,
    /// for others may.
    pub fn holds(&self) -> bool {
        self.writes == writes() && self.at.elapsed() <= FRESH
    }
}

/// An open folder.
#[derive(Debug)]
pub struct Volume {
    id: EntryId,
    dir: Dir,
    mode: u32,
    path: PathBuf,
}

impl Volume {
    /// Opens a folder that no entry names, with all permissions.
    ///
    /// # Errors
    /// NotFound when it is not there or not a folder.
    pub fn ambient(id: EntryId, path: &Path) -> Result<Volume> {
        let dir = Dir::open_ambient_dir(path, ambient_authority())
            .map_err(|error| Error::not_found(format!("cannot open folder {}: {error}", path.display())))?;
        Ok(Volume {
            id,
            dir,
            mode: 0o755,
            path: path.to_owned(),
        })
    }

    fn open(entry: &Entry, spec: &DirectorySpec) -> Result<Volume> {
        let dir = open_dir(spec).map_err(|error| {
            let found = check::folder_problem(entry, spec, &error);
            diagnostic::refusal(&entry.id, &[found]).unwrap_or_else(|| Error::internal(error.to_string()))
        })?;
        Ok(Volume {
            id: entry.id.clone(),
            dir,
            mode: spec.mode,
            path: spec.path.clone(),
        })
    }

    pub fn id(&self) -> &EntryId {
        &self.id
    }

    /// The handle every path is resolved from.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Permission bits that bound everything in it; x stands wherever r does.
    pub fn mode(&self) -> u32 {
        self.mode
    }

    /// Permissions of a new file: 0644 within the entry's mode.
    pub fn file_mode(&self) -> u32 {
        0o644 & self.mode
    }

    /// Permissions of a new folder: 0755 within the entry's mode.
    pub fn dir_mode(&self) -> u32 {
        0o755 & self.mode
    }

    /// Where the folder was when it was opened. For the host's own use; never for opening what a program named.
    pub fn host_path(&self) -> &Path {
        &self.path
    }
}

/// Reads the source of a program in a folder of the host.
///
/// # Errors
/// Why it cannot be opened or read. Anything but a regular file, or more than [`LARGEST_INLINE`], is an error too.
pub fn read_source(folder: &Dir, path: &str) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    // A FIFO would hold this thread until somebody writes to it.
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = folder.open_with(path, &options)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !kind.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST_INLINE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_INLINE {
        return Err(io::Error::other(format!(
            "larger than {}",
            crate::size::format(LARGEST_INLINE)
        )));
    }
    Ok(bytes)
}

fn open_dir(spec: &DirectorySpec) -> io::Result<Dir> {
    if spec.auto_init {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(spec.mode)
            .create(&spec.path)?;
    }
    Dir::open_ambient_dir(&spec.path, ambient_authority())
}

const KIND: &str = "fs.directory";

/// All volumes of a runtime.
#[derive(Debug, Default)]
pub struct Volumes {
    /// Every `fs.directory`, broken ones included.
    entries: RwLock<ById<Arc<Entry>>>,
    open: RwLock<ById<Arc<Volume>>>,
}

impl Volumes {
    pub fn new(registry: &Registry) -> Volumes {
        let entries = registry.of_kind(KIND).map(|entry| (entry.id.clone(), entry.clone()));
        Volumes {
            entries: RwLock::new(entries.collect()),
            open: RwLock::default(),
        }
    }

    /// Makes a folder known, in place of one with its id, which those who hold it keep. An entry of another kind only takes its
    /// place.
    pub fn declare(&self, entry: &Arc<Entry>) {
        self.put(&entry.id, Some(entry).filter(|entry| entry.kind == KIND));
    }

    /// The folder of that id is gone, but for those who hold it.
    pub fn forget(&self, id: &EntryId) {
        self.put(id, None);
    }

    fn put(&self, id: &EntryId, entry: Option<&Arc<Entry>>) {
        let mut entries = write(&self.entries);
        let known = match entry {
            Some(entry) => entries.insert(id.clone(), entry.clone()),
            None => entries.remove(id),
        };
        if known.is_some() {
            write(&self.open).remove(id);
        }
    }

    fn entry(&self, id: &EntryId) -> Option<Arc<Entry>> {
        let entries = read(&self.entries);
        entries.get(id).cloned()
    }

    /// Opens every folder that can be opened; the error of another one comes from [`Volumes::get`].
    pub fn open_all(&self) {
        let entries = read(&self.entries);
        let ids: Vec<EntryId> = entries.keys().cloned().collect();
        drop(entries);
        for id in ids {
            // Not swallowed: `get` meets the same error when somebody needs this folder.
            let _ = self.get(&id);
        }
    }

    /// Whether there is one of that id, open or broken.
    pub fn has(&self, id: &EntryId) -> bool {
        self.entry(id).is_some() || read(&self.open).contains_key(id)
    }

    /// The volume of that id.
    ///
    /// # Errors
    /// NotFound `filesystem not found: <id>`, or the entry's own error.
    pub fn get(&self, id: &EntryId) -> Result<Arc<Volume>> {
        if let Some(volume) = read(&self.open).get(id) {
            return Ok(volume.clone());
        }
        let missing = || Error::not_found(format!("filesystem not found: {id}"));
        let entry = self.entry(id).ok_or_else(missing)?;
        if let Some(error) = diagnostic::refusal(id, &entry.problems) {
            return Err(error);
        }
        let Spec::Directory(spec) = &entry.spec else {
            return Err(missing());
        };
        let volume = Arc::new(Volume::open(&entry, spec)?);
        // In the order of `put`.
        let entries = read(&self.entries);
        let mut open = write(&self.open);
        match entries.get(id).is_some_and(|now| Arc::ptr_eq(now, &entry)) {
            true => Ok(open.entry(id.clone()).or_insert(volume).clone()),
            // Another one has taken its place meanwhile.
            false => Ok(volume),
        }
    }

    /// Adds a volume that no entry declares, such as `script:dir`. One of the same id is replaced.
    pub fn add(&self, volume: Volume) -> Arc<Volume> {
        let volume = Arc::new(volume);
        let mut open = write(&self.open);
        open.insert(volume.id.clone(), volume.clone());
        volume
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn entry(name: &str, path: &Path, auto_init: bool) -> Arc<Entry> {
        let spec = DirectorySpec {
            path: path.to_owned(),
            written: "./there".to_owned(),
            auto_init,
            mode: 0o700,
        };
        Arc::new(Entry::made(
            EntryId::new("app", name),
            "fs.directory",
            Spec::Directory(spec),
        ))
    }

    #[test]
    fn a_folder_is_held_by_handle_and_opened_once() {
        let temp = tempfile::tempdir().unwrap();
        let (old, new) = (temp.path().join("old"), temp.path().join("new"));
        std::fs::create_dir(&old).unwrap();
        std::fs::write(old.join("a"), "1").unwrap();
        let volumes = Volumes::new(&Registry::new([entry("v", &old, false)]));
        volumes.open_all();
        std::fs::rename(&old, &new).unwrap();
        let volume = volumes.get(&EntryId::new("app", "v")).unwrap();
        assert_eq!(volume.dir().read_to_string("a").unwrap(), "1");
        assert!(volume.dir().open("../new/a").is_err());
        assert_eq!((volume.file_mode(), volume.dir_mode()), (0o600, 0o700));
    }

    #[test]
    fn missing_folders_and_unknown_ids() {
        let temp = tempfile::tempdir().unwrap();
        let volumes = Volumes::new(&Registry::new([
            entry("gone", &temp.path().join("gone"), false),
            entry("made", &temp.path().join("a/b"), true),
        ]));
        let error = volumes.get(&EntryId::new("app", "gone")).unwrap_err();
        assert_eq!(
            (error.kind(), error.message()),
            (Kind::NotFound, "app:gone: folder not found: ./there")
        );
        let error = volumes.get(&EntryId::new("app", "nobody")).unwrap_err();
        assert_eq!(
            (error.kind(), error.message()),
            (Kind::NotFound, "filesystem not found: app:nobody")
        );
        volumes.get(&EntryId::new("app", "made")).unwrap();
        assert!(temp.path().join("a/b").is_dir());
    }

    #[test]
    fn a_script_brings_its_own_folder() {
        let temp = tempfile::tempdir().unwrap();
        let volumes = Volumes::default();
        let id = EntryId::new("script", "dir");
        volumes.add(Volume::ambient(id.clone(), temp.path()).unwrap());
        assert_eq!(volumes.get(&id).unwrap().host_path(), temp.path());
        assert_eq!(
            Volume::ambient(id, &temp.path().join("x")).unwrap_err().kind(),
            Kind::NotFound
        );
    }
}
