---@meta registry
---The entries of the project, as they are written.
registry = {}

---Entries that a query describes, in load order, as tables of id, kind, meta, data.
---Keys: .kind .name .ns .id (* is any text), meta.path (equal), ~meta.path (regular expression), *meta.path (contains),
---^meta.path (begins), $meta.path (ends), meta (a table of fields).
---@return table? entries, Error? err
function registry.find(query) end

---The entry of that id.
---@return table? entry, Error? err
function registry.get(id) end
