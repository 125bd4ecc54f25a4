//! Random bytes for guests, in pieces: WASI's own functions make them all at once, which would hold a worker for as long as
//! it takes to make gigabytes of them. WASI 0.3 may give fewer than were asked for, and gives one piece.

use wasmtime::component::Linker;
use wasmtime::{Caller, Extern, StoreContextMut, Trap};
use wasmtime_wasi::p2::bindings::random::{insecure, random};
use wasmtime_wasi::random::{WasiRandomCtx, WasiRandomView as _};

use super::limits::exceeded;
use super::state::State;
use crate::size;

/// Bytes that take far less than a slice to make.
pub const PIECE: u64 = 64 << 10;

type Make = fn(&mut WasiRandomCtx, u64) -> wasmtime::Result<Vec<u8>>;

/// Puts our functions for many bytes in the place of WASI's.
pub fn guard(linker: &mut Linker<State>, version: &str) -> wasmtime::Result<()> {
    let functions: [(&str, &str, Make); 2] = [
        ("random", "get-random-bytes", random::Host::get_random_bytes),
        (
            "insecure",
            "get-insecure-random-bytes",
            insecure::Host::get_insecure_random_bytes,
        ),
    ];
    linker.allow_shadowing(true);
    for (interface, name, make) in functions {
        linker
            .instance(&format!("wasi:random/{interface}@{version}"))?
            .func_wrap_async(name, move |store, (length,): (u64,)| {
                Box::new(bytes(store, length, make))
            })?;
    }
    linker.allow_shadowing(false);
    Ok(())
}

/// The call has no way to fail, so that one beyond the limit ends the run.
async fn bytes(mut store: StoreContextMut<'_, State>, length: u64, make: Make) -> wasmtime::Result<(Vec<u8>,)> {
    let allowed = store.hostcall_fuel() as u64;
    if length > allowed {
        return Err(wasmtime::Error::new(exceeded("max_transfer", allowed, size::format)));
    }
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < length {
        let piece = PIECE.min(length - bytes.len() as u64);
        bytes.extend(make(store.data_mut().random(), piece)?);
        tokio::task::yield_now().await;
    }
    Ok((bytes,))
}

/// The same for a core module, which has its own memory filled.
pub fn guard_core(linker: &mut wasmtime::Linker<State>, module: &str) -> wasmtime::Result<()> {
    linker.func_wrap_async(module, "random_get", |caller, (start, length): (i32, i32)| {
        Box::new(fill(caller, start as u32 as usize, length as u32 as usize))
    })?;
    Ok(())
}

async fn fill(mut caller: Caller<'_, State>, start: usize, length: usize) -> wasmtime::Result<i32> {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return Err(wasmtime::Error::msg("missing required memory export"));
    };
    let (memory, state) = memory.data_and_store_mut(&mut caller);
    let Some(wanted) = start.checked_add(length).and_then(|end| memory.get_mut(start..end)) else {
        return Err(Trap::MemoryOutOfBounds.into());
    };
    for piece in wanted.chunks_mut(PIECE as usize) {
        let made = random::Host::get_random_bytes(state.preview_1().random(), piece.len() as u64)?;
        piece.copy_from_slice(&made);
        tokio::task::yield_now().await;
    }
    Ok(0)
}
