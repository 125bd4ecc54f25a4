---@meta payload

---Values in a wrapper that says in which format they are: what a Message and a Future hold.
---
---```lua
---local wrapped = payload.new({ 1, 2 })
---assert(wrapped:transcode(payload.format.JSON):data() == "[1,2]")
---```
---@class payloadlib
---@field format PayloadFormats the names of the formats
payload = {}

---@class PayloadFormats
---@field JSON "json/plain"
---@field YAML "yaml/plain"
---@field STRING "text/plain"
---@field BYTES "application/octet-stream"
---@field MSGPACK "application/msgpack"
---@field LUA "lua/any"
---@field GOLANG "golang/any"
---@field ERROR "golang/error"

---A value and its format. Sent in a message as it is it arrives as nil: send its `data()`.
---@class Payload
local Payload = {}

---Wraps a copy of a value.
---@param v any
---@return Payload p
function payload.new(v) end

---The value: in a text format the text.
---@return any value
function Payload:data() end

---The format, as in payload.format.
---@return string format
function Payload:get_format() end

---The same value in another format. Plain data always has the formats JSON and LUA.
---@param format string as in payload.format
---@return Payload? p
---@return Error? err Internal: the value or the format does not allow it
function Payload:transcode(format) end

---The value as plain data, whatever the format.
---@return any value
---@return Error? err Internal: the text is not in its format
function Payload:unmarshal() end

return payload
