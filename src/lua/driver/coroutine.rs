//! The `coroutine` library: standard for what users see, transparent for the driver's own yields.
//!
//! A wait or a preemption inside a user's coroutine is a yield too, but one that belongs to the task: `resume` and `wrap`
//! recognise it by [`Driver::host_yield`], mark the coroutine as held, yield on outwards with a continuation, and resume
//! it again when the task goes on. A held coroutine is `normal` to everybody else: nobody may resume or close it.
//! Invariant: `CURRENT` of `preempt` is the coroutine that runs, and what it was is put back when that one stops: code that
//! no task runs has none, and the state may be closed next.

use std::ffi::{CStr, c_int};

use super::protect::settle;
use super::raw::*;
use super::{Driver, preempt};

/// The functions of the library; `create` and `isyieldable` are Lua's own.
pub const FUNCTIONS: [(&CStr, lua_CFunction); 7] = [
    (c"resume", resume),
    (c"wrap", wrap),
    (c"yield", yield_),
    (c"status", status),
    (c"close", close),
    (c"spawn", spawn),
    (c"running", running),
];

/// The coroutine at `index`, or a raised type error.
unsafe fn coroutine(l: Lua, index: c_int) -> Lua {
    // SAFETY: nothing with a destructor is alive when the check raises.
    unsafe {
        let co = lua_tothread(l, index);
        if co.is_null() {
            type_error(l, index, c"coroutine");
        }
        co
    }
}

/// Raises `bad argument #n to 'function' (expected expected, got type)`.
///
/// # Safety
/// In a C function, nothing with a destructor alive.
pub unsafe fn type_error(l: Lua, index: c_int, expected: &'static CStr) -> c_int {
    // SAFETY: format and arguments fit each other.
    unsafe {
        let got = luaL_typename(l, index);
        let text = lua_pushfstring(l, c"%s expected, got %s".as_ptr(), expected.as_ptr(), got);
        luaL_argerror(l, index, text)
    }
}

unsafe extern "C-unwind" fn resume(l: Lua) -> c_int {
    // SAFETY: see the module page; the coroutine stays at index 1, where the continuation looks for it.
    unsafe {
        let co = coroutine(l, 1);
        let count = lua_gettop(l) - 1;
        match hand_over(l, co, count) {
            true => resume_on(l, co, count),
            false => failed(l),
        }
    }
}

unsafe fn resume_on(l: Lua, co: Lua, count: c_int) -> c_int {
    // SAFETY: as in `resume`.
    unsafe {
        match advance(l, co, count) {
            Step::Values(count) => {
                lua_pushboolean(l, 1);
                lua_insert(l, -(count + 1));
                count + 1
            }
            Step::Failed => failed(l),
            Step::Held => lua_yieldk(l, 0, 0, Some(resume_again)),
            Step::Doomed => die(l),
        }
    }
}

unsafe extern "C-unwind" fn resume_again(l: Lua, _: c_int, _: lua_KContext) -> c_int {
    // SAFETY: as in `resume`.
    unsafe {
        let co = lua_tothread(l, 1);
        Driver::hold(co, false);
        resume_on(l, co, 0)
    }
}

/// Returns `false, message`, the message being on top.
unsafe fn failed(l: Lua) -> c_int {
    // SAFETY: a C function has room for two more values.
    unsafe {
        lua_pushboolean(l, 0);
        lua_insert(l, -2);
    }
    2
}

unsafe extern "C-unwind" fn wrap(l: Lua) -> c_int {
    // SAFETY: nothing with a destructor is alive.
    unsafe {
        luaL_checktype(l, 1, LUA_TFUNCTION);
        let co = lua_newthread(l);
        lua_pushvalue(l, 1);
        lua_xmove(l, co, 1);
        lua_pushcclosure(l, wrapped, 1);
    }
    1
}

unsafe extern "C-unwind" fn wrapped(l: Lua) -> c_int {
    // SAFETY: the upvalue is the coroutine of `wrap`.
    unsafe {
        let co = lua_tothread(l, lua_upvalueindex(1));
        let count = lua_gettop(l);
        match hand_over(l, co, count) {
            true => wrapped_on(l, co, count),
            false => raise_from(l, co),
        }
    }
}

