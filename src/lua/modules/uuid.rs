//! The module `uuid`: universally unique identifiers of RFC 9562, in versions 1, 3, 4, 5 and 7.

use std::sync::OnceLock;

use mlua::{Lua, MultiValue, Table, Value};
use uuid::{Uuid, Variant};

use crate::error::{Error, Result};
use crate::lua::error::type_name;
use crate::lua::host::{failure, outcome};

pub fn open(lua: &Lua) -> mlua::Result<Table> {
    let module = lua.create_table_with_capacity(0, 10)?;
    for (name, make) in [
        ("v1", (|| Uuid::now_v1(node())) as fn() -> Uuid),
        ("v4", Uuid::new_v4),
        ("v7", Uuid::now_v7),
    ] {
        let make = move |lua: &Lua, ()| outcome(lua, Ok(make().to_string()));
        module.raw_set(name, lua.create_function(make)?)?;
    }
    for (name, make) in [("v3", Uuid::new_v3 as fn(&Uuid, &[u8]) -> Uuid), ("v5", Uuid::new_v5)] {
        let make = move |lua: &Lua, args: (Value, Value)| named(lua, make, &args);
        module.raw_set(name, lua.create_function(make)?)?;
    }
    module.raw_set(
        "validate",
        lua.create_function(|_, text: Value| Ok(parsed(&text).is_ok()))?,
    )?;
    module.raw_set("version", lua.create_function(version)?)?;
    module.raw_set("variant", lua.create_function(variant)?)?;
    module.raw_set("parse", lua.create_function(parse)?)?;
    module.raw_set("format", lua.create_function(format)?)?;
    Ok(module)
}

/// The node of this program in version 1: random, as the RFC allows, instead of an address of the machine's.
fn node() -> &'static [u8; 6] {
    static NODE: OnceLock<[u8; 6]> = OnceLock::new();
    NODE.get_or_init(|| {
        let mut node = [0; 6];
        node.copy_from_slice(&Uuid::new_v4().as_bytes()[10..]);
        // The multicast bit: no network card has such an address.
        node[0] |= 1;
        node
    })
}

fn parsed(value: &Value) -> Result<Uuid> {
    let Value::String(text) = value else {
        let got = type_name(value);
        return Err(Error::invalid(format!("invalid UUID: expected a string, got {got}")));
    };
    let text = text.to_string_lossy();
    Uuid::try_parse(&text).map_err(|fault| Error::invalid(format!("invalid UUID {text:?}: {fault}")))
}

fn named(lua: &Lua, make: fn(&Uuid, &[u8]) -> Uuid, (space, name): &(Value, Value)) -> mlua::Result<MultiValue> {
    let name = match name {
        Value::String(name) => Ok(name.as_bytes()),
        _ => Err(Error::invalid("the name of a UUID must be a string")),
    };
    outcome(
        lua,
        parsed(space).and_then(|space| Ok(make(&space, &name?).to_string())),
    )
}

fn version(lua: &Lua, value: Value) -> mlua::Result<MultiValue> {
    outcome(lua, parsed(&value).map(|uuid| uuid.get_version_num()))
}

fn variant(lua: &Lua, value: Value) -> mlua::Result<MultiValue> {
    outcome(lua, parsed(&value).map(|uuid| variant_name(&uuid)))
}

fn variant_name(uuid: &Uuid) -> &'static str {
    match uuid.get_variant() {
        Variant::RFC4122 => "RFC4122",
        Variant::Microsoft => "Microsoft",
        Variant::NCS => "NCS",
        Variant::Future => "Future",
        _ => "Invalid",
    }
}

fn parse(lua: &Lua, value: Value) -> mlua::Result<MultiValue> {
    match parsed(&value) {
        Ok(uuid) => outcome(lua, Ok(fields(lua, &uuid)?)),
        Err(error) => failure(lua, error),
    }
}

fn fields(lua: &Lua, uuid: &Uuid) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, 4)?;
    table.raw_set("version", uuid.get_version_num())?;
    table.raw_set("variant", variant_name(uuid))?;
    if let (1 | 7, Some(timestamp)) = (uuid.get_version_num(), uuid.get_timestamp()) {
        table.raw_set("timestamp", timestamp.to_unix().0)?;
    }
    if let (1, Some(node)) = (uuid.get_version_num(), uuid.get_node_id()) {
        let hex: String = node.iter().map(|byte| format!("{byte:02x}")).collect();
        table.raw_set("node", hex)?;
    }
    Ok(table)
}

