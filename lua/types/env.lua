---@meta env

---Environment variables, as the project's `env.variable` entries declare them. The machine's own are not visible without one.
---
---```lua
---local env = require("env")
---local home, err = env.get("UNDECLARED")
---assert(home == nil and err:kind() == errors.NOT_FOUND)
---```
---@class envlib
env = {}

---The value of a variable.
---@param key string its public name, or its id (`namespace:name`, or a name of the own namespace)
---@return string? value its default when it is unset or empty
---@return Error? err NotFound: not declared, or unset without a default; Invalid: an empty key
function env.get(key) end

---Sets a variable for this run; the storage decides whether it lasts.
---@param key string as for `get`
---@param value string
---@return true? ok
---@return Error? err NotFound: not declared; PermissionDenied: read-only; Invalid: an empty key
function env.set(key, value) end

---All declared variables that have a public name and a value.
---@return table<string, string>? values
---@return Error? err Internal: a storage cannot be read
function env.get_all() end

return env
