//! The module `logger`: log records with the process's pid and entry, through loggers with a name and fields of their own.

use std::collections::HashSet;
use std::sync::Arc;

use mlua::{IntoLua, Lua, Table, UserData, UserDataFields, UserDataMethods, UserDataRef, Value as LuaValue};

use crate::log::{Level, Record};
use crate::lua::driver::{Weight, showing_first};
use crate::lua::error::{self, bad_argument};
use crate::lua::host::{context, weigh};
use crate::lua::tree::{self, Budget};
use crate::value::Value;

/// The root logger.
pub fn open(lua: &Lua) -> mlua::Result<LuaValue> {
    Logger::default().into_lua(lua)
}

#[derive(Clone, Default)]
struct Logger {
    /// Dotted, empty for the root.
    name: String,
    /// What every record of it carries.
    fields: Arc<Vec<(String, Value)>>,
    /// Both are outside of the state.
    _weight: Option<Arc<Weight>>,
}

const LEVELS: [Level; 4] = [Level::Debug, Level::Info, Level::Warn, Level::Error];

/// The method that logs at that level.
struct Method(Level);

impl IntoLua for Method {
    fn into_lua(self, lua: &Lua) -> mlua::Result<LuaValue> {
        type Arguments = (UserDataRef<Logger>, LuaValue, LuaValue);
        let record = move |lua: &Lua, (this, message, fields): Arguments| this.record(lua, self.0, message, fields);
        showing_first(lua, lua.create_function(record)?).map(LuaValue::Function)
    }
}

impl UserData for Logger {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        for level in LEVELS {
            fields.add_field(level.as_str(), Method(level));
        }
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("with", |lua, this, fields: LuaValue| {
            let fields = this.merged(read(lua, 1, "with", &fields)?);
            Ok(Logger::new(lua, this.name.clone(), Arc::new(fields)))
        });
        methods.add_method("named", |lua, this, name: LuaValue| this.named(lua, &name));
    }
}

impl Logger {
    fn new(lua: &Lua, name: String, fields: Arc<Vec<(String, Value)>>) -> Logger {
        let _weight = weigh(lua, weight(&fields) + name.len()).map(Arc::new);
        Logger { name, fields, _weight }
    }

    fn record(&self, lua: &Lua, level: Level, message: LuaValue, fields: LuaValue) -> mlua::Result<()> {
        let message = match &message {
            LuaValue::Nil => return Err(bad_argument(1, level.as_str(), "string", &message)),
            message => tree::display(lua, message)?,
        };
        if !fields.is_nil() && !fields.is_table() {
            return Err(bad_argument(2, level.as_str(), "table", &fields));
        }
        let context = context(lua)?;
        let log = context.process.kernel().log();
        // What nobody wants is not copied.
        if log.enabled(level) {
            let fields = match fields {
                LuaValue::Nil => Vec::new(),
                fields => read(lua, 2, level.as_str(), &fields)?,
            };
            let _weight = weigh(lua, weight(&fields));
            let message = String::from_utf8_lossy(&message);
            let record = Record::new(level, message).about(context.process.pid(), context.entry());
            log.record(Record {
                logger: self.name.clone(),
                fields: self.merged(fields),
                ..record
            });
        }
        Ok(())
    }

    /// Its own fields and these; a later one replaces one of the same name.
    fn merged(&self, more: Vec<(String, Value)>) -> Vec<(String, Value)> {
        let replaced: HashSet<&str> = more.iter().map(|(name, _)| name.as_str()).collect();
        let kept = self.fields.iter().filter(|(name, _)| !replaced.contains(name.as_str()));
        let mut merged: Vec<_> = kept.cloned().collect();
        merged.extend(more);
        merged
    }

