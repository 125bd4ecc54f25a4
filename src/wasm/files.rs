//! Opening files for guests: only regular files and folders.
//!
//! WASI's own `open-at` opens with a blocking call whatever stands under the name; a FIFO would hold a thread of the
//! blocking pool until somebody writes to it, for ever if nobody does. Here the file is opened without blocking, through
//! the same sandboxed resolution, looked at, and refused with `not-permitted` unless it is a file or a folder.
//!
//! What a guest makes has the permissions that the volume's `mode` allows, as WASI itself knows none.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;

use cap_fs_ext::OpenOptionsFollowExt;
use cap_std::fs::{DirBuilder, DirBuilderExt as _, OpenOptions, OpenOptionsExt};
use wasmtime::component::{Linker, Resource, ResourceTableError};
use wasmtime::{AsContextMut, Caller, Extern, StoreContextMut, Trap};
use wasmtime_wasi::filesystem::{Descriptor, Dir, File};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::wasi_snapshot_preview1::{
    WasiSnapshotPreview1, fd_close, path_create_directory, path_filestat_get, path_open,
};
use wasmtime_wasi::p2::bindings::filesystem::types::{DescriptorFlags, ErrorCode, OpenFlags, PathFlags};
use wasmtime_wasi::{FsPerms, OpenMode, WasiView as _};
use wiggle::GuestMemory;

use super::state::State;

/// What the flags of a call mean, in the types that the bindings of the caller's version of WASI have for them.
macro_rules! wanted {
    ($lookup:expr, $open:expr, $flags:expr) => {
        Wanted {
            follow: $lookup.contains(PathFlags::SYMLINK_FOLLOW),
            create: $open.contains(OpenFlags::CREATE),
            exclusive: $open.contains(OpenFlags::EXCLUSIVE),
            truncate: $open.contains(OpenFlags::TRUNCATE),
            folder: $open.contains(OpenFlags::DIRECTORY),
            read: $flags.contains(DescriptorFlags::READ),
            write: $flags.contains(DescriptorFlags::WRITE),
            synced: $flags.intersects(
                DescriptorFlags::FILE_INTEGRITY_SYNC
                    | DescriptorFlags::DATA_INTEGRITY_SYNC
                    | DescriptorFlags::REQUESTED_WRITE_SYNC,
            ),
        }
    };
}
pub(super) use wanted;

/// What a refusal is called by the bindings of a version.
macro_rules! refusals {
    ($code:ident) => {
        impl From<Refused> for $code {
            fn from(refused: Refused) -> $code {
                match refused {
                    Refused::Unsupported => $code::Unsupported,
                    Refused::Invalid => $code::Invalid,
                    Refused::NotPermitted => $code::NotPermitted,
                    Refused::NotDirectory => $code::NotDirectory,
                    Refused::Failed(error) => $code::from(error),
                }
            }
        }
    };
}
pub(super) use refusals;

type Parameters = (Resource<Descriptor>, PathFlags, String, OpenFlags, DescriptorFlags);
type Opened = (Result<Resource<Descriptor>, ErrorCode>,);

/// Permission bits of the files and folders that a guest makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Modes {
    pub file: u32,
    pub folder: u32,
}

