//! The life of one guest: the instance is made in the first step, the guest runs until it waits, its slice is over or
//! its method returns; dropping the body drops the store and with it everything the guest held.
//!
//! A step polls one future that owns the store. The epoch's tick reaches a busy guest in its own code and makes it yield
//! through that future, without a wake: the kernel decides when it goes on.
//!
//! Invariant: the store is dropped before the seat that bounds how many of them there are.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use wasmtime::component::{self, ComponentExportIndex};
use wasmtime::{AsContextMut, Store, UpdateDeadline};

use super::engine::Seat;
use super::error::{Phase, translate, with_stderr};
use super::limits::{Gauge, Memory, exceeded};
use super::program::{Prepared, WasmProgram};
use super::state::State;
use super::value::Arguments;
use super::wasi::Inputs;
use crate::error::{Error, Result};
use crate::process::{Body, Cause, Evidence, Exit, Process, Progress, StepContext, Wait};
use crate::size;
use crate::system::volume;
use crate::value::{Packed, Value};

type Running = Pin<Box<dyn Future<Output = Exit> + Send>>;

/// The arguments of the call, lowered when the process starts.
pub(super) enum Call {
    Component(Arguments),
    Core(Vec<wasmtime::Val>),
}

impl Call {
    /// # Errors
    /// As [`Signature::lower`](super::value::Signature::lower).
    pub(super) fn lower(program: &WasmProgram, args: &Packed) -> Result<Call> {
        let allowed = program.max_transfer();
        match program.is_component() {
            true => program.signature.prepare(args, allowed).map(Call::Component),
            false => program.signature.lower_core(args, allowed).map(Call::Core),
        }
    }
}

/// The running side of a WASM process.
pub struct WasmBody {
    program: Arc<WasmProgram>,
    running: Option<Running>,
    seed: Option<Seed>,
    gauge: Arc<Gauge>,
    inputs: Arc<Inputs>,
}

/// What the first step makes the instance from.
struct Seed {
    program: Arc<WasmProgram>,
    call: Call,
    seat: Seat,
}

impl WasmBody {
    pub(super) fn new(program: Arc<WasmProgram>, call: Call, inputs: Arc<Inputs>, seat: Seat) -> WasmBody {
        WasmBody {
            program: program.clone(),
            running: None,
            seed: Some(Seed { program, call, seat }),
            gauge: Arc::default(),
            inputs,
        }
    }

    /// Init: everything up to the first poll.
    fn begin(&mut self, seed: Seed) -> Result<Running> {
        let opening = Opening {
            gauge: self.gauge.clone(),
            inputs: self.inputs.clone(),
            seed,
        };
        let Seed { program, seat, .. } = &opening.seed;
        match program.prepared(seat.alloc()) {
            Some(prepared) => Ok(Box::pin(opening.run(prepared?)?)),
            None => Ok(Box::pin(opening.compile_and_run())),
        }
    }
}

/// A guest about to be made.
struct Opening {
    gauge: Arc<Gauge>,
    inputs: Arc<Inputs>,
    seed: Seed,
}

impl Opening {
    /// Makes the store and gives the run in it.
    fn run(self, prepared: Arc<Prepared>) -> Result<impl Future<Output = Exit> + Send + use<>> {
        let store = self.store(&prepared)?;
        let Seed { program, call, seat } = self.seed;
        let run = Run {
            program,
            prepared,
            inputs: self.inputs,
        };
        Ok(run.finish(Seated { store, _seat: seat }, call))
    }

    async fn compile_and_run(self) -> Exit {
        let Seed { program, seat, .. } = &self.seed;
        let prepared = program.compiled_later(seat.alloc()).await;
        match prepared.and_then(|prepared| self.run(prepared)) {
            Ok(run) => run.await,
            Err(error) => Exit::failed(error),
        }
    }

