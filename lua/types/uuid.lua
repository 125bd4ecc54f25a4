---@meta uuid
---Universally unique identifiers.
uuid = {}

---One made of the time and this program.
---@return string id
function uuid.v1() end

---One made of a namespace, which is a UUID, and a name, by MD5.
---@return string? id, Error? err
function uuid.v3(ns, name) end

---A random one.
---@return string id
function uuid.v4() end

---One made of a namespace, which is a UUID, and a name, by SHA-1.
---@return string? id, Error? err
function uuid.v5(ns, name) end

---A random one that sorts by the time at which it was made.
---@return string id
function uuid.v7() end

---Whether it is a UUID.
---@return boolean valid
function uuid.validate(v) end

---The number of its version.
---@return integer? version, Error? err
function uuid.version(id) end

---RFC4122, Microsoft, NCS, Future or Invalid.
---@return string? variant, Error? err
function uuid.variant(id) end

---Its parts: version, variant, timestamp (Unix seconds; versions 1 and 7), node (hex digits; version 1).
---@return table? parts, Error? err
function uuid.parse(id) end

---The same written as "standard", "simple" or "urn".
---@return string? text, Error? err
function uuid.format(id, format) end
