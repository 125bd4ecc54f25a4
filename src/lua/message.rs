//! Message objects: what `inbox()` channels hand out.

use mlua::{Lua, MetaMethod, UserData, UserDataMethods, Value};

use crate::lua::driver::raw;
use crate::lua::driver::{Driver, Weight};
use crate::lua::host::raise;
use crate::lua::modules::payload;
use crate::process;

/// A message as an object; its payloads are unpacked when asked for.
struct Message {
    message: process::Message,
    /// The payloads are outside of the state.
    _weight: Weight,
}

impl Message {
    fn payload(&self, lua: &Lua) -> mlua::Result<Value> {
        let payload = &self.message.payload;
        match payload.is_empty() {
            true => Ok(Value::Nil),
            false => payload::wrap_all(lua, payload::each(payload.clone()).map_err(raise)?),
        }
    }
}

impl UserData for Message {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("topic", |lua, this, ()| {
            lua.create_string(this.message.topic.as_bytes())
        });
        methods.add_method("from", |_, this, ()| {
            Ok(this.message.from.as_ref().map(ToString::to_string).unwrap_or_default())
        });
        methods.add_method("payload", |lua, this, ()| this.payload(lua));
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            Ok(format!("process.Message{{topic={}}}", this.message.topic))
        });
    }
}

/// Pushes the object.
///
/// # Safety
/// Inside `raw::host` or with the memory limit lifted.
pub unsafe fn push(l: raw::Lua, driver: &mut Driver, message: process::Message) {
    let _weight = driver.weigh(message.payload.size());
    let object = driver.mlua().create_userdata(Message { message, _weight });
    let object = object.map(Value::UserData);
    // SAFETY: as stated.
    unsafe { raw::push_mlua(l, driver, object) };
}
