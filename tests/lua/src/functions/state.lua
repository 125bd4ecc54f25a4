-- What lives on from call to call, and what does not.
local calls = 0
local kept = channel.new()
local last_pid

local jobs = {}

function jobs.count()
	return calls
end

function jobs.pid()
	local previous = last_pid
	last_pid = process.pid()
	return { now = last_pid, before = previous }
end

-- Leaves a message, subscriptions, a timer, a waiting coroutine and a Future behind.
function jobs.litter()
	process.send(process.pid(), "left", 1)
	jobs.inbox = process.inbox()
	jobs.topic = process.listen("topic")
	jobs.own = channel.new()
	assert(subscribe("own", jobs.own))
	jobs.timer = time.after("1h")
	coroutine.spawn(function()
		kept:send("from the last call")
	end)
	coroutine.spawn(function()
		time.sleep("1ms")
		calls = 1000
	end)
	time.sleep("0")
	return calls
end

function jobs.look()
	local _, topic_open = jobs.topic:receive()
	local _, timer_open = jobs.timer:receive()
	local sent = channel.select({ kept:case_receive(), default = true })
	local own = channel.select({ jobs.own:case_receive(), default = true })
	time.sleep("5ms")
	return {
		message = process.receive(0),
		topic_open = topic_open,
		timer_open = timer_open,
		sender = not sent.default,
		own_open = own.default,
		own_unbound = subscribe("own", jobs.own),
		calls = calls,
	}
end

function jobs.fail()
	error("on purpose")
end

function jobs.open()
	local scratch = fs.get("app:scratch")
	jobs.file = assert(scratch:open("left-open.txt", "w"))
	assert(jobs.file:write("x"))
	return true
end

function jobs.read()
	local _, err = jobs.file:read()
	return err:message()
end

function jobs.wait()
	process.receive()
end

function jobs.litter_memory()
	local waste = {}
	for i = 1, 20000 do
		waste[i] = string.rep("x", 1000) .. i
	end
	return collectgarbage("count")
end

function jobs.memory()
	return collectgarbage("count")
end

function jobs.block()
	channel.new():receive()
end

return function(job)
	calls = calls + 1
	return jobs[job]()
end
