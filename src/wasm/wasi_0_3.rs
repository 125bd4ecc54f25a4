//! WASI 0.3 on the engines that can hold it: the same contexts behind the same grants as 0.2, in functions that a guest
//! awaits. Experimental, as wasmtime's own implementation is.

use wasmtime::component::{Accessor, Linker, Resource};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p3::bindings as wasi;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};

use super::export::unversioned;
use super::files::{Refused, Wanted, create_folder, refusals, wanted};
use super::linker::link_common;
use super::lookup::look_up;
use super::state::State;
use crate::project::network::Host as Destination;
use wasi::filesystem::types::{DescriptorFlags, ErrorCode, OpenFlags, PathFlags};
use wasi::sockets::ip_name_lookup::ErrorCode as LookUpError;
use wasi::sockets::types::IpAddress;

/// The version that is linked. A guest for any other 0.3 gets the same functions.
pub const LINKED: &str = "0.3.0";

/// Whether the interface of a package that a grant covers is one of 0.3.
pub fn exists(interface: &str) -> bool {
    let Some((package, name)) = unversioned(interface).split_once('/') else {
        return false;
    };
    match package {
        "wasi:cli" | "wasi:random" => true,
        "wasi:clocks" => matches!(name, "types" | "monotonic-clock" | "system-clock"),
        "wasi:filesystem" => matches!(name, "types" | "preopens"),
        "wasi:sockets" => matches!(name, "types" | "ip-name-lookup"),
        "wasi:http" => matches!(name, "types" | "client"),
        _ => false,
    }
}

/// Adds the functions; `sockets` and `http`: those behind these grants too.
///
/// # Errors
/// When the engine has no concurrency.
pub fn link(l: &mut Linker<State>, sockets: bool, http: bool) -> wasmtime::Result<()> {
    wasi::clocks::types::add_to_linker::<State, WasiClocks>(l, State::clocks)?;
    wasi::clocks::system_clock::add_to_linker::<State, WasiClocks>(l, State::clocks)?;
    link_common!(&mut *l, wasi);
    guard(l)?;
    if sockets {
        wasi::sockets::types::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
        link_names(l)?;
    }
    if http {
        wasmtime_wasi_http::p3::add_to_linker(l)?;
    }
    Ok(())
}

/// `ip-name-lookup`, which asks the list of the entry about every name.
fn link_names(l: &mut Linker<State>) -> wasmtime::Result<()> {
    l.instance(&format!("wasi:sockets/ip-name-lookup@{LINKED}"))?
        .func_wrap_concurrent("resolve-addresses", |state, (name,): (String,)| {
            Box::pin(async move { Ok((resolve(state, &name).await,)) })
        })
}

async fn resolve(state: &Accessor<State>, name: &str) -> Result<Vec<IpAddress>, LookUpError> {
    let addresses = match Destination::parse(name).ok_or(LookUpError::InvalidArgument)? {
        Destination::Address(address) => vec![address],
        Destination::Name(name) => {
            let network = state.with(|mut store| store.get().network());
            if !network.may_look_up(&name) {
                return Err(LookUpError::AccessDenied);
            }
            let found = look_up(network, name).await;
            found.map_err(|_| LookUpError::NameUnresolvable)?
        }
    };
    Ok(addresses.into_iter().map(IpAddress::from).collect())
}

type Parameters = (Resource<Descriptor>, PathFlags, String, OpenFlags, DescriptorFlags);
type Opened = (Result<Resource<Descriptor>, ErrorCode>,);

/// Puts our `open-at`, which opens only regular files and folders, and our `create-directory-at`, which knows of
/// permissions, in the place of WASI's.
fn guard(l: &mut Linker<State>) -> wasmtime::Result<()> {
    l.allow_shadowing(true);
    let mut types = l.instance(&format!("wasi:filesystem/types@{LINKED}"))?;
    types.func_wrap_concurrent("[method]descriptor.open-at", |state, parameters| {
        Box::pin(open_at(state, parameters))
    })?;
    types.func_wrap_concurrent("[method]descriptor.create-directory-at", |state, parameters| {
        Box::pin(create_directory_at(state, parameters))
    })?;
    l.allow_shadowing(false);
    Ok(())
}

async fn create_directory_at(
    state: &Accessor<State>,
    (folder, path): (Resource<Descriptor>, String),
) -> wasmtime::Result<(Result<(), ErrorCode>,)> {
    let (folder, mode) = state.with(|mut store| {
        let state = store.get();
        let folder = state.table.get(&folder).cloned()?;
        Ok::<_, wasmtime::Error>((folder, state.modes().folder))
    })?;
    let made = create_folder(folder, path, mode).await;
    Ok((made.map_err(ErrorCode::from),))
}

async fn open_at(state: &Accessor<State>, (folder, lookup, path, open, flags): Parameters) -> wasmtime::Result<Opened> {
    let wanted = wanted!(lookup, open, flags);
    let (folder, mode) = state.with(|mut store| {
        let state = store.get();
        let folder = state.table.get(&folder).cloned()?;
        Ok::<_, wasmtime::Error>((folder, state.modes().file))
    })?;
    let descriptor = match wanted.open(folder, path, mode).await {
        Ok(descriptor) => descriptor,
        Err(refused) => return Ok((Err(refused.into()),)),
    };
    let descriptor = state.with(|mut store| store.get().table.push(descriptor));
    // The guest's own limit of handles is its own failure to handle.
    Ok((descriptor.map_err(|_| ErrorCode::InsufficientMemory),))
}

refusals!(ErrorCode);
