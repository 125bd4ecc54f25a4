-- Remembers one number. So simple that it does not fail: what must not be lost lives here.
return function()
	process.registry.register("ledger")
	local balance = 0
	while true do
		local event = process.receive()
		if event.topic == "write" then
			balance = event.value
		elseif event.topic == "read" then
			process.send(event.from, "balance", balance)
		elseif event.type == "CANCEL" then
			return
		end
	end
end
