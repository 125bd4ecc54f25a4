-- Builds the pipeline from its end, feeds it with lines, and prints what comes out: words -> split -> count -> rank -> words.
-- All of it is linked: when one stage fails none is left waiting for ever.
local function stage(entry, target)
	return assert(process.spawn_linked("pipeline:" .. entry, "pipeline:processes", target))
end

local function main()
	local first = stage("split", stage("count", stage("rank", process.pid())))

	local line = io.readline()
	while line do
		process.send(first, "line", line)
		line = io.readline()
	end
	process.send(first, "end")

	while true do
		local message = process.receive()
		if message.topic == "end" then
			return
		end
		io.print(message.value.count, message.value.word)
	end
end

return { main = main }