unsafe fn wrapped_on(l: Lua, co: Lua, count: c_int) -> c_int {
    // SAFETY: as in `wrapped`.
    unsafe {
        match advance(l, co, count) {
            Step::Values(count) => count,
            Step::Failed => raise_from(l, co),
            Step::Held => lua_yieldk(l, 0, 0, Some(wrapped_again)),
            Step::Doomed => die(l),
        }
    }
}

unsafe extern "C-unwind" fn wrapped_again(l: Lua, _: c_int, _: lua_KContext) -> c_int {
    // SAFETY: as in `wrapped`.
    unsafe {
        let co = lua_tothread(l, lua_upvalueindex(1));
        Driver::hold(co, false);
        wrapped_on(l, co, 0)
    }
}

/// Raises the value on top, which ended `co`; a string gets the place of the caller, as in Lua's own `wrap`.
unsafe fn raise_from(l: Lua, co: Lua) -> c_int {
    // SAFETY: the coroutine failed: it can be closed. Nothing with a destructor is alive.
    unsafe {
        let status = lua_status(co);
        if status != LUA_OK && status != LUA_YIELD {
            // An error of `__close` takes the place of the one that it was called for.
            lua_xmove(l, co, 1);
            let status = shut(l, co);
            lua_xmove(co, l, 1);
            if !settle(l, status) {
                return die(l);
            }
        }
        if (*Driver::of(l)).is_doomed() {
            return die(l);
        }
        if lua_type(l, -1) == LUA_TSTRING {
            luaL_where(l, 1);
            lua_insert(l, -2);
            lua_concat(l, 2);
        }
        lua_error(l)
    }
}

unsafe extern "C-unwind" fn yield_(l: Lua) -> c_int {
    // SAFETY: a C function's last call.
    unsafe { lua_yield(l, lua_gettop(l)) }
}

/// How far a coroutine came.
enum Step {
    /// It returned or yielded; the values are on top of the stack.
    Values(c_int),
    /// It failed; the error object, as user code may see it, is on top.
    Failed,
    /// It waits for the host or was preempted: the task has to be suspended.
    Held,
    Doomed,
}

/// Moves the arguments over. False, with a message on the stack, when it cannot be resumed.
unsafe fn hand_over(l: Lua, co: Lua, count: c_int) -> bool {
    // SAFETY: stack sizes are checked before values are moved.
    unsafe {
        let refusal = if Driver::is_held(co) {
            c"cannot resume non-suspended coroutine"
        } else if lua_checkstack(co, count + 1) == 0 {
            c"too many arguments to resume"
        } else {
            lua_xmove(l, co, count);
            return true;
        };
        lua_pushstring(l, refusal.as_ptr());
    }
    false
}

unsafe fn advance(l: Lua, co: Lua, count: c_int) -> Step {
    // SAFETY: `co` is suspended or new, with `count` arguments on its stack. The driver pointer is used between the
    // calls into Lua, never across.
    unsafe {
        let driver = Driver::of(l);
        let pinned = u32::from(!(*driver).can_yield(l));
        (*driver).pinned += pinned;
        let mut results = 0;
        let outer = preempt::swap_current(co);
        let status = lua_resume(co, l, count, &mut results);
        preempt::swap_current(outer);
        (*driver).pinned -= pinned;
        match status {
            LUA_YIELD if (*driver).host_yield => {
                Driver::hold(co, true);
                Step::Held
            }
            LUA_OK | LUA_YIELD => take_results(l, co, results),
            _ => {
                lua_xmove(co, l, 1);
                (*driver).end_loads_by(co);
                if settle(l, status) { Step::Failed } else { Step::Doomed }
            }
        }
    }
}

unsafe fn take_results(l: Lua, co: Lua, count: c_int) -> Step {
    // SAFETY: the stack is checked before values are moved.
    unsafe {
        if lua_checkstack(l, count + 1) == 0 {
            lua_pop(co, count);
            lua_pushstring(l, c"too many results to resume".as_ptr());
            return Step::Failed;
        }
        lua_xmove(co, l, count);
    }
    Step::Values(count)
}

/// The coroutine that runs, and whether it is the main one.
unsafe extern "C-unwind" fn running(l: Lua) -> c_int {
    // SAFETY: two values for which a C function has room.
    unsafe {
        let is_main = (*Driver::of(l)).task(0).is_some_and(|task| task.thread == l);
        lua_pushthread(l);
        lua_pushboolean(l, c_int::from(is_main));
    }
    2
}

