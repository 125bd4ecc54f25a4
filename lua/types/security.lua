---@meta security
---Who something runs for. Actor and scope are set by a spawner and inherited; there are no policies yet, so everything is allowed.
security = {}

---An actor, with `id()` and `meta()`.
---@param id string
---@param meta table?
---@return Actor actor
function security.new_actor(id, meta) end

---A scope, with `policies()`.
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
---@param meta table?
---@return boolean
function security.can(action, resource, meta) end