    fn store(&self, prepared: &Prepared) -> Result<Store<State>> {
        let program = &self.seed.program;
        let limits = &program.spec().limits;
        let memory = Memory::new(limits.max_memory, self.gauge.clone());
        let mut state = State::new(self.inputs.clone(), memory, limits.max_handles);
        state.prepare(!program.is_component())?;
        let handles = state.handles();
        let mut store = Store::new(prepared.engine(), state);
        if let Some(table) = store.concurrent_resource_table() {
            table.set_max_capacity(handles.saturating_mul(ENTRIES));
        }
        store.limiter(|state| &mut state.memory);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| Ok(on_tick(store.data().memory.gauge())));
        if limits.max_fuel > 0 {
            // The engine of an entry with this limit counts fuel, so setting it cannot fail.
            store
                .set_fuel(limits.max_fuel)
                .map_err(|error| Error::internal(error.to_string()))?;
        }
        store.set_hostcall_fuel(usize::try_from(program.max_transfer()).unwrap_or(usize::MAX));
        Ok(store)
    }
}

impl WasmBody {
    /// The end of a guest for which too much is kept: what it does not read of what it wanted to hear.
    fn piled_up(&self, process: &Process) -> Option<Exit> {
        let given = self.inputs.given();
        if !given.reads_mail {
            return None;
        }
        let kept = process.mailbox().held() as u64;
        self.gauge.kept.store(kept, Ordering::Relaxed);
        let is_over = kept > 0 && given.max_memory > 0 && self.gauge.held() > given.max_memory;
        is_over.then(|| {
            let stop = exceeded("max_memory", given.max_memory, size::format);
            with_stderr(stop.exit().clone(), self.inputs.tail())
        })
    }
}

/// What a stream, a future or a task is in the engine's own table, at most.
const ENTRIES: usize = 4;

/// A tick has reached the guest. The first one of a step may come at once, so the slice ends with the second.
fn on_tick(gauge: &Gauge) -> UpdateDeadline {
    if gauge.fresh.swap(false, Ordering::Relaxed) {
        return UpdateDeadline::Continue(1);
    }
    gauge.preempted.store(true, Ordering::Relaxed);
    UpdateDeadline::YieldCustom(1, Box::pin(Yield(false)))
}

