//! The global `os`: dates and clocks, and nothing of the operating system.

use std::sync::OnceLock;
use std::time::Instant;

use mlua::{Lua, Table, Value};

use super::time::layout::{MONTHS, WEEKDAYS};
use super::time::moment::{Civil, Fields, Moment, Zone};
use crate::lua::error::{bad_argument, mistake};
use crate::lua::host::unix_nanoseconds;

pub fn open(lua: &Lua) -> mlua::Result<Table> {
    let module = lua.create_table_with_capacity(0, 5)?;
    module.raw_set("platform", "wippy")?;
    module.raw_set("time", lua.create_function(time)?)?;
    module.raw_set("date", lua.create_function(date)?)?;
    module.raw_set("clock", lua.create_function(|_, ()| Ok(clock()))?)?;
    module.raw_set("difftime", lua.create_function(difftime)?)?;
    Ok(module)
}

fn difftime(lua: &Lua, (to, from): (Value, Value)) -> mlua::Result<f64> {
    let number = |position, value: Value| match lua.coerce_number(value.clone())? {
        Some(number) => Ok(number),
        None => Err(bad_argument(position, "difftime", "number", &value)),
    };
    Ok(number(1, to)? - number(2, from)?)
}

/// Seconds since the first state of this program asked.
fn clock() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

fn time(lua: &Lua, table: Value) -> mlua::Result<i64> {
    let now = Moment::unix(0, unix_nanoseconds(lua), Zone::Local);
    let table = match table {
        Value::Nil => return Ok(now.unix_seconds()),
        Value::Table(table) => table,
        other => return Err(bad_argument(1, "time", "table", &other)),
    };
    let today = now.civil();
    let fields = Fields {
        year: field(lua, &table, "year", 1900, today.year)?,
        month: field(lua, &table, "month", 1, today.month.into())?,
        day: field(lua, &table, "day", 0, today.day.into())?,
        hour: field(lua, &table, "hour", 0, 0)?,
        minute: field(lua, &table, "min", 0, 0)?,
        second: field(lua, &table, "sec", 0, 0)?,
        nanosecond: 0,
    };
    Ok(Moment::civil_in(fields, Zone::Local).unix_seconds())
}

/// An integer, or what Lua takes for one. `from` is what C's `struct tm` counts it from, in an `int`.
fn field(lua: &Lua, table: &Table, name: &str, from: i64, default: i64) -> mlua::Result<i64> {
    let value = table.get::<Value>(name)?;
    if value.is_nil() {
        return Ok(default);
    }
    let number = match value {
        Value::Integer(_) | Value::Number(_) | Value::String(_) => lua.coerce_integer(value)?,
        _ => None,
    };
    let number = number.ok_or_else(|| mistake(format!("field '{name}' is not an integer")))?;
    match number.checked_sub(from).map(i32::try_from) {
        Some(Ok(_)) => Ok(number),
        _ => Err(mistake(format!("field '{name}' is out-of-bound"))),
    }
}

fn date(lua: &Lua, (format, at): (Value, Value)) -> mlua::Result<Value> {
    let format = match &format {
        Value::Nil => "%c".to_owned(),
        Value::String(text) => text.to_string_lossy(),
        other => return Err(bad_argument(1, "date", "string", other)),
    };
    let (zone, format) = match format.strip_prefix('!') {
        Some(rest) => (Zone::Utc, rest),
        None => (Zone::Local, format.as_str()),
    };
    let moment = match &at {
        Value::Nil => Moment::unix(0, unix_nanoseconds(lua), zone),
        Value::Integer(seconds) => Moment::unix(*seconds, 0, zone),
        Value::Number(seconds) => Moment::unix(*seconds as i64, 0, zone),
        other => return Err(bad_argument(2, "date", "number", other)),
    };
    if format == "*t" {
        return table(lua, &moment.civil()).map(Value::Table);
    }
    let text = formatted(&moment.civil(), format)?;
    lua.create_string(text).map(Value::String)
}

fn table(lua: &Lua, civil: &Civil) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, 9)?;
    table.raw_set("year", civil.year)?;
    table.raw_set("isdst", civil.shift.summer)?;
    for (name, number) in [
        ("month", civil.month),
        ("day", civil.day),
        ("hour", civil.hour),
        ("min", civil.minute),
        ("sec", civil.second),
        ("wday", civil.weekday + 1),
        ("yday", civil.year_day),
    ] {
        table.raw_set(name, number)?;
    }
    Ok(table)
}

fn formatted(civil: &Civil, format: &str) -> mlua::Result<String> {
    let mut out = String::new();
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let specifier = rest.next();
        let shown = specifier.and_then(|specifier| conversion(civil, specifier));
        out.push_str(&shown.ok_or_else(|| {
            let specifier = specifier.map(String::from).unwrap_or_default();
            mistake(format!(
                "bad argument #1 to 'date' (invalid conversion specifier '%{specifier}')"
            ))
        })?);
    }
    Ok(out)
}

