---@meta env
---Environment variables that entries declare.
env = {}

---The value of a variable, by its public name or its id.
---@return string? value, Error? err
function env.get(key) end

---Sets a variable.
---@return true? ok, Error? err
function env.set(key, value) end

---All declared variables that have a public name and a value.
---@return table? values, Error? err
function env.get_all() end
