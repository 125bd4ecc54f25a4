-- Keeps values by their keys. One request after the other, so nothing needs a lock.
local requests = {}

function requests.set(values, key, value)
	values[key] = value
	return true
end

function requests.get(values, key)
	return values[key]
end

function requests.delete(values, key)
	local known = values[key] ~= nil
	values[key] = nil
	return known
end

function requests.keys(values)
	local keys = {}
	for key in pairs(values) do
		table.insert(keys, key)
	end
	table.sort(keys)
	return keys
end

local function main(values)
	process.registry.register("store")
	while true do
		local event = process.receive()
		if event.type == "CANCEL" then
			return
		end
		local handle = requests[event.topic]
		if handle then
			process.send(event.from, "store.reply", handle(values, table.unpack(event.values, 1, event.values.n)))
		end
	end
end

return { main = main }
