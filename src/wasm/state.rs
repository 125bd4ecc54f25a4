//! What a store holds beside the guest itself: its inputs, its WASI context once it asked for it, its memory count.
//!
//! The context is built lazily: most guests never touch WASI, and building it costs as much as a tenth of their life.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::actor::Given;
use super::files::Modes;
use super::http::Http;
use super::limits::Memory;
use super::network::Network;
use super::wasi::Inputs;
use crate::error::Result;
use crate::process::Process;
use crate::value::Packed;

/// The data of a store.
pub struct State {
    pub table: ResourceTable,
    pub memory: Memory,
    /// As many clones of it live as timers do. Made with the first.
    pub timers: Option<Arc<()>>,
    inputs: Arc<Inputs>,
    handles: usize,
    wasi: Option<Box<WasiCtx>>,
    preview_1: Option<Box<WasiP1Ctx>>,
    http: Option<Box<Http>>,
}

impl State {
    /// `handles`: how many files, streams and pollables may be open.
    pub fn new(inputs: Arc<Inputs>, memory: Memory, handles: u64) -> State {
        let handles = match usize::try_from(handles) {
            Ok(0) | Err(_) => usize::MAX,
            Ok(handles) => handles,
        };
        let mut table = ResourceTable::new();
        table.set_max_capacity(handles);
        State {
            table,
            memory,
            timers: None,
            inputs,
            handles,
            wasi: None,
            preview_1: None,
            http: None,
        }
    }

    /// Builds the context now if building it can fail. `core`: for a core module.
    ///
    /// # Errors
    /// Internal when a mount's folder cannot be opened any more.
    pub fn prepare(&mut self, core: bool) -> Result<()> {
        if self.inputs.can_fail() {
            let mut builder = self.inputs.builder()?;
            if core {
                self.preview_1 = Some(bounded(builder.build_p1(), self.handles));
            } else {
                self.wasi = Some(Box::new(builder.build()));
            }
        }
        Ok(())
    }

    /// How many files, streams and pollables may be open.
    pub fn handles(&self) -> usize {
        self.handles
    }

    /// The process that the guest is.
    pub fn process(&self) -> Arc<Process> {
        self.inputs.serving().process()
    }

    /// What that process was started with.
    pub fn started_with(&self) -> Packed {
        self.inputs.serving().args()
    }

    /// Permissions of the files and folders that the guest makes.
    pub fn modes(&self) -> Modes {
        self.inputs.modes()
    }

    /// What the guest may reach of the network.
    pub fn network(&self) -> Arc<Network> {
        self.inputs.network()
    }

    /// The context of `wasi:http`, and the handles beside it.
    pub fn http_and_table(&mut self) -> (&mut Http, &mut ResourceTable) {
        let make = || Box::new(Http::new(self.inputs.network()));
        (self.http.get_or_insert_with(make), &mut self.table)
    }

    /// What the package `wippy:runtime` needs.
    pub fn given(&self) -> &Given {
        self.inputs.given()
    }

    /// The context of preview 1.
    pub fn preview_1(&mut self) -> &mut WasiP1Ctx {
        self.preview_1
            .get_or_insert_with(|| bounded(self.inputs.plain().build_p1(), self.handles))
    }
}

fn bounded(mut context: WasiP1Ctx, handles: usize) -> Box<WasiP1Ctx> {
    context.ctx().table.set_max_capacity(handles);
    Box::new(context)
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: self.wasi.get_or_insert_with(|| Box::new(self.inputs.plain().build())),
            table: &mut self.table,
        }
    }
}
