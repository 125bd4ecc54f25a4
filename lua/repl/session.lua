-- A session: asks its desk for the next request and does it, until there is none. What it may do there is in `native`.
--
-- An input runs under `guard`, so that Ctrl-C ends it wherever it stands; the loop outside of it waits for nothing but
-- the desk. Whatever an input does to the globals, the session goes on with the functions that it took at its start.

local native, show, commands, complete = ...

local io = require("io")
local write, warn = io.write, io.eprint
local load, type, select, pcall, tostring, error = load, type, select, pcall, tostring, error
local concat, pack, unpack = table.concat, table.pack, table.unpack
local gsub, byte, format = string.gsub, string.byte, string.format

local session = {}

local function escape(char)
	if char ~= "\n" and char ~= "\t" then
		return format("\\u{%x}", byte(char))
	end
end

-- The text of a failure without what would act on the terminal.
local function legible(text)
	return (gsub(gsub(text, "%c", escape), "\xc2([\x80-\x9f])", escape))
end

-- What a failed input shows: the message, and the frames beyond the input itself.
local function report(value, frames)
	local lines = { show.failure(value) or "error: " .. (type(value) == "table" and show.value(value) or tostring(value)) }
	for i = 1, #frames do
		local frame = frames[i]
		if frame.source ~= "repl" and frame.source:sub(1, 6) ~= "[repl]" then
			local name = frame.name ~= "" and " in " .. frame.name or ""
			lines[#lines + 1] = "    at " .. frame.source .. ":" .. frame.line .. name
		end
	end
	warn(legible(concat(lines, "\n")))
end

local function print_results(results)
	if results.n == 0 then
		return true
	end
	_G._ = results[1]
	local text, failed = show.results(results)
	if failed then
		warn(legible(text))
	else
		write(text, "\n")
	end
	return not failed
end

-- Compiles and runs an input; gives whether it was an expression, and its results.
local function run(text, name)
	local prepared, is_expression = native.prepare(text)
	local chunk, message = load(prepared, name)
	if not chunk then
		error(message, 0)
	end
	return is_expression, pack(chunk())
end

-- An input as a part of a file, in which `_` is what it is here. The locals of a program that returns are its own there.
local function written(text, is_expression, results)
	if results.n == 0 then
		-- It must not become the arguments of the line above.
		return text:find("^%s*%(") and ";" .. text or text
	end
	return "_ = " .. (is_expression and text or "(function()\n" .. text .. "\nend)()")
end

-- Does an input and gives it as a file has to say it; nothing for a command.
local function one_input(text)
	if commands.is_command(text) then
		commands.run(text)
		return nil
	end
	local is_expression, results = run(text, "=repl")
	if is_expression or results.n > 0 then
		print_results(results)
	end
	return written(text, is_expression, results)
end

commands.run_text = run
commands.print_results = print_results

-- An input of the person at the prompt.
function session.input(request)
	local status, value, frames = native.guard(nil, one_input, request.text)
	if status == "ok" and value then
		commands.keep(value)
	elseif status == "error" then
		report(value, frames)
	elseif status == "interrupted" then
		-- The terminal has shown a ^C.
		warn("\ninterrupted")
	end
end

-- A text of the command line: what goes wrong ends the session, the results of the last one are the session's.
function session.text(request)
	if commands.is_command(request.text) then
		commands.run(request.text)
		return pack()
	end
	local is_expression, results = run(request.text, request.name)
	if is_expression and not show.is_failure(results) then
		print_results(results)
		return pack()
	end
	return results
end

function session.complete(request)
	local find = request.path[1]:sub(1, 1) == ":" and commands.find or complete.find
	local ok, found = pcall(find, request.path, request.method)
	native.reply(ok and found or {})
end

function session.serve()
	local last = pack()
	while true do
		local request = native.next()
		if not request then
			return unpack(last, 1, last.n)
		end
		if show.is_failure(last) then
			-- It was not the last word: nobody else tells it.
			print_results(last)
		end
		last = session[request.kind](request) or last
	end
end

return session
