---@meta registry

---The entries of the project, as they are written.
---
---```lua
---local registry = require("registry")
---local volumes = assert(registry.find({ [".kind"] = "fs.directory" }))
---assert(volumes[1].id == "script:dir")
---```
---@class registrylib
registry = {}

---An entry.
---@class RegistryEntry
---@field id string
---@field kind string
---@field meta table
---@field data table every other field

---Entries that a query describes, in load order.
---@param query table<string, any> `.kind .name .ns .id` (`*` is any text), `meta.path` (equal), `~meta.path` (regular expression), `*meta.path` (contains), `^meta.path` (begins), `$meta.path` (ends), `meta` (a table of fields)
---@return RegistryEntry[]? entries
---@return Error? err Invalid: a wrong regular expression
function registry.find(query) end

---The entry of that id.
---@param id EntryId|string
---@return RegistryEntry? entry
---@return Error? err NotFound: no such entry
function registry.get(id) end

return registry
