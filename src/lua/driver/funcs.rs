//! The module `funcs`: calls that are waited for, and Executors, which make them with a context and options of their own.
//! Futures are in `future`.

use std::ffi::{CStr, c_int};
use std::sync::Arc;

use mlua::{Lua as Mlua, UserData, UserDataFields, UserDataMethods, Value as LuaValue};

use super::raw::*;
use super::spawn::{METHOD, PLAIN, Runs, executed, is_file};
use super::spawner::context_values;
use super::waiting::{Woken, Work};
use super::{Driver, Weight, future, mistake};
use crate::error::Result;
use crate::id::EntryId;
use crate::lua::error::bad_argument;
use crate::lua::host::{authorize, weigh};
use crate::lua::modules::funcs::options;
use crate::lua::modules::security::{actor_argument, scope_argument};
use crate::lua::stack;
use crate::process::{Call, Context, Options, Permission, Place, Resolved, Target, parse_target};

/// The functions of the module.
pub const FUNCTIONS: [(&CStr, lua_CFunction); 3] =
    [(c"call", call::<PLAIN>), (c"async", begin::<PLAIN>), (c"new", new)];

const METHODS: [(&CStr, lua_CFunction); 2] = [(c"call", call::<METHOD>), (c"async", begin::<METHOD>)];

/// Bytes that a call takes beside its arguments.
const CALL: usize = 2 << 10;

/// What an Executor adds to its calls. Never changed: every `with_…` makes a new one.
#[derive(Clone)]
struct Executor {
    /// Laid over the context of the process that calls.
    over: Arc<Context>,
    /// A mistake in them is told when a call is made.
    options: Result<Options>,
    /// What it lays over is outside of the state.
    _weight: Option<Arc<Weight>>,
}

impl Default for Executor {
    fn default() -> Executor {
        Executor {
            over: Arc::default(),
            options: Ok(Options::default()),
            _weight: None,
        }
    }
}

unsafe extern "C-unwind" fn call<const ID: c_int>(l: Lua) -> c_int {
    // SAFETY: see `run`.
    unsafe { run(l, ID, Driver::wait_for_call) }
}

unsafe extern "C-unwind" fn begin<const ID: c_int>(l: Lua) -> c_int {
    // SAFETY: see `run`.
    unsafe { run(l, ID, Driver::begin_call) }
}

/// Makes the call of the id at `at` with the values behind it.
unsafe fn run(l: Lua, at: c_int, then: unsafe fn(&mut Driver, Lua, Call) -> Act) -> c_int {
    // SAFETY: a type error raises with nothing alive; `then` runs inside `host`.
    unsafe {
        if lua_type(l, at) > LUA_TNIL {
            luaL_checktype(l, at, LUA_TSTRING);
        }
        host(l, |driver| {
            let Some(executor) = driver.executor_at(l, at) else {
                return mistake(l, "a method of an Executor is called with a colon: executor:call(id)");
            };
            match driver.read_call(l, at, executor) {
                Ok(call) => then(driver, l, call),
                Err(error) => nil_error(l, driver, error),
            }
        })
    }
}

impl Driver {
    /// The Executor before the id; one that adds nothing for a function of the module. None for a method that was called
    /// without one.
    unsafe fn executor_at(&mut self, l: Lua, id: c_int) -> Option<Executor> {
        if id == PLAIN {
            return Some(Executor::default());
        }
        // SAFETY: inside `host`.
        let value = unsafe { to_mlua(l, self, 1) }.ok()?;
        let executor = value.as_userdata()?.borrow::<Executor>().ok()?.clone();
        Some(executor)
    }

