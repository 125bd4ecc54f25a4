---@meta uuid

---Universally unique identifiers.
---
---```lua
---local uuid = require("uuid")
---local id = uuid.v7()
---assert(uuid.validate(id) and uuid.version(id) == 7)
---```
---@class uuidlib
uuid = {}

---What a UUID is made of.
---@class UuidParts
---@field version integer
---@field variant "RFC4122"|"Reserved"|"Microsoft"|"Future"|"NCS"|"Invalid"
---@field timestamp? integer Unix seconds; of versions 1 and 7
---@field node? string hex digits; of version 1

---One made of the time and this program.
---@return string id
function uuid.v1() end

---One made of a namespace and a name, by MD5: always the same.
---@param ns string a UUID
---@param name string
---@return string? id
---@return Error? err Invalid: the namespace is no UUID
function uuid.v3(ns, name) end

---A random one.
---@return string id
function uuid.v4() end

---One made of a namespace and a name, by SHA-1: always the same.
---@param ns string a UUID
---@param name string
---@return string? id
---@return Error? err Invalid: the namespace is no UUID
function uuid.v5(ns, name) end

---A random one that sorts by the time at which it was made.
---@return string id
function uuid.v7() end

---Whether it is a UUID.
---@param v any
---@return boolean valid
function uuid.validate(v) end

---The number of its version.
---@param id string
---@return integer? version
---@return Error? err Invalid: no UUID
function uuid.version(id) end

---Who laid it out.
---@param id string
---@return "RFC4122"|"Reserved"|"Microsoft"|"Future"|"NCS"|"Invalid"|nil variant
---@return Error? err Invalid: no UUID
function uuid.variant(id) end

---What it is made of.
---@param id string
---@return UuidParts? parts
---@return Error? err Invalid: no UUID
function uuid.parse(id) end

---The same, written in another way.
---@param id string
---@param format "standard"|"simple"|"urn" with dashes, without, as `urn:uuid:…`
---@return string? text
---@return Error? err Invalid: no UUID, or another format
function uuid.format(id, format) end

return uuid
