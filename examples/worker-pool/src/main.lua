-- Hands jobs to whoever is idle. The supervisor replaces a worker that crashes; that its job must be done again is known
-- here alone.
local WORKERS, JOBS = 3, 12

local function start_pool()
	local children = {}
	for n = 1, WORKERS do
		children[n] = { id = "worker " .. n, entry = "pool:worker", host = "pool:processes", args = { process.pid() } }
	end
	return supervisor.start_link({ strategy = "one_for_one", children = children })
end

local function main()
	local pool = assert(start_pool())
	local jobs, idle, busy, results = {}, {}, {}, {}
	for number = 1, JOBS do
		jobs[number] = { number = number, attempt = 1 }
	end

	while #results < JOBS do
		local event = process.receive()
		if event.topic == "idle" then
			-- Tells of its end too; a worker that asks again is watched already.
			process.monitor(event.from)
			table.insert(idle, event.from)
		elseif event.topic == "done" then
			local number, square = event.values[1], event.values[2]
			table.insert(results, { number = number, square = square })
			busy[event.from] = nil
		elseif event.type == "EXIT" and busy[event.from] then
			local job = busy[event.from]
			io.print("job " .. job.number .. " failed: " .. event.error:message())
			table.insert(jobs, { number = job.number, attempt = job.attempt + 1 })
		end

		while #jobs > 0 and #idle > 0 do
			local worker, job = table.remove(idle, 1), table.remove(jobs, 1)
			if process.send(worker, "job", job) then
				busy[worker] = job
			else
				table.insert(jobs, job)
			end
		end
	end

	table.sort(results, function(a, b)
		return a.number < b.number
	end)
	for _, result in ipairs(results) do
		io.print(result.number .. " squared is " .. result.square)
	end
	supervisor.stop(pool)
end

return { main = main }
