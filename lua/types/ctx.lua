---@meta ctx
---The values that a process or call was started with (`with_context`), inherited along every chain of spawns and calls.
ctx = {}

---A value by its name.
---@return any value, Error? err
function ctx.get(key) end

---All of them by name.
---@return table values
function ctx.all() end
