---@meta errors
---Errors as objects: `err:kind()`, `err:message()`, `err:retryable()`, `err:details()`, `err:stack()`. Kinds: errors.NOT_FOUND and so on.
errors = {}

---An Error of a message, or of a table with message, kind, retryable, details.
---@param spec string|table
---@return Error
function errors.new(spec) end

---The same error with a context in front of its text.
---@param err Error|string
---@param context string
---@return Error
function errors.wrap(err, context) end

---Whether a value is an Error of that kind.
---@return boolean
function errors.is(v, kind) end

---Where an Error was made: `thread` and `frames`.
---@return table?
function errors.call_stack(err) end
