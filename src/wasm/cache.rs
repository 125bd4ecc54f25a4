//! Compiled code on disk, so that a module is compiled once per machine and not once per start.
//!
//! An artifact is machine code that will be mapped and run, so a forged or damaged one must never be taken: the folder is
//! 0700 and the files 0600, both must belong to the user, and a checksum over the artifact is verified before its bytes
//! are handed out. A file is written beside and renamed into place; what is stale, damaged or foreign counts as absent.
//! Least recently used files go when the folder grows beyond its bound. Nothing here knows wasmtime.
//!
//! Beside the artifacts stand notes: short texts about a module, which outlive the code that they were made from.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

/// Bytes that all artifacts and notes together may take.
const BOUND: u64 = 1 << 30;

/// A hit renews an artifact's time only when it is older than this: a start should not write.
const FRESH: Duration = Duration::from_secs(3600);

const ARTIFACT: &str = "cwasm";
const CHECKSUM: &str = "sum";
const NOTE: &str = "note";
/// Bytes of a note; none that is longer is kept.
const LONGEST_NOTE: usize = 256 << 10;
/// Hex digits of a checksum.
const DIGITS: usize = 64;

/// A folder of artifacts.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
    bound: u64,
}

/// What an artifact was made from: the module's bytes and everything that shaped the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(String);

/// What [`Cache::clear`] removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Cleared {
    pub artifacts: usize,
    pub bytes: u64,
}

impl Key {
    /// `content`: SHA-256 of the module; `settings`: the engine's compatibility hash and the like.
    pub fn new(content: &[u8], settings: &[u8]) -> Key {
        let mut hash = Sha256::new();
        hash.update(env!("CARGO_PKG_VERSION"));
        hash.update((content.len() as u64).to_le_bytes());
        hash.update(content);
        hash.update(settings);
        Key(hex(&hash.finalize()))
    }
}

impl Cache {
    /// The user's cache: `$XDG_CACHE_HOME/wippy`, else `~/.cache/wippy`.
    ///
    /// # Errors
    /// When neither variable is set, or the folder cannot be made or is not the user's alone.
    pub fn of_user() -> io::Result<Cache> {
        let folder = user_folder();
        let unset = || io::Error::new(io::ErrorKind::NotFound, "neither XDG_CACHE_HOME nor HOME is set");
        Cache::open(&folder.ok_or_else(unset)?)
    }

    /// The user's cache if its folder is there: none is made.
    ///
    /// # Errors
    /// When the folder cannot be looked at or is not the user's alone.
    pub fn existing() -> io::Result<Option<Cache>> {
        let Some(folder) = user_folder() else { return Ok(None) };
        match fs::symlink_metadata(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(_) => Cache::open(&folder).map(Some),
        }
    }

