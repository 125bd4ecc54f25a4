-- Somebody in the room: says what the director wants, and writes down what it hears. What main returns is seen by whoever
-- watches the process: here it is the notes.
return function(name, room, director)
	local notes = {}
	process.send(room, "join", name)
	while true do
		local message = process.receive()
		if message.topic == "heard" then
			table.insert(notes, message.value)
			process.send(director, "heard")
		elseif message.topic == "say" then
			process.send(room, "say", message.value)
		elseif message.topic == "faint" then
			error(name .. " faints", 0)
		elseif message.topic == "leave" then
			return notes
		end
	end
end