/// Pending once, without a wake: the kernel comes back by itself.
struct Yield(bool);

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        match std::mem::replace(&mut self.0, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl Body for WasmBody {
    fn step(&mut self, cx: &mut StepContext<'_>) -> Progress {
        if let Some(seed) = self.seed.take() {
            match self.begin(seed) {
                Ok(running) => self.running = Some(running),
                Err(error) => return Progress::Ended(Exit::failed(error)),
            }
        }
        if let Some(exit) = self.piled_up(cx.process) {
            return Progress::Ended(exit);
        }
        let Some(running) = &mut self.running else {
            return Progress::Ended(Exit::failed(Error::internal("stepped after its end")));
        };
        self.gauge.fresh.store(true, Ordering::Relaxed);
        self.gauge.only_mail.store(false, Ordering::Relaxed);
        // Before and after: it learns in one step of writes that were done off the workers, and writes more in it.
        let can_write = self.inputs.can_write();
        if can_write {
            volume::written();
        }
        let polled = running.as_mut().poll(&mut Context::from_waker(cx.waker));
        if can_write {
            volume::written();
        }
        match polled {
            Poll::Ready(exit) => {
                self.running = None;
                Progress::Ended(exit)
            }
            Poll::Pending if self.gauge.preempted.swap(false, Ordering::Relaxed) => Progress::Preempted,
            Poll::Pending if self.gauge.only_mail.load(Ordering::Relaxed) => Progress::Waiting(Wait::Mailbox),
            Poll::Pending => Progress::Waiting(Wait::Other),
        }
    }

    fn memory(&self) -> u64 {
        self.gauge.held()
    }

    fn evidence(&self, cause: Cause) -> Evidence {
        let mut fields = Vec::new();
        // Whoever was ended from outside is not to blame.
        if !matches!(cause, Cause::Terminated | Cause::LinkBroken) {
            let (stderr, arguments) = (self.inputs.tail(), self.inputs.arguments());
            if !stderr.is_empty() {
                fields.push(("stderr", Value::Str(stderr)));
            }
            if !arguments.is_empty() {
                fields.push(("arguments", Value::array(arguments)));
            }
        }
        if matches!(cause, Cause::Failed | Cause::Trap | Cause::Limit | Cause::TimeLimit) {
            fields.push(("limits", self.program.limits_in_force()));
        }
        Evidence {
            received: self.gauge.received().to_vec(),
            fields,
        }
    }

    fn doomed(&mut self, exit: Exit) -> Exit {
        match exit.cause {
            Cause::TimeLimit | Cause::Limit => with_stderr(exit, self.inputs.tail()),
            _ => exit,
        }
    }
}

/// One call in one instance.
struct Run {
    program: Arc<WasmProgram>,
    prepared: Arc<Prepared>,
    inputs: Arc<Inputs>,
}

/// Why a run has no result, and what was being done.
type Fault = (wasmtime::Error, Phase);

/// A store in its place. Fields go in this order, also when the run is dropped in its midst: a place that is given back
/// before its store is gone would be taken twice.
struct Seated {
    store: Store<State>,
    _seat: Seat,
}

impl Run {
    async fn finish(self, mut seated: Seated, call: Call) -> Exit {
        let store = &mut seated.store;
        let result = match (&*self.prepared, call) {
            (Prepared::Component { pre, function }, Call::Component(args)) => {
                self.component(store, pre, function, &args).await
            }
            (
                Prepared::Core {
                    pre,
                    function,
                    initialize,
                },
                Call::Core(args),
            ) => self.core(store, pre, function, *initialize, &args).await,
            _ => unreachable!("a program's code and its arguments are of one kind"),
        };
        drop(seated);
        result.unwrap_or_else(|(error, phase)| translate(&error, phase, self.program.bounds(), self.inputs.tail()))
    }

    async fn component(
        &self,
        store: &mut Store<State>,
        pre: &component::InstancePre<State>,
        function: &ComponentExportIndex,
        args: &Arguments,
    ) -> Result<Exit, Fault> {
        let instance = pre
            .instantiate_async(store.as_context_mut())
            .await
            .map_err(instantiating)?;
        let function = instance
            .get_func(store.as_context_mut(), function)
            .ok_or_else(|| calling(wasmtime::Error::msg("the method is not a function")))?;
        let signature = &self.program.signature;
        let returned = signature.call(&function, store.as_context_mut(), args).await;
        let returned = returned.map_err(calling)?;
        if !self.program.is_process() {
            return Ok(ended(returned.lift(signature)));
        }
        if self.program.is_command() && returned.is_err() {
            return Ok(super::error::exited(1));
        }
        Ok(ended(returned.outcome(signature)))
    }

    /// A reactor is initialized once, before its first call.
    async fn initialize(&self, store: &mut Store<State>, instance: &wasmtime::Instance) -> wasmtime::Result<()> {
        let function = instance.get_typed_func::<(), ()>(store.as_context_mut(), "_initialize")?;
        function.call_async(store.as_context_mut(), ()).await
    }

    async fn core(
        &self,
        store: &mut Store<State>,
        pre: &wasmtime::InstancePre<State>,
        function: &str,
        initialize: bool,
        args: &[wasmtime::Val],
    ) -> Result<Exit, Fault> {
        let instance = pre
            .instantiate_async(store.as_context_mut())
            .await
            .map_err(instantiating)?;
        if initialize {
            self.initialize(store, &instance).await.map_err(instantiating)?;
        }
        let function = instance
            .get_func(store.as_context_mut(), function)
            .ok_or_else(|| calling(wasmtime::Error::msg("the method is not a function")))?;
        let count = function.ty(&mut *store).results().len();
        let mut results = vec![wasmtime::Val::I32(0); count];
        function
            .call_async(store.as_context_mut(), args, &mut results)
            .await
            .map_err(calling)?;
        Ok(ended(match self.program.is_process() {
            true => self.program.signature.outcome_core(&results),
            false => self.program.signature.lift_core(&results),
        }))
    }
}

fn ended(result: Result<Packed>) -> Exit {
    Exit {
        cause: Cause::Returned,
        result,
    }
}

fn instantiating(error: wasmtime::Error) -> Fault {
    (error, Phase::Instantiating)
}

fn calling(error: wasmtime::Error) -> Fault {
    (error, Phase::Calling)
}
