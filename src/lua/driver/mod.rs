//! The driver of one Lua process: its state, its coroutines, and who of them waits for what.
//!
//! A **task** is a coroutine that the driver resumes: main, and those of `coroutine.spawn`. A task runs until it waits
//! (`park` in `raw`), ends or fails; when it is preempted (`preempt`) other processes run meanwhile, but no other task. A wait belongs to the innermost coroutine that called, at
//! any depth; what completes it pushes the results onto that coroutine's stack and makes the task ready. User code never
//! sees these yields: they carry no value, [`Driver::host_yield`] says that they are ours.
//!
//! A call can be **guarded** (`guard`): it runs in a task of its own, which can be ended from outside, by a deadline or by
//! [`Process::interrupt`], without any say of the code in it. The test runner and the REPL use it.
//!
//! # Calls that take long
//!
//! Lua code is interrupted between any two instructions, a C function is not. Three things keep one long call from hurting
//! anybody: what could go on without end is ours; a worker whose step outlasts 20 ms gets a new thread (`process::scheduler`),
//! so that others are served; and the end of a process that is terminated in such a call is told after 50 ms without
//! waiting for it (`Kernel::abandon`). The worst case of one call:
//!
//! | what | worst case | why |
//! |---|---|---|
//! | `pcall xpcall coroutine.*`, `__close` and other metamethods, iterators, callbacks of `table.sort` and `string.gsub` | interrupted | they run Lua code, or are written in it (`helper`) |
//! | `ipairs`, `table.insert remove move concat unpack` | interrupted, or a few ms | `table`: what is long or runs metamethods is done in Lua |
//! | `string.find match gmatch gsub` | rests each millisecond; 16 steps per byte and two million more at one place of the subject, a set being one step however long it is | `search`, `pattern`: Lua's own only where the worst case is small |
//! | `string.rep` | 1 ms per MiB; none for the empty string, which Lua's own repeats for nothing | memory limit |
//! | `string.upper lower reverse sub pack`, `string.format` beside the `__tostring` that it calls, `..`, comparison, `utf8.*`, `tonumber` and strings used as numbers or keys | 0.2 to 3 ms per MiB | memory limit |
//! | `string.byte char unpack`, `table.pack unpack`, `select`, `utf8.char codepoint` | 30 ms | a stack holds 1 000 000 values |
//! | `next` over cleared slots, growing a table | 20 ms per million slots | memory limit |
//! | `load` | 16 MiB of text at 10 MiB a second; some texts need the square of their length | a terminate is seen every 4 KiB |
//! | `collectgarbage`, the collection before a limit is exceeded | 0.1 s per million objects | memory limit |
//! | `process.send`, `json.*`, `payload.*` and what else walks over data | 0.3 s per million values | memory limit, 64 MiB per mailbox |
//! | closing a state | off the workers when it holds 4 MiB | `Kernel::finish` |
//!
//! What cannot wait, and says `cannot wait here: a C function is on the stack`: `__close` called by `coroutine.close`, and
//! what is called by host functions that show or walk over data without waiting themselves (a log field, `json.encode`), or by
//! the end of a process, while nothing else of it runs. Nor can the handler of `xpcall`, which runs where the error is, with
//! the frames still there: what wants to wait in it does so after `xpcall` has returned.
//!
//! The raw Lua API is used in this room and in `lua::stack` alone. Invariants: nothing of Rust with a destructor lives
//! across a call that raises or yields; data is pushed with the memory limit lifted or inside a protected call; the
//! `Driver` stays at its address while the state lives, because the state's extra space points to it.
//!
//! Rooms: `raw` (words), `memory`, `slab`, `preempt`, `bytecode`; `sandbox` (globals), `protect`, `coroutine`, `text`, `pattern`,
//! `search`, `table`, `helper`, `require`, `print` (libraries that are ours); `guard` (calls that can be ended), `alarm` (their
//! deadlines); `channel`, `mailbox`, `process`, `spawn`, `spawner`, `timer`, `waiting`, `funcs`, `future` (what tasks wait for);
//! `crossing` (values for mlua code); `boot` (from chunks to main), `outcome` (from main's results to an exit), `upgrade` (to
//! another entry), `reuse` (from one call of a function to the next); `tidy` (collections); `explain` (what tasks are doing, for a person who asks).

