//! Channels: FIFO queues between the coroutines of one state, and the windows through which timers and the mailbox are read.
//!
//! A channel is a userdata with a [`Channel`] inside and its buffer in a table beside it. The value of a parked sender
//! stays on that coroutine's own stack; whoever receives takes it from there, and pushes what a parked receiver gets onto
//! that one's stack. A channel with a [`Source`] hands out queued items of the mailbox and holds nothing itself.
//!
//! Invariant: a registered [`Waiter`] belongs to a wait that is on; the wait withdraws it before it is over. A channel that
//! somebody waits on is on that coroutine's stack, so it is never collected meanwhile.

use std::collections::VecDeque;
use std::ffi::{CStr, c_int, c_void};

use super::coroutine::type_error;
use super::mailbox::{Source, topic_at};
use super::raw::*;
use super::sandbox::{add_functions, push_library};
use super::{Driver, Waiter, What, mistake};
use crate::error::Error;
use crate::process::Topic;

/// The two globals that bind a channel to a topic.
pub const FUNCTIONS: [(&CStr, lua_CFunction); 2] = [(c"subscribe", subscribe), (c"unsubscribe", unsubscribe)];

const CLOSED: &str = "send on closed channel";

/// What is inside a channel's userdata.
#[derive(Default)]
pub struct Channel {
    capacity: usize,
    closed: bool,
    /// Buffered values have the keys `first ..= first + len - 1` in the buffer table.
    first: i64,
    len: usize,
    receivers: VecDeque<Waiter>,
    senders: VecDeque<Waiter>,
    pub(super) source: Option<Source>,
    /// The armed timer that will send into it.
    pub(super) timer: Option<super::timer::Key>,
    /// A pending call will send into it.
    pub(super) awaited: bool,
}

impl Channel {
    /// Takes a withdrawn wait out of the queues.
    pub(super) fn forget(&mut self, waiter: Waiter) {
        forget(&mut self.receivers, waiter);
        forget(&mut self.senders, waiter);
    }

    /// Whether something outside of the state can fill it.
    pub(super) fn has_source(&self) -> bool {
        self.timer.is_some() || self.source.is_some() || self.awaited
    }

    /// A timer that is armed again gives its channel a new life.
    pub(super) fn reopen(&mut self) {
        self.closed = false;
    }

    /// The receiver that waits longest.
    pub(super) fn next_receiver(&mut self) -> Option<Waiter> {
        self.receivers.pop_front()
    }

    pub(super) fn has_receiver(&self) -> bool {
        !self.receivers.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        !self.closed && self.len < self.capacity
    }
}

/// Takes a withdrawn wait out of a queue, in which tickets ascend: one queue may have as many waiters as there is memory
/// for, and all of them may leave it at once.
pub fn forget(queue: &mut VecDeque<Waiter>, waiter: Waiter) {
    let first = queue.partition_point(|queued| queued.ticket < waiter.ticket);
    let after = queue.partition_point(|queued| queued.ticket <= waiter.ticket);
    queue.drain(first..after);
}

static CHANNEL: u8 = 0;
static CASE: u8 = 1;

/// Pushes the `channel` table.
///
/// # Safety
/// With the memory limit lifted.
pub unsafe fn open(l: Lua) {
    // SAFETY: as stated.
    unsafe { push_library(l, &[(c"new", new), (c"select", select)], 0) };
}

/// Pushes a new channel.
///
/// # Safety
/// Inside [`host`].
pub unsafe fn push_new(l: Lua, driver: &mut Driver, capacity: usize) -> *mut Channel {
    // SAFETY: the userdata is as large as a Channel and aligned for it; its metatable drops it.
    unsafe {
        let place = lua_newuserdatauv(l, size_of::<Channel>(), 1).cast::<Channel>();
        place.write(Channel {
            capacity,
            first: 1,
            ..Channel::default()
        });
        driver.push_channel_meta(l);
        lua_setmetatable(l, -2);
        place
    }
}

