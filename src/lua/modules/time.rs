//! The module `time`: Time, Duration and Location objects, their arithmetic, layouts and zones.
//!
//! Leaves everything that waits (sleep, after, timers, tickers) to `driver::timer`, which takes its arguments through
//! [`duration_argument`] and delivers through [`time_value`]. Quantities that are whole by meaning are Lua integers.

pub(super) mod layout;
pub(super) mod moment;

use std::sync::Arc;

use mlua::{IntoLuaMulti, Lua, MetaMethod, MultiValue, Table, UserData, UserDataMethods, UserDataRef, Value};

use self::moment::{Fields, Moment, Zone};
use crate::duration;
use crate::error::{Error, Result};
use crate::lua::error::{bad_argument, mistake, text_argument, type_name};
use crate::lua::host::{failure, unix_nanoseconds, weigh};

const DURATIONS: [(&str, i64); 6] = [
    ("NANOSECOND", 1),
    ("MICROSECOND", duration::MICROSECOND),
    ("MILLISECOND", duration::MILLISECOND),
    ("SECOND", duration::SECOND),
    ("MINUTE", duration::MINUTE),
    ("HOUR", duration::HOUR),
];

const MONTHS: [&str; 12] = [
    "JANUARY",
    "FEBRUARY",
    "MARCH",
    "APRIL",
    "MAY",
    "JUNE",
    "JULY",
    "AUGUST",
    "SEPTEMBER",
    "OCTOBER",
    "NOVEMBER",
    "DECEMBER",
];

const WEEKDAYS: [&str; 7] = [
    "SUNDAY",
    "MONDAY",
    "TUESDAY",
    "WEDNESDAY",
    "THURSDAY",
    "FRIDAY",
    "SATURDAY",
];

const RFC3339: &str = "2006-01-02T15:04:05Z07:00";

const LAYOUTS: [(&str, &str); 15] = [
    ("RFC3339", RFC3339),
    ("RFC3339NANO", "2006-01-02T15:04:05.999999999Z07:00"),
    ("RFC822", "02 Jan 06 15:04 MST"),
    ("RFC822Z", "02 Jan 06 15:04 -0700"),
    ("RFC850", "Monday, 02-Jan-06 15:04:05 MST"),
    ("RFC1123", "Mon, 02 Jan 2006 15:04:05 MST"),
    ("RFC1123Z", "Mon, 02 Jan 2006 15:04:05 -0700"),
    ("KITCHEN", "3:04PM"),
    ("STAMP", "Jan _2 15:04:05"),
    ("STAMP_MILLI", "Jan _2 15:04:05.000"),
    ("STAMP_MICRO", "Jan _2 15:04:05.000000"),
    ("STAMP_NANO", "Jan _2 15:04:05.000000000"),
    ("DATE_TIME", "2006-01-02 15:04:05"),
    ("DATE_ONLY", "2006-01-02"),
    ("TIME_ONLY", "15:04:05"),
];

pub fn open(lua: &Lua) -> mlua::Result<Table> {
    let module = lua.create_table_with_capacity(0, 64)?;
    constants(&module)?;
    module.raw_set("utc", Location(Zone::Utc))?;
    module.raw_set("localtz", Location(Zone::Local))?;
    module.raw_set(
        "now",
        lua.create_function(|lua, ()| Ok(Time(Moment::unix(0, unix_nanoseconds(lua), Zone::Local))))?,
    )?;
    for (name, unit) in [
        ("milliseconds", duration::MILLISECOND),
        ("seconds", duration::SECOND),
        ("minutes", duration::MINUTE),
        ("hours", duration::HOUR),
    ] {
        let count = move |_: &Lua, n: Value| Ok(Duration(scaled(name, &n, unit)?));
        module.raw_set(name, lua.create_function(count)?)?;
    }
    module.raw_set("date", lua.create_function(date)?)?;
    module.raw_set("unix", lua.create_function(unix)?)?;
    module.raw_set("parse", lua.create_function(parse)?)?;
    module.raw_set("parse_duration", lua.create_function(parse_duration)?)?;
    module.raw_set("load_location", lua.create_function(load_location)?)?;
    module.raw_set("fixed_zone", lua.create_function(fixed_zone)?)?;
    Ok(module)
}