    unsafe fn read_call(&mut self, l: Lua, at: c_int, executor: Executor) -> Result<Call> {
        // SAFETY: inside `host`; a string, nil or nothing is at `at`.
        unsafe {
            let mut target = self.target(&String::from_utf8_lossy(bytes(l, at).unwrap_or_default()))?;
            if let Resolved::Ready(program) = target.program {
                target.program = Resolved::Ready(Ok(program?));
            }
            let caller = self.process().clone();
            Ok(Call {
                target,
                args: stack::pack(l, self, at + 1, lua_gettop(l) - at)?,
                context: executor.context(caller.context()),
                caller,
                options: executor.options?,
            })
        }
    }

    /// What stands behind an id, or behind a file where files may be named: that becomes a process where a spawn without a host
    /// starts one.
    fn target(&self, written: &str) -> Result<Target> {
        if self.is_free() && is_file(written) {
            self.context.authorize(Permission::FuncsCall, written)?;
            return Ok(Target {
                id: EntryId::new("file", written.trim_start_matches("./")),
                program: self.resolve(&Runs::File(written)),
                place: Place::Host(self.context.own_host()?.id().clone()),
                options: Options::default(),
            });
        }
        let id = parse_target(written)?;
        self.context.authorize(Permission::FuncsCall, &id)?;
        self.process().kernel().programs().target(&id)
    }

    unsafe fn wait_for_call(&mut self, l: Lua, call: Call) -> Act {
        let work = self.work(call);
        // SAFETY: inside `host`.
        unsafe { self.wait_for(l, work, executed) }
    }

    unsafe fn begin_call(&mut self, l: Lua, call: Call) -> Act {
        let bytes = call.args.size() + CALL;
        let work = self.work(call);
        // SAFETY: inside `host`.
        unsafe { future::begin(l, self, work, bytes) }
    }

    /// Makes the call. It counts as memory of the process until it is done: it may have to wait for a place.
    fn work(&mut self, call: Call) -> Work {
        let weight = self.weigh(call.args.size() + CALL);
        Box::pin(async move {
            let result = call.run().await;
            drop(weight);
            Woken::Ended(result)
        })
    }
}

unsafe extern "C-unwind" fn new(l: Lua) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe {
        host(l, |driver| {
            let executor = driver.mlua().create_userdata(Executor::default());
            push_mlua(l, driver, executor.map(LuaValue::UserData));
            Act::Return(1)
        })
    }
}

impl UserData for Executor {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_meta_field("__name", "funcs.Executor");
        for (name, function) in METHODS {
            fields.add_field(name.to_string_lossy(), Raw(function));
        }
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("with_context", |lua, this, table: LuaValue| {
            let values = context_values(lua, &table, Permission::FuncsContext)?;
            Ok(this.laying(lua, |over| over.with_values(values)))
        });
        methods.add_method("with_actor", |lua, this, actor: LuaValue| {
            authorize(lua, Permission::FuncsSecurity, "actor")?;
            let actor = actor_argument(1, "with_actor", &actor)?;
            Ok(this.laying(lua, |over| over.with_actor(actor)))
        });
        methods.add_method("with_scope", |lua, this, scope: LuaValue| {
            authorize(lua, Permission::FuncsSecurity, "scope")?;
            let scope = scope_argument(1, "with_scope", &scope)?;
            Ok(this.laying(lua, |over| over.with_scope(scope)))
        });
        methods.add_method("with_options", |_: &Mlua, this, table: LuaValue| match &table {
            LuaValue::Table(fields) => Ok(Executor {
                options: options(fields)?,
                ..this.clone()
            }),
            other => Err(bad_argument(1, "with_options", "table", other)),
        });
    }
}

impl Executor {
    fn laying(&self, lua: &Mlua, more: impl FnOnce(Context) -> Context) -> Executor {
        let over = more((*self.over).clone());
        Executor {
            _weight: weigh(lua, over.weight()).map(Arc::new),
            over: Arc::new(over),
            options: self.options.clone(),
        }
    }

    /// The context of a call that a process in that context makes.
    fn context(&self, caller: &Arc<Context>) -> Arc<Context> {
        match *self.over == Context::default() {
            true => caller.clone(),
            false => Arc::new(caller.under(&self.over)),
        }
    }
}
