---@meta funcs
---Calls of functions, and of processes that have a default host.
funcs = {}

---Calls an entry and waits for its result.
---@param id string
---@return any value, Error? err
function funcs.call(id, ...) end

---Begins a call; its result comes to a Future, which is seen to be complete only after the caller has waited for something.
---@param id string
---@return Future? future, Error? err
function funcs.async(id, ...) end

---An Executor, which makes calls with a context and options of its own.
---@return Executor
function funcs.new() end

---As `funcs.call`, with what the Executor adds.
---@return any value, Error? err
function Executor:call(id, ...) end

---As `funcs.async`, with what the Executor adds.
---@return Future? future, Error? err
function Executor:async(id, ...) end

---An Executor whose calls have these context values too; they read them with `ctx.get`.
---@param values table
---@return Executor
function Executor:with_context(values) end

---An Executor whose calls are made on behalf of that actor.
---@return Executor
function Executor:with_actor(actor) end

---An Executor whose calls have that scope.
---@return Executor
function Executor:with_scope(scope) end

---An Executor with these options: `timeout`, and `retry` with `max_attempts`, `initial_delay`, `max_delay`, `backoff_factor`, `jitter`, `retry_kinds`, `skip_kinds`.
---@param options table
---@return Executor
function Executor:with_options(options) end

---The channel that gets the result, a payload or an Error, and is then closed. `response` is the same.
---@return Channel
function Future:channel() end

---Whether the call is over.
---@return boolean
function Future:is_complete() end

---The result as a payload; nil while the call is on.
---@return Payload? value, Error? err
function Future:result() end

---The error of a call that failed, and whether it did.
---@return Error? err, boolean failed
function Future:error() end

---Whether `cancel` ended it.
---@return boolean
function Future:is_canceled() end

---Gives the call up: its process is asked to stop.
---@return true ok
function Future:cancel() end