unsafe extern "C-unwind" fn status(l: Lua) -> c_int {
    // SAFETY: the name is a static string.
    unsafe {
        let co = coroutine(l, 1);
        lua_pushstring(l, state_of(l, co).as_ptr());
    }
    1
}

unsafe fn state_of(l: Lua, co: Lua) -> &'static CStr {
    // SAFETY: only reads of `co`; a zeroed lua_Debug is what lua_getstack expects.
    unsafe {
        if l == co {
            return c"running";
        }
        if Driver::is_held(co) {
            return c"normal";
        }
        match lua_status(co) {
            LUA_YIELD => c"suspended",
            LUA_OK if lua_getstack(co, 0, &mut std::mem::zeroed()) != 0 => c"normal",
            LUA_OK if lua_gettop(co) > 0 => c"suspended",
            _ => c"dead",
        }
    }
}

unsafe extern "C-unwind" fn close(l: Lua) -> c_int {
    // SAFETY: nothing with a destructor is alive when an error is raised.
    unsafe {
        let co = coroutine(l, 1);
        let state = state_of(l, co);
        if state != c"suspended" && state != c"dead" {
            return luaL_error(l, c"cannot close a %s coroutine".as_ptr(), state.as_ptr());
        }
        let status = shut(l, co);
        if status == LUA_OK {
            lua_pushboolean(l, 1);
            return 1;
        }
        lua_pushboolean(l, 0);
        lua_xmove(co, l, 1);
        if settle(l, status) { 2 } else { die(l) }
    }
}

/// Closes a coroutine, running its `__close` handlers.
unsafe fn shut(l: Lua, co: Lua) -> c_int {
    // SAFETY: `co` is suspended or dead.
    unsafe {
        let outer = preempt::swap_current(co);
        let status = lua_closethread(co, l);
        preempt::swap_current(outer);
        status
    }
}

unsafe extern "C-unwind" fn spawn(l: Lua) -> c_int {
    // SAFETY: the check raises with nothing alive; the rest is host code that moves values it has room for.
    unsafe {
        luaL_checktype(l, 1, LUA_TFUNCTION);
        host(l, |driver| match driver.task_of(l, lua_gettop(l), "spawn") {
            Some(_) => Act::Return(1),
            None => Act::Raise,
        })
    }
}

impl Driver {
    /// Makes a task of the `count` values on top, a function and its arguments; its coroutine is at 1 then. None for too
    /// many of them: the message, which names the `caller`, is on top.
    pub(super) unsafe fn task_of(&mut self, l: Lua, count: c_int, caller: &str) -> Option<u32> {
        // SAFETY: inside `host`; the stack is checked before values are moved.
        unsafe {
            let thread = lua_newthread(l);
            if lua_checkstack(thread, count + 1) == 0 {
                push_bytes(l, format!("too many arguments to {caller}").as_bytes());
                return None;
            }
            lua_insert(l, 1);
            lua_xmove(l, thread, count);
            Some(self.add_task(l, thread, count - 1))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ptr;
    use std::sync::Arc;

    use super::super::{Boot, Driver, Image, Main, Plan, preempt};
    use crate::lua::host::StateContext;
    use crate::lua::test_support::World;

    #[test]
    fn a_coroutine_that_no_task_runs_is_not_current_after_its_end() {
        let world = World::new();
        let process = world.spawn(world.program("main", "process.receive()"), &[]).unwrap();
        let context = StateContext::new(process, world.engine.clone(), Arc::default());
        let image = Image {
            plan: Plan::new(&BTreeSet::new(), &[], true),
            stages: Vec::new(),
            main: Main::Chunk,
            reused: false,
        };
        let boot = Boot {
            image: Arc::new(image),
            args: None,
        };
        let mut driver = Driver::new(Arc::new(context), boot, 0).unwrap();
        for code in [
            "coroutine.wrap(function() end)()",
            "local co = coroutine.create(coroutine.yield) coroutine.resume(co) coroutine.close(co)",
        ] {
            driver.mlua().load(code).exec().unwrap();
            assert!(preempt::swap_current(ptr::null_mut()).is_null(), "{code}");
        }
    }
}
