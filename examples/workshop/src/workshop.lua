-- Has three programs at work, each in a process of its own, until all of them are done.
local PROGRAMS = { "workshop:draw", "workshop:compile", "workshop:count" }

local function start_jobs()
	local children = {}
	for _, entry in ipairs(PROGRAMS) do
		table.insert(children, {
			id = entry,
			entry = "workshop:job",
			host = "workshop:processes",
			args = { process.pid(), entry },
			-- What ended well is not started again.
			restart = "transient",
		})
	end
	return supervisor.start_link({ intensity = 2, period = "10m", children = children })
end

local function main()
	local jobs = assert(start_jobs())
	local attempts, done = {}, {}
	while #done < #PROGRAMS do
		local event = process.receive()
		local entry, err = event.values[1], event.values[2]
		attempts[entry] = (attempts[entry] or 0) + 1
		if err then
			io.print(entry .. " failed: " .. err:message())
		else
			table.insert(done, entry)
		end
	end
	table.sort(done)
	for _, entry in ipairs(done) do
		io.print(entry .. " is done, attempt " .. attempts[entry])
	end
	supervisor.stop(jobs)
end

return { main = main }