mod alarm;
mod boot;
mod bytecode;
mod channel;
mod coroutine;
pub mod crossing;
mod explain;
#[cfg(test)]
pub mod faults;
mod funcs;
mod future;
pub mod guard;
mod helper;
mod mailbox;
mod memory;
mod outcome;
mod pattern;
mod preempt;
mod print;
mod process;
mod protect;
pub(in crate::lua) mod raw;
mod require;
mod reuse;
mod sandbox;
mod search;
mod slab;
mod spawn;
mod spawner;
mod table;
mod text;
mod tidy;
mod timer;
mod upgrade;
mod waiting;

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_int;
use std::marker::PhantomPinned;
use std::sync::Arc;

pub use boot::{Boot, Image, Main, Stage};
pub use bytecode::{Bytecode, compile as compile_text};
pub use guard::Mark;
pub use memory::Weight;
pub use print::{showing_all, showing_first};
pub use require::{Visible, forgetting};
pub use sandbox::{Plan, own_globals};
pub use spawn::is_file;
pub use waiting::{Caller, attached, suspending};

use crate::error::Error;
use crate::id::EntryId;
use crate::lua::host::StateContext;
use crate::lua::stack;
use crate::process::acts::Recipient;
use crate::process::{Exit, Host, Process, Progress, Topic, Upgrade, Wait, slice};
use memory::Memory;
use raw::*;
use waiting::{Pending, Woken};

/// Which task waits, in which of its waits, and for which case of a select.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiter {
    task: u32,
    ticket: u64,
    case: u32,
}

/// A coroutine of the driver's.
struct Task {
    thread: Lua,
    /// Keeps the coroutine alive.
    anchor: c_int,
    /// Arguments on its stack for the next resume.
    args: c_int,
    wait: Option<WaitState>,
    /// How its last channel operation ended.
    chosen: channel::Chosen,
    woken: Option<Woken>,
    /// Who waits for its end, when it is the ward of a guarded call.
    caller: Option<Waiter>,
    /// The error that it shows, and does nothing else.
    shows: Option<outcome::Shown>,
    /// The ticket at which it was made.
    born: u64,
}

/// A task's wait.
struct WaitState {
    ticket: u64,
    /// The coroutine that called, the one whose stack takes the results.
    l: Lua,
    what: What,
    timer: Option<timer::Key>,
}

/// What a task waits for.
enum What {
    Sleep,
    /// A send or receive on one of these channels.
    Channels {
        channels: Vec<*mut channel::Channel>,
        select: bool,
    },
    /// `process.receive`.
    Receive,
    Host(Pending),
    /// A file that another coroutine requires, until it is loaded or has failed.
    Load,
    /// The end of another task.
    Guarded {
        ward: u32,
    },
    /// For nothing: it yielded outside of any `resume`.
    Nothing,
}

