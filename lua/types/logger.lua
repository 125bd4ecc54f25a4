---@meta logger

---Log records, with the pid and the entry of the process. Called with a colon; nothing is returned.
---
---```lua
---local logger = require("logger")
---local log = logger:named("import"):with({ file = "a.csv" })
---log:debug("read", { rows = 12 })
---```
---@class Logger
logger = {}

---Writes a record that only `-v` shows.
---@param message string
---@param fields? table<string, any> may be nested
function logger:debug(message, fields) end

---Writes a record.
---@param message string
---@param fields? table<string, any> may be nested
function logger:info(message, fields) end

---Writes a record about something odd.
---@param message string
---@param fields? table<string, any> may be nested
function logger:warn(message, fields) end

---Writes a record about a failure; `--silent` shows these alone.
---@param message string
---@param fields? table<string, any> may be nested
function logger:error(message, fields) end

---A logger that adds these fields to every record.
---@param fields table<string, any>
---@return Logger child
function logger:with(fields) end

---A logger with a name. Raises for an empty one.
---@param name string
---@return Logger child
function logger:named(name) end

return logger
