//! Host functions that wait for a future: [`suspending`] makes one of an mlua function, the driver polls.
//!
//! The Lua-visible function is a C closure. It calls the mlua function, which may leave a future in [`Calls::begun`];
//! then the task is parked. When the future is done the closure's continuation calls the mlua function once more, and
//! that one takes the finisher instead of starting anew.

use std::collections::HashMap;
use std::ffi::c_int;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};

use super::memory::Weight;
use super::raw::*;
use super::{Driver, What};
use crate::error::Result;
use crate::id::Pid;
use crate::lock::lock;
use crate::lua::host::Finish;
use crate::process::{Process, Upgrade};
use crate::value::Packed;

/// What a wait in the host brought.
pub enum Woken {
    /// For [`suspending`].
    Finish(Finish),
    /// `process.spawn` of an entry that had to be loaded.
    Spawned(Result<Pid>),
    /// `process.upgrade` to an entry that had to be loaded.
    Upgrade(Result<Upgrade>),
    /// `process.exec`.
    Ended(Result<Packed>),
    /// `print`.
    Done,
    /// `require` of a file.
    Text(Result<super::require::Found>),
}

pub type Work = Pin<Box<dyn Future<Output = Woken> + Send>>;

/// A future that a task waits for, or that completes a Future.
pub struct Pending {
    work: Work,
    bell: Arc<Bell>,
    waker: Waker,
    /// The process of an `exec`, as soon as there is one.
    child: Option<Child>,
}

/// A process that somebody waits for.
pub type Child = Arc<OnceLock<Arc<Process>>>;

impl Pending {
    pub fn new(driver: &mut Driver, work: Work) -> Pending {
        let bell = Arc::new(Bell {
            number: driver.mark(),
            is_rung: AtomicBool::new(false),
            rung: driver.waiting.rung.clone(),
            process: driver.process().clone(),
        });
        Pending {
            work,
            waker: bell.clone().into(),
            bell,
            child: None,
        }
    }

    /// What tells it from others of its driver; the numbers ascend.
    pub fn number(&self) -> u64 {
        self.bell.number
    }

    /// Has it polled soon.
    pub fn ask(&self) {
        self.bell.ring();
    }

    /// The same, already done.
    pub fn over(self, woken: Woken) -> Pending {
        Pending {
            work: Box::pin(ready(woken)),
            ..self
        }
    }

    /// Nobody waits any more, though the caller lives: a process that was started for this wait has no purpose left.
    pub fn give_up(&self) {
        let child = self.child.as_ref().and_then(|child| child.get());
        if let Some(child) = child.filter(|child| child.exit().is_none()) {
            // It may have ended just now.
            let _ = child.kernel().terminate(child.pid());
        }
    }

    /// The process that was started for this wait needs nobody to wait for it.
    pub fn let_child_live(&mut self) {
        self.child = None;
    }

    /// The process that was started for this wait, if there is one by now.
    pub fn child(&self) -> Option<&Arc<Process>> {
        self.child.as_ref().and_then(|child| child.get())
    }

    /// What is waited for, to be waited for elsewhere.
    pub fn into_work(self) -> Work {
        self.work
    }

    pub fn poll(&mut self) -> Poll<Woken> {
        self.bell.is_rung.swap(false, Ordering::AcqRel);
        self.work.as_mut().poll(&mut Context::from_waker(&self.waker))
    }
}

/// Numbers of the futures that want to be polled, each once.
type Rung = Arc<Mutex<Vec<u64>>>;

/// Says that the future wants to be polled, and wakes the process.
struct Bell {
    number: u64,
    /// It stands in the list, or is about to be polled.
    is_rung: AtomicBool,
    rung: Rung,
    process: Arc<Process>,
}

impl Bell {
    fn ring(&self) {
        if !self.is_rung.swap(true, Ordering::AcqRel) {
            lock(&self.rung).push(self.number);
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
        Process::wake(&self.process);
    }
}

/// The hand-over between a closure and its mlua function.
#[derive(Default)]
pub struct Calls {
    begun: Option<Pin<Box<dyn Future<Output = Finish> + Send>>>,
    finish: Option<Finish>,
    /// Tasks that wait for a future, by its number.
    tasks: HashMap<u64, u32>,
    rung: Rung,
}

impl Calls {
    /// Nobody waits for that future any more.
    pub(super) fn forget(&mut self, pending: &Pending) {
        self.tasks.remove(&pending.number());
    }

    fn take_rung(&self) -> Vec<u64> {
        std::mem::take(&mut *lock(&self.rung))
    }
}

/// In mlua's data: which driver the state belongs to.
pub struct Attached(pub(super) *mut Driver);

// SAFETY: the pointer is used by whoever uses the state, one thread at a time.
unsafe impl Send for Attached {}

/// The link from an mlua function to the call that surrounds it.
pub struct Caller(*mut Driver);

/// The driver of that state; none for a state that mlua made itself (unit tests of modules).
pub fn attached(lua: &mlua::Lua) -> Option<Caller> {
    lua.app_data_ref::<Attached>().map(|attached| Caller(attached.0))
}

impl Caller {
    /// Counts what an object of the state holds outside of it.
    pub fn weigh(&self, bytes: usize) -> Weight {
        // SAFETY: as in `finish`.
        unsafe { (*self.0).weigh(bytes) }
    }

