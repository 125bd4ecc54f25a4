---@meta funcs

---Calls of functions, and of processes that have a default host. Each runs in a state of its own. In scripts, the REPL and
---tests the id may be a file, as that of a spawn (`"./worker.lua"`, `"./worker.wasm#compute"`).
---
---```lua
---local funcs = require("funcs")
---local value, err = funcs.call("app:nowhere", 21)
---assert(value == nil and err:kind() == errors.NOT_FOUND)
---```
---@class funcslib
funcs = {}

---Makes calls with a context and options of its own. Its methods give a new one.
---@class Executor
local Executor = {}

---A call that was begun.
---@class Future
local Future = {}

---How a call is made: its `timeout`, and when it is made again.
---@class CallOptions
---@field timeout? number|string milliseconds, or "1.5s": then it ends as Timeout and the callee is cancelled
---@field retry? RetryOptions

---When a failed call is made again. Never for Invalid, PermissionDenied, Internal, LimitExceeded, and errors that say no.
---@class RetryOptions
---@field max_attempts? integer all of them together; 1 or less: no second one
---@field initial_delay? number|string milliseconds, or "100ms", which is the default
---@field max_delay? number|string milliseconds, or "10s", which is the default
---@field backoff_factor? number by which the delay grows, 2
---@field jitter? number the share of a delay that is left to chance, 0.1
---@field retry_kinds? ErrorKind[] only these
---@field skip_kinds? ErrorKind[] not these

---Calls an entry and waits for its result.
---@param id CallId|string
---@param ... any its arguments
---@return any value
---@return Error? err NotFound: no such function; Invalid: no id; otherwise what the callee failed with
function funcs.call(id, ...) end

---Begins a call; its result comes to a Future, which is seen to be complete only after the caller has waited for something.
---@param id CallId|string
---@param ... any its arguments
---@return Future? future
---@return Error? err NotFound: no such function; Invalid: no id
function funcs.async(id, ...) end

---An Executor.
---@return Executor executor
function funcs.new() end

---As `funcs.call`, with what the Executor adds.
---@param id CallId|string
---@param ... any its arguments
---@return any value
---@return Error? err NotFound: no such function; Timeout; otherwise what the callee failed with
function Executor:call(id, ...) end

---As `funcs.async`, with what the Executor adds.
---@param id CallId|string
---@param ... any its arguments
---@return Future? future
---@return Error? err NotFound: no such function; Invalid: no id
function Executor:async(id, ...) end

---An Executor whose calls have these context values too; they read them with `ctx.get`.
---@param values table<string, any>
---@return Executor executor
function Executor:with_context(values) end

---An Executor whose calls are made on behalf of that actor.
---@param actor Actor
---@return Executor executor
function Executor:with_actor(actor) end

---An Executor whose calls have that scope.
---@param scope Scope
---@return Executor executor
function Executor:with_scope(scope) end

---An Executor with these options instead of those it has.
---@param options CallOptions
---@return Executor executor
function Executor:with_options(options) end

---The channel that gets the result, a Payload or an Error, and is then closed; the same one every time.
---@return Channel ch
function Future:channel() end

---As `channel`.
---@return Channel ch
function Future:response() end

---Whether the call is over. It never is before the caller has waited for something.
---@return boolean yes
function Future:is_complete() end

---The result; nil while the call is on.
---@return Payload? value
---@return Error? err Canceled: given up; otherwise what the callee failed with
function Future:result() end

---The error of a call that failed, and whether it did.
---@return Error? err Internal, with the context `async call failed`; the channel and `result()` keep the callee's kind
---@return boolean failed
function Future:error() end

---Whether `cancel` ended it.
---@return boolean yes
function Future:is_canceled() end

---Gives the call up: its process is asked to stop.
---@return true ok
function Future:cancel() end

return funcs
