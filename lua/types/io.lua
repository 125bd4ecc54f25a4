---@meta io
---The terminal of a process on a terminal host.
io = {}

---Writes values to stdout as they are.
---@return true? ok, Error? err
function io.write(...) end

---Writes values to stdout, separated by tabs, with a newline.
---@return true? ok, Error? err
function io.print(...) end

---The same to stderr.
---@return true? ok, Error? err
function io.eprint(...) end

---Waits until everything is written.
---@return true? ok, Error? err
function io.flush() end

---Up to n bytes of input.
---@param n integer?
---@return string? bytes, Error? err
function io.read(n) end

---The next line without its end.
---@return string? line, Error? err
function io.readline() end

---Raw mode on or off.
---@param on boolean?
---@return true? ok, Error? err
function io.raw(on) end

---The words of the command line.
---@return string[]
function io.args() end