impl Driver {
    unsafe fn push_channel_meta(&mut self, l: Lua) {
        const METHODS: [(&CStr, lua_CFunction); 5] = [
            (c"send", send),
            (c"receive", receive),
            (c"close", close),
            (c"case_send", case_send),
            (c"case_receive", case_receive),
        ];
        // SAFETY: inside `host`.
        unsafe {
            if lua_rawgetp(l, LUA_REGISTRYINDEX, key(&CHANNEL)) == LUA_TNIL {
                lua_pop(l, 1);
                self.channel_meta = make_meta(l, c"channel", &CHANNEL, Some(collect));
                push_library(l, &METHODS, 0);
                lua_setfield(l, -2, c"__index".as_ptr());
            }
        }
    }

    unsafe fn push_case_meta(&mut self, l: Lua) {
        // SAFETY: inside `host`.
        unsafe {
            if lua_rawgetp(l, LUA_REGISTRYINDEX, key(&CASE)) == LUA_TNIL {
                lua_pop(l, 1);
                self.case_meta = make_meta(l, c"channel.case", &CASE, None);
            }
        }
    }
}

/// Pushes a new metatable that user code cannot get hold of.
///
/// # Safety
/// With the memory limit lifted.
pub unsafe fn make_meta(l: Lua, name: &CStr, place: &'static u8, gc: Option<lua_CFunction>) -> *const c_void {
    // SAFETY: as stated.
    unsafe {
        lua_createtable(l, 0, 4);
        lua_pushboolean(l, 0);
        lua_setfield(l, -2, c"__metatable".as_ptr());
        lua_pushstring(l, name.as_ptr());
        lua_setfield(l, -2, c"__name".as_ptr());
        if let Some(gc) = gc {
            add_functions(l, &[(c"__gc", gc)]);
        }
        lua_pushvalue(l, -1);
        lua_rawsetp(l, LUA_REGISTRYINDEX, key(place));
        lua_topointer(l, -1)
    }
}

unsafe extern "C-unwind" fn collect(l: Lua) -> c_int {
    // SAFETY: called once for a channel, by the collector alone: the metatable cannot be reached.
    unsafe { lua_touserdata(l, 1).cast::<Channel>().drop_in_place() };
    0
}

/// The userdata at `index` if its metatable is that one.
///
/// # Safety
/// `index` is acceptable.
pub unsafe fn of_type(l: Lua, index: c_int, meta: *const c_void) -> *mut c_void {
    // SAFETY: reads; one value is pushed and popped.
    unsafe {
        if meta.is_null() || lua_type(l, index) != LUA_TUSERDATA || lua_getmetatable(l, index) == 0 {
            return std::ptr::null_mut();
        }
        let same = lua_topointer(l, -1) == meta;
        lua_pop(l, 1);
        if same {
            lua_touserdata(l, index)
        } else {
            std::ptr::null_mut()
        }
    }
}

/// The channel at `index`, or null.
///
/// # Safety
/// `index` is acceptable.
pub unsafe fn at(l: Lua, driver: *const Driver, index: c_int) -> *mut Channel {
    // SAFETY: the metatable says that it is a channel.
    unsafe { of_type(l, index, (*driver).channel_meta).cast() }
}

/// The channel at `index`, or a raised type error.
unsafe fn check(l: Lua, index: c_int) -> *mut Channel {
    // SAFETY: nothing with a destructor is alive.
    unsafe {
        let channel = at(l, Driver::of(l), index);
        if channel.is_null() {
            type_error(l, index, c"channel");
        }
        channel
    }
}

unsafe extern "C-unwind" fn new(l: Lua) -> c_int {
    // SAFETY: the check raises with nothing alive.
    unsafe {
        let capacity = if lua_type(l, 1) <= LUA_TNIL {
            0.0
        } else {
            luaL_checknumber(l, 1)
        };
        host(l, |driver| {
            push_new(l, driver, capacity.max(0.0) as usize);
            Act::Return(1)
        })
    }
}

