---@meta os
---Dates and clocks; os.platform is "wippy".
os = {}

---Unix seconds, now or at the local time of a table (year month day hour min sec).
---@return integer seconds
function os.time(t) end

---A date as text, "!" first for UTC, or as a table for "*t".
---@return string|table date
function os.date(format, seconds) end

---Seconds since the program started.
---@return number seconds
function os.clock() end

---Seconds from t1 to t2.
---@return number seconds
function os.difftime(t2, t1) end
