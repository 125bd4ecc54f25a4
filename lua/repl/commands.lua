-- The commands that begin with a colon. They run as an input does, so Ctrl-C ends them too.

local native, show = ...

local io = require("io")
local write = io.write
local process = process
local format, concat, insert = string.format, table.concat, table.insert

local commands = {}

-- `name`, parameters, what it does, the function; in the order of the help.
local list = {}
local by_name = {}

local function command(name, parameters, short, run)
	local item = { name = name, parameters = parameters, short = short, run = run }
	list[#list + 1] = item
	by_name[name] = item
end

-- Rows in aligned columns.
local function print_rows(rows)
	local widths = {}
	for _, row in ipairs(rows) do
		for i, cell in ipairs(row) do
			widths[i] = math.max(widths[i] or 0, utf8.len(cell) or #cell)
		end
	end
	for _, row in ipairs(rows) do
		local cells = {}
		for i, cell in ipairs(row) do
			local padding = i < #row and widths[i] - (utf8.len(cell) or #cell) or 0
			cells[i] = cell .. (" "):rep(padding)
		end
		write(concat(cells, "  "), "\n")
	end
end

local function amount(bytes)
	for _, unit in ipairs({ "B", "KiB", "MiB" }) do
		if bytes < 1024 then
			return format(unit == "B" and "%d %s" or "%.1f %s", bytes, unit)
		end
		bytes = bytes / 1024
	end
	return format("%.1f GiB", bytes)
end

local function age(seconds)
	if seconds < 60 then
		return format("%ds", seconds)
	elseif seconds < 3600 then
		return format("%dm%02ds", seconds // 60, seconds % 60)
	end
	return format("%dh%02dm", seconds // 3600, seconds % 3600 // 60)
end

-- A pid as it is written, or its number alone: `2`, `0x2` and `0x00002` mean `{…|0x00002}`.
local function find_pid(text)
	local digits = text:match("^0x(%x+)$") or text:match("^(%x+)$")
	local number = digits and tonumber(digits, 16)
	for _, info in ipairs(process.list()) do
		if number and tonumber(info.pid:match("0x(%x+)}$"), 16) == number then
			return info.pid
		end
	end
	return text
end

local function need(text, what)
	if text == "" then
		error(what .. " is missing; :help shows how it is called", 0)
	end
	return text
end

command("help", "[name]", "this list, or what is known about a function or module", function(name)
	if name ~= "" then
		local item = by_name[name:match("^:?(.*)$")]
		local known = name:sub(1, 1) ~= ":" and native.help(name)
		if not known and item then
			known = ":" .. item.name .. " " .. item.parameters .. "\n  " .. item.short
		end
		write(known or error("nothing is known about `" .. name .. "`", 0), "\n")
		return
	end
	local rows = {}
	for _, item in ipairs(list) do
		insert(rows, { "  :" .. item.name .. " " .. item.parameters, item.short })
	end
	write("An input is Lua: an expression shows its values, `_` is the last one, locals stay.\n")
	print_rows(rows)
	write("Ctrl-C stops what runs, Ctrl-D ends the session.\n")
	write("`[2] >` says that 2 events wait in the mailbox; they are counted when the prompt appears, Enter counts again.\n")
end)

command("entries", "[part]", "the entries of the project: id and kind", function(part)
	local rows = {}
	for _, entry in ipairs(native.entries()) do
		if entry.id:find(part, 1, true) or entry.kind:find(part, 1, true) then
			insert(rows, { entry.id, entry.kind })
		end
	end
	print_rows(rows)
end)

command("inspect", "id", "one entry: what its module imports and exports, or what is written about it", function(id)
	write(native.inspect(need(id, "id")), "\n")
end)

command("ps", "", "the processes: pid, entry, state, mailbox, memory, age", function()
	local rows = { { "PID", "ENTRY", "STATE", "MAILBOX", "MEMORY", "AGE" } }
	for _, info in ipairs(process.list()) do
		local seconds = math.max(0, os.time() - info.started_at)
		local mine = info.pid == process.pid() and " (this session)" or ""
		local row = { info.pid, info.entry, info.state, tostring(info.mailbox), amount(info.memory), age(seconds) .. mine }
		insert(rows, row)
	end
	print_rows(rows)
end)

command("why", "pid", "what a process waits for, and where; the number of its pid is enough", function(text)
	write(native.why(find_pid(need(text, "pid"))), "\n")
end)

command("kill", "pid", "ends a process; the number of its pid is enough", function(text)
	local done, failure = process.terminate(find_pid(need(text, "pid")))
	if not done then
		error(failure, 0)
	end
end)

command("flush", "", "shows everything that waits in the mailbox", function()
	while true do
		local item = process.receive(0)
		if item == nil then
			return
		end
		write(show.value(item), "\n")
	end
end)

command("load", "file", "runs a Lua file in the session", function(path)
	local text = native.read(need(path, "file"))
	commands.run_text(text, "@" .. path)
end)

command("reload", "", "entries and Lua sources from the disk; processes that live go on as they are", function()
	local text = native.reload()
	native.forget()
	write(text, "\n")
end)

command("time", "expression", "how long it takes", function(text)
	local start = native.now()
	local is_expression, results = commands.run_text(need(text, "expression"), "=repl")
	local took = native.now() - start
	if is_expression then
		commands.print_results(results)
	end
	write(native.show_duration(took), "\n")
end)

-- The inputs that worked, in order, as a file has to say them.
local worked = {}

function commands.keep(text)
	insert(worked, text)
end

command("save", "file", "writes the inputs that worked to a file, which :load and wippy run take", function(path)
	native.write(need(path, "file"), concat(worked, "\n") .. "\n")
end)

command("tree", "", "the processes below those that spawned them, with what they monitor", function()
	local below, infos = {}, {}
	for _, info in ipairs(process.list()) do
		infos[info.pid] = info
	end
	for _, info in ipairs(process.list()) do
		local parent = native.parent(info.pid) or ""
		parent = infos[parent] and parent or ""
		below[parent] = below[parent] or {}
		insert(below[parent], info)
	end
	local function show_below(parent, indent)
		for _, info in ipairs(below[parent] or {}) do
			local watched = #info.monitors > 0 and "  monitors " .. concat(info.monitors, " ") or ""
			local linked = #info.links > 0 and "  linked to " .. concat(info.links, " ") or ""
			write(indent, info.pid, " ", info.entry, watched, linked, "\n")
			show_below(info.pid, indent .. "  ")
		end
	end
	show_below("", "")
end)

command("quit", "", "ends the session, as Ctrl-D does", function()
	native.quit()
end)

function commands.is_command(text)
	return text:find("^%s*:%a") ~= nil
end

-- For completion: commands that begin like that, with their colon.
function commands.find(path)
	local found = {}
	for _, item in ipairs(list) do
		if (":" .. item.name):sub(1, #path[1]) == path[1] then
			insert(found, ":" .. item.name)
		end
	end
	return found
end

-- The one command that is meant, for the word that was typed.
local function meant(word)
	local exact = by_name[word]
	if exact then
		return exact
	end
	local found = {}
	for _, item in ipairs(list) do
		if item.name:sub(1, #word) == word then
			insert(found, item)
		end
	end
	return #found == 1 and found[1] or nil
end

function commands.run(text)
	local word, rest = text:match("^%s*:(%a+)%s*(.-)%s*$")
	local item = meant(word)
	if not item then
		error("no command :" .. word .. "; :help lists them", 0)
	end
	item.run(rest)
end

return commands
