---@meta ctx

---The values that a process or call was started with (`with_context`), inherited along every chain of spawns and calls.
---
---```lua
---local ctx = require("ctx")
---local tenant, err = ctx.get("tenant")
---assert(tenant == nil and err:kind() == errors.NOT_FOUND)
---```
---@class ctxlib
ctx = {}

---A value by its name.
---@param key string
---@return any value
---@return Error? err NotFound: no such value; Invalid: an empty name
function ctx.get(key) end

---All of them by name; empty when there are none.
---@return table<string, any> values
function ctx.all() end

return ctx
