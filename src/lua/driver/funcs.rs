//! The module `funcs`: calls that are waited for, and Executors, which make them with a context and options of their own.
//! Futures are in `future`.

use std::ffi::{CStr, c_int};
use std::sync::Arc;

use super::raw::*;
use super::spawn::executed;
use super::waiting::{Woken, Work};
use super::{Driver, future};
use crate::error::Result;
use crate::lua::modules::funcs::options;
use crate::lua::stack;
use crate::process::{Call, Context, Options, Resolved, parse_target};

/// The functions of the module.
pub const FUNCTIONS: [(&CStr, lua_CFunction); 3] = [(c"call", call), (c"async", begin), (c"new", new)];

const METHODS: [(&CStr, lua_CFunction); 3] = [
    (c"call", method_call),
    (c"async", method_begin),
    (c"with_options", with_options),
];

static EXECUTOR: u8 = 0;

/// What an Executor adds to its calls. Never changed: every `with_…` makes a new one.
#[derive(Clone)]
struct Executor {
    /// None: that of the caller.
    context: Option<Arc<Context>>,
    /// A mistake in them is told when a call is made.
    options: Result<Options>,
}

unsafe extern "C-unwind" fn call(l: Lua) -> c_int {
    // SAFETY: see `run`.
    unsafe { run(l, 1, Driver::wait_for_call) }
}

unsafe extern "C-unwind" fn begin(l: Lua) -> c_int {
    // SAFETY: see `run`.
    unsafe { run(l, 1, Driver::begin_call) }
}

unsafe extern "C-unwind" fn method_call(l: Lua) -> c_int {
    // SAFETY: see `run`.
    unsafe {
        check_object(l, &EXECUTOR, c"funcs.Executor");
        run(l, 2, Driver::wait_for_call)
    }
}

unsafe extern "C-unwind" fn method_begin(l: Lua) -> c_int {
    // SAFETY: see `run`.
    unsafe {
        check_object(l, &EXECUTOR, c"funcs.Executor");
        run(l, 2, Driver::begin_call)
    }
}

/// Makes the call of the id at `at` with the values behind it. At 2 there is an Executor before it.
unsafe fn run(l: Lua, at: c_int, then: unsafe fn(&mut Driver, Lua, Call) -> Act) -> c_int {
    // SAFETY: a type error raises with nothing alive; `then` runs inside `host`.
    unsafe {
        if lua_type(l, at) > LUA_TNIL {
            luaL_checktype(l, at, LUA_TSTRING);
        }
        host(l, |driver| match driver.read_call(l, at) {
            Ok(call) => then(driver, l, call),
            Err(error) => nil_error(l, driver, error),
        })
    }
}

impl Driver {
    unsafe fn read_call(&mut self, l: Lua, at: c_int) -> Result<Call> {
        // SAFETY: inside `host`; a string, nil or nothing is at `at`, an Executor at 1 if that is 2.
        unsafe {
            let id = String::from_utf8_lossy(bytes(l, at).unwrap_or_default());
            let caller = self.process().clone();
            let mut target = caller.kernel().programs().target(&parse_target(&id)?)?;
            if let Resolved::Ready(program) = target.program {
                target.program = Resolved::Ready(Ok(program?));
            }
            let own = (at == 2).then(|| (*lua_touserdata(l, 1).cast::<Executor>()).clone());
            let (context, options) = match own {
                Some(executor) => (executor.context, executor.options?),
                None => (None, Options::default()),
            };
            Ok(Call {
                target,
                args: stack::pack(l, self, at + 1, lua_gettop(l) - at)?,
                context: context.unwrap_or_else(|| caller.context().clone()),
                caller,
                options,
            })
        }
    }

    unsafe fn wait_for_call(&mut self, l: Lua, call: Call) -> Act {
        // SAFETY: inside `host`.
        unsafe { self.wait_for(l, work(call), executed) }
    }

    unsafe fn begin_call(&mut self, l: Lua, call: Call) -> Act {
        // SAFETY: inside `host`.
        unsafe { future::begin(l, self, work(call)) }
    }
}

fn work(call: Call) -> Work {
    Box::pin(async { Woken::Ended(call.run().await) })
}

unsafe extern "C-unwind" fn new(l: Lua) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe {
        host(l, |_| {
            let executor = Executor {
                context: None,
                options: Ok(Options::default()),
            };
            push_executor(l, executor)
        })
    }
}

unsafe fn push_executor(l: Lua, executor: Executor) -> Act {
    // SAFETY: inside `host`.
    unsafe { push_object(l, &EXECUTOR, c"funcs.Executor", &METHODS, executor, 0) };
    Act::Return(1)
}

/// Returns a changed copy of the Executor at 1; a table is at 2.
unsafe fn changed(l: Lua, change: fn(&mut Driver, &mlua::Value, &mut Executor) -> mlua::Result<()>) -> c_int {
    // SAFETY: type errors raise with nothing alive.
    unsafe {
        check_object(l, &EXECUTOR, c"funcs.Executor");
        luaL_checktype(l, 2, LUA_TTABLE);
        host(l, |driver| {
            let mut executor = (*lua_touserdata(l, 1).cast::<Executor>()).clone();
            let done = to_mlua(l, driver, 2).and_then(|table| change(driver, &table, &mut executor));
            match done {
                Ok(()) => push_executor(l, executor),
                Err(failure) => super::mistake(l, &failure.to_string()),
            }
        })
    }
}

unsafe extern "C-unwind" fn with_options(l: Lua) -> c_int {
    // SAFETY: see `changed`.
    unsafe {
        changed(l, |_, table, executor| {
            executor.options = options(table)?;
            Ok(())
        })
    }
}
