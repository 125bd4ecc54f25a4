//! The module `security`: actors and scopes, who one is at the moment, and what one may do.

use std::sync::Arc;

use mlua::{Lua, MetaMethod, Table, UserData, UserDataFields, UserDataMethods, Value as LuaValue};

use crate::lua::driver::Weight;
use crate::lua::error::{bad_argument, text_argument};
use crate::lua::host::{context, weigh};
use crate::lua::tree;
use crate::process::{Actor, Scope};
use crate::value::Value;

pub fn open(lua: &Lua) -> mlua::Result<Table> {
    let module = lua.create_table_with_capacity(0, 5)?;
    module.raw_set("new_actor", lua.create_function(new_actor)?)?;
    let new_scope = |_: &Lua, ()| Ok(LuaScope(Arc::default()));
    module.raw_set("new_scope", lua.create_function(new_scope)?)?;
    let actor = |lua: &Lua, ()| Ok(context(lua)?.process.context().actor().cloned().map(LuaActor::kept));
    module.raw_set("actor", lua.create_function(actor)?)?;
    let scope = |lua: &Lua, ()| Ok(context(lua)?.process.context().scope().cloned().map(LuaScope));
    module.raw_set("scope", lua.create_function(scope)?)?;
    module.raw_set("can", lua.create_function(can)?)?;
    Ok(module)
}

struct LuaActor {
    actor: Arc<Actor>,
    /// A new actor is outside of the state.
    _weight: Option<Weight>,
}

impl LuaActor {
    /// One that the process holds anyway.
    fn kept(actor: Arc<Actor>) -> LuaActor {
        LuaActor { actor, _weight: None }
    }
}

impl UserData for LuaActor {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_meta_field("__name", "Actor");
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("id", |_, this, ()| Ok(this.actor.id.clone()));
        methods.add_method("meta", |lua, this, ()| tree::to_lua(lua, &this.actor.meta));
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            Ok(format!("security.Actor{{id={}}}", this.actor.id))
        });
    }
}

struct LuaScope(Arc<Scope>);

impl UserData for LuaScope {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_meta_field("__name", "Scope");
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("policies", |_, this, ()| Ok(this.0.policies.clone()));
    }
}

fn new_actor(lua: &Lua, (id, meta): (LuaValue, LuaValue)) -> mlua::Result<LuaActor> {
    let id = text_argument(1, "new_actor", &id)?;
    let meta = match &meta {
        LuaValue::Nil => Value::map::<&str>([]),
        LuaValue::Table(_) => tree::from_lua(&meta)?,
        other => return Err(bad_argument(2, "new_actor", "table", other)),
    };
    let actor = Actor { id, meta };
    let _weight = weigh(lua, actor.weight());
    Ok(LuaActor {
        actor: Arc::new(actor),
        _weight,
    })
}

fn can(lua: &Lua, (action, resource, _meta): (LuaValue, LuaValue, LuaValue)) -> mlua::Result<bool> {
    let (action, resource) = (text_argument(1, "can", &action)?, text_argument(2, "can", &resource)?);
    let context = context(lua)?;
    Ok(context.process.kernel().allows(&context.process, &action, &resource))
}

/// The actor that a function was given.
///
/// # Errors
/// Raises for everything else.
pub fn actor_argument(position: usize, function: &str, value: &LuaValue) -> mlua::Result<Arc<Actor>> {
    let object = value.as_userdata().and_then(|object| object.borrow::<LuaActor>().ok());
    let actor = object.map(|actor| actor.actor.clone());
    actor.ok_or_else(|| bad_argument(position, function, "Actor", value))
}

/// The scope that a function was given.
///
/// # Errors
/// Raises for everything else.
pub fn scope_argument(position: usize, function: &str, value: &LuaValue) -> mlua::Result<Arc<Scope>> {
    let object = value.as_userdata().and_then(|object| object.borrow::<LuaScope>().ok());
    let scope = object.map(|scope| scope.0.clone());
    scope.ok_or_else(|| bad_argument(position, function, "Scope", value))
}
