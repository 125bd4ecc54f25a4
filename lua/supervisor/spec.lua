-- Specifications: what the user gives becomes one with every field filled in, or an Error that names the field. They are read
-- where they are given, because hosts are looked up in the namespace of whoever names them.

local native = ...

local specs = {}

local STRATEGIES = { "one_for_one", "one_for_all", "rest_for_one" }
local RESTARTS = { "permanent", "transient", "temporary" }
local TYPES = { "worker", "supervisor" }

local SUPERVISOR_FIELDS = { "strategy", "intensity", "period", "children" }
local CHILD_FIELDS = { "id", "entry", "host", "args", "restart", "shutdown", "type" }

-- How long a worker has to stop; a supervisor has as long as its own children need, as in OTP.
local SHUTDOWN = { worker = "5s", supervisor = "infinity" }

-- Values that a child may be started with.
local MOST_ARGS = 1000

local function refuse(...)
	error(errors.new({ kind = errors.INVALID, retryable = false, message = string.format(...) }))
end

-- The value of a native call, or its error with the field in front.
local function accept(where, value, err)
	if err then
		error(errors.wrap(err, where))
	end
	return value
end

local function contains(list, value)
	for _, item in ipairs(list) do
		if item == value then
			return true
		end
	end
	return false
end

local function check_fields(fields, where, ...)
	for name in pairs(fields) do
		local known = false
		for _, list in ipairs({ ... }) do
			known = known or contains(list, name)
		end
		if not known then
			refuse("%s: unknown field '%s'", where, tostring(name))
		end
	end
end

local function one_of(fields, where, name, words)
	local value = fields[name]
	if value == nil then
		return words[1]
	end
	if not contains(words, value) then
		refuse("%s: %s must be one of %s, not %s", where, name, table.concat(words, ", "), tostring(value))
	end
	return value
end

local function duration(where, name, value)
	local nanoseconds = accept(where .. ": " .. name, native.duration(value))
	if nanoseconds < 0 then
		refuse("%s: %s cannot be negative", where, name)
	end
	return nanoseconds
end

local function intensity_of(fields)
	local intensity = fields.intensity
	if intensity == nil then
		return 3
	end
	if math.type(intensity) ~= "integer" or intensity < 0 then
		refuse("supervisor: intensity must be an integer from 0, not %s", tostring(intensity))
	end
	return intensity
end

local function shutdown_of(fields, where, type_)
	local shutdown = fields.shutdown
	if shutdown == nil then
		shutdown = SHUTDOWN[type_]
	end
	if shutdown == "kill" or shutdown == "infinity" then
		return shutdown
	end
	return duration(where, "shutdown", shutdown)
end

local function args_of(fields, where)
	local args = fields.args
	if args == nil then
		return { n = 0 }
	end
	if type(args) ~= "table" then
		refuse("%s: args must be an array, not a %s", where, type(args))
	end
	local count = args.n
	if count == nil then
		count = #args
	end
	if math.type(count) ~= "integer" or count < 0 or count > MOST_ARGS then
		refuse("%s: args must be 0 to %d values, not %s", where, MOST_ARGS, tostring(count))
	end
	return table.pack(table.unpack(args, 1, count))
end

local read_supervisor

-- `within`: the arrays of children that this child is in.
local function read_child(fields, where, within)
	if type(fields) ~= "table" then
		refuse("%s must be a table, not a %s", where, type(fields))
	end
	if type(fields.id) ~= "string" or fields.id == "" then
		refuse("%s: id is required, a string", where)
	end
	where = string.format("child '%s'", fields.id)
	local type_ = one_of(fields, where, "type", TYPES)
	local child = {
		id = fields.id,
		type = type_,
		restart = one_of(fields, where, "restart", RESTARTS),
		shutdown = shutdown_of(fields, where, type_),
	}
	if type_ == "supervisor" and fields.entry == nil then
		-- A supervisor within a supervisor needs no entry: its specification is that of the child.
		check_fields(fields, where, { "id", "type", "restart", "shutdown" }, SUPERVISOR_FIELDS)
		child.spec = read_supervisor(fields, within)
		return child
	end
	check_fields(fields, where, CHILD_FIELDS)
	if type(fields.entry) ~= "string" then
		refuse("%s: entry is required, the id of a process", where)
	end
	if fields.host ~= nil and type(fields.host) ~= "string" then
		refuse("%s: host must be the id of a host, not a %s", where, type(fields.host))
	end
	child.entry = accept(where, native.entry(fields.entry))
	child.host = accept(where, native.host(fields.host))
	child.args = args_of(fields, where)
	return child
end

function read_supervisor(fields, within)
	local children, ids = {}, {}
	local given = fields.children
	if given == nil then
		given = {}
	elseif type(given) ~= "table" then
		refuse("supervisor: children must be an array, not a %s", type(given))
	elseif within[given] then
		refuse("supervisor: children contains itself")
	end
	within[given] = true
	for at, child in ipairs(given) do
		child = read_child(child, string.format("children[%d]", at), within)
		if ids[child.id] then
			refuse("child '%s' is given twice", child.id)
		end
		ids[child.id] = true
		children[at] = child
	end
	within[given] = nil
	local period = fields.period
	if period == nil then
		period = "5s"
	end
	return {
		strategy = one_of(fields, "supervisor", "strategy", STRATEGIES),
		intensity = intensity_of(fields),
		period = duration("supervisor", "period", period),
		children = children,
	}
end

-- Specifications refuse by raising an Error; whoever asks gets it as `nil, err`.
local function checked(read, ...)
	local ok, result = pcall(read, ...)
	if ok then
		return result
	end
	if type(result) == "userdata" then
		return nil, result
	end
	error(result, 0)
end

function specs.supervisor(fields)
	return checked(function()
		check_fields(fields, "supervisor", SUPERVISOR_FIELDS)
		return read_supervisor(fields, {})
	end)
end

function specs.child(fields)
	return checked(read_child, fields, "child", {})
end

return specs