fn constants(module: &Table) -> mlua::Result<()> {
    for (name, nanoseconds) in DURATIONS {
        module.raw_set(name, nanoseconds)?;
    }
    for (index, name) in MONTHS.into_iter().enumerate() {
        module.raw_set(name, index + 1)?;
    }
    for (index, name) in WEEKDAYS.into_iter().enumerate() {
        module.raw_set(name, index)?;
    }
    for (name, layout) in LAYOUTS {
        module.raw_set(name, layout)?;
    }
    Ok(())
}

/// Nanoseconds of a duration argument: a number of nanoseconds, a duration string or a Duration. Numbers beyond `i64` mean
/// its end.
///
/// # Errors
/// Invalid for everything else.
pub fn duration_argument(value: &Value) -> Result<i64> {
    match value {
        Value::Integer(nanoseconds) => return Ok(*nanoseconds),
        Value::Number(nanoseconds) if !nanoseconds.is_nan() => return Ok(*nanoseconds as i64),
        Value::String(text) => return duration::parse(&text.to_string_lossy()),
        Value::UserData(object) => {
            if let Ok(duration) = object.borrow::<Duration>() {
                return Ok(duration.0);
            }
        }
        _ => {}
    }
    let shown = match value {
        Value::Number(_) => "NaN",
        other => type_name(other),
    };
    Err(Error::invalid(format!(
        "invalid duration: expected a number of nanoseconds, a string like \"1.5s\" or a Duration, got {shown}"
    )))
}

/// A Time in the local zone, as timers deliver it.
///
/// # Errors
/// When the state has no memory for it.
pub fn time_value(lua: &Lua, nanoseconds_since_1970: i64) -> mlua::Result<Value> {
    let moment = Moment::unix(0, nanoseconds_since_1970.into(), Zone::Local);
    lua.create_userdata(Time(moment)).map(Value::UserData)
}

/// The duration argument of a method that raises on a bad one.
fn duration_or_raise(method: &str, value: &Value) -> mlua::Result<i64> {
    duration_argument(value).map_err(|error| mistake(format!("bad argument #1 to '{method}' ({error})")))
}

fn scaled(function: &str, value: &Value, unit: i64) -> mlua::Result<i64> {
    match value {
        Value::Integer(count) => Ok(count.saturating_mul(unit)),
        Value::Number(count) => Ok((count * unit as f64) as i64),
        other => Err(bad_argument(1, function, "number", other)),
    }
}

/// A whole number; a fraction is cut off.
fn whole(position: usize, function: &str, value: &Value) -> mlua::Result<i64> {
    match value {
        Value::Integer(number) => Ok(*number),
        Value::Number(number) => Ok(*number as i64),
        other => Err(bad_argument(position, function, "number", other)),
    }
}

/// The optional location argument; without one the local zone.
fn zone_argument(position: usize, function: &str, value: &Value) -> mlua::Result<Zone> {
    match value {
        Value::Nil => return Ok(Zone::Local),
        Value::UserData(object) => {
            if let Ok(location) = object.borrow::<Location>() {
                return Ok(location.0.clone());
            }
        }
        _ => {}
    }
    Err(bad_argument(position, function, "Location", value))
}

/// One value, or `nil, err`.
fn outcome(lua: &Lua, result: Result<impl UserData + Send + Sync + 'static>) -> mlua::Result<MultiValue> {
    match result {
        Ok(object) => lua.create_userdata(object)?.into_lua_multi(lua),
        Err(error) => failure(lua, error),
    }
}

fn date(_: &Lua, args: MultiValue) -> mlua::Result<Time> {
    let nil = Value::Nil;
    let argument = |index: usize| args.get(index).unwrap_or(&nil);
    let number = |index: usize| whole(index + 1, "date", argument(index));
    let fields = Fields {
        year: number(0)?,
        month: number(1)?,
        day: number(2)?,
        hour: number(3)?,
        minute: number(4)?,
        second: number(5)?,
        nanosecond: number(6)?,
    };
    Ok(Time(Moment::civil_in(fields, zone_argument(8, "date", argument(7))?)))
}

