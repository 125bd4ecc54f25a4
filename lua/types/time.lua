---@meta time

---Time, durations and timers.
---
---```lua
---local time = require("time")
---local timer = assert(time.timer("5ms"))
---assert(timer:channel():receive())
---local day = time.parse(time.DATE_ONLY, "2024-02-29", time.utc)
---assert(day:add_date(1, 0, 0):format(time.DATE_ONLY) == "2025-03-01")
---assert(time.seconds(90):minutes() == 1.5)
---```
---@class timelib
---@field NANOSECOND integer 1
---@field MICROSECOND integer nanoseconds
---@field MILLISECOND integer nanoseconds
---@field SECOND integer nanoseconds
---@field MINUTE integer nanoseconds
---@field HOUR integer nanoseconds
---@field JANUARY integer 1
---@field FEBRUARY integer
---@field MARCH integer
---@field APRIL integer
---@field MAY integer
---@field JUNE integer
---@field JULY integer
---@field AUGUST integer
---@field SEPTEMBER integer
---@field OCTOBER integer
---@field NOVEMBER integer
---@field DECEMBER integer 12
---@field SUNDAY integer 0
---@field MONDAY integer
---@field TUESDAY integer
---@field WEDNESDAY integer
---@field THURSDAY integer
---@field FRIDAY integer
---@field SATURDAY integer 6
---@field RFC3339 string a layout: `2006-01-02T15:04:05Z07:00`
---@field RFC3339NANO string with fractions of a second, `2006-01-02T15:04:05.999999999Z07:00`
---@field RFC822 string `02 Jan 06 15:04 MST`
---@field RFC822Z string `02 Jan 06 15:04 -0700`
---@field RFC850 string `Monday, 02-Jan-06 15:04:05 MST`
---@field RFC1123 string `Mon, 02 Jan 2006 15:04:05 MST`
---@field RFC1123Z string `Mon, 02 Jan 2006 15:04:05 -0700`
---@field KITCHEN string `3:04PM`
---@field STAMP string `Jan _2 15:04:05`
---@field STAMP_MILLI string `Jan _2 15:04:05.000`
---@field STAMP_MICRO string `Jan _2 15:04:05.000000`
---@field STAMP_NANO string `Jan _2 15:04:05.000000000`
---@field DATE_TIME string `2006-01-02 15:04:05`
---@field DATE_ONLY string `2006-01-02`
---@field TIME_ONLY string `15:04:05`
---@field utc Location
---@field localtz Location the zone of the machine
time = {}

---A length of time as an argument: nanoseconds, a text like "1h30m", "1.5s", "-2ms", or a Duration.
---@alias duration number|string|Duration

---A moment, in a zone.
---@class Time
local Time = {}

---A length of time.
---@class Duration
local Duration = {}

---A zone.
---@class Location
local Location = {}

---One moment to come.
---@class Timer
local Timer = {}

---Moments to come, at equal distances.
---@class Ticker
local Ticker = {}

---Suspends the calling coroutine. Never less than that long; nothing for 0 and below.
---@param d duration
---@return nil
---@return Error? err Invalid: not a duration
function time.sleep(d) end

---A channel that gets one Time after that duration and is then closed.
---@param d duration more than 0
---@return Channel? ch
---@return Error? err Invalid: not a duration, or not more than 0
function time.after(d) end

---A Timer that fires once.
---@param d duration more than 0
---@return Timer? timer
---@return Error? err Invalid: not a duration, or not more than 0
function time.timer(d) end

---A Ticker that fires again and again.
---@param d duration more than 0
---@return Ticker? ticker
---@return Error? err Invalid: not a duration, or not more than 0
function time.ticker(d) end

---The time now, in the local zone.
---@return Time now
function time.now() end

---A Duration of that many seconds.
---@param n number may have a fraction
---@return Duration d
function time.seconds(n) end

---A Duration of that many milliseconds.
---@param n number may have a fraction
---@return Duration d
function time.milliseconds(n) end

---A Duration of that many minutes.
---@param n number may have a fraction
---@return Duration d
function time.minutes(n) end

---A Duration of that many hours.
---@param n number may have a fraction
---@return Duration d
function time.hours(n) end

---The Time of a calendar date. A month 13 is the next January, and so on.
---@param year integer
---@param month integer 1 to 12
---@param day integer
---@param hour integer
---@param minute integer
---@param second integer
---@param nanosecond integer
---@param location? Location the local zone
---@return Time time
function time.date(year, month, day, hour, minute, second, nanosecond, location) end