    /// Opens a folder, making it with its parents if needed.
    ///
    /// # Errors
    /// When it cannot be made, or is not the user's alone.
    pub fn open(folder: &Path) -> io::Result<Cache> {
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent)?;
        }
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let metadata = fs::symlink_metadata(folder)?;
        if !metadata.is_dir() || !is_private(&metadata) {
            let text = format!("{} is not a folder of the user's alone (mode 0700)", folder.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        Ok(Cache {
            folder: folder.to_owned(),
            bound: BOUND,
        })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The artifact of that key as an open file, its checksum verified; none when it is absent, damaged or foreign.
    pub fn load(&self, key: &Key) -> Option<File> {
        let expected = self.read_checksum(key)?;
        let path = self.path(key, ARTIFACT);
        let mut file = open_private(&path)?;
        let actual = checksum(&mut file).ok()?;
        if actual != expected {
            self.remove(key);
            return None;
        }
        file.seek(SeekFrom::Start(0)).ok()?;
        renew(&file);
        Some(file)
    }

    /// Keeps an artifact, then removes what is over the bound.
    ///
    /// # Errors
    /// When it cannot be written; nothing half-written is left under the key.
    pub fn store(&self, key: &Key, artifact: &[u8]) -> io::Result<()> {
        let sum = hex(&Sha256::digest(artifact));
        self.write(&self.path(key, ARTIFACT), artifact)?;
        self.write(&self.path(key, CHECKSUM), sum.as_bytes())?;
        self.trim()
    }

    /// The note of that key; none when it is absent, damaged or foreign.
    pub fn note(&self, key: &Key) -> Option<Vec<u8>> {
        let path = self.path(key, NOTE);
        let file = open_private(&path)?;
        let mut bytes = Vec::new();
        file.take((DIGITS + LONGEST_NOTE) as u64).read_to_end(&mut bytes).ok()?;
        let intact = bytes
            .split_at_checked(DIGITS)
            .filter(|(sum, note)| hex(&Sha256::digest(note)).as_bytes() == *sum);
        if intact.is_none() {
            // As of an artifact: the next one who has the note writes it anew.
            let _ = fs::remove_file(&path);
        }
        intact.map(|(_, note)| note.to_owned())
    }

    /// Keeps a note, which is only made when there is none yet; one that is there counts as used.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_note(&self, key: &Key, note: impl FnOnce() -> Vec<u8>) -> io::Result<()> {
        let path = self.path(key, NOTE);
        if let Some(file) = open_private(&path) {
            renew(&file);
            return Ok(());
        }
        let note = note();
        if note.len() > LONGEST_NOTE {
            return Ok(());
        }
        let mut bytes = hex(&Sha256::digest(&note)).into_bytes();
        bytes.extend(note);
        self.write(&path, &bytes)
    }

    /// Drops one artifact, for whoever finds that it cannot be used.
    pub fn remove(&self, key: &Key) {
        for kind in [CHECKSUM, ARTIFACT] {
            // Absent is what is wanted; anything else is met again as a miss.
            let _ = fs::remove_file(self.path(key, kind));
        }
    }

    /// Removes every artifact and every note.
    ///
    /// # Errors
    /// When the folder cannot be read or a file not be removed.
    pub fn clear(&self) -> io::Result<Cleared> {
        let mut cleared = Cleared::default();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if !is_ours(&entry.path()) {
                continue;
            }
            let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
            fs::remove_file(entry.path()).or_else(absent)?;
            cleared.bytes += bytes;
            cleared.artifacts += usize::from(kind(&entry.path()) == Some(ARTIFACT));
        }
        Ok(cleared)
    }

    fn path(&self, key: &Key, kind: &str) -> PathBuf {
        self.folder.join(format!("{}.{kind}", key.0))
    }

    fn read_checksum(&self, key: &Key) -> Option<String> {
        let mut text = String::new();
        let file = open_private(&self.path(key, CHECKSUM))?;
        file.take(DIGITS as u64 + 1).read_to_string(&mut text).ok()?;
        (text.len() == DIGITS).then_some(text)
    }

    /// A temporary file is 0600 from the start and is removed when anything fails.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(TEMPORARY)
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(&self.folder)?;
        file.write_all(bytes)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    fn trim(&self) -> io::Result<()> {
        let mut kept = Vec::new();
        let mut total = 0;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // A file that another wippy removed meanwhile is not there to be trimmed.
            let Ok(metadata) = entry.metadata() else { continue };
            let used = metadata.modified()?;
            if is_abandoned(&entry.path(), used) {
                fs::remove_file(entry.path()).or_else(absent)?;
            } else if matches!(kind(&entry.path()), Some(ARTIFACT | NOTE)) {
                total += metadata.len();
                kept.push((used, metadata.len(), entry.path()));
            }
        }
        kept.sort();
        for (_, bytes, path) in kept {
            if total <= self.bound {
                break;
            }
            fs::remove_file(path.with_extension(CHECKSUM)).or_else(absent)?;
            fs::remove_file(&path).or_else(absent)?;
            total -= bytes;
        }
        Ok(())
    }
}

/// `$XDG_CACHE_HOME/wippy`, else `~/.cache/wippy`; a relative path counts as unset.
fn user_folder() -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = std::env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    base.map(|base| base.join("wippy"))
}

const TEMPORARY: &str = ".new-";

fn absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

/// What a file is, by the end of its name.
fn kind(path: &Path) -> Option<&str> {
    path.extension().and_then(OsStr::to_str)
}

/// Files that [`Cache`] makes; `clear` leaves everything else alone.
fn is_ours(path: &Path) -> bool {
    let temporary = |name: &OsStr| name.to_string_lossy().starts_with(TEMPORARY);
    matches!(kind(path), Some(ARTIFACT | CHECKSUM | NOTE)) || path.file_name().is_some_and(temporary)
}

/// What a program that was killed while writing has left.
fn is_abandoned(path: &Path, used: SystemTime) -> bool {
    let temporary = path
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(TEMPORARY));
    temporary && used.elapsed().is_ok_and(|age| age > FRESH)
}

fn open_private(path: &Path) -> Option<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .ok()?;
    let metadata = file.metadata().ok()?;
    (metadata.is_file() && is_private(&metadata)).then_some(file)
}

fn is_private(metadata: &Metadata) -> bool {
    // SAFETY: geteuid has no preconditions and cannot fail.
    let user = unsafe { libc::geteuid() };
    metadata.uid() == user && metadata.mode() & 0o077 == 0
}

fn checksum(file: &mut File) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(file, &mut hash)?;
    Ok(hex(&hash.finalize()))
}