    fn named(&self, lua: &Lua, name: &LuaValue) -> mlua::Result<Logger> {
        let name = match name {
            LuaValue::String(text) if !text.as_bytes().is_empty() => text.to_string_lossy(),
            LuaValue::String(_) => return Err(error::mistake("bad argument #1 to 'named' (name must not be empty)")),
            other => return Err(bad_argument(1, "named", "string", other)),
        };
        let name = match self.name.as_str() {
            "" => name,
            parent => format!("{parent}.{name}"),
        };
        Ok(Logger::new(lua, name, self.fields.clone()))
    }
}

/// About how many bytes they hold.
fn weight(fields: &[(String, Value)]) -> usize {
    fields.iter().map(|(name, value)| name.len() + value.weight()).sum()
}

/// The fields of a table by name, sorted: a Lua table has no order of its own.
fn read(lua: &Lua, position: usize, function: &str, fields: &LuaValue) -> mlua::Result<Vec<(String, Value)>> {
    let LuaValue::Table(table) = fields else {
        return Err(bad_argument(position, function, "table", fields));
    };
    let mut fields = pairs(lua, table)?;
    fields.sort_by(|(left, _), (right, _)| left.cmp(right));
    Ok(fields)
}

fn pairs(lua: &Lua, table: &Table) -> mlua::Result<Vec<(String, Value)>> {
    let mut fields = Vec::new();
    let mut budget = Budget::default();
    for pair in table.pairs::<LuaValue, LuaValue>() {
        let (name, value) = pair?;
        let value = match budget.lift(&value)? {
            // What is too long is left out.
            Value::Nil if value.is_string() => Value::Nil,
            // A Time or a Duration says more as text than as nothing.
            Value::Nil => Value::Str(tree::display(lua, &value)?),
            plain => plain,
        };
        let name = tree::display(lua, &name)?;
        fields.push((String::from_utf8_lossy(&name).into_owned(), value));
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::super::testing::World;
    use super::*;
    use crate::project::Registry;

    #[test]
    fn records_carry_names_fields_and_the_process() {
        let world = World::new(Registry::default(), None);
        world.lua.globals().set("logger", open(&world.lua).unwrap()).unwrap();
        let time = super::super::time::open(&world.lua).unwrap();
        world.lua.globals().set("time", time).unwrap();
        world.run(
            r#"
            assert(select('#', logger:info("plain")) == 0)
            logger:debug("not wanted")
            local child = logger:with({b = 1, a = {deep = {true}}}):named("db"):named("pool")
            child:warn("child", {b = 2, took = time.seconds(2)})
            logger:error(42, {})
            assert(not pcall(logger.named, logger, "") and not pcall(logger.info, logger) and not pcall(logger.with, logger, 1))
            "#,
        );
        let records = world.records.lock().unwrap();
        assert_eq!(records.len(), 3);
        let child = &records[1];
        assert_eq!(
            (child.level, child.message.as_str(), child.logger.as_str()),
            (Level::Warn, "child", "db.pool")
        );
        let names: Vec<&str> = child.fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b", "took"]);
        assert_eq!(child.fields[1].1, Value::Int(2));
        assert_eq!(child.fields[2].1, Value::from("2s"));
        assert_eq!(child.pid.as_ref(), Some(world.context.process.pid()));
        assert_eq!(child.entry.as_ref().map(|entry| entry.as_str()), Some("app:main"));
        assert_eq!(records[2].message, "42");
    }

    #[test]
    fn the_fields_of_a_record_share_a_bound() {
        let world = World::new(Registry::default(), None);
        world.lua.globals().set("logger", open(&world.lua).unwrap()).unwrap();
        world.run(
            r#"
            local wide = {1}
            for _ = 1, 30 do wide = {wide, wide} end
            logger:info("x", {a = wide, b = wide, c = wide})
            logger:debug("x", {a = wide, b = wide, c = wide})
            assert(not pcall(logger.debug, logger, "x", 1))
            "#,
        );
        let records = world.records.lock().unwrap();
        assert_eq!(records.len(), 1);
        let held = weight(&records[0].fields) / size_of::<Value>();
        assert!((900_000..1_100_000).contains(&held), "{held}");
    }
}
