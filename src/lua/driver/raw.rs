//! The small words in which the rest of this room speaks to the raw Lua API.
//!
//! Two kinds of calls exist, and every C function of ours is split along them. Calls that may **raise** (a `luaL_check…`,
//! a metamethod, a yield) leave by `longjmp`: no Rust value with a destructor may live across them. Everything that owns
//! memory happens inside [`host`], with the memory limit lifted and only calls that do not raise; what comes out is an
//! [`Act`], plain data, and only then is raised, yielded or returned.

use std::ffi::{CStr, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use mlua::ffi::*;

use super::coroutine::type_error;
use super::memory::ALIGN;
use super::sandbox::push_library;
use super::{Driver, channel, preempt};
use crate::error::{Error, Frame};
use crate::lua::error;

pub type Lua = *mut lua_State;
pub type Continuation = unsafe extern "C-unwind" fn(Lua, c_int, lua_KContext) -> c_int;

/// What a C function does after its Rust part.
#[derive(Clone, Copy)]
pub enum Act {
    /// Returns that many values from the top of the stack.
    Return(c_int),
    /// Raises the value on top of the stack.
    Raise,
    /// Suspends the task; the continuation is called with the height of the stack as its context.
    Park(Continuation),
    /// Ends the slice; the continuation goes on with that context.
    Rest(Continuation, lua_KContext),
    /// Nothing of this process may run any more.
    Die,
}

/// Runs the Rust part of a C function: the memory limit is lifted, so that pushing never raises, and a panic ends the
/// process instead of unwinding through Lua.
///
/// # Safety
/// `l` is a running coroutine of a state made by [`Driver`]. `code` must not call what raises for another reason than
/// memory, nor yield. The caller holds no value with a destructor.
pub unsafe fn host(l: Lua, code: impl FnOnce(&mut Driver) -> Act) -> c_int {
    // SAFETY: the pointer in the extra space is valid for as long as the state lives; nobody else uses the driver while
    // this coroutine runs a C function.
    let act = unsafe {
        let driver = Driver::of(l);
        (*driver).memory.lift();
        let act = catch_unwind(AssertUnwindSafe(|| code(&mut *driver))).unwrap_or_else(|panic| {
            (*driver).panicked(panic);
            Act::Die
        });
        (*driver).memory.lower();
        if (*driver).memory.is_over() {
            squeeze(l, &mut *driver);
        }
        if (*driver).memory.is_exceeded() { Act::Die } else { act }
    };
    // SAFETY: `act` is plain data; nothing with a destructor is alive here.
    unsafe { perform(l, act) }
}

/// Host code went beyond the memory limit: what a full collection does not bring back is too much.
///
/// # Safety
/// `l` is a coroutine of that driver.
#[cold]
pub unsafe fn squeeze(l: Lua, driver: &mut Driver) {
    driver.memory.lift();
    // SAFETY: a collection runs no Lua code (there are no finalizers of the user's) and does not raise.
    unsafe { lua_gc(l, LUA_GCCOLLECT) };
    driver.memory.lower();
    if driver.memory.is_over() {
        driver.memory.exceed();
    }
}

unsafe fn perform(l: Lua, act: Act) -> c_int {
    // SAFETY: called from a C function of `l`, with the stack that `act` describes.
    unsafe {
        match act {
            Act::Return(count) => count,
            Act::Raise => lua_error(l),
            Act::Park(continuation) => park(l, continuation),
            Act::Rest(continuation, context) => {
                (*Driver::of(l)).host_yield = true;
                (*Driver::of(l)).preempted = true;
                lua_yieldk(l, 0, context, Some(continuation))
            }
            Act::Die => die(l),
        }
    }
}

/// Suspends the running task by a yield that user code never sees.
///
/// # Safety
/// As for a C function's last call, after [`Driver::wait`]; no value with a destructor is alive.
unsafe fn park(l: Lua, continuation: Continuation) -> c_int {
    // SAFETY: the driver outlives the state.
    unsafe {
        (*Driver::of(l)).host_yield = true;
        lua_yieldk(l, 0, lua_gettop(l) as lua_KContext, Some(continuation))
    }
}

/// Leaves for ever: the process is doomed and no code of its may run. Where Lua cannot yield, an error is raised, and by
/// the hook again on every instruction until the state is unwound.
///
/// # Safety
/// As for a C function's last call; no value with a destructor is alive.
pub unsafe fn die(l: Lua) -> c_int {
    // SAFETY: as above; the pushes are two words of plain data into a stack that has room for them.
    unsafe {
        if (*Driver::of(l)).can_yield(l) {
            (*Driver::of(l)).host_yield = true;
            return lua_yieldk(l, 0, 0, Some(never));
        }
        preempt::strike(l);
        lua_pushlightuserdata(l, std::ptr::null_mut());
        lua_error(l)
    }
}

/// The continuation of a coroutine that is never resumed; if it were, it would leave again.
unsafe extern "C-unwind" fn never(l: Lua, _: c_int, _: lua_KContext) -> c_int {
    // SAFETY: this is a C function's last call.
    unsafe { die(l) }
}

/// The bytes of a string argument; none for numbers and everything else.
///
/// # Safety
/// The bytes live as long as the string stays on the stack.
pub unsafe fn bytes<'a>(l: Lua, index: c_int) -> Option<&'a [u8]> {
    // SAFETY: a string's contents do not move; converting a real string in place does not allocate.
    unsafe { (lua_type(l, index) == LUA_TSTRING).then(|| string(l, index)) }
}

/// The bytes of what is known to be a string.
///
/// # Safety
/// As for [`bytes`].
pub unsafe fn string<'a>(l: Lua, index: c_int) -> &'a [u8] {
    // SAFETY: as in `bytes`.
    unsafe {
        let mut len = 0;
        let text = lua_tolstring(l, index, &mut len);
        std::slice::from_raw_parts(text.cast::<u8>(), len)
    }
}

/// The text of a string argument that is UTF-8.
///
/// # Safety
/// As for [`bytes`].
pub unsafe fn text<'a>(l: Lua, index: c_int) -> Option<&'a str> {
    // SAFETY: as for `bytes`.
    unsafe { bytes(l, index) }.and_then(|bytes| std::str::from_utf8(bytes).ok())
}

/// Pushes a string. May raise for memory outside of [`host`].
///
/// # Safety
/// There is room on the stack.
pub unsafe fn push_bytes(l: Lua, bytes: &[u8]) {
    // SAFETY: the pointer and length are of one slice.
    unsafe { lua_pushlstring(l, bytes.as_ptr().cast::<c_char>(), bytes.len()) };
}

/// Sets a field of the table below the top to the value on top.
///
/// # Safety
/// The table has no metatable.
pub unsafe fn set_field(l: Lua, name: &CStr) {
    // SAFETY: as stated.
    unsafe { lua_setfield(l, -2, name.as_ptr()) };
}

/// Pushes the Error object for `error`, with the frames of `l` when it has none.
///
/// # Safety
/// Inside [`host`].
pub unsafe fn push_error(l: Lua, driver: &mut Driver, error: Error) {
    // SAFETY: `l` is a coroutine of that driver.
    let error = if error.frames().is_empty() {
        let frames = unsafe { frames(l) };
        error.with_frames(frames)
    } else {
        error
    };
    let lua = driver.mlua();
    let value = error::push(lua, error);
    // SAFETY: as stated.
    unsafe { push_mlua(l, driver, value) };
}

/// Pushes `nil, err`.
///
/// # Safety
/// Inside [`host`].
pub unsafe fn nil_error(l: Lua, driver: &mut Driver, error: Error) -> Act {
    // SAFETY: inside `host`.
    unsafe {
        lua_pushnil(l);
        push_error(l, driver, error);
    }
    Act::Return(2)
}

/// Pushes an mlua value onto `l`; a failure to make it ends up as its text.
///
/// # Safety
/// Inside [`host`].
pub unsafe fn push_mlua(l: Lua, driver: &mut Driver, value: mlua::Result<mlua::Value>) {
    let lua = driver.mlua();
    // Through the registry, because mlua's current coroutine may be `l` itself or another one.
    let moved = value.and_then(|value| {
        // SAFETY: the closure gets a stack with just the value on it.
        unsafe { lua.exec_raw::<()>(value, |s| lua_rawsetp(s, LUA_REGISTRYINDEX, key(&TRANSFER))) }
    });
    // SAFETY: inside `host` pushing does not raise.
    unsafe {
        match moved {
            Ok(()) => {
                lua_rawgetp(l, LUA_REGISTRYINDEX, key(&TRANSFER));
                lua_pushnil(l);
                lua_rawsetp(l, LUA_REGISTRYINDEX, key(&TRANSFER));
            }
            Err(failure) => push_bytes(l, failure.to_string().as_bytes()),
        }
    }
}

/// The value at `index` as an mlua value.
///
/// # Errors
/// When mlua has no memory for it.
///
/// # Safety
/// Inside [`host`].
pub unsafe fn to_mlua(l: Lua, driver: &mut Driver, index: c_int) -> mlua::Result<mlua::Value> {
    let lua = driver.mlua();
    // SAFETY: inside `host` pushing does not raise; the closure only reads the registry.
    unsafe {
        lua_pushvalue(l, index);
        lua_rawsetp(l, LUA_REGISTRYINDEX, key(&TRANSFER));
        lua.exec_raw((), |s| {
            lua_rawgetp(s, LUA_REGISTRYINDEX, key(&TRANSFER));
            lua_pushnil(s);
            lua_rawsetp(s, LUA_REGISTRYINDEX, key(&TRANSFER));
        })
    }
}

/// A key of the registry: the address of a static.
pub fn key(place: &'static u8) -> *const std::ffi::c_void {
    std::ptr::from_ref(place).cast()
}

static TRANSFER: u8 = 0;

/// Pushes a userdata with a value inside, of the type that `place` stands for. Its metatable is made the first time.
///
/// # Safety
/// Inside [`host`]; one `place` always comes with the same type.
pub unsafe fn push_object<T>(
    l: Lua,
    place: &'static u8,
    name: &CStr,
    methods: &[(&CStr, lua_CFunction)],
    value: T,
    user_values: c_int,
) -> *mut T {
    const { assert!(align_of::<T>() <= ALIGN, "what Lua aligns userdata to") };
    // SAFETY: the userdata is as large as the value; its metatable drops it once.
    unsafe {
        let object = lua_newuserdatauv(l, size_of::<T>(), user_values).cast::<T>();
        object.write(value);
        if lua_rawgetp(l, LUA_REGISTRYINDEX, key(place)) == LUA_TNIL {
            lua_pop(l, 1);
            channel::make_meta(l, name, place, Some(drop_object::<T>));
            push_library(l, methods, 0);
            lua_setfield(l, -2, c"__index".as_ptr());
        }
        lua_setmetatable(l, -2);
        object
    }
}

unsafe extern "C-unwind" fn drop_object<T>(l: Lua) -> c_int {
    // SAFETY: called once, by the collector alone: the metatable cannot be reached.
    unsafe { lua_touserdata(l, 1).cast::<T>().drop_in_place() };
    0
}

/// Whether a userdata of that type is at 1.
///
/// # Safety
/// There is room for two values on the stack.
pub unsafe fn is_object(l: Lua, place: &'static u8) -> bool {
    // SAFETY: reads; the stack is as before.
    unsafe {
        if lua_type(l, 1) != LUA_TUSERDATA || lua_getmetatable(l, 1) == 0 {
            return false;
        }
        lua_rawgetp(l, LUA_REGISTRYINDEX, key(place));
        let same = lua_rawequal(l, -1, -2) != 0;
        lua_pop(l, 2);
        same
    }
}

/// Raises a type error unless a userdata of that type is at 1.
///
/// # Safety
/// In a C function, nothing with a destructor alive.
pub unsafe fn check_object(l: Lua, place: &'static u8, name: &'static CStr) {
    // SAFETY: as stated.
    unsafe {
        if !is_object(l, place) {
            type_error(l, 1, name);
        }
    }
}

/// Calls the first upvalue with all arguments and returns all of its results. It may wait and raise.
///
/// # Safety
/// The last thing of a C function, with nothing of Rust alive.
pub unsafe fn call_upvalue(l: Lua) -> c_int {
    // SAFETY: as stated.
    unsafe {
        lua_pushvalue(l, lua_upvalueindex(1));
        lua_insert(l, 1);
        lua_callk(l, lua_gettop(l) - 1, LUA_MULTRET, 0, Some(all_results));
        lua_gettop(l)
    }
}

/// The continuation of a call whose results are all there is on the stack.
///
/// # Safety
/// Called by Lua alone.
pub unsafe extern "C-unwind" fn all_results(l: Lua, _: c_int, _: lua_KContext) -> c_int {
    // SAFETY: a read.
    unsafe { lua_gettop(l) }
}

/// A C function as a field of an mlua object.
pub struct Raw(pub lua_CFunction);

impl mlua::IntoLua for Raw {
    fn into_lua(self, lua: &mlua::Lua) -> mlua::Result<mlua::Value> {
        // SAFETY: the function is one of ours, for states of ours.
        let function = unsafe { lua.create_c_function(self.0) }?;
        Ok(mlua::Value::Function(function))
    }
}

/// Where `l` is, innermost first.
///
/// # Safety
/// `l` is a coroutine that runs, waits or has just failed.
pub unsafe fn frames(l: Lua) -> Vec<Frame> {
    let mut frames = Vec::new();
    // SAFETY: an all-zero lua_Debug is what lua_getstack expects; the strings it gives live as long as the frame does.
    unsafe {
        let mut ar: lua_Debug = std::mem::zeroed();
        let mut level = 0;
        while frames.len() < error::FRAMES && lua_getstack(l, level, &mut ar) != 0 {
            lua_getinfo(l, c"Sln".as_ptr(), &mut ar);
            if ar.currentline > 0 {
                frames.push(frame(&ar));
            }
            level += 1;
        }
    }
    frames
}

unsafe fn frame(ar: &lua_Debug) -> Frame {
    // SAFETY: what `lua_getinfo` filled in: C strings of the state or inside the struct, and a text of that length.
    unsafe {
        let name = (!ar.name.is_null()).then(|| CStr::from_ptr(ar.name).to_string_lossy());
        let source = String::from_utf8_lossy(std::slice::from_raw_parts(ar.source.cast::<u8>(), ar.srclen));
        let short = CStr::from_ptr(ar.short_src.as_ptr()).to_string_lossy();
        error::frame(&source, &short, ar.currentline, name.as_deref())
    }
}
