-- What could follow a path of names: the globals, the fields and methods of the value that is there now. Looks without running
-- any code of the user's, metamethods included. An object of ours is asked for every method that any of them has.

local native = ...

local rawget, next, type, pcall, getmetatable = rawget, next, type, pcall, getmetatable
local ipairs, sort = ipairs, table.sort

local complete = {}

local MAX = 500

-- The table in which names of that value are looked up, beside its own.
local function index_of(value)
	local meta = getmetatable(value)
	local index = type(meta) == "table" and rawget(meta, "__index")
	return type(index) == "table" and index or nil
end

local function index(object, name)
	return object[name]
end

-- The method of an object of ours, nil if it has none of that name.
local function method_of(object, name)
	local ok, found = pcall(index, object, name)
	return ok and type(found) == "function" and found or nil
end

local function field(value, name)
	if type(value) == "userdata" then
		return method_of(value, name)
	end
	local steps = 0
	while value ~= nil and steps < 10 do
		local found = type(value) == "table" and rawget(value, name)
		if found then
			return found
		end
		value, steps = index_of(value), steps + 1
	end
end

-- Read when an object is completed first.
local methods_of_all

local function add_methods(names, object)
	methods_of_all = methods_of_all or native.methods()
	for _, name in ipairs(methods_of_all) do
		if method_of(object, name) then
			names[#names + 1] = name
		end
	end
end

local function add_names(names, seen, value, methods)
	if type(value) ~= "table" then
		return
	end
	for key, item in next, value do
		local fits = type(key) == "string" and key:find("^[%a_][%w_]*$") and (not methods or type(item) == "function")
		if fits and not seen[key] and #names < MAX then
			seen[key] = true
			names[#names + 1] = key
		end
	end
end

-- Names that begin with the last item of the path, below the value that the others lead to.
function complete.find(path, method)
	local value = _G
	for i = 1, #path - 1 do
		value = field(value, path[i])
	end
	local names, seen, steps = {}, {}, 0
	if type(value) == "userdata" then
		add_methods(names, value)
	end
	while value ~= nil and steps < 10 do
		add_names(names, seen, value, method)
		value, steps = index_of(value), steps + 1
	end
	local start, found = path[#path], {}
	for _, name in ipairs(names) do
		if name:sub(1, #start) == start then
			found[#found + 1] = name
		end
	end
	sort(found)
	return found
end

return complete
