-- Words become numbers: how often each of them came, once all are there.
return function(target)
	local counts = {}
	while true do
		local message = process.receive()
		if message.topic == "end" then
			break
		end
		counts[message.value] = (counts[message.value] or 0) + 1
	end
	for word, count in pairs(counts) do
		process.send(target, "count", { word = word, count = count })
	end
	process.send(target, "end")
end
