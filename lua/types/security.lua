---@meta security

---Who something runs for. Actor and scope are set by a spawner and inherited; there are no policies yet, so everything is allowed.
---
---```lua
---local security = require("security")
---local actor = security.new_actor("user:7", { name = "Ada" })
---assert(actor:id() == "user:7" and actor:meta().name == "Ada")
---assert(security.can("process.spawn", "app:worker"))
---```
---@class securitylib
security = {}

---Somebody on whose behalf things run.
---@class Actor
local Actor = {}

---The policies that hold.
---@class Scope
local Scope = {}

---An actor.
---@param id string
---@param meta? table plain data
---@return Actor actor
function security.new_actor(id, meta) end

---A scope.
---@return Scope scope
function security.new_scope() end

---The actor for whom this process runs.
---@return Actor? actor
function security.actor() end

---The scope in which this process runs.
---@return Scope? scope
function security.scope() end

---Whether an action on a resource is allowed.
---@param action string
---@param resource string
---@param meta? table
---@return boolean yes
function security.can(action, resource, meta) end

---Its id.
---@return string id
function Actor:id() end

---What else is known about it.
---@return table meta
function Actor:meta() end

---Its policies, none yet.
---@return string[] policies
function Scope:policies() end

return security
