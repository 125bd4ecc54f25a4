---@meta time
---Time, durations and timers. A duration argument is a number of nanoseconds, a string like "1.5s", or a Duration.
time = {}

---Suspends the calling coroutine.
---@param d duration
function time.sleep(d) end

---A channel that gets one Time after that duration and is then closed.
---@param d duration
---@return Channel? ch, Error? err
function time.after(d) end

---A Timer: `channel()`, `stop()`, `reset(d)`.
---@param d duration
---@return Timer? timer, Error? err
function time.timer(d) end

---A Ticker: `channel()`, `stop()`.
---@param d duration
---@return Ticker? ticker, Error? err
function time.ticker(d) end

---The time now, in the local zone.
---@return Time
function time.now() end

---A Duration of that many seconds.
---@param n number
---@return Duration
function time.seconds(n) end

---A Duration of that many milliseconds.
---@param n number
---@return Duration
function time.milliseconds(n) end

---A Duration of that many minutes.
---@param n number
---@return Duration
function time.minutes(n) end

---A Duration of that many hours.
---@param n number
---@return Duration
function time.hours(n) end

---The Time of a calendar date.
---@return Time
function time.date(year, month, day, hour, minute, second, nanosecond, location) end

---The Time of a Unix timestamp.
---@return Time
function time.unix(seconds, nanoseconds) end

---Reads a Time that is written in a layout, time.RFC3339 for one.
---@return Time? time, Error? err
function time.parse(layout, value, location) end

---Reads a Duration.
---@return Duration? d, Error? err
function time.parse_duration(d) end

---A Location by its IANA name.
---@return Location? location, Error? err
function time.load_location(name) end

---A Location with a fixed offset.
---@return Location
function time.fixed_zone(name, offset_seconds) end