/// See the module page.
pub struct Driver {
    memory: Memory,
    main_state: Lua,
    context: Arc<StateContext>,
    mlua: Option<&'static mlua::Lua>,
    /// The yield that just happened is ours.
    host_yield: bool,
    /// …and was made by the hook.
    preempted: bool,
    /// The task that goes on next has not waited since it last ran.
    midway: bool,
    /// `guard` was used.
    guarded: bool,
    /// The running task is unwound because its guarded call is over.
    cutting: bool,
    /// A step has begun and not ended; stays so when it panicked.
    in_step: bool,
    tidying: tidy::Tidying,
    /// Bytes that were left when a call's garbage was last collected.
    lives: usize,
    /// Main was found and kept: the state can serve another call.
    booted: bool,
    /// Depth of resumes below which nobody can yield.
    pinned: u32,
    /// Bytes of the context that it was started with.
    inherited: usize,
    /// The only task that still runs: it shows the error by which the process ends.
    last: Option<u32>,
    /// Why it has to end, when the reason was found in here.
    fatal: Option<Exit>,
    /// What the process goes on as.
    next: Option<Upgrade>,
    tasks: Vec<Option<Task>>,
    free: Vec<u32>,
    /// Tasks that go on next, each with the ticket at which it was made: one that was cut leaves its place here.
    ready: VecDeque<(u32, u64)>,
    current: u32,
    tickets: u64,
    timers: timer::Timers,
    alarms: Vec<alarm::Alarm>,
    mail: mailbox::Mail,
    channel_meta: *const std::ffi::c_void,
    case_meta: *const std::ffi::c_void,
    waiting: waiting::Calls,
    /// Calls that were begun and are not done, by the number of their future.
    begun: BTreeMap<u64, future::Begun>,
    boot: Boot,
    /// Memory for the next value that is packed.
    pub(in crate::lua) buffer: Vec<u8>,
    /// More such memory.
    pub(in crate::lua) scratch: stack::Scratch,
    last_topic: Option<Topic>,
    /// The last destination that was a pid, as text and read.
    last_target: Option<(Vec<u8>, Recipient)>,
    /// The last entry and the last host that were named in a spawn.
    last_spawned: Option<EntryId>,
    last_host: Option<(EntryId, Arc<Host>)>,
    /// Files that are being read or whose chunk runs.
    loading: Vec<require::Load>,
    /// While `&mut Driver` is used, calls into Lua come back and change it through the pointer in the extra space. A type
    /// that may not move is not taken for the only way to what it holds.
    _pinned: PhantomPinned,
}

// SAFETY: the state and everything that points into it are owned by the driver alone and used by one thread at a time;
// mlua is built for moving between threads.
unsafe impl Send for Driver {}

/// What became of a task that was resumed.
enum Resumed {
    Waits,
    Preempted,
    Ended(Exit),
    Goes,
}

impl Driver {
    /// Makes the state, with main ready to run.
    ///
    /// # Errors
    /// When there is no memory for a state.
    pub fn new(context: Arc<StateContext>, boot: Boot, max_memory: u64) -> Result<Box<Driver>, Error> {
        preempt::install();
        let mut driver = Box::new(Driver {
            memory: Memory::new(max_memory),
            main_state: std::ptr::null_mut(),
            mlua: None,
            host_yield: false,
            preempted: false,
            midway: false,
            guarded: false,
            cutting: false,
            in_step: false,
            tidying: tidy::Tidying::default(),
            lives: 0,
            booted: false,
            pinned: 0,
            inherited: context.process.context().weight(),
            context,
            last: None,
            fatal: None,
            next: None,
            tasks: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            current: 0,
            tickets: 0,
            timers: timer::Timers::default(),
            alarms: Vec::new(),
            mail: mailbox::Mail::default(),
            channel_meta: std::ptr::null(),
            case_meta: std::ptr::null(),
            waiting: waiting::Calls::default(),
            begun: BTreeMap::new(),
            boot,
            buffer: Vec::new(),
            scratch: stack::Scratch::default(),
            last_topic: None,
            last_target: None,
            last_spawned: None,
            last_host: None,
            loading: Vec::new(),
            _pinned: PhantomPinned,
        });
        driver.memory.lift();
        // SAFETY: the box does not move; the state is closed by the driver's drop.
        let opened = unsafe { driver.open() };
        driver.memory.lower();
        opened.map(|()| driver)
    }

    unsafe fn open(&mut self) -> Result<(), Error> {
        // SAFETY: a fresh state, the memory limit lifted.
        unsafe {
            let l = lua_newstate(memory::allocate, (&raw mut self.memory).cast());
            if l.is_null() {
                return Err(Error::unavailable("no memory for a Lua state"));
            }
            self.main_state = l;
            lua_getextraspace(l).cast::<*mut Driver>().write(self);
            lua_gc(l, LUA_GCSTOP);
            let image = self.boot.image.clone();
            sandbox::open(l, self, &image.plan);
            let thread = lua_newthread(l);
            lua_pushcfunction(thread, boot::run);
            self.add_task(l, thread, 0);
            lua_settop(l, 0);
            lua_gc(l, LUA_GCRESTART);
        }
        Ok(())
    }

