---@meta fs
---Files in volumes. Paths cannot leave their volume.
fs = {}

---The volume of an `fs.directory` entry; in a script `script:dir` is its folder, in a session `repl:dir` the current one.
---@param id string
---@return Volume? volume, Error? err
function fs.get(id) end

---The whole content of a file.
---@return string? content, Error? err
function Volume:readfile(path) end

---Writes a whole file; mode "w" (default), "wx" or "a".
---@return boolean ok, Error? err
function Volume:writefile(path, data, mode) end

---Opens a file; mode "r", "w", "wx" or "a".
---@return File? file, Error? err
function Volume:open(path, mode) end

---name, size, mode, modified, is_dir, type.
---@return table? stat, Error? err
function Volume:stat(path) end

---For `for entry in volume:readdir(path) do`; entries have `name` and `type`.
function Volume:readdir(path) end

---Makes a folder.
---@return boolean ok, Error? err
function Volume:mkdir(path) end

---Removes a file or an empty folder.
---@return boolean ok, Error? err
function Volume:remove(path) end

---Whether there is something.
---@return boolean
function Volume:exists(path) end

---Whether it is a folder.
---@return boolean
function Volume:isdir(path) end