---The Time of a Unix timestamp.
---@param seconds integer
---@param nanoseconds integer
---@return Time time
function time.unix(seconds, nanoseconds) end

---Reads a Time that is written in a layout.
---@param layout string how 2 January 2006, 15:04:05 would be written, time.RFC3339 for one
---@param value string
---@param location? Location of a value that names no zone, the local one
---@return Time? time
---@return Error? err Invalid: the value is not in that layout
function time.parse(layout, value, location) end

---Reads a Duration.
---@param d duration
---@return Duration? d
---@return Error? err Invalid: not a duration
function time.parse_duration(d) end

---A Location by its IANA name.
---@param name string `"Europe/Berlin"`
---@return Location? location
---@return Error? err NotFound: no such zone; Invalid: an empty name
function time.load_location(name) end

---A Location with a fixed offset.
---@param name string
---@param offset_seconds integer east of UTC
---@return Location location
function time.fixed_zone(name, offset_seconds) end

---That much later.
---@param d duration
---@return Time time
function Time:add(d) end

---The time that passed since another one.
---@param t Time
---@return Duration d
function Time:sub(t) end

---Years, months and days later.
---@param years integer
---@param months integer
---@param days integer
---@return Time time
function Time:add_date(years, months, days) end

---Whether it is later.
---@param t Time
---@return boolean yes
function Time:after(t) end

---Whether it is earlier.
---@param t Time
---@return boolean yes
function Time:before(t) end

---Whether it is the same moment, whatever the zone.
---@param t Time
---@return boolean yes
function Time:equal(t) end

---Written in a layout.
---@param layout string time.RFC3339 for one
---@return string text
function Time:format(layout) end

---Written as RFC 3339.
---@return string text
function Time:format_rfc3339() end

---Unix seconds.
---@return integer seconds
function Time:unix() end

---Unix nanoseconds.
---@return integer nanoseconds
function Time:unix_nano() end

---Its date.
---@return integer year
---@return integer month 1 to 12
---@return integer day
function Time:date() end

---Its time of day.
---@return integer hour
---@return integer minute
---@return integer second
function Time:clock() end

---Its year.
---@return integer year
function Time:year() end

---Its month.
---@return integer month 1 to 12
function Time:month() end

---Its day.
---@return integer day of the month
function Time:day() end

---Its hour.
---@return integer hour
function Time:hour() end

---Its minute.
---@return integer minute
function Time:minute() end

---Its second.
---@return integer second
function Time:second() end

---Its fraction of a second.
---@return integer nanosecond of the second
function Time:nanosecond() end

---Its day of the week.
---@return integer weekday 0 is Sunday
function Time:weekday() end

---Its day of the year.
---@return integer day of the year, 1 is the first of January
function Time:year_day() end

---Whether it is the zero time, the first of January of the year 1.
---@return boolean yes
function Time:is_zero() end

---The same moment in another zone.
---@param location Location
---@return Time time
function Time:in_location(location) end

---The same moment in UTC.
---@return Time time
function Time:utc() end

---The same moment in the local zone.
---@return Time time
function Time:in_local() end

---Its zone.
---@return Location location
function Time:location() end

---The nearest multiple of a duration since the zero time, halves up.
---@param d duration
---@return Time time
function Time:round(d) end

---The multiple of a duration since the zero time before it.
---@param d duration
---@return Time time
function Time:truncate(d) end

---As nanoseconds.
---@return integer nanoseconds
function Duration:nanoseconds() end

---As microseconds.
---@return integer microseconds cut off
function Duration:microseconds() end

---As milliseconds.
---@return integer milliseconds cut off
function Duration:milliseconds() end

---As seconds.
---@return number seconds with a fraction
function Duration:seconds() end

---As minutes.
---@return number minutes with a fraction
function Duration:minutes() end

---As hours.
---@return number hours with a fraction
function Duration:hours() end

---Its name.
---@return string name
function Location:string() end

---The channel that gets one Time and is then closed.
---@return Channel ch
function Timer:channel() end

---As `channel`.
---@return Channel ch
function Timer:response() end

---Stops it and closes its channel.
---@return boolean pending whether it had not fired yet
function Timer:stop() end

---Starts it again, on the same channel. Raises for what is no duration above 0.
---@param d duration more than 0
---@return boolean pending whether it had not fired yet
function Timer:reset(d) end

---The channel that gets a Time at every tick; 16 wait at most, further ones are dropped.
---@return Channel ch
function Ticker:channel() end

---As `channel`.
---@return Channel ch
function Ticker:response() end

---Stops it and closes its channel.
---@return true ok
function Ticker:stop() end

return time