    /// The driver of the state that `l` belongs to.
    ///
    /// # Safety
    /// The state was made by [`Driver::new`] and lives.
    pub(in crate::lua) unsafe fn of(l: Lua) -> *mut Driver {
        // SAFETY: new coroutines copy the extra space of the main one; the lowest bit marks held ones.
        unsafe {
            lua_getextraspace(l)
                .cast::<*mut Driver>()
                .read()
                .map_addr(|address| address & !1)
        }
    }

    /// Marks a coroutine as one whose task is suspended inside it.
    unsafe fn hold(co: Lua, held: bool) {
        // SAFETY: as in `of`.
        unsafe {
            let place = lua_getextraspace(co).cast::<*mut Driver>();
            place.write(place.read().map_addr(|address| address & !1 | usize::from(held)));
        }
    }

    unsafe fn is_held(co: Lua) -> bool {
        // SAFETY: as in `of`.
        unsafe { lua_getextraspace(co).cast::<*mut Driver>().read().addr() & 1 == 1 }
    }

    fn process(&self) -> &Arc<Process> {
        &self.context.process
    }

    /// Counts what an object of the state holds outside of it.
    pub(in crate::lua) fn weigh(&mut self, bytes: usize) -> Weight {
        let weight = self.memory.weigh(bytes);
        if self.memory.is_over() {
            // SAFETY: a host function runs, which a collection may interrupt.
            unsafe { squeeze(self.main_state, self) };
        }
        weight
    }

    /// Bytes that the state holds.
    pub fn used_memory(&self) -> u64 {
        self.memory.used() as u64
    }

    /// Whether nothing of the state may run any more.
    fn is_over(&self) -> bool {
        self.memory.is_exceeded() || self.fatal.is_some() || self.next.is_some() || self.process().is_doomed()
    }

    /// Whether no code of the running task may run any more.
    fn is_doomed(&self) -> bool {
        self.is_over() || self.cutting
    }

    /// Whether `l` can be suspended now.
    unsafe fn can_yield(&self, l: Lua) -> bool {
        // SAFETY: a read.
        self.pinned == 0 && unsafe { lua_isyieldable(l) } != 0
    }

    fn panicked(&mut self, panic: Box<dyn Any + Send>) {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a bug");
        let error = Error::internal(format!("host function panicked: {text}")).with_retryable(None);
        self.fatal.get_or_insert(Exit::failed(error));
    }