unsafe extern "C-unwind" fn send(l: Lua) -> c_int {
    // SAFETY: the value stays at index 2, where a receiver looks for it.
    unsafe {
        let channel = check(l, 1);
        lua_settop(l, 2);
        host(l, |driver| match driver.try_send(l, channel, 1, 2) {
            Tried::Done => {
                lua_pushboolean(l, 1);
                Act::Return(1)
            }
            Tried::Closed => mistake(l, CLOSED),
            Tried::NotReady => {
                let what = What::Channels {
                    channels: vec![channel],
                    select: false,
                };
                let (act, waiter) = driver.wait(l, what, sent);
                (*channel).senders.extend(waiter);
                act
            }
        })
    }
}

/// A parked send is over: taken, or the channel was closed.
unsafe extern "C-unwind" fn sent(l: Lua, _: c_int, _: lua_KContext) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe {
        host(l, |driver| match driver.take_chosen() {
            Chosen { open: true, .. } => {
                lua_pushboolean(l, 1);
                Act::Return(1)
            }
            Chosen { open: false, .. } => nil_error(l, driver, Error::invalid(CLOSED)),
        })
    }
}

unsafe extern "C-unwind" fn receive(l: Lua) -> c_int {
    // SAFETY: the channel stays at index 1.
    unsafe {
        let channel = check(l, 1);
        lua_settop(l, 1);
        host(l, |driver| match driver.try_receive(l, channel, 1) {
            Tried::Done => {
                lua_pushboolean(l, 1);
                Act::Return(2)
            }
            Tried::Closed => {
                lua_pushnil(l);
                lua_pushboolean(l, 0);
                Act::Return(2)
            }
            Tried::NotReady => {
                let what = What::Channels {
                    channels: vec![channel],
                    select: false,
                };
                let (act, waiter) = driver.wait(l, what, received);
                (*channel).receivers.extend(waiter);
                act
            }
        })
    }
}

/// A parked receive is over; its value is on top.
unsafe extern "C-unwind" fn received(l: Lua, _: c_int, _: lua_KContext) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe {
        host(l, |driver| {
            let open = driver.take_chosen().open;
            lua_pushboolean(l, c_int::from(open));
            Act::Return(2)
        })
    }
}

unsafe extern "C-unwind" fn close(l: Lua) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe {
        let channel = check(l, 1);
        host(l, |driver| {
            driver.close_channel(channel);
            // A window that is closed gives nothing any more: what it would have shown is everybody's.
            driver.unbind(l, channel, |_| true);
            Act::Return(0)
        })
    }
}

/// A case of a select: what is inside its userdata. Its channel and value are beside it.
#[derive(Clone, Copy)]
struct Case {
    sends: bool,
}

unsafe extern "C-unwind" fn case_send(l: Lua) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe { make_case(l, true) }
}

unsafe extern "C-unwind" fn case_receive(l: Lua) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe { make_case(l, false) }
}

unsafe fn make_case(l: Lua, sends: bool) -> c_int {
    // SAFETY: the userdata is as large as a Case, which is plain data.
    unsafe {
        check(l, 1);
        lua_settop(l, 2);
        host(l, |driver| {
            let place = lua_newuserdatauv(l, size_of::<Case>(), 2);
            place.cast::<Case>().write(Case { sends });
            for index in [1, 2] {
                lua_pushvalue(l, index);
                lua_setiuservalue(l, 3, index);
            }
            driver.push_case_meta(l);
            lua_setmetatable(l, 3);
            Act::Return(1)
        })
    }
}

/// One usable case of a select.
#[derive(Clone, Copy)]
struct Open {
    channel: *mut Channel,
    sends: bool,
}

/// The longest table of cases. A table with holes may say that it is longer than any memory, and reading it cannot be
/// interrupted.
const MOST_CASES: usize = 1 << 20;

/// Where `select` keeps its channels and values: case n at 2n - 1 and 2n.
const CASES: c_int = 3;