/// What C's `strftime` prints in the C locale.
fn conversion(civil: &Civil, specifier: char) -> Option<String> {
    let (weekday, month) = (WEEKDAYS[civil.weekday as usize], MONTHS[civil.month as usize - 1]);
    let clock = || format!("{:02}:{:02}:{:02}", civil.hour, civil.minute, civil.second);
    // Weeks begin with the first Sunday (or Monday) of the year; what lies before is week 0.
    let week = |weekday: u32| format!("{:02}", (civil.year_day + 6 - weekday) / 7);
    Some(match specifier {
        'a' => weekday[..3].to_owned(),
        'A' => weekday.to_owned(),
        'b' => month[..3].to_owned(),
        'B' => month.to_owned(),
        'c' => format!(
            "{} {} {:2} {} {}",
            &weekday[..3],
            &month[..3],
            civil.day,
            clock(),
            civil.year
        ),
        'd' => format!("{:02}", civil.day),
        'H' => format!("{:02}", civil.hour),
        'I' => format!("{:02}", (civil.hour + 11) % 12 + 1),
        'j' => format!("{:03}", civil.year_day),
        'm' => format!("{:02}", civil.month),
        'M' => format!("{:02}", civil.minute),
        'p' => if civil.hour >= 12 { "PM" } else { "AM" }.to_owned(),
        'S' => format!("{:02}", civil.second),
        'U' => week(civil.weekday),
        'w' => civil.weekday.to_string(),
        'W' => week((civil.weekday + 6) % 7),
        'x' => format!("{:02}/{:02}/{:02}", civil.month, civil.day, civil.year.rem_euclid(100)),
        'X' => clock(),
        'y' => format!("{:02}", civil.year.rem_euclid(100)),
        'Y' => civil.year.to_string(),
        'z' => {
            let (sign, size) = (civil.shift.seconds < 0, civil.shift.seconds.unsigned_abs());
            format!(
                "{}{:02}{:02}",
                if sign { '-' } else { '+' },
                size / 3600,
                size / 60 % 60
            )
        }
        'Z' => civil.shift.abbreviation.clone(),
        '%' => "%".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The C library's own `os` beside ours.
    fn state() -> Lua {
        let lua = Lua::new();
        let original: Table = lua.globals().get("os").unwrap();
        lua.globals().set("original", original).unwrap();
        lua.globals().set("os", open(&lua).unwrap()).unwrap();
        lua
    }

    #[test]
    fn dates_are_those_of_the_c_library() {
        state()
            .load(
                r#"
                local specifiers = {"a", "A", "b", "B", "d", "H", "I", "j", "m", "M", "p", "S", "U", "w", "W", "x", "X", "y", "Y", "%", "c"}
                for at = -2000000000, 4000000000, 123456789 do
                    for _, s in ipairs(specifiers) do
                        local format = "!%" .. s
                        assert(os.date(format, at) == original.date(format, at), format .. " " .. at)
                    end
                    local ours, theirs = os.date("!*t", at), original.date("!*t", at)
                    for key, value in pairs(theirs) do assert(ours[key] == value, key) end
                    assert(os.date("%Y-%m-%d %H:%M:%S %z", at) == original.date("%Y-%m-%d %H:%M:%S %z", at))
                    assert(os.time(os.date("*t", at)) == at)
                end
                "#,
            )
            .exec()
            .unwrap();
    }

    #[test]
    fn times_default_to_today_and_clocks_go_forward() {
        state()
            .load(
                r#"
                assert(os.platform == "wippy" and math.type(os.time()) == "integer")
                -- Lua's own clock is read at every tick of the machine's, and may be one behind.
                local before, now = original.time(), os.time()
                assert(before <= now and now <= original.time() + 1)
                assert(os.date("%H:%M", os.time{}) == "00:00")
                local day, today
                repeat
                    day = os.date("%d")
                    today = os.date("%d", os.time{})
                until day == os.date("%d")
                assert(today == day)
                assert(os.time{year = 2024, month = 14, day = 1} == os.time{year = 2025, month = 2, day = 1})
                local clock = os.clock()
                assert(math.type(clock) == "float" and os.clock() >= clock and os.difftime(5, 3) == 2.0)
                for _, bad in ipairs{
                    function() os.date("%Q") end, function() os.date("%") end, function() os.date({}) end,
                    function() os.time("x") end, function() os.time{year = "x"} end, function() os.date("%c", "x") end,
                } do assert(not pcall(bad)) end
                local known = {platform = 1, time = 1, date = 1, clock = 1, difftime = 1}
                for name in pairs(os) do assert(known[name], name) end
                "#,
            )
            .exec()
            .unwrap();
    }
}
