---@meta errors

---Errors as objects. What fails because of the world returns `nil, err`; what is called wrongly raises.
---
---```lua
---local err = errors.new({ message = "no such user", kind = errors.NOT_FOUND, details = { id = 7 } })
---local outer = errors.wrap(err, "login")
---assert(tostring(outer) == "login: no such user" and outer:kind() == errors.NOT_FOUND)
---assert(outer:details().id == 7)
---```
---@class errorslib
---@field NOT_FOUND "NotFound" something that was named does not exist
---@field ALREADY_EXISTS "AlreadyExists" something is there already
---@field INVALID "Invalid" a value that is wrong in itself
---@field PERMISSION_DENIED "PermissionDenied" not granted
---@field UNAVAILABLE "Unavailable" not now; trying again may help
---@field INTERNAL "Internal" anything that went wrong inside, raised strings too
---@field CANCELED "Canceled" given up by whoever asked
---@field CONFLICT "Conflict" something else changed it
---@field TIMEOUT "Timeout" a time limit
---@field RATE_LIMITED "RateLimited" too often
---@field LIMIT_EXCEEDED "LimitExceeded" a limit on memory, size or number
---@field UNKNOWN "" no kind was given
errors = {}

---The kind of an error.
---@alias ErrorKind
---| "NotFound"
---| "AlreadyExists"
---| "Invalid"
---| "PermissionDenied"
---| "Unavailable"
---| "Internal"
---| "Canceled"
---| "Conflict"
---| "Timeout"
---| "RateLimited"
---| "LimitExceeded"
---| ""

---An error that says what, of which kind, and whether trying again may help. Concatenates with strings, and the functions
---of `string` take it as its text. It crosses between processes unchanged.
---@class Error
---@operator concat(any): string
local Error = {}

---The fields of `errors.new`.
---@class ErrorSpec
---@field message string text: bytes that are not UTF-8 become U+FFFD
---@field kind? ErrorKind
---@field retryable? boolean
---@field details? table plain data

---A place in the Lua code of an error.
---@class ErrorFrame
---@field source string file, relative to the project
---@field line integer counted from 1
---@field name? string of the function

---An Error of a message alone, or of a table.
---@param spec string|ErrorSpec
---@return Error err
function errors.new(spec) end

---The same error with a context in front of its text; kind, retryable and details stay.
---@param err Error|string
---@param context string
---@return Error err
function errors.wrap(err, context) end

---Whether a value is an Error of that kind.
---@param v any
---@param kind ErrorKind
---@return boolean yes
function errors.is(v, kind) end

---Where an Error was made; nil for anything else.
---@param err any
---@return {thread: string, frames: ErrorFrame[]}? stack
function errors.call_stack(err) end

---The message, without the contexts that `wrap` put in front.
---@return string message
function Error:message() end

---The kind, `""` when none was given.
---@return ErrorKind kind
function Error:kind() end

---Whether trying again may help.
---@return boolean? retryable nil when nobody said
function Error:retryable() end

---What else is known.
---@return table? details plain data
function Error:details() end

---The Lua frames as text.
---@return string frames
function Error:stack() end

return errors