fn unix(_: &Lua, (seconds, nanoseconds): (Value, Value)) -> mlua::Result<Time> {
    let seconds = whole(1, "unix", &seconds)?;
    let nanoseconds = whole(2, "unix", &nanoseconds)?;
    Ok(Time(Moment::unix(seconds, nanoseconds.into(), Zone::Local)))
}

fn parse(lua: &Lua, (layout, value, location): (Value, Value, Value)) -> mlua::Result<MultiValue> {
    let (layout, value) = (text_argument(1, "parse", &layout)?, text_argument(2, "parse", &value)?);
    let zone = zone_argument(3, "parse", &location)?;
    outcome(lua, layout::parse(&layout, &value, zone).map(Time))
}

fn parse_duration(lua: &Lua, value: Value) -> mlua::Result<MultiValue> {
    outcome(lua, duration_argument(&value).map(Duration))
}

fn load_location(lua: &Lua, name: Value) -> mlua::Result<MultiValue> {
    let name = text_argument(1, "load_location", &name)?;
    if name.is_empty() {
        return failure(lua, Error::invalid("location name required"));
    }
    let zone = Zone::load(&name).map(Location);
    outcome(
        lua,
        zone.ok_or_else(|| Error::not_found(format!("unknown time zone {name}"))),
    )
}

fn fixed_zone(lua: &Lua, (name, offset): (Value, Value)) -> mlua::Result<Location> {
    let name: Arc<str> = text_argument(1, "fixed_zone", &name)?.into();
    let offset = whole(2, "fixed_zone", &offset)?;
    // Beyond what an i32 holds no zone has a meaning; the end keeps it harmless.
    let offset = offset.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
    let _weight = weigh(lua, name.len()).map(Arc::new);
    Ok(Location(Zone::Fixed { name, offset, _weight }))
}

struct Time(Moment);

type Other = UserDataRef<Time>;

impl UserData for Time {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("add", |_, this, d: Value| {
            Ok(Time(this.0.plus(duration_or_raise("add", &d)?)))
        });
        methods.add_method("sub", |_, this, other: Other| Ok(Duration(this.0.since(&other.0))));
        methods.add_method("add_date", add_date);
        methods.add_method(
            "after",
            |_, this, other: Other| Ok(this.0.instant() > other.0.instant()),
        );
        methods.add_method("before", |_, this, other: Other| {
            Ok(this.0.instant() < other.0.instant())
        });
        methods.add_method("equal", |_, this, other: Other| {
            Ok(this.0.instant() == other.0.instant())
        });
        methods.add_method("format", |_, this, layout: Value| {
            Ok(layout::format(&this.0, &text_argument(1, "format", &layout)?))
        });
        methods.add_method("format_rfc3339", |_, this, ()| Ok(layout::format(&this.0, RFC3339)));
        methods.add_method("unix", |_, this, ()| Ok(this.0.unix_seconds()));
        methods.add_method("unix_nano", |_, this, ()| Ok(this.0.unix_nanoseconds()));
        methods.add_method("is_zero", |_, this, ()| Ok(this.0.is_zero()));
        methods.add_method("utc", |_, this, ()| Ok(Time(this.0.in_zone(Zone::Utc))));
        methods.add_method("in_local", |_, this, ()| Ok(Time(this.0.in_zone(Zone::Local))));
        methods.add_method("in_location", |_, this, location: UserDataRef<Location>| {
            Ok(Time(this.0.in_zone(location.0.clone())))
        });
        methods.add_method("location", |_, this, ()| Ok(Location(this.0.zone.clone())));
        methods.add_method("round", |_, this, d: Value| {
            Ok(Time(this.0.round(duration_or_raise("round", &d)?)))
        });
        methods.add_method("truncate", |_, this, d: Value| {
            Ok(Time(this.0.truncate(duration_or_raise("truncate", &d)?)))
        });
        add_calendar(methods);
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            Ok(layout::format(&this.0, "2006-01-02 15:04:05.999999999 -0700 MST"))
        });
    }
}