    /// The driver, for code that runs inside an mlua function.
    pub(super) fn driver(&self) -> *mut Driver {
        self.0
    }

    /// What a continuation has to run; none in a first call.
    pub fn finish(&self) -> Option<Finish> {
        // SAFETY: the driver outlives the state; it is not in use while an mlua function runs.
        unsafe { (*self.0).waiting.finish.take() }
    }

    /// A moment, for a later [`Caller::sweep`].
    pub fn mark(&self) -> super::Mark {
        // SAFETY: as in `finish`.
        unsafe { (*self.0).mark() }
    }

    /// Ends what is left in the state of what was begun since the mark: coroutines, timers, subscriptions.
    pub fn sweep(&self, mark: super::Mark) {
        // SAFETY: as in `finish`; what is called pushes nothing that could raise.
        unsafe {
            (*self.0).lifted(|driver| driver.sweep(mark));
        }
    }

    /// Has the calling coroutine wait for `work`, as soon as the mlua function has returned.
    pub fn begin(&self, work: Pin<Box<dyn Future<Output = Finish> + Send>>) {
        // SAFETY: as in `finish`.
        unsafe { (*self.0).waiting.begun = Some(work) };
    }
}

/// Makes the function that may suspend its caller, of an mlua function that uses [`Caller`].
///
/// # Errors
/// When the state has no memory for it.
pub fn suspending(lua: &mlua::Lua, inner: mlua::Function) -> mlua::Result<mlua::Function> {
    // SAFETY: the function is on the stack and becomes the upvalue.
    unsafe { lua.exec_raw(inner, |l| lua_pushcclosure(l, call, 1)) }
}

unsafe extern "C-unwind" fn call(l: Lua) -> c_int {
    // SAFETY: nothing with a destructor is alive when the inner function raises.
    unsafe {
        lua_pushvalue(l, lua_upvalueindex(1));
        lua_insert(l, 1);
        lua_call(l, lua_gettop(l) - 1, LUA_MULTRET);
        if (*Driver::of(l)).waiting.begun.is_none() {
            return lua_gettop(l);
        }
        host(l, |driver| {
            let begun = driver.waiting.begun.take();
            lua_settop(l, 0);
            match begun {
                Some(begun) => driver.wait_for(l, Box::pin(async { Woken::Finish(begun.await) }), called),
                None => Act::Return(0),
            }
        })
    }
}

unsafe extern "C-unwind" fn called(l: Lua, _: c_int, _: lua_KContext) -> c_int {
    // SAFETY: as in `call`.
    unsafe {
        host(l, |driver| {
            driver.waiting.finish = match driver.take_woken() {
                Some(Woken::Finish(finish)) => Some(finish),
                _ => None,
            };
            lua_settop(l, 0);
            Act::Return(0)
        });
        lua_pushvalue(l, lua_upvalueindex(1));
        lua_call(l, 0, LUA_MULTRET);
        lua_gettop(l)
    }
}

impl Driver {
    /// Suspends the running task until `work` is done; its continuation asks [`Driver::take_woken`].
    pub(super) unsafe fn wait_for(&mut self, l: Lua, work: Work, continuation: Continuation) -> Act {
        let pending = Pending::new(self, work);
        let number = pending.number();
        pending.ask();
        // SAFETY: inside `host`.
        let (act, waiter) = unsafe { self.wait(l, What::Host(pending), continuation) };
        if let Some(waiter) = waiter {
            self.waiting.tasks.insert(number, waiter.task);
        }
        act
    }

    /// The running task, which is about to wait, waits for the end of that process.
    pub(super) fn waits_for_child(&mut self, child: Child) {
        let current = self.current;
        let wait = self.task(current).and_then(|task| task.wait.as_mut());
        if let Some(What::Host(pending)) = wait.map(|wait| &mut wait.what) {
            pending.child = Some(child);
        }
    }

    /// Whether a task waits for a future.
    pub(super) fn has_calls(&self) -> bool {
        !self.waiting.tasks.is_empty()
    }

    /// What the running task was woken with.
    pub(super) fn take_woken(&mut self) -> Option<Woken> {
        let current = self.current;
        self.task(current).and_then(|task| task.woken.take())
    }

    /// Polls the futures that asked for it, in the order of asking. While a task is midway no Future is completed: its code
    /// could see that.
    pub(super) fn poll_calls(&mut self) {
        if !self.has_calls() && self.begun.is_empty() {
            return;
        }
        for number in self.waiting.take_rung() {
            match self.waiting.tasks.get(&number).copied() {
                Some(task) => self.poll_call(task),
                None if self.midway => lock(&self.waiting.rung).push(number),
                None => self.poll_future(number),
            }
        }
    }

    /// Polls the future that a task waits for.
    fn poll_call(&mut self, number: u32) {
        let wait = self.task(number).and_then(|task| task.wait.as_mut());
        let Some(super::WaitState {
            what: What::Host(pending),
            ticket,
            ..
        }) = wait
        else {
            return;
        };
        let Poll::Ready(woken) = pending.poll() else {
            return;
        };
        let waiter = super::Waiter {
            task: number,
            ticket: *ticket,
            case: 0,
        };
        if let Some(task) = self.task(number) {
            task.woken = Some(woken);
        }
        self.complete(waiter);
    }
}
