//! The module `registry`: the entries of the project as they are written. What a query means is in
//! [`Query`](crate::project::Query).

use std::sync::Arc;

use mlua::{Lua, MultiValue, Table, Value as LuaValue};

use crate::error::Error;
use crate::id::EntryId;
use crate::lua::error::bad_argument;
use crate::lua::host::{context, failure, outcome};
use crate::lua::tree;
use crate::project::{Entry, Query, Registry};
use crate::value::Value;

pub fn open(lua: &Lua) -> mlua::Result<Table> {
    let module = lua.create_table_with_capacity(0, 2)?;
    module.raw_set("find", lua.create_function(find)?)?;
    module.raw_set("get", lua.create_function(get)?)?;
    Ok(module)
}

fn find(lua: &Lua, query: LuaValue) -> mlua::Result<MultiValue> {
    let Value::Table(wanted) = tree::from_lua(&query)? else {
        return Err(bad_argument(1, "find", "table", &query));
    };
    let query = match Query::new(&wanted) {
        Ok(query) => query,
        Err(error) => return failure(lua, error),
    };
    let registry = looked_through(lua)?;
    let found = registry.iter().filter(|entry| query.matches(entry));
    let found = found
        .map(|entry| shown(lua, entry))
        .collect::<mlua::Result<Vec<Table>>>()?;
    outcome(lua, Ok(found))
}

fn get(lua: &Lua, id: LuaValue) -> mlua::Result<MultiValue> {
    let LuaValue::String(id) = &id else {
        return Err(bad_argument(1, "get", "string", &id));
    };
    let id = id.to_string_lossy();
    let registry = looked_through(lua)?;
    // What is no id names no entry.
    let entry = EntryId::parse(&id).ok().and_then(|id| registry.get(&id));
    match entry {
        Some(entry) => outcome(lua, Ok(shown(lua, entry)?)),
        None => failure(lua, Error::not_found(format!("entry not found: {id}"))),
    }
}

/// The entries as they are now.
fn looked_through(lua: &Lua) -> mlua::Result<Arc<Registry>> {
    let engine = context(lua)?.engine.clone();
    if let Some(uses) = &engine.uses {
        uses.registry();
    }
    Ok(engine.registry())
}

fn shown(lua: &Lua, entry: &Entry) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, 4)?;
    table.raw_set("id", entry.id.as_str())?;
    table.raw_set("kind", entry.kind.as_str())?;
    table.raw_set("meta", tree::to_lua(lua, &entry.meta)?)?;
    table.raw_set("data", tree::to_lua(lua, &entry.data())?)?;
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::super::testing::World;
    use super::*;

    #[test]
    fn entries_are_found_and_shown_as_they_are_written() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("app.yaml"),
            r#"
namespace: app
meta: { team: core }
entries:
  - { name: vars, kind: env.storage.static, values: { X: one } }
  - { name: x, kind: env.variable, storage: app:vars, variable: X }
  - { name: config, kind: registry.entry, meta: { tags: [a, b] }, host: "${env:X}", port: 80 }
  - { name: broken, kind: function.lua }
  - { name: odd, kind: workflow.lua, step: 1 }
  - { name: listed, kind: registry.entry, data: [1, 2] }
"#,
        )
        .unwrap();
        let project = crate::system::load(folder.path(), &[]);
        let world = World::new(std::sync::Arc::into_inner(project.registry).unwrap(), None);
        let registry = open(&world.lua).unwrap();
        world.lua.globals().set("registry", registry).unwrap();
        world.run(
            r#"
            local config, err = registry.get("app:config")
            assert(err == nil and config.id == "app:config" and config.kind == "registry.entry")
            assert(config.data.host == "${env:X}" and config.data.port == 80 and config.data.meta == nil)
            assert(config.meta.team == "core" and config.meta.tags[2] == "b")
            assert(registry.get("app:broken").kind == "function.lua" and registry.get("app:odd").data.step == 1)
            assert(registry.get("app:listed").data[2] == 2 and next(registry.get("app:broken").data) == nil)
            config.data.port = 81
            assert(registry.get("app:config").data.port == 80)
            for _, id in ipairs{"app:none", "config", ""} do
                local entry, err = registry.get(id)
                assert(entry == nil and err:kind() == "NotFound" and err:message() == "entry not found: " .. id)
            end
            local function ids(query)
                local found, err = registry.find(query)
                assert(err == nil, tostring(err))
                local ids = {}
                for i, entry in ipairs(found) do ids[i] = entry.id end
                return table.concat(ids, " ")
            end
            assert(ids{[".kind"] = "env.*"} == "app:vars app:x")
            assert(ids{["meta.tags"] = {"b"}} == "app:config" and ids{meta = {team = "core"}, [".name"] = "*o*"} == "app:config app:broken app:odd")
            assert(ids{["*meta.tags"] = "a", ["^meta.team"] = "c"} == "app:config" and ids{[".ns"] = "other"} == "")
            assert(ids{} == "app:vars app:x app:config app:broken app:odd app:listed")
            local found, err = registry.find{["~meta.team"] = "["}
            assert(found == nil and err:kind() == "Invalid" and err:retryable() == false)
            assert(not pcall(registry.find) and not pcall(registry.find, "x") and not pcall(registry.get))
            "#,
        );
    }
}
