-- What is piped into a session runs as one script.
local pid = process.spawn_monitored("./worker.lua", nil, 20)
local event = process.receive(time.seconds(10))
print(event.type, event.value)
