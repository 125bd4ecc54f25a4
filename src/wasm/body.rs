//! The life of one guest: the instance is made in the first step, the guest runs until it waits, its slice is over or
//! its method returns; dropping the body drops the store and with it everything the guest held. The instance of a function
//! may be kept for the next call ([`Instance`]), unless the call failed otherwise than by an error that it returned.
//!
//! A step polls one future that owns the store. The epoch's tick reaches a busy guest in its own code and makes it yield
//! through that future, without a wake: the kernel decides when it goes on.
//!
//! Invariant: the store is dropped before the seat that bounds how many of them there are.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use wasmtime::component;
use wasmtime::{AsContextMut, Store, UpdateDeadline};

use super::aftermath::explained;
use super::engine::Seat;
use super::error::{Phase, translate, with_stderr};
use super::limits::{Gauge, Memory, exceeded};
use super::program::{Prepared, WasmProgram};
use super::serving::Ticket;
use super::state::State;
use super::value::Arguments;
use super::wasi::Inputs;
use crate::error::{Error, Result};
use crate::process::{
    Body, Cause, Declined, Evidence, Exit, Instance, Process, Program, Progress, Start, StepContext, Trail, Wait,
};
use crate::project::entry::WasmSpec;
use crate::size;
use crate::system::volume;
use crate::value::{Packed, Value};

type Running = Pin<Box<dyn Future<Output = Done> + Send>>;

/// How a call ended, and the instance if it can serve another.
type Done = (Exit, Option<Guest>);

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
    stage: Stage,
    inputs: Arc<Inputs>,
}

/// How far it has come.
enum Stage {
    /// A place for a new instance, and the first call in it if there is one.
    New(Seat, Option<Call>),
    /// An instance that has served a call before, and the next one.
    Kept(Guest, Call),
    Running(Running),
    /// The call is over; what is left of it.
    Over(Option<Guest>),
}

impl WasmBody {
    /// Without a call the instance is only made.
    pub(super) fn new(call: Option<Call>, inputs: Arc<Inputs>, seat: Seat) -> WasmBody {
        let stage = Stage::New(seat, call);
        WasmBody { stage, inputs }
    }

    /// Init: everything up to the first poll. None once it has begun.
    fn begin(&mut self) -> Option<Result<Running>> {
        if let Stage::Running(_) = self.stage {
            return None;
        }
        match mem::replace(&mut self.stage, Stage::Over(None)) {
            Stage::New(seat, call) => Some(self.open(seat, call)),
            Stage::Kept(mut guest, call) => {
                let refueled = refuel(&mut guest.seated.store, self.inputs.program().spec());
                Some(refueled.map(|()| boxed(|| self.run().call(guest, call))))
            }
            Stage::Running(_) | Stage::Over(_) => None,
        }
    }

    fn open(&self, seat: Seat, call: Option<Call>) -> Result<Running> {
        let opening = Opening {
            run: self.run(),
            seat,
            call,
        };
        match self.inputs.program().prepared(opening.seat.alloc()) {
            Some(prepared) => opening.run(prepared?),
            None => Ok(boxed(|| opening.compile_and_run())),
        }
    }

    fn run(&self) -> Run {
        Run(self.inputs.clone())
    }
}

/// A guest about to be made.
struct Opening {
    run: Run,
    seat: Seat,
    call: Option<Call>,
}

impl Opening {
    /// Makes the store and gives the run in it.
    fn run(self, prepared: Arc<Prepared>) -> Result<Running> {
        let store = self.store(&prepared)?;
        let seated = Seated {
            store,
            _seat: self.seat,
        };
        Ok(boxed(|| self.run.first(prepared, seated, self.call)))
    }

    async fn compile_and_run(self) -> Done {
        let prepared = self.run.program().compiled_later(self.seat.alloc()).await;
        match prepared.and_then(|prepared| self.run(prepared)) {
            Ok(run) => run.await,
            Err(error) => (Exit::failed(error), None),
        }
    }

    fn store(&self, prepared: &Prepared) -> Result<Store<State>> {
        let Run(inputs) = &self.run;
        let program = inputs.program();
        let limits = &program.spec().limits;
        let mut state = State::new(inputs.clone(), Memory::new(limits.max_memory), limits.max_handles);
        state.prepare(!program.is_component())?;
        let handles = state.handles();
        let mut store = Store::new(prepared.engine(), state);
        if let Some(table) = store.concurrent_resource_table() {
            table.set_max_capacity(handles.saturating_mul(ENTRIES));
        }
        store.limiter(|state| state);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| Ok(on_tick(store.data().gauge())));
        refuel(&mut store, program.spec())?;
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
        self.inputs.gauge().kept.store(kept, Ordering::Relaxed);
        let is_over = kept > 0 && given.max_memory > 0 && self.inputs.gauge().held() > given.max_memory;
        is_over.then(|| {
            let stop = exceeded("max_memory", given.max_memory, size::format);
            with_stderr(stop.exit().clone(), self.inputs.tail())
        })
    }
}

