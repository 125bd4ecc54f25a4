-- Hands values that nobody should hand over to everything that takes values; prints what was right about it.

local json, fs = require("json"), require("fs")

local deep, wide, cycle = {}, {}, {}
for _ = 1, 100000 do
	deep = { deep }
end
for _ = 1, 60 do
	wide = { wide, wide }
end
cycle.me = cycle

local values = {
	deep = deep,
	wide = wide,
	cycle = cycle,
	loud = setmetatable({}, { __index = error, __pairs = error, __len = error, __name = 1, __tostring = error }),
	["function"] = print,
	thread = coroutine.create(print),
	bytes = "\xff\xfe\0",
	long = ("x"):rep(10 << 20),
	nan = 0 / 0,
	none = nil,
}

-- Succeeds, or fails with an error that has a kind: nothing else.
local function settles(...)
	local value, err = ...
	if value == nil or value == false then
		assert(err == nil or #err:kind() > 0, tostring(err))
	end
	return ...
end

local takers = {
	message = function(value)
		settles(process.send(process.pid(), "t", value))
		local message = process.receive(0)
		assert(not message or message.topic == "t")
	end,
	process = function(value)
		settles(process.exec("./idle.lua", nil, value))
	end,
	string = function(value)
		settles(process.exec("./greet.wasm#greet", nil, value))
	end,
	number = function(value)
		local _, err = settles(process.exec("./compute.wasm#compute", nil, value, 1))
		assert(err:kind() == "Invalid", tostring(err))
	end,
	list = function(value)
		settles(process.exec("./types.wasm#echo-list-list", nil, value))
	end,
	record = function(value)
		settles(process.exec("./types.wasm#echo-list-point", nil, { { x = value, y = 1 } }))
	end,
	json = function(value)
		settles(json.encode(value))
	end,
	schema = function(value)
		settles(json.validate({ type = "array", items = { type = "string" } }, value))
		settles(json.validate(value, 1))
	end,
	file = function(value)
		settles(fs.get("script:dir"):writefile("written", value))
	end,
	name = function(value)
		pcall(process.registry.register, value)
	end,
	log = function(value)
		require("logger"):debug("value", { value = value })
	end,
	error = function(value)
		errors.new({ message = "x", details = { value = value } }):details()
		assert(not pcall(error, value))
	end,
}

for name, value in pairs(values) do
	for taker, take in pairs(takers) do
		local ok, err = pcall(take, value)
		assert(ok, name .. " to " .. taker .. ": " .. tostring(err))
	end
end
print("all settled")