fn add_calendar<M: UserDataMethods<Time>>(methods: &mut M) {
    methods.add_method("date", |_, this, ()| {
        let civil = this.0.civil();
        Ok((civil.year, civil.month, civil.day))
    });
    methods.add_method("clock", |_, this, ()| {
        let civil = this.0.civil();
        Ok((civil.hour, civil.minute, civil.second))
    });
    methods.add_method("year", |_, this, ()| Ok(this.0.civil().year));
    methods.add_method("month", |_, this, ()| Ok(this.0.civil().month));
    methods.add_method("day", |_, this, ()| Ok(this.0.civil().day));
    methods.add_method("hour", |_, this, ()| Ok(this.0.civil().hour));
    methods.add_method("minute", |_, this, ()| Ok(this.0.civil().minute));
    methods.add_method("second", |_, this, ()| Ok(this.0.civil().second));
    methods.add_method("nanosecond", |_, this, ()| Ok(this.0.civil().nanosecond));
    methods.add_method("weekday", |_, this, ()| Ok(this.0.civil().weekday));
    methods.add_method("year_day", |_, this, ()| Ok(this.0.civil().year_day));
}

fn add_date(_: &Lua, this: &Time, (years, months, days): (Value, Value, Value)) -> mlua::Result<Time> {
    let mut fields = this.0.civil().fields();
    fields.year = fields.year.saturating_add(whole(1, "add_date", &years)?);
    fields.month = fields.month.saturating_add(whole(2, "add_date", &months)?);
    fields.day = fields.day.saturating_add(whole(3, "add_date", &days)?);
    Ok(Time(Moment::civil_in(fields, this.0.zone.clone())))
}

/// Nanoseconds.
struct Duration(i64);

impl UserData for Duration {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        for (name, unit) in [
            ("nanoseconds", 1),
            ("microseconds", duration::MICROSECOND),
            ("milliseconds", duration::MILLISECOND),
        ] {
            methods.add_method(name, move |_, this, ()| Ok(this.0 / unit));
        }
        for (name, unit) in [
            ("seconds", duration::SECOND),
            ("minutes", duration::MINUTE),
            ("hours", duration::HOUR),
        ] {
            methods.add_method(name, move |_, this, ()| Ok(this.0 as f64 / unit as f64));
        }
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| Ok(duration::format(this.0)));
    }
}

struct Location(Zone);