unsafe extern "C-unwind" fn select(l: Lua) -> c_int {
    // SAFETY: the check raises with nothing alive.
    unsafe {
        luaL_checktype(l, 1, LUA_TTABLE);
        lua_settop(l, 2);
        host(l, |driver| {
            let default = lua_toboolean(l, 2) != 0 || has_default(l);
            let count = lua_rawlen(l, 1);
            if count > MOST_CASES {
                return mistake(l, &format!("too many cases for select: {MOST_CASES} at most"));
            }
            let cases = gather(l, driver, count as i64);
            for (index, case) in cases.iter().enumerate() {
                if let Some(act) = driver.try_case(l, *case, index as i64) {
                    return act;
                }
            }
            match default {
                true => push_default(l),
                false => driver.park_cases(l, &cases),
            }
        })
    }
}

unsafe fn has_default(l: Lua) -> bool {
    // SAFETY: inside `host`; a raw read.
    unsafe {
        lua_pushstring(l, c"default".as_ptr());
        lua_rawget(l, 1);
        let set = lua_toboolean(l, -1) != 0;
        lua_pop(l, 1);
        set
    }
}

unsafe fn push_default(l: Lua) -> Act {
    // SAFETY: inside `host`.
    unsafe {
        lua_createtable(l, 0, 2);
        for field in [c"default", c"ok"] {
            lua_pushboolean(l, 1);
            lua_setfield(l, -2, field.as_ptr());
        }
    }
    Act::Return(1)
}

/// Reads the case objects of the table at 1, of that length, keeping channels and values in a table at [`CASES`].
unsafe fn gather(l: Lua, driver: &Driver, count: i64) -> Vec<Open> {
    let mut cases = Vec::new();
    // SAFETY: inside `host`; raw reads and writes of tables, five values on the stack at most.
    unsafe {
        lua_createtable(l, (2 * count).min(1 << 16) as c_int, 0);
        for index in 1..=count {
            lua_rawgeti(l, 1, index);
            let case = of_type(l, -1, driver.case_meta).cast::<Case>();
            if !case.is_null() {
                let key = 2 * cases.len() as i64;
                lua_getiuservalue(l, -1, 1);
                let channel = lua_touserdata(l, -1).cast();
                lua_rawseti(l, CASES, key + 1);
                lua_getiuservalue(l, -1, 2);
                lua_rawseti(l, CASES, key + 2);
                cases.push(Open {
                    channel,
                    sends: (*case).sends,
                });
            }
            lua_pop(l, 1);
        }
    }
    cases
}

/// A select's wait is over; a received value is on top.
unsafe extern "C-unwind" fn selected(l: Lua, _: c_int, _: lua_KContext) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe {
        host(l, |driver| match driver.take_chosen() {
            Chosen {
                sent: true,
                open: false,
                ..
            } => mistake(l, CLOSED),
            Chosen { sent: true, case, .. } => {
                lua_rawgeti(l, CASES, 2 * i64::from(case) + 2);
                push_selected(l, case.into(), true)
            }
            Chosen { case, open, .. } => push_selected(l, case.into(), open),
        })
    }
}

/// Pushes `{channel=, value=, ok=}`; the value is on top.
unsafe fn push_selected(l: Lua, case: i64, ok: bool) -> Act {
    // SAFETY: inside `host`.
    unsafe {
        lua_createtable(l, 0, 3);
        lua_insert(l, -2);
        lua_setfield(l, -2, c"value".as_ptr());
        lua_rawgeti(l, CASES, 2 * case + 1);
        lua_setfield(l, -2, c"channel".as_ptr());
        lua_pushboolean(l, c_int::from(ok));
        lua_setfield(l, -2, c"ok".as_ptr());
    }
    Act::Return(1)
}

/// How a parked channel operation ended: which case of a select, whether it sent, whether the channel was open.
#[derive(Clone, Copy, Debug)]
pub struct Chosen {
    pub case: u32,
    pub sent: bool,
    pub open: bool,
}

/// How a try without waiting went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// Done; a received value is on top.
    Done,
    Closed,
    NotReady,
}

