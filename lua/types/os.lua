---@meta os

---Dates and clocks; nothing else of Lua's `os` exists.
---
---```lua
---local moment = os.time({ year = 2024, month = 2, day = 29, hour = 12 })
---assert(os.date("%Y-%m-%d", moment) == "2024-02-29")
---```
---@class clocklib
---@field platform "wippy"
os = {}

---The parts of a date. `os.time` takes today for a missing day, month and year, and 0 for the others.
---@class DateTable
---@field year? integer
---@field month? integer 1 to 12
---@field day? integer 1 to 31
---@field hour? integer
---@field min? integer
---@field sec? integer
---@field wday? integer 1 is Sunday
---@field yday? integer 1 is the first of January
---@field isdst? boolean daylight saving time

---Unix seconds, now or at the local time of a table.
---@param t? DateTable
---@return integer seconds
function os.time(t) end

---A date as text, or as a table for `"*t"`. `!` in front: in UTC.
---@param format? string `%c`; specifiers are `a A b B c d H I j m M p S U w W x X y Y z Z %`
---@param seconds? integer Unix seconds; now
---@return string|DateTable date
function os.date(format, seconds) end

---Seconds since the program started; never goes back.
---@return number seconds
function os.clock() end

---Seconds from t1 to t2.
---@param t2 number Unix seconds
---@param t1 number Unix seconds
---@return number seconds
function os.difftime(t2, t1) end

return os
