-- A call that tells who it is and then does what it is told by messages.
return function(what, boss, ...)
	if what == "identity" then
		return { pid = process.pid(), id = process.id(), info = process.info() }
	elseif what == "sleep" then
		time.sleep(boss)
		return "slept"
	elseif what == "obey" then
		process.send(boss, "started", process.pid())
		local order = process.receive()
		return order.value
	elseif what == "spin" then
		process.send(boss, "started", process.pid())
		while true do
		end
	elseif what == "events" then
		local events = process.events()
		process.send(boss, "started", process.pid())
		local event = events:receive()
		process.send(boss, "heard", event.type, event.reason, event.from)
		return event.type
	elseif what == "spawn" then
		local pid = process.spawn_monitored("app:answer", "app:processes")
		local event = process.receive("5s")
		return { pid == event.from, event.value }
	end
	return what, nil
end
