-- The director: brings people into the room, tells them their lines, and prints what each of them has heard.
local present, pids = 0, {}
local room

-- What anybody says is heard by all who are present, before the next line is spoken. When somebody goes, how that ended: the
-- notes of one who left, the error of one who could not.
local function wait_for_all(somebody_goes)
	local heard, exit = 0, nil
	while heard < present or somebody_goes and not exit do
		local event = process.receive()
		if event.topic == "heard" then
			heard = heard + 1
		elseif event.type == "EXIT" then
			exit = event
		end
	end
	return exit
end

local function enters(name)
	pids[name] = assert(process.spawn_monitored("chat:member", "chat:processes", name, room, process.pid()))
	present = present + 1
	wait_for_all()
end

local function says(name, line)
	process.send(pids[name], "say", line)
	wait_for_all()
end

local function goes(name, how)
	process.send(pids[name], how)
	present = present - 1
	return wait_for_all(true)
end

local function main()
	room = assert(process.spawn("chat:room", "chat:processes"))

	enters("Alice")
	enters("Bob")
	says("Alice", "Hello, Bob!")
	enters("Carol")
	says("Bob", "You look pale, Carol.")
	io.print("(" .. goes("Carol", "faint").error:message() .. ")")
	says("Alice", "Is there a doctor in the room?")

	for _, name in ipairs({ "Bob", "Alice" }) do
		io.print(name .. " heard:")
		for _, line in ipairs(goes(name, "leave").value) do
			io.print("  " .. line)
		end
	end
	process.cancel(room, "closing time")
end

return { main = main }
