---@meta fs

---Files in volumes. A volume is the folder of an `fs.directory` entry; paths cannot leave it.
---
---```lua
---local fs = require("fs")
---local folder = assert(fs.get("script:dir"))
---assert(folder:writefile("note.txt", "first line\nsecond line\n"))
---local file = assert(folder:open("note.txt", "r"))
---local lines = file:scanner("lines")
---assert(lines:scan() and lines:text() == "first line")
---file:close()
---```
---@class fslib
---@field type {FILE: "file", DIR: "directory"} what `stat` and `readdir` say something is
---@field seek {SET: "set", CUR: "cur", END: "end"} where an offset counts from
fs = {}

---A folder, with a working directory of its own, `/` at first. Relative paths start there.
---@class Volume
local Volume = {}

---An open file. Closed at the latest when its process ends.
---@class File
local File = {}

---Reads a file piece by piece.
---@class Scanner
local Scanner = {}

---What is known about a file or folder.
---@class Stat
---@field name string the last part of its path
---@field size integer bytes
---@field mode integer permission bits
---@field modified integer Unix seconds
---@field is_dir boolean
---@field type "file"|"directory"

---The volume of an `fs.directory` entry; in a script `script:dir` is its folder, in a session `repl:dir` the current one.
---@param id VolumeId|string
---@return Volume? volume a new one each time
---@return Error? err NotFound: no such volume; Invalid: an empty id
function fs.get(id) end

---The working directory.
---@return string path
function Volume:pwd() end

---Changes the working directory.
---@param path string
---@return boolean ok
---@return Error? err NotFound: nothing there; Invalid: a file, or a wrong path
function Volume:chdir(path) end

---Opens a file.
---@param path string
---@param mode "r"|"w"|"wx"|"a" read; write from empty; write a file that must not exist; append
---@return File? file
---@return Error? err NotFound: it cannot be opened; Invalid: a wrong mode or path
function Volume:open(path, mode) end

---What a path leads to.
---@param path string
---@return Stat? stat
---@return Error? err NotFound: nothing there; Invalid: a wrong path
function Volume:stat(path) end

---Makes a folder, one level.
---@param path string
---@return boolean ok
---@return Error? err AlreadyExists: something is there; Internal: it cannot be made
function Volume:mkdir(path) end

---Removes a file or an empty folder.
---@param path string
---@return boolean ok
---@return Error? err Invalid: a folder that is not empty; Internal: missing, or it cannot be removed
function Volume:remove(path) end

---What is in a folder, in no order: `for entry in volume:readdir("/") do print(entry.name, entry.type) end`.
---@param path string
---@return (fun(): {name: string, type: "file"|"directory"}?)? iterator
---@return Error? err NotFound: nothing there; Invalid: a file
function Volume:readdir(path) end

---Whether there is something; an empty path means the working directory.
---@param path string
---@return boolean yes
---@return Error? err Invalid: a wrong path
function Volume:exists(path) end

---Whether it is a folder.
---@param path string
---@return boolean yes
---@return Error? err NotFound: nothing there
function Volume:isdir(path) end

---The whole content of a file.
---@param path string
---@return string? content bytes as they are
---@return Error? err NotFound: it cannot be read; Invalid: a wrong path
function Volume:readfile(path) end

---As `readfile`.
---@param path string
---@return string? content bytes as they are
---@return Error? err NotFound: it cannot be read; Invalid: a wrong path
function Volume:read_file(path) end

---Writes a whole file.
---@param path string
---@param data string
---@param mode? "w"|"wx"|"a" replace (default), make a new one, append
---@return boolean ok
---@return Error? err NotFound: it cannot be opened; Invalid: a wrong path, mode or data
function Volume:writefile(path, data, mode) end

---As `writefile`.
---@param path string
---@param data string
---@param mode? "w"|"wx"|"a" replace (default), make a new one, append
---@return boolean ok
---@return Error? err NotFound: it cannot be opened; Invalid: a wrong path, mode or data
function Volume:write_file(path, data, mode) end

---Up to that many bytes.
---@param n? integer 4096
---@return string? bytes
---@return Error? err NotFound `EOF`: the end; Invalid: n is not positive; Internal: the file is closed
function File:read(n) end

---Writes bytes.
---@param s string not empty
---@return boolean ok
---@return Error? err Invalid: nothing to write; Internal: the file is closed, or it cannot be written
function File:write(s) end

---Moves to another place.
---@param whence "set"|"cur"|"end" from the start, from here, from the end
---@param offset integer bytes
---@return integer? position bytes from the start
---@return Error? err Invalid: a wrong `whence`; Internal: the file is closed
function File:seek(whence, offset) end

---What is known about it.
---@return Stat? stat
---@return Error? err Internal: the file is closed
function File:stat() end

---Waits until what was written is on the disk.
---@return boolean ok
---@return Error? err Internal: the file is closed, or the disk failed
function File:sync() end

---Closes it; twice is fine. Whether what was written is on the disk is for `sync` to say.
---@return true ok
function File:close() end

---Reads it in pieces.
---@param split? "lines"|"words"|"bytes"|"runes" `lines`; runes are characters of UTF-8
---@return Scanner? scanner
---@return Error? err Invalid: another word, or the file is closed
function File:scanner(split) end

---Goes to the next piece.
---@return boolean more false at the end
function Scanner:scan() end

---The piece, a line without its end.
---@return string text
function Scanner:text() end

---What stopped it.
---@return Error? err Internal: reading failed; nil at the end of the file
function Scanner:err() end

return fs