impl Driver {
    /// How the running task's channel operation ended.
    fn take_chosen(&mut self) -> Chosen {
        let current = self.current;
        let chosen = self.task(current).map(|task| task.chosen);
        chosen.unwrap_or(Chosen {
            case: 0,
            sent: false,
            open: false,
        })
    }

    /// Completes a wait on a channel.
    pub(super) fn choose(&mut self, waiter: Waiter, sent: bool, open: bool) {
        if let Some(task) = self.task(waiter.task) {
            task.chosen = Chosen {
                case: waiter.case,
                sent,
                open,
            };
        }
        self.complete(waiter);
    }

    /// Hands the value on top of `l` to a receiver that waits.
    pub(super) unsafe fn hand_to(&mut self, l: Lua, receiver: Waiter) {
        // SAFETY: a coroutine that waits in one of our functions has room for a value.
        unsafe {
            match self.waiting_on(receiver) {
                Some(other) => lua_xmove(l, other, 1),
                None => lua_pop(l, 1),
            }
        }
        self.choose(receiver, false, true);
    }

    /// Sends the value at `value` without waiting. The channel is at `index`.
    pub(super) unsafe fn try_send(&mut self, l: Lua, channel: *mut Channel, index: c_int, value: c_int) -> Tried {
        // SAFETY: inside `host`; the channel is on the stack.
        unsafe {
            if (*channel).closed {
                return Tried::Closed;
            }
            if let Some(receiver) = (*channel).next_receiver() {
                lua_pushvalue(l, value);
                self.hand_to(l, receiver);
                return Tried::Done;
            }
            if !(*channel).has_room() {
                return Tried::NotReady;
            }
            lua_pushvalue(l, value);
            buffer(l, channel, index);
            Tried::Done
        }
    }

    /// Receives without waiting; the value is on top then. The channel is at `index`.
    unsafe fn try_receive(&mut self, l: Lua, channel: *mut Channel, index: c_int) -> Tried {
        // SAFETY: inside `host`; the channel is on the stack.
        unsafe {
            if (*channel).len > 0 {
                unbuffer(l, channel, index);
                if let Some(sender) = (*channel).senders.pop_front() {
                    self.take_from(l, sender);
                    buffer(l, channel, index);
                }
                return Tried::Done;
            }
            if let Some(sender) = (*channel).senders.pop_front() {
                self.take_from(l, sender);
                return Tried::Done;
            }
            if (*channel).closed {
                return Tried::Closed;
            }
            if (*channel).source.is_some() && self.take_mail(l, channel) {
                return Tried::Done;
            }
            Tried::NotReady
        }
    }

    /// Pushes the value of a sender that waits, which then goes on.
    unsafe fn take_from(&mut self, l: Lua, sender: Waiter) {
        // SAFETY: the sender's value is at index 2 of its stack, or in its table of cases.
        unsafe {
            match self.wait_of(sender).map(|wait| (wait.l, &wait.what)) {
                Some((other, What::Channels { select: true, .. })) => {
                    lua_rawgeti(other, CASES, 2 * i64::from(sender.case) + 2);
                    lua_xmove(other, l, 1);
                }
                Some((other, _)) => {
                    lua_pushvalue(other, 2);
                    lua_xmove(other, l, 1);
                }
                None => lua_pushnil(l),
            }
        }
        self.choose(sender, true, true);
    }

    /// Runs a case if it is ready.
    unsafe fn try_case(&mut self, l: Lua, case: Open, index: i64) -> Option<Act> {
        // SAFETY: inside `host`; the case's channel and value are in the table at CASES.
        unsafe {
            lua_rawgeti(l, CASES, 2 * index + 1);
            let place = lua_gettop(l);
            let tried = if case.sends {
                lua_rawgeti(l, CASES, 2 * index + 2);
                self.try_send(l, case.channel, place, place + 1)
            } else {
                self.try_receive(l, case.channel, place)
            };
            let act = match (tried, case.sends) {
                (Tried::NotReady, _) => None,
                (Tried::Closed, true) => Some(mistake(l, CLOSED)),
                (Tried::Closed, false) => {
                    lua_pushnil(l);
                    Some(push_selected(l, index, false))
                }
                (Tried::Done, _) => Some(push_selected(l, index, true)),
            };
            if act.is_none() {
                lua_settop(l, place - 1);
            }
            act
        }
    }

