-- The module `supervisor`: what its users call. Specifications are read in `lua/supervisor/spec.lua`; the process that starts,
-- watches and stops children is `lua/supervisor/loop.lua`; `native` is the half in Rust.

local native, specs, loop = ...

local supervisor = {}

local function check(name, at, wanted, value)
	if type(value) ~= wanted then
		error(string.format("bad argument #%d to '%s' (%s expected, got %s)", at, name, wanted, type(value)), 3)
	end
end

-- Of all that is no plain value, errors have a kind.
local function is_error(value)
	local ok, kind = pcall(function()
		return type(value) == "userdata" and value:kind()
	end)
	return ok and type(kind) == "string"
end

-- Starts a supervisor with its children; its pid once all of them run. It is linked to the caller, and ends with it.
function supervisor.start_link(fields)
	check("start_link", 1, "table", fields)
	local spec, err = specs.supervisor(fields)
	if not spec then
		return nil, err
	end
	return native.start(spec, false)
end

-- The children in the order of their start; without a `pid` who does not run.
function supervisor.children(pid)
	check("children", 1, "string", pid)
	return native.call(pid, { what = "children" })
end

-- Adds a child behind the others and starts it; its pid.
function supervisor.start_child(pid, fields)
	check("start_child", 1, "string", pid)
	check("start_child", 2, "table", fields)
	local child, err = specs.child(fields)
	if not child then
		return nil, err
	end
	return native.call(pid, { what = "start_child", child = child })
end

-- Stops a child. It can be restarted, unless it is temporary: then its specification goes too.
function supervisor.terminate_child(pid, id)
	check("terminate_child", 1, "string", pid)
	return native.call(pid, { what = "terminate_child", id = id })
end

-- Starts a child that does not run; its pid.
function supervisor.restart_child(pid, id)
	check("restart_child", 1, "string", pid)
	return native.call(pid, { what = "restart_child", id = id })
end

-- Stops the children in reverse order, then the supervisor, and waits for it. The reason is what their CANCEL shows: a text, or
-- an error.
function supervisor.stop(pid, reason)
	check("stop", 1, "string", pid)
	if type(reason) == "number" or is_error(reason) then
		reason = tostring(reason)
	elseif reason ~= nil then
		check("stop", 2, "string", reason)
	end
	return native.stop(pid, { what = "stop", reason = reason })
end

-- Kept out of the table that users see: what a supervisor process runs.
return setmetatable(supervisor, { run = loop.run })
