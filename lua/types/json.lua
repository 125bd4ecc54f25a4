---@meta json

---JSON texts, and JSON Schema.
---
---```lua
---local json = require("json")
---local text = assert(json.encode({ name = "worker", sizes = { 1, 2 } }))
---assert(json.decode(text).sizes[2] == 2)
---local ok, err = json.validate({ type = "object", required = { "id" } }, { name = "x" })
---assert(not ok and err:kind() == errors.INVALID)
---```
---@class jsonlib
json = {}

---A value as JSON. An empty table is `[]`, one that `decode` read as an object stays `{}`; functions and userdata are `null`.
---@param v any
---@return string? text without spaces
---@return Error? err Internal: gaps in a list, keys of two types, a cycle, more than 128 levels
function json.encode(v) end

---The value of a JSON text. Whole numbers are integers, `null` is nil.
---@param text string
---@return any value
---@return Error? err Invalid: empty, or no string; Internal: no JSON, or a number that no float holds, like 1e400
function json.decode(text) end

---Checks data against a JSON Schema.
---@param schema table|string a table, or JSON text
---@param data any
---@return boolean ok
---@return Error? err Invalid: names each place that is wrong; its details have them as `errors`, a list of `{path, message}`
function json.validate(schema, data) end

---The same for data that is a JSON text.
---@param schema table|string a table, or JSON text
---@param text string
---@return boolean ok
---@return Error? err Invalid: as for `validate`, or no JSON
function json.validate_string(schema, text) end

return json
