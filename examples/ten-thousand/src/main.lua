-- Starts them all, and says how far they are as soon as everybody has got there.
local function spawn(count, rounds)
	local pids = {}
	for n = 1, count do
		pids[n] = assert(process.spawn_monitored("many:ticker", "many:processes", process.pid(), rounds))
	end
	return pids
end

-- How many live, by their entry.
local function census()
	local counts = {}
	for _, info in ipairs(process.list()) do
		counts[info.entry] = (counts[info.entry] or 0) + 1
	end
	return counts
end

local function main(count, rounds)
	count, rounds = math.tointeger(tonumber(count)) or 10000, math.tointeger(tonumber(rounds)) or 3
	local pids = spawn(count, rounds)
	io.print(census()["many:ticker"] .. " processes are waiting")
	for _, pid in ipairs(pids) do
		process.send(pid, "start")
	end

	local ticked, total, ended, failed = {}, 0, 0, 0
	while ended < count do
		local event = process.receive()
		if event.topic == "tick" then
			local round = event.value
			total = total + 1
			ticked[round] = (ticked[round] or 0) + 1
			if ticked[round] == count then
				io.print("round " .. round .. ": " .. count .. " ticks")
			end
		else
			ended = ended + 1
			failed = failed + (event.error and 1 or 0)
		end
	end
	io.print(total .. " ticks in all; " .. ended .. " processes have ended, " .. failed .. " of them badly")
end

return { main = main }
