-- Tells its owner when it starts and when it is asked to stop, and does what it is told: "crash", "end", "refuse".
return function(owner, name)
	process.events()
	process.send(owner, "worker", name, "up", process.pid())
	while true do
		local item = process.receive()
		if item.type == "CANCEL" then
			process.send(owner, "worker", name, "down", item.reason)
			if name ~= "stubborn" then
				return "done"
			end
		elseif item.value == "crash" then
			error("crashed")
		elseif item.value == "end" then
			return "done"
		elseif item.value == "refuse" then
			return nil, "refused"
		end
	end
end
