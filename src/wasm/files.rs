//! Opening files for guests: only regular files and folders.
//!
//! WASI's own `open-at` opens with a blocking call whatever stands under the name; a FIFO would hold a thread of the
//! blocking pool until somebody writes to it, for ever if nobody does. Here the file is opened without blocking, through
//! the same sandboxed resolution, looked at, and refused with `not-permitted` unless it is a file or a folder.

use std::io;

use cap_fs_ext::OpenOptionsFollowExt;
use cap_std::fs::{OpenOptions, OpenOptionsExt};
use wasmtime::component::{Linker, Resource, ResourceTableError};
use wasmtime::{AsContextMut, Caller, Extern, StoreContextMut, Trap};
use wasmtime_wasi::filesystem::{Descriptor, Dir, File};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::wasi_snapshot_preview1::{WasiSnapshotPreview1, path_filestat_get, path_open};
use wasmtime_wasi::p2::bindings::filesystem::types::{DescriptorFlags, ErrorCode, OpenFlags, PathFlags};
use wasmtime_wasi::{FsPerms, OpenMode};
use wiggle::GuestMemory;

use super::state::State;

type Parameters = (Resource<Descriptor>, PathFlags, String, OpenFlags, DescriptorFlags);
type Opened = (Result<Resource<Descriptor>, ErrorCode>,);

/// Puts our `open-at` in the place of WASI's.
pub fn guard(linker: &mut Linker<State>, version: &str) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker
        .instance(&format!("wasi:filesystem/types@{version}"))?
        .func_wrap_async("[method]descriptor.open-at", |store, parameters| {
            Box::new(open_at(store, parameters))
        })?;
    linker.allow_shadowing(false);
    Ok(())
}

async fn open_at(
    mut store: StoreContextMut<'_, State>,
    (folder, lookup, path, open, flags): Parameters,
) -> wasmtime::Result<Opened> {
    let wanted = Wanted {
        follow: lookup.contains(PathFlags::SYMLINK_FOLLOW),
        create: open.contains(OpenFlags::CREATE),
        exclusive: open.contains(OpenFlags::EXCLUSIVE),
        truncate: open.contains(OpenFlags::TRUNCATE),
        folder: open.contains(OpenFlags::DIRECTORY),
        read: flags.contains(DescriptorFlags::READ),
        write: flags.contains(DescriptorFlags::WRITE),
        synced: flags.intersects(
            DescriptorFlags::FILE_INTEGRITY_SYNC
                | DescriptorFlags::DATA_INTEGRITY_SYNC
                | DescriptorFlags::REQUESTED_WRITE_SYNC,
        ),
    };
    let folder = store.data().table.get(&folder)?.clone();
    let descriptor = match wanted.open(folder, path).await {
        Ok(descriptor) => descriptor,
        Err(refused) => return Ok((Err(refused.into()),)),
    };
    let descriptor = store.data_mut().table.push(descriptor);
    // The guest's own limit of handles is its own failure to handle.
    Ok((descriptor.map_err(|_| ErrorCode::InsufficientMemory),))
}

/// What a guest asks for when it opens a file, in whichever version of WASI.
#[derive(Clone, Copy)]
pub struct Wanted {
    pub follow: bool,
    pub create: bool,
    pub exclusive: bool,
    pub truncate: bool,
    pub folder: bool,
    pub read: bool,
    pub write: bool,
    /// Any of the flags that ask for synchronous writes.
    pub synced: bool,
}

/// Why a file is not opened.
pub enum Refused {
    Unsupported,
    Invalid,
    NotPermitted,
    NotDirectory,
    Failed(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Refused {
        // A FIFO without a reader and a socket answer an open that does not block with this.
        match error.raw_os_error() {
            Some(libc::ENXIO) => Refused::NotPermitted,
            _ => Refused::Failed(error),
        }
    }
}

impl From<Refused> for ErrorCode {
    fn from(refused: Refused) -> ErrorCode {
        match refused {
            Refused::Unsupported => ErrorCode::Unsupported,
            Refused::Invalid => ErrorCode::Invalid,
            Refused::NotPermitted => ErrorCode::NotPermitted,
            Refused::NotDirectory => ErrorCode::NotDirectory,
            Refused::Failed(error) => ErrorCode::from(error),
        }
    }
}

impl Wanted {
    /// Opens what stands under `path` in a folder.
    pub async fn open(self, folder: Descriptor, path: String) -> Result<Descriptor, Refused> {
        let Descriptor::Dir(folder) = folder else {
            return Err(Refused::NotDirectory);
        };
        self.check(folder.perms)?;
        let opening = tokio::task::spawn_blocking(move || self.open_now(&folder, &path));
        opening.await.map_err(io::Error::other)?
    }

    /// Whether it is consistent and allowed.
    fn check(self, perms: FsPerms) -> Result<(), Refused> {
        if self.synced {
            return Err(Refused::Unsupported);
        }
        if self.folder && (self.create || self.exclusive || self.truncate) {
            return Err(Refused::Invalid);
        }
        match self.writes() && perms.write_not_permitted() {
            true => Err(Refused::NotPermitted),
            false => Ok(()),
        }
    }