/// Notes that an artifact was used. That it cannot be noted (a read-only disk) only makes it look older.
fn renew(file: &File) {
    let old = file
        .metadata()
        .and_then(|metadata| metadata.modified())
        .is_ok_and(|used| used.elapsed().is_ok_and(|age| age > FRESH));
    if old {
        let _ = file.set_modified(SystemTime::now());
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("wippy")).unwrap();
        (folder, cache)
    }

    fn loaded(cache: &Cache, key: &Key) -> Option<Vec<u8>> {
        cache.load(key).map(|mut file| {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            bytes
        })
    }

    #[test]
    fn what_was_stored_is_loaded_under_its_key_alone() {
        let (_folder, cache) = cache();
        let (one, two) = (Key::new(b"module", b"pool"), Key::new(b"module", b"fuel"));
        cache.store(&one, b"code").unwrap();
        assert_eq!(loaded(&cache, &one).as_deref(), Some(b"code".as_slice()));
        assert_eq!(loaded(&cache, &two), None);
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(cache.folder()), 0o700);
        assert_eq!(mode(&cache.path(&one, ARTIFACT)), 0o600);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_a_miss() {
        let (_folder, cache) = cache();
        let key = Key::new(b"module", b"");
        let code = b"machine code";
        for index in 0..code.len() {
            cache.store(&key, code).unwrap();
            let mut damaged = code.to_vec();
            damaged[index] ^= 1;
            fs::write(cache.path(&key, ARTIFACT), &damaged).unwrap();
            assert_eq!(loaded(&cache, &key), None);
            cache.store(&key, code).unwrap();
            fs::write(cache.path(&key, ARTIFACT), &code[..index]).unwrap();
            assert_eq!(loaded(&cache, &key), None);
        }
    }

    #[test]
    fn a_note_is_made_once_and_made_anew_when_it_is_damaged() {
        let (_folder, cache) = cache();
        let key = Key::new(b"module", b"note");
        assert_eq!(cache.note(&key), None);
        let kept = |text: &'static [u8]| cache.keep_note(&key, || text.to_vec()).map(|()| cache.note(&key));
        assert_eq!(kept(b"first").unwrap().as_deref(), Some(b"first".as_slice()));
        assert_eq!(kept(b"second").unwrap().as_deref(), Some(b"first".as_slice()));
        let path = cache.path(&key, NOTE);
        let whole = fs::read(&path).unwrap();
        for damaged in [
            &whole[..whole.len() - 1],
            &whole[..3],
            b"",
            &[&whole[..], b"more"].concat(),
        ] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(cache.note(&key), None, "{damaged:?}");
            assert_eq!(kept(b"first").unwrap().as_deref(), Some(b"first".as_slice()));
        }
        fs::set_permissions(&path, Permissions::from_mode(0o622)).unwrap();
        assert_eq!(cache.note(&key), None, "others may write it");
        let long = Key::new(b"long", b"note");
        cache.keep_note(&long, || vec![b' '; LONGEST_NOTE + 1]).unwrap();
        assert_eq!(cache.note(&long), None);
        assert_eq!(cache.clear().unwrap().artifacts, 0);
        assert!(!path.exists());
    }

    #[test]
    fn files_that_others_may_write_and_links_are_not_taken() {
        let (_folder, cache) = cache();
        let key = Key::new(b"module", b"");
        cache.store(&key, b"code").unwrap();
        let path = cache.path(&key, ARTIFACT);
        fs::set_permissions(&path, Permissions::from_mode(0o620)).unwrap();
        assert_eq!(loaded(&cache, &key), None);
        let elsewhere = cache.folder().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        fs::set_permissions(&elsewhere, Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert_eq!(loaded(&cache, &key), None);
    }

    #[test]
    fn a_folder_that_others_may_enter_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let refused = Cache::open(folder.path()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let (_folder, mut cache) = cache();
        cache.bound = 8;
        let keys: Vec<_> = (0u8..3).map(|index| Key::new(&[index], b"")).collect();
        for (age, key) in [3000, 1000, 2000].into_iter().zip(&keys) {
            cache.store(key, b"code").unwrap();
            let file = File::open(cache.path(key, ARTIFACT)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        cache.trim().unwrap();
        let left: Vec<_> = keys.iter().map(|key| loaded(&cache, key).is_some()).collect();
        assert_eq!(left, [false, true, true]);
    }

    #[test]
    fn clear_removes_artifacts_and_nothing_else() {
        let (_folder, cache) = cache();
        cache.store(&Key::new(b"a", b""), b"code").unwrap();
        fs::write(cache.folder().join("notes.txt"), "mine").unwrap();
        let cleared = cache.clear().unwrap();
        assert_eq!(
            cleared,
            Cleared {
                artifacts: 1,
                bytes: 4 + 64
            }
        );
        assert!(cache.folder().join("notes.txt").exists());
        assert_eq!(cache.clear().unwrap(), Cleared::default());
    }

    #[test]
    fn what_a_killed_writer_left_is_removed_later() {
        let (_folder, cache) = cache();
        let path = cache.folder().join(format!("{TEMPORARY}x"));
        fs::write(&path, "half").unwrap();
        cache.trim().unwrap();
        assert!(path.exists(), "it may still be written");
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - 2 * FRESH).unwrap();
        cache.trim().unwrap();
        assert!(!path.exists());
    }
}
