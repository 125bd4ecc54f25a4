-- What the process of a test file runs: it gets the file's text and runs what that declares.

local source, name, options = ...
local start = getmetatable(require("test")).start

local chunk, message = load(source, "@" .. name)
if not chunk then
	error(message, 0)
end
start(chunk, options)