impl UserData for Location {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("string", |_, this, ()| Ok(this.0.name().to_owned()));
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| Ok(this.0.name().to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> Lua {
        let lua = Lua::new();
        lua.globals().set("time", open(&lua).unwrap()).unwrap();
        lua
    }

    #[test]
    fn constants_and_durations_are_as_documented() {
        let lua = state();
        lua.load(
            r#"
            assert(time.HOUR == 3600000000000 and math.type(time.HOUR) == "integer")
            assert(time.JANUARY == 1 and time.DECEMBER == 12 and time.SUNDAY == 0 and time.SATURDAY == 6)
            assert(time.RFC3339 == "2006-01-02T15:04:05Z07:00" and time.TIME_ONLY == "15:04:05")
            local d = time.seconds(1.5)
            assert(type(d) == "userdata" and tostring(d) == "1.5s")
            assert(d:milliseconds() == 1500 and math.type(d:nanoseconds()) == "integer" and d:seconds() == 1.5)
            assert(tostring(time.minutes(90)) == "1h30m0s" and tostring(time.milliseconds(0)) == "0s")
            assert(math.type(time.hours(2):hours()) == "float" and time.hours(1e300):hours() > 2e6)
            for _, form in ipairs{"1.5s", 1500000000, 1.5e9, d} do
                assert(time.parse_duration(form):nanoseconds() == 1500000000)
            end
            for _, bad in ipairs{"", "1", "1 s", {}, true, 0/0, time.now()} do
                local v, err = time.parse_duration(bad)
                assert(v == nil and err:kind() == "Invalid", tostring(bad))
            end
            assert(select('#', time.parse_duration("1s")) == 1)
            assert(not pcall(time.seconds, "1") and not pcall(time.hours))
            "#,
        )
        .exec()
        .unwrap();
    }

    #[test]
    fn a_time_answers_all_its_methods() {
        let lua = state();
        lua.load(
            r#"
            local t = time.date(2024, time.FEBRUARY, 29, 13, 14, 15, 123456789, time.utc)
            assert(t:unix() == 1709212455 and t:unix_nano() == 1709212455123456789)
            local y, m, d = t:date(); assert(y == 2024 and m == 2 and d == 29 and math.type(m) == "integer")
            local h, mi, s = t:clock(); assert(h == 13 and mi == 14 and s == 15)
            assert(t:weekday() == 4 and t:year_day() == 60 and t:nanosecond() == 123456789)
            assert(t:year() == 2024 and t:month() == 2 and t:day() == 29 and t:hour() == 13 and t:minute() == 14 and t:second() == 15)
            assert(tostring(t) == "2024-02-29 13:14:15.123456789 +0000 UTC", tostring(t))
            assert(t:format_rfc3339() == "2024-02-29T13:14:15Z" and t:format(time.KITCHEN) == "1:14PM")
            assert(t:add("1h"):hour() == 14 and t:add(time.seconds(-15)):second() == 0 and t:add(time.SECOND):second() == 16)
            assert(t:add_date(1, 0, 0):format(time.DATE_ONLY) == "2025-03-01" and t:add_date(0, 1, 2):day() == 31)
            local later = t:add(90 * time.MINUTE)
            assert(tostring(later:sub(t)) == "1h30m0s" and later:after(t) and t:before(later) and not t:equal(later))
            local berlin = time.load_location("Europe/Berlin")
            local there = t:in_location(berlin)
            assert(there:hour() == 14 and there:equal(t) and tostring(there:location()) == "Europe/Berlin")
            assert(there:utc():hour() == 13 and tostring(there:in_local():location()) == "Local")
            assert(t:truncate(time.hours(1)):format(time.TIME_ONLY) == "13:00:00" and t:round("1h"):minute() == 0)
            assert(time.date(1, 1, 1, 0, 0, 0, 0, time.utc):is_zero() and not t:is_zero())
            assert(time.unix(1709212455, 5):unix_nano() == 1709212455000000005 and time.unix(0, -1):unix() == -1)
            -- Lua's own clock is read at every tick of the machine's, and may be one behind.
            local before, now = os.time(), time.now():unix()
            assert(before <= now and now <= os.time() + 1 and tostring(time.now():location()) == "Local")
            for _, bad in ipairs{
                function() return t:add("x") end, function() return t:sub(1) end, function() return time.date(2024) end,
                function() return time.date("x", 1, 1, 0, 0, 0, 0) end, function() return time.unix(1) end,
                function() return time.date(1, 1, 1, 0, 0, 0, 0, "UTC") end, function() return t:in_location("UTC") end,
                function() return t:format() end, function() return time.parse(1, "x") end, function() return t:round({}) end,
            } do assert(not pcall(bad)) end
            "#,
        )
        .exec()
        .unwrap();
    }

    #[test]
    fn texts_and_locations_are_looked_up_or_refused() {
        let lua = state();
        lua.load(
            r#"
            local berlin = time.load_location("Europe/Berlin")
            assert(berlin:string() == "Europe/Berlin" and tostring(time.utc) == "UTC" and time.localtz:string() == "Local")
            local t = time.parse(time.DATE_TIME, "2024-07-01 12:00:00", berlin)
            assert(t:utc():hour() == 10 and select('#', time.parse(time.DATE_ONLY, "2024-07-01")) == 1)
            local fixed = time.fixed_zone("PLUS", 5400)
            assert(fixed:string() == "PLUS" and t:in_location(fixed):format("15:04 -0700 MST") == "11:30 +0130 PLUS")
            local v, err = time.parse(time.RFC3339, "nonsense")
            assert(v == nil and err:kind() == "Invalid" and err:message():find("cannot parse", 1, true))
            v, err = time.load_location("")
            assert(v == nil and err:kind() == "Invalid")
            for _, name in ipairs{"Mars/Base", "../../etc/passwd", "a\0b"} do
                v, err = time.load_location(name)
                assert(v == nil and err:kind() == "NotFound", name)
            end
            "#,
        )
        .exec()
        .unwrap();
    }

    #[test]
    fn a_delivered_time_is_a_time() {
        let lua = state();
        let value = time_value(&lua, 1_500_000_000).unwrap();
        lua.globals().set("t", value).unwrap();
        lua.load("assert(t:unix() == 1 and t:nanosecond() == 500000000)")
            .exec()
            .unwrap();
    }
}
