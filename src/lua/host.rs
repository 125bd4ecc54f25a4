//! What the author of a Lua module sees: how a host function waits, fails and raises, and whose state it runs in.
//!
//! A host function is a plain mlua function. One that has to wait is made with [`waiting`]: it hands back a future, the
//! driver suspends the calling coroutine (at any depth, inside `pcall` and user coroutines too) and later runs the
//! [`Finish`] on the state to build the results. Nothing here may block the thread.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use mlua::{FromLuaMulti, Function, IntoLua, IntoLuaMulti, Lua, MultiValue, Value};
use tokio::sync::Semaphore;

use crate::error::{Error, Result};
use crate::id::EntryId;
use crate::lock::lock;
use crate::lua::driver::{self, Visible, Weight};
use crate::lua::engine::LuaEngine;
use crate::lua::error;
use crate::process::{self, Host, Permission, Process, acts};

/// Whose state it is.
pub struct StateContext {
    pub process: Arc<Process>,
    entry: EntryId,
    pub engine: Arc<LuaEngine>,
    pub visible: Arc<Visible>,
    /// Held while a check of `json.validate` runs or waits for a thread.
    pub checking: tokio::sync::Mutex<()>,
    /// What is free of the room for bytes on their way from files, in KiB; made by the first read.
    pub reading: OnceLock<Arc<Semaphore>>,
    resources: Mutex<Vec<Weak<dyn Resource>>>,
}

/// Something that must not stay open beyond the process or call that opened it.
pub trait Resource: Send + Sync {
    /// From now on nobody uses it. Does not block.
    fn forbid(&self);

    /// Closes it. May block.
    fn close(&self);
}

impl StateContext {
    pub fn new(process: Arc<Process>, engine: Arc<LuaEngine>, visible: Arc<Visible>) -> StateContext {
        StateContext {
            entry: process.entry(),
            process,
            engine,
            visible,
            checking: tokio::sync::Mutex::default(),
            reading: OnceLock::new(),
            resources: Mutex::default(),
        }
    }

    /// Has the end of the process or call close it, if Lua code did not.
    pub fn closes(&self, resource: Weak<dyn Resource>) {
        let mut resources = lock(&self.resources);
        if resources.len() == resources.capacity() {
            resources.retain(|resource| resource.strong_count() > 0);
        }
        resources.push(resource);
    }

    /// Closes what is still open, off the workers; nobody uses it any more even before that.
    pub fn close(&self) {
        let resources = std::mem::take(&mut *lock(&self.resources));
        let open: Vec<_> = resources.iter().filter_map(Weak::upgrade).collect();
        open.iter().for_each(|resource| resource.forbid());
        if !open.is_empty() {
            let io = self.process.kernel().io();
            io.spawn_blocking(move || open.iter().for_each(|resource| resource.close()));
        }
    }

    pub fn entry(&self) -> &EntryId {
        &self.entry
    }

    /// Whether files can be named as processes, and hosts be left out: in a script, a session, a test.
    pub fn is_free(&self) -> bool {
        self.visible.files.is_some()
    }

    /// Where a process starts others that are given no host: its own host, or the first one of the project if it runs on a
    /// terminal or is a call.
    ///
    /// # Errors
    /// NotFound when there is none; that of a broken one.
    pub fn own_host(&self) -> Result<Arc<Host>> {
        let (process, kernel) = (&self.process, self.process.kernel());
        if process.terminal().is_none() && !Arc::ptr_eq(process.host(), kernel.functions()) {
            return Ok(process.host().clone());
        }
        let registry = self.engine.registry();
        let first = registry.of_kind("process.host").next();
        let first = first.ok_or_else(|| Error::not_found("host not found"))?;
        acts::host(kernel, &first.id)
    }

    /// Asks whether the process may do that.
    ///
    /// # Errors
    /// PermissionDenied.
    pub fn authorize(&self, permission: Permission, resource: impl Display) -> Result<()> {
        self.process.kernel().authorize(&self.process, permission, resource)
    }

    /// The namespace in which names without one are looked up.
    pub fn namespace(&self) -> &str {
        self.entry.namespace()
    }
}

/// The context of the state that calls.
///
/// # Errors
/// In a state that no process made.
pub fn context(lua: &Lua) -> mlua::Result<Arc<StateContext>> {
    let context = lua.app_data_ref::<Arc<StateContext>>().map(|context| context.clone());
    context.ok_or_else(|| raise(Error::internal("no process context")))
}

/// What calendars show to the calling process, in nanoseconds since 1970.
pub fn unix_nanoseconds(lua: &Lua) -> i128 {
    context(lua).map_or_else(
        |_| process::unix_nanoseconds(),
        |context| context.process.kernel().unix_nanoseconds(),
    )
}

/// Raises unless the process that calls may do that.
///
/// # Errors
/// Raises PermissionDenied.
pub fn authorize(lua: &Lua, permission: Permission, resource: &str) -> mlua::Result<()> {
    context(lua)?.authorize(permission, resource).map_err(raise)
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
    let inner = lua.create_function(move |lua, args: MultiValue| {
        let caller = driver::attached(lua);
        if let Some(finish) = caller.as_ref().and_then(driver::Caller::finish) {
            return finish(lua);
        }
        match (f(lua, A::from_lua_multi(args, lua)?)?, caller) {
            (Call::Ready(values), _) => Ok(values),
            (Call::Wait(future), Some(caller)) => {
                caller.begin(future);
                Ok(MultiValue::new())
            }
            (Call::Wait(future), None) => without_process(future)?(lua),
        }
    })?;
    match driver::attached(lua) {
        Some(_) => driver::suspending(lua, inner),
        None => Ok(inner),
    }
}

/// A state that no process made (modules under test) has no driver: it waits on the spot.
#[cfg(test)]
fn without_process(future: Pin<Box<dyn Future<Output = Finish> + Send>>) -> mlua::Result<Finish> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(future))
}

#[cfg(not(test))]
fn without_process(_: Pin<Box<dyn Future<Output = Finish> + Send>>) -> mlua::Result<Finish> {
    Err(raise(Error::internal("cannot wait outside of a process")))
}

/// Counts what an object holds outside of the state against the memory limit, as long as the object keeps what this
/// gives. None in a state that no process made.
pub fn weigh(lua: &Lua, bytes: usize) -> Option<Weight> {
    driver::attached(lua).map(|caller| caller.weigh(bytes))
}

/// The results `value, nil` or `nil, err`.
///
/// # Errors
/// When the state has no memory for them.
pub fn outcome(lua: &Lua, result: Result<impl IntoLua>) -> mlua::Result<MultiValue> {
    match result {
        Ok(value) => (value, Value::Nil).into_lua_multi(lua),
        Err(error) => failure(lua, error),
    }
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
