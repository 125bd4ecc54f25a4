//! The module `env`: declared environment variables, as [`Env`](crate::system::Env) finds them.

use mlua::{Lua, MultiValue, Table, Value};

use crate::error::{Error, Result};
use crate::lua::error::bad_argument;
use crate::lua::host::{context, failure, false_failure, outcome};
use crate::process::Permission;

pub fn open(lua: &Lua) -> mlua::Result<Table> {
    let module = lua.create_table_with_capacity(0, 3)?;
    module.raw_set("get", lua.create_function(get)?)?;
    module.raw_set("set", lua.create_function(set)?)?;
    module.raw_set("get_all", lua.create_function(get_all)?)?;
    Ok(module)
}

/// A string argument; one that is not text names nothing and holds nothing here.
fn text(position: usize, function: &str, value: &Value) -> mlua::Result<Result<String>> {
    match value {
        Value::String(text) => Ok(match text.to_str() {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(Error::invalid("not UTF-8 text")),
        }),
        other => Err(bad_argument(position, function, "string", other)),
    }
}

fn get(lua: &Lua, key: Value) -> mlua::Result<MultiValue> {
    let context = context(lua)?;
    let key = text(1, "get", &key)?;
    let get = |key: String| {
        context.authorize(Permission::EnvGet, &key)?;
        context.engine.system.env().get(&key, context.namespace())
    };
    outcome(lua, key.and_then(get))
}

fn set(lua: &Lua, (key, value): (Value, Value)) -> mlua::Result<MultiValue> {
    let context = context(lua)?;
    let key = text(1, "set", &key)?;
    let value = text(2, "set", &value)?;
    let store = |key: String, value: String| {
        context.authorize(Permission::EnvSet, &key)?;
        context.engine.system.env().set(&key, context.namespace(), &value)
    };
    match key.and_then(|key| store(key, value?)) {
        Ok(()) => Ok(MultiValue::from_iter([Value::Boolean(true), Value::Nil])),
        Err(error) => false_failure(lua, error),
    }
}

fn get_all(lua: &Lua, (): ()) -> mlua::Result<MultiValue> {
    let context = context(lua)?;
    let is_readable = |name: &str| context.authorize(Permission::EnvGet, name).is_ok();
    match context.engine.system.env().all(is_readable) {
        Ok(all) => outcome(lua, Ok(lua.create_table_from(all)?)),
        Err(error) => failure(lua, error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::testing::World;
    use super::*;
    use crate::id::EntryId;
    use crate::project::{Entry, FileStorageSpec, Registry, Spec, StorageSpec, VariableSpec};

    fn storage(name: &str, spec: StorageSpec) -> Arc<Entry> {
        Arc::new(Entry::made(
            EntryId::new("app", name),
            "env.storage.any",
            Spec::Storage(spec),
        ))
    }

    fn variable(name: &str, storage: &str, public: Option<&str>) -> Arc<Entry> {
        let spec = VariableSpec {
            storage: EntryId::new("app", storage),
            name: public.map(str::to_owned),
            default: None,
            read_only: false,
        };
        Arc::new(Entry::made(
            EntryId::new("app", name),
            "env.variable",
            Spec::Variable(spec),
        ))
    }

    #[test]
    fn a_storage_that_cannot_be_read_has_no_list() {
        let folder = tempfile::tempdir().unwrap();
        let spec = FileStorageSpec {
            path: folder.path().to_owned(),
            written: "./env".to_owned(),
            auto_create: false,
            file_mode: 0o600,
            dir_mode: 0o700,
        };
        let entries = [
            storage("folder", StorageSpec::File(spec)),
            variable("hi", "folder", Some("HI")),
        ];
        let world = World::new(Registry::new(entries), None);
        world.lua.globals().set("env", open(&world.lua).unwrap()).unwrap();
        world.run(
            r#"
            local all, err = env.get_all()
            assert(all == nil and err:kind() == "Internal" and err:message():find("./env", 1, true), err)
            "#,
        );
    }

    #[test]
    fn variables_are_read_and_written_as_declared() {
        let world = World::new(
            Registry::new([
                storage("memory", StorageSpec::Memory),
                storage(
                    "fixed",
                    StorageSpec::Static(vec![("HI".to_owned(), "hello".to_owned())]),
                ),
                variable("hi", "fixed", Some("HI")),
                variable("note", "memory", Some("NOTE")),
                variable("quiet", "memory", None),
            ]),
            None,
        );
        world.lua.globals().set("env", open(&world.lua).unwrap()).unwrap();
        world.run(
            r#"
            local function fails(kind, first, value, err)
                assert(value == first and err:kind() == kind and err:retryable() == false, tostring(err))
            end
            assert(env.get("HI") == "hello" and env.get("app:hi") == "hello" and env.get("hi") == "hello")
            fails("Invalid", nil, env.get(""))
            fails("NotFound", nil, env.get("HOME"))
            fails("NotFound", nil, env.get("NOTE"))
            fails("Invalid", nil, env.get("\xff"))
            assert(env.set("NOTE", "a b") == true and env.get("note") == "a b" and env.set("quiet", "x"))
            fails("PermissionDenied", false, env.set("HI", "x"))
            fails("NotFound", false, env.set("HOME", "x"))
            fails("Invalid", false, env.set("", "x"))
            local all, err = env.get_all()
            assert(err == nil and all.HI == "hello" and all.NOTE == "a b" and all.quiet == nil)
            assert(not pcall(env.get) and not pcall(env.set, "NOTE") and not pcall(env.set, "NOTE", 1))
            "#,
        );
    }
}
