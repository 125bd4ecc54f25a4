//! Spawners: what `process.with_context` and `process.with_options` give, an immutable builder of how children are
//! started. Its spawn calls are in `spawn`. Wrong use raises.

use std::ffi::c_int;
use std::sync::Arc;

use mlua::{Lua as Mlua, MultiValue, UserData, UserDataFields, UserDataMethods, Value as LuaValue};

use super::raw::*;
use super::{Weight, crossing, spawn};
use crate::lua::error::{bad_argument, mistake};
use crate::lua::host::{authorize, weigh};
use crate::lua::modules::security::{actor_argument, scope_argument};
use crate::process::{Context, Permission, Spawn, Topic};
use crate::value::Packed;

/// What it adds to a spawn.
#[derive(Clone, Default)]
pub struct Spawner {
    /// Laid over the context of the process that spawns.
    over: Context,
    name: Option<String>,
    messages: Vec<(Topic, Packed)>,
    /// All of it is outside of the state.
    _weight: Option<Arc<Weight>>,
}

/// `process.with_context(tbl)`.
pub unsafe extern "C-unwind" fn with_context(l: Lua) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe { call(l, |lua, table| Spawner::default().with_context(lua, &table)) }
}

/// `process.with_options(tbl)`.
pub unsafe extern "C-unwind" fn with_options(l: Lua) -> c_int {
    // SAFETY: as every C function of ours.
    unsafe { call(l, |_, table| Spawner::default().with_options(&table)) }
}

/// Calls an mlua function with the arguments that are on the stack.
unsafe fn call(l: Lua, function: fn(&Mlua, LuaValue) -> mlua::Result<Spawner>) -> c_int {
    // SAFETY: nothing with a destructor is alive when the function raises.
    unsafe {
        host(l, move |driver| {
            let function = driver.mlua().create_function(function);
            push_mlua(l, driver, function.map(LuaValue::Function));
            Act::Return(1)
        });
        lua_insert(l, 1);
        lua_call(l, lua_gettop(l) - 1, 1);
        1
    }
}

impl UserData for Spawner {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_meta_field("__name", "Spawner");
        for (name, function) in spawn::METHODS {
            fields.add_field(name.to_string_lossy(), Raw(function));
        }
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("with_context", |lua, this, table: LuaValue| {
            this.with_context(lua, &table)
        });
        // It is as heavy as the one that it is made of, whose weight it has.
        methods.add_method("with_options", |_, this, table: LuaValue| this.with_options(&table));
        methods.add_method("with_actor", |lua, this, actor: LuaValue| {
            authorize(lua, Permission::Security, "actor")?;
            let actor = actor_argument(1, "with_actor", &actor)?;
            Ok(this.changed(lua, |spawner| {
                spawner.over = this.over.clone().with_actor(actor);
            }))
        });
        methods.add_method("with_scope", |lua, this, scope: LuaValue| {
            authorize(lua, Permission::Security, "scope")?;
            let scope = scope_argument(1, "with_scope", &scope)?;
            Ok(this.changed(lua, |spawner| {
                spawner.over = this.over.clone().with_scope(scope);
            }))
        });
        methods.add_method("with_name", |lua, this, name: LuaValue| this.with_name(lua, &name));
        methods.add_method("with_message", |lua, this, (topic, values): (LuaValue, MultiValue)| {
            this.with_message(lua, &topic, values)
        });
    }
}

impl Spawner {
    /// A copy that is changed, with its own weight.
    fn changed(&self, lua: &Mlua, change: impl FnOnce(&mut Spawner)) -> Spawner {
        let mut spawner = self.clone();
        change(&mut spawner);
        let messages = spawner.messages.iter();
        let messages: usize = messages.map(|(topic, payload)| topic.len() + payload.size()).sum();
        let name = spawner.name.as_ref().map_or(0, String::len);
        spawner._weight = weigh(lua, spawner.over.weight() + messages + name).map(Arc::new);
        spawner
    }

    fn with_context(&self, lua: &Mlua, table: &LuaValue) -> mlua::Result<Spawner> {
        let values = context_values(lua, table, Permission::Context)?;
        Ok(self.changed(lua, |spawner| {
            spawner.over = self.over.clone().with_values(values);
        }))
    }

    /// No option has an effect here.
    fn with_options(&self, table: &LuaValue) -> mlua::Result<Spawner> {
        named_fields("with_options", table)?;
        Ok(self.clone())
    }

    fn with_name(&self, lua: &Mlua, name: &LuaValue) -> mlua::Result<Spawner> {
        let text = text_argument("with_name", name)?;
        if text.is_empty() {
            return Err(mistake("bad argument #1 to 'with_name' (name must not be empty)"));
        }
        Ok(self.changed(lua, |spawner| spawner.name = Some(text)))
    }

    fn with_message(&self, lua: &Mlua, topic: &LuaValue, values: MultiValue) -> mlua::Result<Spawner> {
        let topic = text_argument("with_message", topic)?;
        if topic.starts_with('@') {
            return Err(mistake("bad argument #1 to 'with_message' (cannot send to @ topics)"));
        }
        let message = (topic.into(), crossing::pack(lua, values)?);
        Ok(self.changed(lua, |spawner| spawner.messages.push(message)))
    }

    /// The spawn with what is set here.
    pub fn apply(self, spawn: Spawn) -> Spawn {
        Spawn {
            context: Arc::new(spawn.context.under(&self.over)),
            name: self.name,
            messages: self.messages,
            ..spawn
        }
    }
}

/// The values that a `with_context` sets, each of which needs that permission.
///
/// # Errors
/// Raises for what is no table, for names that are no text, and without permission.
pub fn context_values(lua: &Mlua, table: &LuaValue, permission: Permission) -> mlua::Result<Vec<(String, Packed)>> {
    let mut values = Vec::new();
    for (name, value) in named_fields("with_context", table)? {
        authorize(lua, permission, &name)?;
        values.push((name, crossing::pack(lua, value)?));
    }
    Ok(values)
}

fn named_fields(function: &str, table: &LuaValue) -> mlua::Result<Vec<(String, LuaValue)>> {
    let LuaValue::Table(fields) = table else {
        return Err(bad_argument(1, function, "table", table));
    };
    let mut named = Vec::new();
    for pair in fields.pairs::<LuaValue, LuaValue>() {
        let (name, value) = pair?;
        let name = match &name {
            LuaValue::String(name) => name.to_str().ok().map(|name| name.to_owned()),
            _ => None,
        };
        let name = name.ok_or_else(|| mistake(format!("bad argument #1 to '{function}' (keys must be text)")))?;
        named.push((name, value));
    }
    Ok(named)
}

fn text_argument(function: &str, value: &LuaValue) -> mlua::Result<String> {
    let text = match value {
        LuaValue::String(text) => text.to_str().map(|text| text.to_owned()),
        other => return Err(bad_argument(1, function, "string", other)),
    };
    text.map_err(|_| mistake(format!("bad argument #1 to '{function}' (not UTF-8 text)")))
}