    /// Runs host code with the memory limit lifted, outside of a C function's tail.
    fn lifted<T>(&mut self, code: impl FnOnce(&mut Driver) -> T) -> Option<T> {
        self.memory.lift();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| code(self)));
        self.memory.lower();
        result.map_err(|panic| self.panicked(panic)).ok()
    }

    pub(in crate::lua) fn has_mlua(&self) -> bool {
        self.mlua.is_some()
    }

    /// The same state as mlua sees it; made when the first module needs it.
    pub(in crate::lua) fn mlua(&mut self) -> &'static mlua::Lua {
        if let Some(lua) = self.mlua {
            return lua;
        }
        self.memory.lift();
        // SAFETY: the state lives as long as the driver, which drops this reference before it closes the state. mlua's
        // set-up is made of protected calls.
        let lua: &'static mlua::Lua = unsafe { mlua::Lua::get_or_init_from_ptr(self.main_state) };
        lua.set_app_data(waiting::Attached(self));
        lua.set_app_data(self.context.clone());
        self.memory.lower();
        self.mlua = Some(lua);
        lua
    }

    /// Makes the coroutine a task, ready to run with the arguments on its stack. It is on top of `l`'s stack too.
    unsafe fn add_task(&mut self, l: Lua, thread: Lua, args: c_int) -> u32 {
        self.tickets += 1;
        // SAFETY: the limit is lifted; the coroutine is kept in the registry.
        let anchor = unsafe {
            // Only the driver resumes it, whoever gets hold of it.
            Driver::hold(thread, true);
            lua_pushthread(thread);
            lua_xmove(thread, l, 1);
            luaL_ref(l, LUA_REGISTRYINDEX)
        };
        let task = Task {
            thread,
            anchor,
            args,
            wait: None,
            chosen: channel::Chosen {
                case: 0,
                sent: false,
                open: true,
            },
            woken: None,
            caller: None,
            shows: None,
            born: self.tickets,
        };
        let number = match self.free.pop() {
            Some(number) => {
                self.tasks[number as usize] = Some(task);
                number
            }
            None => {
                self.tasks.push(Some(task));
                self.tasks.len() as u32 - 1
            }
        };
        self.ready.push_back((number, self.tickets));
        number
    }

    fn task(&mut self, number: u32) -> Option<&mut Task> {
        self.tasks.get_mut(number as usize)?.as_mut()
    }

    /// The running task waits from now on; `l` is the coroutine that called. None where nothing can be suspended.
    unsafe fn begin_wait(&mut self, l: Lua, what: What) -> Option<Waiter> {
        // SAFETY: `l` runs.
        if self.last.is_some() || !unsafe { self.can_yield(l) } {
            return None;
        }
        self.tickets += 1;
        let (task, ticket) = (self.current, self.tickets);
        let timer = None;
        self.task(task)?.wait = Some(WaitState { ticket, l, what, timer });
        Some(Waiter { task, ticket, case: 0 })
    }

    /// Suspends the running task in that wait, or raises where nothing can be suspended.
    unsafe fn wait(&mut self, l: Lua, what: What, continuation: Continuation) -> (Act, Option<Waiter>) {
        // SAFETY: inside `host`.
        unsafe {
            match self.begin_wait(l, what) {
                Some(waiter) => (Act::Park(continuation), Some(waiter)),
                None if protect::in_handler(l) => (mistake(l, protect::HANDLER_WAITS), None),
                None if self.last.is_some() => (mistake(l, "cannot wait here: the process is ending"), None),
                None => (mistake(l, "cannot wait here: a C function is on the stack"), None),
            }
        }
    }

    fn wait_of(&mut self, waiter: Waiter) -> Option<&mut WaitState> {
        let wait = self.task(waiter.task)?.wait.as_mut()?;
        (wait.ticket == waiter.ticket).then_some(wait)
    }

    /// The coroutine that takes the results, if that wait is still on.
    fn waiting_on(&mut self, waiter: Waiter) -> Option<Lua> {
        self.wait_of(waiter).map(|wait| wait.l)
    }

    /// That wait is over: its other registrations are withdrawn, the task is ready.
    fn complete(&mut self, waiter: Waiter) {
        if self.wait_of(waiter).is_none() {
            return;
        }
        let Some(task) = self.task(waiter.task) else { return };
        let (wait, born) = (task.wait.take(), task.born);
        if let Some(ward) = wait.and_then(|wait| self.withdraw(waiter, wait)) {
            self.cut(ward);
        }
        self.ready.push_back((waiter.task, born));
    }

    /// Nobody waits there any more. The task of a guarded call, which is to be cut then.
    #[must_use = "the ward goes on"]
    fn withdraw(&mut self, waiter: Waiter, wait: WaitState) -> Option<u32> {
        if let Some(key) = wait.timer {
            self.timers.cancel(key);
        }
        match wait.what {
            What::Channels { channels, .. } => {
                for channel in channels {
                    // SAFETY: a channel that somebody waits on is kept alive by the stack of the coroutine that waits.
                    unsafe { (*channel).forget(waiter) };
                }
            }
            What::Receive => self.mail.forget(waiter),
            What::Guarded { ward } => return Some(ward),
            What::Host(pending) => {
                self.waiting.forget(&pending);
                pending.give_up();
            }
            What::Sleep | What::Load | What::Nothing => {}
        }
        None
    }

    /// One step of the process.
    pub fn step(&mut self) -> Progress {
        self.in_step = true;
        let progress = self.advance();
        self.in_step = false;
        match self.next.take() {
            Some(next) if !self.memory.is_exceeded() => Progress::Upgraded(next),
            _ => progress,
        }
    }

    fn advance(&mut self) -> Progress {
        let failed = self.lifted(Driver::collect).is_none();
        if self.memory.is_over() {
            // SAFETY: nothing of the state runs.
            unsafe { squeeze(self.main_state, self) };
        }
        if failed || self.is_doomed() {
            return Progress::Ended(self.reason());
        }
        self.tidy();
        slice::signalled(|| self.run())
    }

    /// Completes what has come meanwhile.
    fn collect(&mut self) {
        self.heed_interrupt();
        self.ring_alarms();
        self.fire_timers();
        self.poll_calls();
        // SAFETY: nothing of the state runs; the limit is lifted.
        unsafe { self.begin_mail() };
    }

    fn run(&mut self) -> Progress {
        self.midway = false;
        loop {
            while let Some((number, born)) = self.ready.pop_front() {
                let is_gone = self.task(number).is_none_or(|task| task.born != born);
                if is_gone || self.last.is_some_and(|last| last != number) {
                    continue;
                }
                match self.resume(number) {
                    Resumed::Goes | Resumed::Waits => {}
                    Resumed::Preempted => {
                        self.put_back(number);
                        return Progress::Preempted;
                    }
                    Resumed::Ended(exit) => return Progress::Ended(exit),
                }
            }
            // Futures that were begun in this step are polled for the first time.
            if self.lifted(Driver::poll_calls).is_none() {
                return Progress::Ended(self.reason());
            }
            if self.ready.is_empty()
                && let Some(progress) = self.rest()
            {
                return progress;
            }
        }
    }

    /// A task whose slice ended goes on before any other: to its program nothing has happened.
    fn put_back(&mut self, number: u32) {
        let Some(born) = self.task(number).map(|task| task.born) else {
            return;
        };
        if self.yields_to_others(number) {
            self.ready.push_back((number, born));
        } else {
            self.ready.push_front((number, born));
            self.midway = true;
        }
    }

    fn resume(&mut self, number: u32) -> Resumed {
        let Some(task) = self.task(number) else {
            return Resumed::Goes;
        };
        let (thread, args) = (task.thread, std::mem::take(&mut task.args));
        self.current = number;
        self.host_yield = false;
        self.preempted = false;
        let mut results = 0;
        // SAFETY: the task is new or suspended and has `args` arguments on its stack; it is anchored in the registry.
        let status = unsafe {
            preempt::swap_current(thread);
            let status = lua_resume(thread, std::ptr::null_mut(), args, &mut results);
            preempt::swap_current(std::ptr::null_mut());
            if status != LUA_YIELD {
                // It is dead, and can be shown so.
                Driver::hold(thread, false);
            }
            status
        };
        if status == LUA_ERRMEM {
            self.memory.exceed();
        }
        if self.is_over() {
            return Resumed::Ended(self.reason());
        }
        // SAFETY: the coroutine's stack holds what `status` says.
        unsafe { self.settle_task(number, thread, status, results) }
    }

    unsafe fn settle_task(&mut self, number: u32, thread: Lua, status: c_int, results: c_int) -> Resumed {
        let is_over = status != LUA_YIELD || !self.host_yield;
        // SAFETY: as the caller says.
        unsafe {
            if is_over
                && !self.cutting
                && let Some(shown) = self.task(number).and_then(|task| task.shows.take())
            {
                return self.shown(number, thread, status, shown);
            }
            match status {
                _ if self.cutting => self.was_cut(number, thread),
                LUA_YIELD if self.preempted => Resumed::Preempted,
                LUA_YIELD if self.host_yield => Resumed::Waits,
                LUA_YIELD => {
                    self.stuck(number, thread, results);
                    Resumed::Waits
                }
                LUA_OK if number == 0 => Resumed::Ended(self.returned(thread, results)),
                LUA_OK => {
                    let goes = self.ward_returned(number, thread, results);
                    // A coroutine with values on its stack would pass for one that has not begun.
                    lua_settop(thread, 0);
                    self.cut(number);
                    goes.unwrap_or(Resumed::Goes)
                }
                _ if lua_checkstack(thread, outcome::ROOM) == 0 => {
                    self.memory.exceed();
                    Resumed::Ended(self.reason())
                }
                _ => match self.ward_failed(number, thread, status) {
                    Some(resumed) => resumed,
                    None if self.is_over() => Resumed::Ended(self.reason()),
                    None => self.failed(thread),
                },
            }
        }
    }

    /// A user's yield outside of any `resume`: nobody will ever go on with it.
    unsafe fn stuck(&mut self, number: u32, thread: Lua, results: c_int) {
        // SAFETY: drops the yielded values.
        unsafe { lua_pop(thread, results) };
        self.tickets += 1;
        let ticket = self.tickets;
        if let Some(task) = self.task(number) {
            task.wait = Some(WaitState {
                ticket,
                l: thread,
                what: What::Nothing,
                timer: None,
            });
        }
    }

    /// A coroutine that was cut before its end stays held: who still has it must not run what a task has left.
    unsafe fn remove_task(&mut self, number: u32) {
        if let Some(task) = self.tasks[number as usize].take() {
            // SAFETY: the anchor is the task's own.
            unsafe {
                luaL_unref(self.main_state, LUA_REGISTRYINDEX, task.anchor);
            }
            self.free.push(number);
            self.end_loads_of(number);
        }
    }

    /// Nothing is ready: says what it waits for, or that it waits for nothing that could come. None when a guarded call
    /// failed by that and its caller is ready now.
    fn rest(&mut self) -> Option<Progress> {
        self.process().wake_at(self.timers.next());
        let receives = self.others_receive();
        let calls = self.has_calls();
        if !receives && !calls && !self.tasks.iter().flatten().any(is_reachable) {
            let failure = self.deadlock();
            return match self.fail_blocked(&failure) {
                true => None,
                false => Some(Progress::Ended(Exit::failed(failure))),
            };
        }
        self.process().set_hears_cancel(self.mail.wants_events() || receives);
        Some(Progress::Waiting(
            match calls || !self.begun.is_empty() || !self.timers.is_empty() || !self.alarms.is_empty() {
                true => Wait::Other,
                false => Wait::Mailbox,
            },
        ))
    }
}

