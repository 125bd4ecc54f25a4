//! Reading folders for guests, a piece at a time: WASI's own `read-directory` keeps the names of a whole folder, and a guest may
//! have many of these lists open at once.
//!
//! Preview 1 reads the whole folder anew for each call; there is no place for a list of ours between its descriptors, so that
//! folders beyond what a call may move are refused. WASI 0.3 streams.

use cap_std::fs::{FileType, FileTypeExt, ReadDir};
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime::{AsContextMut, Caller, Extern, StoreContextMut};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p1::wasi_snapshot_preview1::{WasiSnapshotPreview1, fd_filestat_get, fd_readdir};
use wasmtime_wasi::p2::bindings::filesystem::types::{DescriptorType, DirectoryEntry, DirectoryEntryStream, ErrorCode};
use wiggle::GuestMemory;

use super::files::{STAT, STAT_SIZE};
use super::state::State;

/// Entries that are read at once, off the workers.
const PIECE: usize = 64;
/// What an entry takes in memory while preview 1 lists it, by what it takes in its folder, roughly.
const GROWTH: u64 = 16;
/// `nomem` of preview 1's `errno`.
const NOMEM: i32 = 48;

/// The entries of a folder that a guest has not asked for yet.
struct Listing {
    /// None after the last.
    rest: Option<ReadDir>,
    /// Read already, in reverse.
    ready: Vec<Result<DirectoryEntry, ErrorCode>>,
}

impl Listing {
    fn open(folder: &Descriptor) -> Result<Listing, ErrorCode> {
        let Descriptor::Dir(folder) = folder else {
            return Err(ErrorCode::NotDirectory);
        };
        let folder = cap_std::fs::Dir::from_std_file(folder.dir.try_clone()?);
        Ok(Listing {
            rest: Some(folder.entries()?),
            ready: Vec::new(),
        })
    }

    /// Reads the next piece.
    fn fill(&mut self) {
        let Some(rest) = &mut self.rest else { return };
        let piece: Vec<_> = rest.take(PIECE).map(entry).collect();
        if piece.len() < PIECE {
            self.rest = None;
        }
        self.ready = piece;
        self.ready.reverse();
    }
}

fn entry(entry: std::io::Result<cap_std::fs::DirEntry>) -> Result<DirectoryEntry, ErrorCode> {
    let entry = entry?;
    let name = entry.file_name().into_string();
    Ok(DirectoryEntry {
        type_: kind(entry.file_type()?),
        name: name.map_err(|_| ErrorCode::IllegalByteSequence)?,
    })
}

fn kind(kind: FileType) -> DescriptorType {
    match kind {
        kind if kind.is_dir() => DescriptorType::Directory,
        kind if kind.is_symlink() => DescriptorType::SymbolicLink,
        kind if kind.is_file() => DescriptorType::RegularFile,
        kind if kind.is_fifo() => DescriptorType::Fifo,
        kind if kind.is_socket() => DescriptorType::Socket,
        kind if kind.is_block_device() => DescriptorType::BlockDevice,
        kind if kind.is_char_device() => DescriptorType::CharacterDevice,
        _ => DescriptorType::Unknown,
    }
}

/// The handles of the guest are typed by wasmtime's own stream; ours stand behind them.
fn ours(stream: &Resource<DirectoryEntryStream>) -> Resource<Listing> {
    Resource::new_borrow(stream.rep())
}

type Opened = (Result<Resource<DirectoryEntryStream>, ErrorCode>,);
type Next = (Result<Option<DirectoryEntry>, ErrorCode>,);

/// Puts our lists in the place of WASI's.
pub fn guard(linker: &mut Linker<State>, version: &str) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance(&format!("wasi:filesystem/types@{version}"))?;
    types.func_wrap_async("[method]descriptor.read-directory", |store, (folder,)| {
        Box::new(open(store, folder))
    })?;
    types.func_wrap_async(
        "[method]directory-entry-stream.read-directory-entry",
        |store, (stream,)| Box::new(next(store, stream)),
    )?;
    let ty = ResourceType::host::<DirectoryEntryStream>();
    types.resource("directory-entry-stream", ty, |mut store, rep| {
        store.data_mut().table.delete(Resource::<Listing>::new_own(rep))?;
        Ok(())
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

async fn open(mut store: StoreContextMut<'_, State>, folder: Resource<Descriptor>) -> wasmtime::Result<Opened> {
    let folder = store.data().table.get(&folder)?.clone();
    let opening = tokio::task::spawn_blocking(move || Listing::open(&folder));
    let listing = match opening.await? {
        Ok(listing) => listing,
        Err(code) => return Ok((Err(code),)),
    };
    let stream = store.data_mut().table.push(listing);
    let stream = stream.map(|listing| Resource::new_own(listing.rep()));
    // The guest's own limit of handles is its own failure to handle.
    Ok((stream.map_err(|_| ErrorCode::InsufficientMemory),))
}

async fn next(mut store: StoreContextMut<'_, State>, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<Next> {
    let stream = ours(&stream);
    let listing = store.data_mut().table.get_mut(&stream)?;
    if listing.ready.is_empty() && listing.rest.is_some() {
        let mut taken = Listing {
            rest: listing.rest.take(),
            ready: Vec::new(),
        };
        let reading = tokio::task::spawn_blocking(move || {
            taken.fill();
            taken
        });
        let filled = reading.await?;
        *store.data_mut().table.get_mut(&stream)? = filled;
    }
    let next = store.data_mut().table.get_mut(&stream)?.ready.pop();
    Ok((next.transpose(),))
}

/// Puts a look at the folder before preview 1's `fd_readdir`. What came before preview 1 has the same function.
pub fn guard_core(linker: &mut wasmtime::Linker<State>, module: &str) -> wasmtime::Result<()> {
    linker.func_wrap_async(module, "fd_readdir", |caller, parameters| {
        Box::new(read_preview_1(caller, parameters))
    })?;
    Ok(())
}

async fn read_preview_1(
    mut caller: Caller<'_, State>,
    (folder, buffer, length, cookie, used): (i32, i32, i32, i64, i32),
) -> wasmtime::Result<i32> {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return Err(wasmtime::Error::msg("missing required memory export"));
    };
    let fuel = caller.as_context_mut().hostcall_fuel();
    let (memory, state) = memory.data_and_store_mut(&mut caller);
    let context = state.preview_1();
    context.set_hostcall_fuel(fuel);
    let mut stat = [0; STAT];
    let looked = fd_filestat_get(context, &mut GuestMemory::Unshared(&mut stat), folder, 0).await?;
    let size = u64::from_le_bytes(stat[STAT_SIZE..][..8].try_into()?);
    // What cannot be looked at is refused below.
    if looked == 0 && size.saturating_mul(GROWTH) > fuel as u64 {
        return Ok(NOMEM);
    }
    context.set_hostcall_fuel(fuel);
    let mut memory = GuestMemory::Unshared(memory);
    fd_readdir(context, &mut memory, folder, buffer, length, cookie, used).await
}
