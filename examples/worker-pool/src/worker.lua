-- Asks for a job whenever it has none. It does not prepare for trouble: when there is some it crashes, and a fresh worker
-- takes its place.
return function(boss)
	while true do
		process.send(boss, "idle")
		local message = process.receive()
		if message.type == "CANCEL" then
			return
		end
		local job = message.value
		if job.number == 7 and job.attempt == 1 then
			error("a screw came loose", 0)
		end
		process.send(boss, "done", job.number, job.number * job.number)
	end
end