fn format(lua: &Lua, (value, format): (Value, Value)) -> mlua::Result<MultiValue> {
    outcome(lua, parsed(&value).and_then(|uuid| shown(&uuid, &format)))
}

fn shown(uuid: &Uuid, format: &Value) -> Result<String> {
    let name = match format {
        Value::Nil => "standard".to_owned(),
        Value::String(name) => name.to_string_lossy(),
        other => type_name(other).to_owned(),
    };
    match name.as_str() {
        "standard" => Ok(uuid.hyphenated().to_string()),
        "simple" => Ok(uuid.simple().to_string()),
        "urn" => Ok(uuid.urn().to_string()),
        _ => Err(Error::invalid(format!(
            "unknown UUID format {name:?}: must be \"standard\", \"simple\" or \"urn\""
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_made_read_and_shown() {
        let lua = Lua::new();
        lua.globals().set("uuid", open(&lua).unwrap()).unwrap();
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        lua.globals().set("now", now.as_secs()).unwrap();
        lua.load(
            r##"
            local shape = "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$"
            local dns = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
            for number, make in pairs{[1] = uuid.v1, [4] = uuid.v4, [7] = uuid.v7} do
                local id, err = make()
                assert(err == nil and id:match(shape) and id ~= make() and uuid.validate(id))
                local parts = uuid.parse(id)
                assert(uuid.version(id) == number and parts.version == number and parts.variant == "RFC4122")
                assert((parts.node ~= nil) == (number == 1) and (parts.timestamp ~= nil) == (number ~= 4))
                assert(not parts.timestamp or math.abs(parts.timestamp - now) < 3600)
                assert(math.type(parts.timestamp or 1) == "integer" and #(parts.node or "123456789abc") == 12)
            end
            -- RFC 9562, appendix A
            assert(uuid.v3(dns, "www.example.com") == "5df41881-3aed-3515-88a7-2f4a814cf09e")
            assert(uuid.v5(dns, "www.example.com") == "2ed6657d-e927-568b-95e1-2665a8aea6a2")
            local old = uuid.parse("c232ab00-9414-11ec-b3c8-9f6bdeced846")
            assert(old.timestamp == 1645557742 and old.node == "9f6bdeced846")
            assert(uuid.parse("017f22e2-79b0-7cc3-98c4-dc0c0c07398f").timestamp == 1645557742)
            assert(uuid.variant(dns) == "RFC4122" and uuid.variant("00000000-0000-0000-0000-000000000000") == "NCS")
            assert(uuid.variant("00000000-0000-0000-c000-000000000046") == "Microsoft")
            assert(uuid.variant("00000000-0000-0000-e000-000000000046") == "Future")
            local plain = dns:gsub("-", "")
            assert(uuid.format(dns, "simple") == plain and uuid.format(plain, "standard") == dns and uuid.format(plain) == dns)
            assert(uuid.format(dns, "urn") == "urn:uuid:" .. dns and uuid.validate(dns:upper()))
            for _, bad in ipairs{"", "x", dns .. "0", dns:sub(2), "g" .. dns:sub(2), "\xff", 1, {}, true} do
                assert(uuid.validate(bad) == false)
                for _, read in ipairs{uuid.version, uuid.variant, uuid.parse, uuid.format, uuid.v3, uuid.v5} do
                    local value, err = read(bad, "standard")
                    assert(value == nil and err:kind() == "Invalid" and err:retryable() == false)
                end
            end
            assert(uuid.validate(nil) == false and uuid.validate() == false)
            for _, call in ipairs{{uuid.v5, dns}, {uuid.v3, dns, 1}, {uuid.format, dns, "odd"}, {uuid.format, dns, 1}, {uuid.parse}} do
                local value, err = call[1](call[2], call[3])
                assert(value == nil and err:kind() == "Invalid")
            end
            "##,
        )
        .exec()
        .unwrap();
    }
}
