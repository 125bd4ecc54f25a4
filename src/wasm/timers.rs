//! Timers of WASI 0.2. WASI's own take two places among a guest's handles, one for the time and one for what the guest
//! waits on; its limit counts one.

use std::future::pending;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::clocks::WasiClocksView as _;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use super::state::State;

/// Puts our timers in the place of WASI's.
pub fn guard(linker: &mut Linker<State>, version: &str) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut clock = linker.instance(&format!("wasi:clocks/monotonic-clock@{version}"))?;
    clock.func_wrap("subscribe-duration", |mut store, (nanoseconds,): (u64,)| {
        Ok((timer(store.data_mut(), nanoseconds)?,))
    })?;
    clock.func_wrap("subscribe-instant", |mut store, (when,): (u64,)| {
        let state: &mut State = store.data_mut();
        let now = monotonic_clock::Host::now(&mut state.clocks())?;
        Ok((timer(state, when.saturating_sub(now))?,))
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

fn timer(state: &mut State, nanoseconds: u64) -> wasmtime::Result<Resource<DynPollable>> {
    let counted = state.timers.get_or_insert_default().clone();
    // As many hidden places as timers live, this one among them. The room is not taken back, it was the guest's once.
    let hidden = Arc::strong_count(&counted) - 1;
    let room = state.handles().saturating_add(hidden);
    state.table.set_max_capacity(room);
    let timer = state.table.push(Timer {
        at: Instant::now().checked_add(Duration::from_nanos(nanoseconds)),
        is_new: true,
        _counted: counted,
    })?;
    subscribe(&mut state.table, timer)
}

struct Timer {
    /// None: beyond what the clock can say.
    at: Option<Instant>,
    /// Nobody has asked yet whether it is over.
    is_new: bool,
    _counted: Arc<()>,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Timer {
    async fn ready(&mut self) {
        let Some(at) = self.at else { return pending().await };
        match (at <= Instant::now(), mem::take(&mut self.is_new)) {
            // A guest that asks in a loop with no time at all would keep the driver from seeing that other things are ready.
            (true, true) => tokio::task::yield_now().await,
            (true, false) => {}
            (false, _) => sleep_until(at).await,
        }
    }
}
