---@meta payload
---Values in a wrapper that says in which format they are; payload.format has the names.
payload = {}

---Wraps a copy of a value.
---@return Payload p
function payload.new(v) end

---The value: in a text format the text.
---@return any value
function Payload:data() end

---The format, as in payload.format.
---@return string format
function Payload:get_format() end

---The same value in another format.
---@return Payload? p, Error? err
function Payload:transcode(format) end

---The value as plain data, whatever the format.
---@return any value, Error? err
function Payload:unmarshal() end
