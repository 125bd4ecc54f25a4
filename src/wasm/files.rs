//! Opening files for guests: only regular files and folders.
//!
//! WASI's own `open-at` opens with a blocking call whatever stands under the name; a FIFO would hold a thread of the
//! blocking pool until somebody writes to it, for ever if nobody does. Here the file is opened without blocking, through
//! the same sandboxed resolution, looked at, and refused with `not-permitted` unless it is a file or a folder.

use std::io;

use cap_fs_ext::OpenOptionsFollowExt;
use cap_std::fs::{OpenOptions, OpenOptionsExt};
use wasmtime::component::{Linker, Resource};
use wasmtime::{AsContextMut, Caller, Extern, StoreContextMut};
use wasmtime_wasi::filesystem::{Descriptor, Dir, File};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::wasi_snapshot_preview1::{WasiSnapshotPreview1, path_filestat_get, path_open};
use wasmtime_wasi::p2::bindings::filesystem::types::{DescriptorFlags, ErrorCode, OpenFlags, PathFlags};
use wasmtime_wasi::{FsPerms, OpenMode};
use wiggle::GuestMemory;

use super::linker::PREVIEW_1;
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
    let table = &mut store.data_mut().table;
    let Descriptor::Dir(folder) = table.get(&folder)?.clone() else {
        return Ok((Err(ErrorCode::NotDirectory),));
    };
    let wanted = match Wanted::new(lookup, open, flags, folder.perms) {
        Ok(wanted) => wanted,
        Err(code) => return Ok((Err(code),)),
    };
    let opening = tokio::task::spawn_blocking(move || wanted.open(&folder, &path));
    let descriptor = match opening.await? {
        Ok(descriptor) => descriptor,
        Err(code) => return Ok((Err(code),)),
    };
    let descriptor = store.data_mut().table.push(descriptor);
    // The guest's own limit of handles is its own failure to handle.
    Ok((descriptor.map_err(|_| ErrorCode::InsufficientMemory),))
}

/// What the guest asked for, found to be consistent and allowed.
struct Wanted {
    options: OpenOptions,
    mode: OpenMode,
    folder_only: bool,
}

impl Wanted {
    fn new(lookup: PathFlags, open: OpenFlags, flags: DescriptorFlags, perms: FsPerms) -> Result<Wanted, ErrorCode> {
        let synced = DescriptorFlags::FILE_INTEGRITY_SYNC
            | DescriptorFlags::DATA_INTEGRITY_SYNC
            | DescriptorFlags::REQUESTED_WRITE_SYNC;
        if flags.intersects(synced) {
            return Err(ErrorCode::Unsupported);
        }
        let changing = OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::TRUNCATE;
        let folder_only = open.contains(OpenFlags::DIRECTORY);
        if folder_only && open.intersects(changing) {
            return Err(ErrorCode::Invalid);
        }
        let write = flags.contains(DescriptorFlags::WRITE) || open.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE);
        if write && perms.write_not_permitted() {
            return Err(ErrorCode::NotPermitted);
        }
        let read = flags.contains(DescriptorFlags::READ) || !flags.contains(DescriptorFlags::WRITE);
        Ok(Wanted {
            options: options(lookup, open, read, write),
            mode: mode(read, write),
            folder_only,
        })
    }

    fn open(&self, folder: &Dir, path: &str) -> Result<Descriptor, ErrorCode> {
        let root = cap_std::fs::Dir::from_std_file(folder.dir.try_clone()?);
        let file = root.open_with(path, &self.options).map_err(refused)?.into_std();
        let kind = file.metadata()?.file_type();
        if kind.is_dir() {
            return Ok(Descriptor::Dir(Dir::new(file, folder.perms, self.mode, false)));
        }
        if self.folder_only {
            return Err(ErrorCode::NotDirectory);
        }
        if !kind.is_file() {
            return Err(ErrorCode::NotPermitted);
        }
        Ok(Descriptor::File(File::new(file, folder.perms, self.mode, false)))
    }
}

fn options(lookup: PathFlags, open: OpenFlags, read: bool, write: bool) -> OpenOptions {
    let exclusive = open.contains(OpenFlags::CREATE | OpenFlags::EXCLUSIVE);
    let follow = match lookup.contains(PathFlags::SYMLINK_FOLLOW) {
        true => cap_fs_ext::FollowSymlinks::Yes,
        false => cap_fs_ext::FollowSymlinks::No,
    };
    let mut options = OpenOptions::new();
    options
        .read(read)
        .write(write)
        .create(open.contains(OpenFlags::CREATE) && !exclusive)
        .create_new(exclusive)
        .truncate(open.contains(OpenFlags::TRUNCATE))
        .custom_flags(libc::O_NONBLOCK)
        .follow(follow);
    options
}

fn mode(read: bool, write: bool) -> OpenMode {
    let mut mode = OpenMode::empty();
    mode.set(OpenMode::READ, read);
    mode.set(OpenMode::WRITE, write);
    mode
}

/// A FIFO without a reader and a socket answer an open that does not block with this.
fn refused(error: io::Error) -> ErrorCode {
    match error.raw_os_error() {
        Some(libc::ENXIO) => ErrorCode::NotPermitted,
        _ => ErrorCode::from(error),
    }
}

/// The parameters of preview 1's `path_open`, the pointer to the result last.
type OpenParameters = (i32, i32, i32, i32, i32, i64, i64, i32, i32);

/// `perm`, `fault` and `nametoolong` of preview 1's `errno`.
const PERM: i32 = 63;
const FAULT: i32 = 21;
const NAME_TOO_LONG: i32 = 37;
/// A path beyond this is refused before it is copied.
const LONGEST_PATH: usize = 4096;
/// Size of preview 1's `filestat`, and where in it the file type stands.
const STAT: usize = 64;
const FILE_TYPE: usize = 16;

/// Puts a look at the file before preview 1's `path_open`, whose own open blocks. Between the look and the open another
/// program could put a FIFO in the file's place; guests cannot make any.
pub fn guard_preview_1(linker: &mut wasmtime::Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap_async(PREVIEW_1, "path_open", |caller, parameters| {
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
        return Ok(FAULT);
    };
    context.set_hostcall_fuel(fuel);
    if !can_be_opened(context, folder, lookup, name).await {
        return Ok(PERM);
    }
    context.set_hostcall_fuel(fuel);
    let mut memory = GuestMemory::Unshared(memory);
    path_open(
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
    .await
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
