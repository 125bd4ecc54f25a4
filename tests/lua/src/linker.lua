-- Links itself to what it is told, and waits.

local orders = {}

function orders.link(message)
	process.send(message.from, "linked", process.link(message.value))
end

function orders.spawn(message)
	assert(process.spawn_linked(message.value, "app:processes"))
end

return function()
	while true do
		local message = process.receive()
		if message.topic == "return" then
			return
		end
		orders[message.topic](message)
	end
end