/// A run in memory of its own, where it is made: it is large, and would be copied to there as a whole.
fn boxed<F: Future<Output = Done> + Send + 'static>(run: impl FnOnce() -> F) -> Running {
    let place = Box::<F>::new_uninit();
    let made: Box<F> = Box::write(place, run());
    Box::into_pin(made)
}

/// Gives a call all of its fuel.
fn refuel(store: &mut Store<State>, spec: &WasmSpec) -> Result<()> {
    match spec.limits.max_fuel {
        0 => Ok(()),
        // The engine of an entry with this limit counts fuel, so setting it cannot fail.
        fuel => store.set_fuel(fuel).map_err(|error| Error::internal(error.to_string())),
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
        match mem::replace(&mut self.0, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl Body for WasmBody {
    fn step(&mut self, cx: &mut StepContext<'_>) -> Progress {
        match self.begin() {
            Some(Ok(running)) => self.stage = Stage::Running(running),
            Some(Err(error)) => return Progress::Ended(Exit::failed(error)),
            None => {}
        }
        if let Some(exit) = self.piled_up(cx.process) {
            return Progress::Ended(exit);
        }
        let Stage::Running(running) = &mut self.stage else {
            return Progress::Ended(Exit::failed(Error::internal("stepped after its end")));
        };
        self.inputs.gauge().fresh.store(true, Ordering::Relaxed);
        self.inputs.gauge().only_mail.store(false, Ordering::Relaxed);
        // Before and after: it learns in one step of writes that were done off the workers, and writes more in it.
        let can_write = self.inputs.can_write();
        if can_write {
            volume::written();
        }
        let polled = running.as_mut().poll(&mut Context::from_waker(&cx.waker()));
        if can_write {
            volume::written();
        }
        match polled {
            Poll::Ready((exit, guest)) => {
                self.stage = Stage::Over(guest);
                Progress::Ended(exit)
            }
            Poll::Pending if self.inputs.gauge().preempted.swap(false, Ordering::Relaxed) => Progress::Preempted,
            Poll::Pending if self.inputs.gauge().only_mail.load(Ordering::Relaxed) => Progress::Waiting(Wait::Mailbox),
            Poll::Pending => Progress::Waiting(Wait::Other),
        }
    }

    fn memory(&self) -> u64 {
        self.inputs.gauge().held()
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
            fields.push(("limits", self.inputs.program().limits_in_force()));
        }
        Evidence {
            received: self.inputs.gauge().received().to_vec(),
            fields,
        }
    }

    fn doomed(&mut self, exit: Exit) -> Exit {
        match exit.cause {
            Cause::TimeLimit | Cause::Limit => with_stderr(exit, self.inputs.tail()),
            _ => exit,
        }
    }

    fn recycle(self: Box<Self>) -> Option<Box<dyn Instance>> {
        let Stage::Over(Some(guest)) = self.stage else {
            return None;
        };
        self.inputs.end_call();
        Some(Box::new(Idle {
            ticket: self.inputs.program().shared.shelf.keep(guest),
            inputs: self.inputs,
        }))
    }
}

/// The instance of a function between two calls.
struct Idle {
    ticket: Ticket,
    inputs: Arc<Inputs>,
}

impl Instance for Idle {
    fn start(self: Box<Self>, program: &dyn Program, start: Start) -> std::result::Result<Box<dyn Body>, Declined> {
        let own = self.inputs.program();
        if program.identity() != Arc::as_ptr(own).addr() {
            // The file has changed since.
            return program.start(start).map_err(|error| (error, None));
        }
        let call = match own.call(&start.args) {
            Ok(call) => call,
            Err(error) => return Err((error, Some(self))),
        };
        let Some(guest) = self.ticket.take() else {
            return program.start(start).map_err(|error| (error, None));
        };
        let own = self.inputs.program();
        start.process.set_hears_cancel(own.is_actor());
        self.inputs.serving().serve(start.process, own.kept(start.args));
        *self.inputs.gauge().received() = Trail::default();
        self.inputs.gauge().kept.store(0, Ordering::Relaxed);
        Ok(Box::new(WasmBody {
            stage: Stage::Kept(guest, call),
            inputs: self.inputs,
        }))
    }
}

/// The calls of one instance.
struct Run(Arc<Inputs>);

/// An instance that can be called: what `method` means, in a store in its place.
pub(super) struct Guest {
    function: Function,
    seated: Seated,
}

#[derive(Clone, Copy)]
enum Function {
    Component(component::Func),
    Core(wasmtime::Func, wasmtime::Instance),
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
    fn program(&self) -> &Arc<WasmProgram> {
        self.0.program()
    }

    /// Makes the instance, and the first call in it.
    async fn first(self, prepared: Arc<Prepared>, mut seated: Seated, call: Option<Call>) -> Done {
        match instantiate(&prepared, &mut seated.store).await {
            Ok(function) => match call {
                Some(call) => self.call(Guest { function, seated }, call).await,
                None => (Exit::returned(Packed::empty()), Some(Guest { function, seated })),
            },
            Err(fault) => self.failed(fault, None, seated),
        }
    }

    async fn call(self, mut guest: Guest, call: Call) -> Done {
        match self.called(&mut guest, call).await {
            Ok(exit) => (exit, self.program().keeps_instances().then_some(guest)),
            Err(fault) => self.failed(fault, Some(guest.function), guest.seated),
        }
    }

    fn failed(&self, (error, phase): Fault, function: Option<Function>, mut seated: Seated) -> Done {
        let instance = match &function {
            Some(Function::Core(_, instance)) => Some(instance),
            Some(Function::Component(_)) | None => None,
        };
        let error = explained(error, instance, &mut seated.store);
        drop(seated);
        let exit = translate(&error, phase, self.program().bounds(), self.0.tail());
        (exit, None)
    }

    async fn called(&self, guest: &mut Guest, call: Call) -> Result<Exit, Fault> {
        let store = &mut guest.seated.store;
        match (guest.function, call) {
            (Function::Component(function), Call::Component(args)) => self.component(store, &function, &args).await,
            (Function::Core(function, _), Call::Core(args)) => self.core(store, &function, &args).await,
            _ => unreachable!("a program's code and its arguments are of one kind"),
        }
    }

    async fn component(
        &self,
        store: &mut Store<State>,
        function: &component::Func,
        args: &Arguments,
    ) -> Result<Exit, Fault> {
        let signature = &self.program().signature;
        let returned = signature.call(function, store.as_context_mut(), args).await;
        let returned = returned.map_err(calling)?;
        if !self.program().is_process() {
            return Ok(ended(returned.lift(signature)));
        }
        if self.program().is_command() && returned.is_err() {
            return Ok(super::error::exited(1));
        }
        Ok(ended(returned.outcome(signature)))
    }

    async fn core(
        &self,
        store: &mut Store<State>,
        function: &wasmtime::Func,
        args: &[wasmtime::Val],
    ) -> Result<Exit, Fault> {
        let count = function.ty(&mut *store).results().len();
        let mut results = vec![wasmtime::Val::I32(0); count];
        function
            .call_async(store.as_context_mut(), args, &mut results)
            .await
            .map_err(calling)?;
        Ok(ended(match self.program().is_process() {
            true => self.program().signature.outcome_core(&results),
            false => self.program().signature.lift_core(&results),
        }))
    }
}

/// Makes the instance and finds its function. A reactor is initialized, once.
async fn instantiate(prepared: &Prepared, store: &mut Store<State>) -> Result<Function, Fault> {
    let missing = || calling(wasmtime::Error::msg("the method is not a function"));
    match prepared {
        Prepared::Component { pre, function } => {
            let instance = pre.instantiate_async(store.as_context_mut()).await;
            let instance = instance.map_err(instantiating)?;
            let function = instance.get_func(store.as_context_mut(), function);
            function.map(Function::Component).ok_or_else(missing)
        }
        Prepared::Core {
            pre,
            function,
            initialize,
        } => {
            let instance = pre.instantiate_async(store.as_context_mut()).await;
            let instance = instance.map_err(instantiating)?;
            if *initialize {
                self::initialize(store, &instance).await.map_err(instantiating)?;
            }
            let function = instance.get_func(store.as_context_mut(), function);
            let core = |function| Function::Core(function, instance);
            function.map(core).ok_or_else(missing)
        }
    }
}

async fn initialize(store: &mut Store<State>, instance: &wasmtime::Instance) -> wasmtime::Result<()> {
    let function = instance.get_typed_func::<(), ()>(store.as_context_mut(), "_initialize")?;
    function.call_async(store.as_context_mut(), ()).await
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
