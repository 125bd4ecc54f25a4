-- Lines become words.
return function(target)
	while true do
		local message = process.receive()
		if message.topic == "end" then
			return process.send(target, "end")
		end
		for word in message.value:gmatch("%a+") do
			process.send(target, "word", word:lower())
		end
	end
end
