---@meta io

---The terminal of a process on a terminal host. Lua's own `io` does not exist; files are `fs`.
---
---```lua
---local io = require("io")
---io.print("6 * 7 =", 6 * 7)
---assert(#io.args() == 0)
---```
---@class terminallib
io = {}

---Writes values to stdout as they are, without separators or a newline.
---@param ... any
---@return true? ok
---@return Error? err Unavailable: no terminal
function io.write(...) end

---Writes values to stdout, separated by tabs, with a newline.
---@param ... any
---@return true? ok
---@return Error? err Unavailable: no terminal
function io.print(...) end

---The same to stderr.
---@param ... any
---@return true? ok
---@return Error? err Unavailable: no terminal
function io.eprint(...) end

---Waits until everything is written.
---@return true? ok
---@return Error? err Unavailable: no terminal
function io.flush() end

---Waits for input.
---@param n? integer at most that many bytes, 1024
---@return string? bytes
---@return Error? err NotFound `EOF`: the end; Unavailable: no terminal
function io.read(n) end

---Waits for the next line.
---@return string? line without its end
---@return Error? err NotFound `EOF`: the end; Unavailable: no terminal
function io.readline() end

---Raw mode on or off: keys as they are pressed, no echo. Off by itself when the process ends. In a session Ctrl-C still stops
---what runs.
---@param on? boolean true
---@return true? ok
---@return Error? err Unavailable: not a terminal
function io.raw(on) end

---The words of the command line after the program's name.
---@return string[] words empty without a terminal
function io.args() end

return io
