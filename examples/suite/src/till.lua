-- Adds up what it is sent, until it is asked for the sum.
return function()
	local sum = 0
	while true do
		local message = process.receive()
		if message.topic == "pay" then
			process.send(message.from, "sum", sum)
			return sum
		end
		sum = sum + message.value
	end
end
