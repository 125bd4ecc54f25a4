---@meta logger
---Log records, with the pid and the entry of the process. Methods are called with a colon.
logger = {}

---Writes a record; `debug`, `warn` and `error` are the other levels.
---@param message string
---@param fields table?
function logger:info(message, fields) end

---A logger that adds these fields to every record.
---@param fields table
function logger:with(fields) end

---A logger with a name.
---@param name string
function logger:named(name) end