/// Whether something outside of the state can complete its wait.
fn is_reachable(task: &Task) -> bool {
    let Some(wait) = &task.wait else {
        return true;
    };
    match &wait.what {
        What::Sleep | What::Receive | What::Host(_) => true,
        What::Nothing | What::Load | What::Guarded { .. } => false,
        // SAFETY: a channel that somebody waits on is alive.
        What::Channels { channels, .. } => channels.iter().any(|channel| unsafe { (**channel).has_source() }),
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Futures and finishers may hold mlua values: they go before the state does.
        for task in self.tasks.iter_mut().flatten() {
            task.woken = None;
            task.wait = None;
        }
        self.waiting = waiting::Calls::default();
        self.begun.clear();
        self.mlua = None;
        if !self.main_state.is_null() {
            self.memory.lift();
            self.memory.close();
            // SAFETY: nothing of the state runs; no finalizer is the user's.
            unsafe { lua_close(self.main_state) };
        }
    }
}

/// Pushes a message with the place of the caller, to be raised.
///
/// # Safety
/// Inside [`host`].
unsafe fn mistake(l: Lua, message: &str) -> Act {
    // SAFETY: concatenating two strings runs no Lua code.
    unsafe {
        luaL_where(l, 1);
        push_bytes(l, message.as_bytes());
        lua_concat(l, 2);
    }
    Act::Raise
}
