-- Puts them in order: the most frequent first, equals by the alphabet.
return function(target)
	local all = {}
	while true do
		local message = process.receive()
		if message.topic == "end" then
			break
		end
		table.insert(all, message.value)
	end
	table.sort(all, function(a, b)
		if a.count ~= b.count then
			return a.count > b.count
		end
		return a.word < b.word
	end)
	for _, item in ipairs(all) do
		process.send(target, "ranked", item)
	end
	process.send(target, "end")
end
