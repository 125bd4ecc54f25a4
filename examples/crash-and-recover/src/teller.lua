-- Does the work, and trusts its input: whatever goes wrong ends the process. It begins with what the ledger remembers.
return function(customer)
	process.send("ledger", "read")
	local balance = process.receive().value
	process.send(customer, "open", balance)
	while true do
		local event = process.receive()
		if event.topic == "deposit" then
			balance = balance + event.value
			process.send("ledger", "write", balance)
			process.send(customer, "receipt", balance)
		elseif event.type == "CANCEL" then
			return
		end
	end
end