    /// Parks on all cases.
    unsafe fn park_cases(&mut self, l: Lua, cases: &[Open]) -> Act {
        let channels = cases.iter().map(|case| case.channel).collect();
        // SAFETY: inside `host`; the channels are in the table at CASES while the wait is on.
        unsafe {
            let (act, waiter) = self.wait(l, What::Channels { channels, select: true }, selected);
            let Some(waiter) = waiter else { return act };
            for (index, case) in cases.iter().enumerate() {
                let waiter = Waiter {
                    case: index as u32,
                    ..waiter
                };
                let queue = match case.sends {
                    true => &mut (*case.channel).senders,
                    false => &mut (*case.channel).receivers,
                };
                queue.push_back(waiter);
            }
            act
        }
    }

    /// Closes it; everybody who waits on it goes on.
    pub(super) unsafe fn close_channel(&mut self, channel: *mut Channel) {
        // SAFETY: inside `host` or `lifted`; the channel is alive.
        unsafe {
            if std::mem::replace(&mut (*channel).closed, true) {
                return;
            }
            while let Some(receiver) = (*channel).receivers.pop_front() {
                if let Some(other) = self.waiting_on(receiver) {
                    lua_pushnil(other);
                }
                self.choose(receiver, false, false);
            }
            while let Some(sender) = (*channel).senders.pop_front() {
                self.choose(sender, true, false);
            }
        }
    }
}

/// Moves the value on top into the buffer of the channel at `index`.
///
/// # Safety
/// Inside [`host`]; the channel has room.
pub unsafe fn buffer(l: Lua, channel: *mut Channel, index: c_int) {
    // SAFETY: as stated; the buffer table is made with the first value.
    unsafe {
        if lua_getiuservalue(l, index, 1) != LUA_TTABLE {
            lua_pop(l, 1);
            lua_createtable(l, 0, 0);
            lua_pushvalue(l, -1);
            lua_setiuservalue(l, index, 1);
        }
        lua_insert(l, -2);
        lua_rawseti(l, -2, (*channel).first + (*channel).len as i64);
        lua_pop(l, 1);
        (*channel).len += 1;
    }
}

/// Pushes the oldest buffered value.
unsafe fn unbuffer(l: Lua, channel: *mut Channel, index: c_int) {
    // SAFETY: inside `host`; the buffer is not empty, so its table exists.
    unsafe {
        lua_getiuservalue(l, index, 1);
        lua_rawgeti(l, -1, (*channel).first);
        lua_pushnil(l);
        lua_rawseti(l, -3, (*channel).first);
        lua_remove(l, -2);
        (*channel).first += 1;
        (*channel).len -= 1;
        if (*channel).len == 0 {
            (*channel).first = 1;
        }
    }
}

unsafe extern "C-unwind" fn subscribe(l: Lua) -> c_int {
    // SAFETY: checks raise with nothing alive.
    unsafe {
        luaL_checktype(l, 1, LUA_TSTRING);
        let channel = check(l, 2);
        host(l, |driver| {
            let topic = topic_at(l, 1).map(Topic::from);
            match topic.and_then(|topic| driver.bind(l, channel, 2, topic)) {
                Ok(()) => {
                    lua_pushboolean(l, 1);
                    Act::Return(1)
                }
                Err(error) => nil_error(l, driver, error),
            }
        })
    }
}

unsafe extern "C-unwind" fn unsubscribe(l: Lua) -> c_int {
    // SAFETY: the check raises with nothing alive.
    unsafe {
        let channel = check(l, 1);
        host(l, |driver| {
            let bound = driver.unbind(l, channel, Source::is_topic);
            lua_pushboolean(l, c_int::from(bound));
            Act::Return(1)
        })
    }
}
