-- Files as processes: no project is needed. `wippy run main.lua NAME…`

-- A Lua file gets what follows the host as its arguments; nil means the script's own host.
for _, name in ipairs({ ... }) do
	print((process.exec("./greeter.lua", nil, name)))
end

-- `FILE.wasm#METHOD` is a function of a module.
process.spawn_monitored("./worker.wasm#compute", nil, 6, 7)
local event = process.receive(time.seconds(10))
print("6 * 7 = " .. event.value)

-- A process that fails is an event like any other.
process.spawn_monitored("./greeter.lua")
event = process.receive(time.seconds(10))
print(event.type, event.error:kind(), event.error:message())