    fn writes(self) -> bool {
        self.write || self.create || self.truncate
    }

    fn reads(self) -> bool {
        self.read || !self.write
    }

    fn open_now(self, folder: &Dir, path: &str) -> Result<Descriptor, Refused> {
        let root = cap_std::fs::Dir::from_std_file(folder.dir.try_clone()?);
        let file = root.open_with(path, &self.options())?.into_std();
        let kind = file.metadata()?.file_type();
        let mode = mode(self.reads(), self.writes());
        if kind.is_dir() {
            return Ok(Descriptor::Dir(Dir::new(file, folder.perms, mode, false)));
        }
        if self.folder {
            return Err(Refused::NotDirectory);
        }
        if !kind.is_file() {
            return Err(Refused::NotPermitted);
        }
        Ok(Descriptor::File(File::new(file, folder.perms, mode, false)))
    }

    fn options(self) -> OpenOptions {
        let exclusive = self.create && self.exclusive;
        let follow = match self.follow {
            true => cap_fs_ext::FollowSymlinks::Yes,
            false => cap_fs_ext::FollowSymlinks::No,
        };
        let mut options = OpenOptions::new();
        options
            .read(self.reads())
            .write(self.writes())
            .create(self.create && !exclusive)
            .create_new(exclusive)
            .truncate(self.truncate)
            .custom_flags(libc::O_NONBLOCK)
            .follow(follow);
        options
    }
}

fn mode(read: bool, write: bool) -> OpenMode {
    let mut mode = OpenMode::empty();
    mode.set(OpenMode::READ, read);
    mode.set(OpenMode::WRITE, write);
    mode
}

/// The parameters of preview 1's `path_open`, the pointer to the result last.
type OpenParameters = (i32, i32, i32, i32, i32, i64, i64, i32, i32);

/// `perm`, `mfile` and `nametoolong` of preview 1's `errno`.
const PERM: i32 = 63;
const TOO_MANY: i32 = 33;
const NAME_TOO_LONG: i32 = 37;
/// A path beyond this is refused before it is copied.
const LONGEST_PATH: usize = 4096;
/// Size of preview 1's `filestat`, and where in it the file type stands.
const STAT: usize = 64;
const FILE_TYPE: usize = 16;

/// Puts a look at the file before preview 1's `path_open`, whose own open blocks. Between the look and the open another
/// program could put a FIFO in the file's place; guests cannot make any. What came before preview 1 has the same function.
pub fn guard_core(linker: &mut wasmtime::Linker<State>, module: &str) -> wasmtime::Result<()> {
    linker.func_wrap_async(module, "path_open", |caller, parameters| {
        Box::new(open_preview_1(caller, parameters))
    })?;
    Ok(())
}

async fn open_preview_1(mut caller: Caller<'_, State>, parameters: OpenParameters) -> wasmtime::Result<i32> {
    let (folder, lookup, path, length, flags, rights, inheriting, status, result) = parameters;
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return Err(wasmtime::Error::msg("missing required memory export"));
    };
    let fuel = caller.as_context_mut().hostcall_fuel();
    let (memory, state) = memory.data_and_store_mut(&mut caller);
    let context = state.preview_1();
    let (start, length_bytes) = (path as u32 as usize, length as u32 as usize);
    if length_bytes > LONGEST_PATH {
        return Ok(NAME_TOO_LONG);
    }
    let Some(name) = memory.get(start..start.saturating_add(length_bytes)) else {
        return Err(Trap::MemoryOutOfBounds.into());
    };
    context.set_hostcall_fuel(fuel);
    if !can_be_opened(context, folder, lookup, name).await {
        return Ok(PERM);
    }
    context.set_hostcall_fuel(fuel);
    let mut memory = GuestMemory::Unshared(memory);
    let opened = path_open(
        context,
        &mut memory,
        folder,
        lookup,
        path,
        length,
        flags,
        rights,
        inheriting,
        status,
        result,
    )
    .await;
    match opened {
        // The guest's own limit of handles is its own failure to handle.
        Err(error) if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) => Ok(TOO_MANY),
        opened => opened,
    }
}

/// Whether a file, a folder or nothing at all stands under the name; a symlink is opened or refused by `path_open`.
async fn can_be_opened(context: &mut WasiP1Ctx, folder: i32, lookup: i32, name: &[u8]) -> bool {
    const FOLDER: u8 = 3;
    const FILE: u8 = 4;
    const SYMLINK: u8 = 7;
    let mut scratch = vec![0; STAT];
    scratch.extend_from_slice(name);
    let mut memory = GuestMemory::Unshared(&mut scratch);
    let stat = path_filestat_get(context, &mut memory, folder, lookup, STAT as i32, name.len() as i32, 0);
    match stat.await {
        Ok(0) => matches!(scratch[FILE_TYPE], FOLDER | FILE | SYMLINK),
        Ok(_) => true,
        Err(_) => false,
    }
}
