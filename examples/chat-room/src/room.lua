-- Knows who is here, and tells everybody everything. It watches its members, so that one who leaves without a word is missed.
return function()
	local names = {}

	local function tell(line)
		for pid in pairs(names) do
			process.send(pid, "heard", line)
		end
	end

	while true do
		local event = process.receive()
		if event.topic == "join" then
			names[event.from] = event.value
			process.monitor(event.from)
			tell("* " .. event.value .. " is here")
		elseif event.topic == "say" then
			tell(names[event.from] .. ": " .. event.value)
		elseif event.type == "EXIT" then
			local name = names[event.from]
			names[event.from] = nil
			tell("* " .. name .. (event.error and " vanished" or " left"))
		elseif event.type == "CANCEL" then
			return
		end
	end
end