/// Puts our `open-at` and `create-directory-at` in the place of WASI's.
pub fn guard(linker: &mut Linker<State>, version: &str) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance(&format!("wasi:filesystem/types@{version}"))?;
    types.func_wrap_async("[method]descriptor.open-at", |store, parameters| {
        Box::new(open_at(store, parameters))
    })?;
    types.func_wrap_async("[method]descriptor.create-directory-at", |store, parameters| {
        Box::new(create_directory_at(store, parameters))
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

async fn create_directory_at(
    store: StoreContextMut<'_, State>,
    (folder, path): (Resource<Descriptor>, String),
) -> wasmtime::Result<(Result<(), ErrorCode>,)> {
    let mode = store.data().modes().folder;
    let folder = store.data().table.get(&folder)?.clone();
    let made = create_folder(folder, path, mode).await;
    Ok((made.map_err(ErrorCode::from),))
}

async fn open_at(
    mut store: StoreContextMut<'_, State>,
    (folder, lookup, path, open, flags): Parameters,
) -> wasmtime::Result<Opened> {
    let wanted = wanted!(lookup, open, flags);
    let mode = store.data().modes().file;
    let folder = store.data().table.get(&folder)?.clone();
    let descriptor = match wanted.open(folder, path, mode).await {
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

refusals!(ErrorCode);

impl Wanted {
    /// Opens what stands under `path` in a folder; `mode`: permissions of a file that is made.
    pub async fn open(self, folder: Descriptor, path: String, mode: u32) -> Result<Descriptor, Refused> {
        let Descriptor::Dir(folder) = folder else {
            return Err(Refused::NotDirectory);
        };
        self.check(folder.perms)?;
        let opening = tokio::task::spawn_blocking(move || self.open_now(&folder, &path, mode));
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

    fn open_now(self, folder: &Dir, path: &str, permissions: u32) -> Result<Descriptor, Refused> {
        let root = cap_std::fs::Dir::from_std_file(folder.dir.try_clone()?);
        let file = root.open_with(path, self.options().mode(permissions))?.into_std();
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

/// Makes a folder in a folder, in whichever version of WASI.
pub async fn create_folder(folder: Descriptor, path: String, mode: u32) -> Result<(), Refused> {
    let Descriptor::Dir(folder) = folder else {
        return Err(Refused::NotDirectory);
    };
    if folder.perms.write_not_permitted() {
        return Err(Refused::NotPermitted);
    }
    let create = move || {
        let root = cap_std::fs::Dir::from_std_file(folder.dir.try_clone()?);
        let mut builder = DirBuilder::new();
        root.create_dir_with(path, builder.mode(mode))
    };
    let creating = tokio::task::spawn_blocking(create);
    Ok(creating.await.map_err(io::Error::other)??)
}

fn mode(read: bool, write: bool) -> OpenMode {
    let mut mode = OpenMode::empty();
    mode.set(OpenMode::READ, read);
    mode.set(OpenMode::WRITE, write);
    mode
}

/// The parameters of preview 1's `path_open`, the pointer to the result last.
type OpenParameters = (i32, i32, i32, i32, i32, i64, i64, i32, i32);

/// `noent`, `perm`, `mfile` and `nametoolong` of preview 1's `errno`.
const ABSENT: i32 = 44;
const PERM: i32 = 63;
const TOO_MANY: i32 = 33;
const NAME_TOO_LONG: i32 = 37;
/// A path beyond this is refused before it is copied.
const LONGEST_PATH: usize = 4096;
/// Size of preview 1's `filestat`, and where in it the file's type and size stand.
pub const STAT: usize = 64;
const FILE_TYPE: usize = 16;
pub const STAT_SIZE: usize = 32;

/// Puts a look at the file before preview 1's `path_open`, whose own open blocks. Between the look and the open another
/// program could put a FIFO in the file's place; guests cannot make any. What came before preview 1 has the same functions.
pub fn guard_core(linker: &mut wasmtime::Linker<State>, module: &str) -> wasmtime::Result<()> {
    linker.func_wrap_async(module, "path_open", |caller, parameters| {
        Box::new(open_preview_1(caller, parameters))
    })?;
    linker.func_wrap_async(module, "path_create_directory", |caller, parameters| {
        Box::new(create_folder_preview_1(caller, parameters))
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
    let modes = state.modes();
    let context = state.preview_1();
    let (start, length_bytes) = (path as u32 as usize, length as u32 as usize);
    if length_bytes > LONGEST_PATH {
        return Ok(NAME_TOO_LONG);
    }
    let Some(name) = memory.get(start..start.saturating_add(length_bytes)) else {
        return Err(Trap::MemoryOutOfBounds.into());
    };
    context.set_hostcall_fuel(fuel);
    let standing = look(context, folder, lookup, name).await;
    if standing == Standing::Refused {
        return Ok(PERM);
    }
    context.set_hostcall_fuel(fuel);
    let next = next_handle(context);
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
        Ok(0) if standing == Standing::Absent => {
            narrow(context, next, modes.file).await;
            Ok(0)
        }
        opened => opened,
    }
}

/// Makes a folder by preview 1's own function, then takes from its permissions what the volume does not allow.
async fn create_folder_preview_1(
    mut caller: Caller<'_, State>,
    (folder, path, length): (i32, i32, i32),
) -> wasmtime::Result<i32> {
    const FOLDER: i32 = 2;
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return Err(wasmtime::Error::msg("missing required memory export"));
    };
    let fuel = caller.as_context_mut().hostcall_fuel();
    let (memory, state) = memory.data_and_store_mut(&mut caller);
    let mode = state.modes().folder;
    let context = state.preview_1();
    let next = next_handle(context);
    if next.is_none() {
        return Ok(TOO_MANY);
    }
    context.set_hostcall_fuel(fuel);
    let mut guest = GuestMemory::Unshared(memory);
    let made = path_create_directory(context, &mut guest, folder, path, length).await?;
    let (start, length_bytes) = (path as u32 as usize, length as u32 as usize);
    let (0, Some(name)) = (made, memory.get(start..start.saturating_add(length_bytes))) else {
        return Ok(made);
    };
    let mut scratch = vec![0; size_of::<u32>()];
    scratch.extend_from_slice(name);
    let name = size_of::<u32>() as i32;
    let mut scratch_memory = GuestMemory::Unshared(&mut scratch);
    context.set_hostcall_fuel(fuel);
    let opened = path_open(
        context,
        &mut scratch_memory,
        folder,
        0,
        name,
        length,
        FOLDER,
        0,
        0,
        0,
        0,
    )
    .await;
    if let Ok(0) = opened {
        narrow(context, next, mode).await;
        let mut descriptor = [0; size_of::<u32>()];
        descriptor.copy_from_slice(&scratch[..size_of::<u32>()]);
        let mut nothing = GuestMemory::Unshared(&mut []);
        fd_close(context, &mut nothing, i32::from_le_bytes(descriptor)).await?;
    }
    Ok(made)
}

/// The handle under which preview 1 keeps what it opens next; none when there is no room for it.
fn next_handle(context: &mut WasiP1Ctx) -> Option<u32> {
    let table = context.ctx().table;
    // A table gives the place that was left last.
    let probe = table.push(()).ok()?;
    let handle = probe.rep();
    table.delete(probe).ok()?;
    Some(handle)
}

/// Takes from the permissions of what was just made those that the volume does not allow. A file system that has none
/// keeps its own, as it does when they are given on creation.
async fn narrow(context: &mut WasiP1Ctx, handle: Option<u32>, mode: u32) {
    let Some(handle) = handle else { return };
    let file = match context.ctx().table.get(&Resource::<Descriptor>::new_borrow(handle)) {
        Ok(Descriptor::File(file)) => file.file.clone(),
        Ok(Descriptor::Dir(folder)) => folder.dir.clone(),
        Err(_) => return,
    };
    let narrow = move || {
        let now = file.metadata()?.permissions().mode();
        file.set_permissions(Permissions::from_mode(now & (mode | !0o777)))
    };
    drop(tokio::task::spawn_blocking(narrow).await);
}

/// What stands under a name that is to be opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Absent,
    /// A file, a folder, or what `path_open` knows better: it opens or refuses a symlink.
    Other,
    Refused,
}

async fn look(context: &mut WasiP1Ctx, folder: i32, lookup: i32, name: &[u8]) -> Standing {
    const FOLDER: u8 = 3;
    const FILE: u8 = 4;
    const SYMLINK: u8 = 7;
    let mut scratch = vec![0; STAT];
    scratch.extend_from_slice(name);
    let mut memory = GuestMemory::Unshared(&mut scratch);
    let stat = path_filestat_get(context, &mut memory, folder, lookup, STAT as i32, name.len() as i32, 0);
    match stat.await {
        Ok(0) if matches!(scratch[FILE_TYPE], FOLDER | FILE | SYMLINK) => Standing::Other,
        Ok(0) | Err(_) => Standing::Refused,
        Ok(ABSENT) => Standing::Absent,
        Ok(_) => Standing::Other,
    }
}
