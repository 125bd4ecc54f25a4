---@meta json
---JSON texts.
json = {}

---A value as JSON.
---@return string? text, Error? err
function json.encode(v) end

---The value of a JSON text. A number that no float holds, like 1e400, is an error.
---@return any value, Error? err
function json.decode(text) end

---Checks data against a JSON Schema, a table or JSON text. The error names each place that is wrong; its details have
---them as `errors`, a list of `{path, message}`.
---@return boolean ok, Error? err
function json.validate(schema, data) end

---The same for data that is a JSON text.
---@return boolean ok, Error? err
function json.validate_string(schema, text) end
