---@meta json
---JSON texts.
json = {}

---A value as JSON.
---@return string? text, Error? err
function json.encode(v) end

---The value of a JSON text.
---@return any value, Error? err
function json.decode(text) end

---Checks data against a JSON Schema.
---@return boolean ok, Error? err
function json.validate(schema, data) end

---Checks a JSON text against a JSON Schema.
---@return boolean ok, Error? err
function json.validate_string(schema, text) end
