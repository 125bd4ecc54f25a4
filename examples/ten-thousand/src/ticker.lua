-- Waits for the start, ticks as often as it was told, and ends.
return function(watcher, rounds)
	process.receive()
	local ticks = time.ticker("100ms"):channel()
	for round = 1, rounds do
		ticks:receive()
		process.send(watcher, "tick", round)
	end
end
