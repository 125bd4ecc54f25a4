//! What the author of a Lua module sees: how a host function waits, fails and raises.
//!
//! A host function is a plain mlua function. One that has to wait is made with [`waiting`]: it hands back a future, the
//! driver suspends the calling coroutine (at any depth, inside `pcall` and user coroutines too) and later runs the
//! [`Finish`] on the state to build the results. Nothing here may block the thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use mlua::{FromLuaMulti, Function, IntoLuaMulti, Lua, MultiValue, Value};

use crate::error::Error;
use crate::lua::error;
use crate::process::{Kernel, Process};
use crate::project::Registry;
use crate::system::System;

/// What all Lua states of a runtime share.
pub struct LuaEngine {
    pub kernel: Kernel,
    pub registry: Arc<Registry>,
    pub system: Arc<System>,
}

/// Where a Lua state runs.
pub struct StateContext {
    pub process: Arc<Process>,
    pub engine: Arc<LuaEngine>,
}

impl StateContext {
    /// The namespace in which the entry's references without one are looked up.
    pub fn namespace(&self) -> &str {
        self.process.entry().namespace()
    }
}

/// The context of the state; whoever makes a state puts it into the state's app data.
///
/// # Errors
/// Internal `no process context` in a state without one.
pub fn context(lua: &Lua) -> mlua::Result<Arc<StateContext>> {
    match lua.app_data_ref::<Arc<StateContext>>() {
        Some(context) => Ok(context.clone()),
        None => Err(raise(Error::internal("no process context"))),
    }
}

/// Builds the results of a call that waited. Runs on the state, in the coroutine that called.
pub type Finish = Box<dyn FnOnce(&Lua) -> mlua::Result<MultiValue> + Send>;

/// What a host function made with [`waiting`] does: return, or wait for something.
pub enum Call {
    Ready(MultiValue),
    Wait(Pin<Box<dyn Future<Output = Finish> + Send>>),
}

impl Call {
    /// Returns these values without waiting.
    ///
    /// # Errors
    /// When a value cannot be converted.
    pub fn ready(lua: &Lua, values: impl IntoLuaMulti) -> mlua::Result<Call> {
        values.into_lua_multi(lua).map(Call::Ready)
    }

    /// Waits for the future, then returns what `finish` makes of its output.
    pub fn wait<T, R>(
        future: impl Future<Output = T> + Send + 'static,
        finish: impl FnOnce(&Lua, T) -> mlua::Result<R> + Send + 'static,
    ) -> Call
    where
        T: Send + 'static,
        R: IntoLuaMulti,
    {
        Call::Wait(Box::pin(async move {
            let output = future.await;
            Box::new(move |lua: &Lua| finish(lua, output)?.into_lua_multi(lua)) as Finish
        }))
    }
}

/// A function that may suspend its calling coroutine, and only that one.
///
/// # Errors
/// When the state has no memory for it.
pub fn waiting<A: FromLuaMulti>(
    lua: &Lua,
    f: impl Fn(&Lua, A) -> mlua::Result<Call> + Send + 'static,
) -> mlua::Result<Function> {
    lua.create_function(move |lua, args: A| match f(lua, args)? {
        Call::Ready(values) => Ok(values),
        Call::Wait(future) => blocking(future)(lua),
    })
}

/// Until the driver is in place: waits on the spot, which only unit tests of modules do.
fn blocking(future: Pin<Box<dyn Future<Output = Finish> + Send>>) -> Finish {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a tokio runtime").block_on(future)
}

/// The results `nil, err`.
///
/// # Errors
/// When the state has no memory for it.
pub fn failure(lua: &Lua, error: Error) -> mlua::Result<MultiValue> {
    (Value::Nil, error::push(lua, error)?).into_lua_multi(lua)
}

/// The results `false, err`.
///
/// # Errors
/// When the state has no memory for it.
pub fn false_failure(lua: &Lua, error: Error) -> mlua::Result<MultiValue> {
    (false, error::push(lua, error)?).into_lua_multi(lua)
}

/// An error to be raised: `pcall` receives our Error object.
pub fn raise(error: Error) -> mlua::Error {
    mlua::Error::external(error)
}
