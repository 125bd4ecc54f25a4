-- Virtual time: timers stand still and move by hand.

local time = require("time")
local funcs = require("funcs")

-- A process that sends a word after each of some durations.
local function sender()
	return test.entry({
		kind = "process.lua",
		name = "sender",
		modules = { "time" },
		source = [[
			local time = require("time")
			return function(to, ...)
				for _, wait in ipairs({ ... }) do
					time.sleep(wait)
					process.send(to, "word", wait)
				end
			end
		]],
	})
end

local function words()
	local out = {}
	while true do
		local message = process.receive(0)
		if message == nil then
			return out
		end
		out[#out + 1] = message.value
	end
end

describe("a clock", function()
	it("lets days pass at once", function()
		local clock = test.clock()
		local before = time.now()
		local slept = false
		coroutine.spawn(function()
			time.sleep("72h")
			slept = true
		end)
		clock:advance("71h59m59s")
		assert.is_false(slept)
		clock:advance("1s")
		assert.is_true(slept)
		assert.equal(72 * 3600, math.floor(time.now():sub(before):seconds() + 0.5))
	end)

	it("shows a time that stands still too", function()
		local clock = test.clock()
		local before = time.now()
		for _ = 1, 1000 do
			assert.equal(0, time.now():sub(before):nanoseconds())
		end
		clock:advance("1h")
		assert.equal(3600 * 10 ^ 9, time.now():sub(before):nanoseconds())
		assert.equal(before:unix() + 3600, os.time())
	end)

	it("fires in order, and what that leads to before what is later", function()
		local clock = test.clock()
		local id = sender()
		assert(process.spawn(id, nil, process.pid(), "3h", "3h"))
		assert(process.spawn(id, nil, process.pid(), "1h", "4h"))
		local seen = {}
		coroutine.spawn(function()
			for _ = 1, 3 do
				time.sleep("2h")
				seen[#seen + 1] = #words()
			end
		end)
		clock:advance("6h")
		-- At 1h and 3h and 5h and 6h; looked at 2h, 4h and 6h.
		assert.equal(3, #seen)
		assert.equal(1, seen[1])
		assert.equal(1, seen[2])
		assert.is_true(seen[3] + #words() == 2)
	end)

	it("ticks as often as it must", function()
		local clock = test.clock()
		local ticker = time.ticker("1s")
		local count = 0
		coroutine.spawn(function()
			while ticker:channel():receive() do
				count = count + 1
			end
		end)
		clock:advance("10m")
		ticker:stop()
		assert.equal(600, count)
	end)

	it("moves timeouts and time limits of processes", function()
		local clock = test.clock()
		local id = test.entry({
			kind = "process.lua",
			name = "limited",
			limits = { max_execution_ms = 60000 },
			source = "return function() process.receive() end",
		})
		local pid = assert(process.spawn_monitored(id, nil))
		local got = "waits"
		coroutine.spawn(function()
			got = process.receive("1h")
		end)
		clock:advance("59s")
		assert.equal("waits", got)
		clock:advance("2s")
		assert.equal(pid, got.from)
		assert.equal("Timeout", got.error:kind())
	end)

	it("moves the time limit of a process over its upgrades", function()
		local clock = test.clock()
		local id = test.entry({
			kind = "process.lua",
			name = "upgraded",
			limits = { max_execution_ms = 1000 },
			modules = { "time" },
			source = [[
				return function(more)
					time.sleep("600ms")
					if more > 0 then process.upgrade(nil, more - 1) end
					return "survived"
				end
			]],
		})
		local short = assert(process.spawn_monitored(id, nil, 0))
		local long = assert(process.spawn_monitored(id, nil, 1))
		clock:advance("2s")
		local ends = {}
		for _ = 1, 2 do
			local event = process.receive(0)
			ends[event.from] = event
		end
		assert.equal("survived", ends[short].value)
		assert.equal("execution time limit exceeded: 1000 ms", ends[long].error:message())
	end)

	it("moves the timeouts of calls and the delays before they are made again", function()
		local clock = test.clock()
		local patient = funcs.new():with_options({ timeout = "1h" })
		local call = assert(patient:async("fn:worker", "sleep", "72h"))
		clock:advance("59m")
		assert.is_false(call:is_complete())
		clock:advance("1m")
		assert.is_true(call:is_complete())
		assert.equal("Timeout", select(2, call:result()):kind())

		local stubborn = funcs.new():with_options({
			retry = { max_attempts = 3, initial_delay = "1h", max_delay = "24h", jitter = 0 },
		})
		local again = assert(stubborn:async("fn:flaky", "clock", 2))
		for _, wait in ipairs({ "59m", "2h" }) do
			clock:advance(wait)
			assert.is_false(again:is_complete())
		end
		clock:advance("1m")
		assert.equal(3, again:result():data())
	end)

	it("goes on when it is released", function()
		local clock = test.clock()
		clock:advance("1h"):release()
		time.sleep("1ms")
		assert.error_matches(function() clock:advance("1h") end, "released")
	end)

	it("has gone on since the last test", function()
		time.sleep("1ms")
	end)

	it("goes forward only", function()
		assert.error_matches(function() test.clock():advance("-1s") end, "forward")
	end)
end)

describe("a block with a clock of its own", function()
	local clock
	before_all(function() clock = test.clock() end)

	it("moves it in one test", function()
		clock:advance("1h")
	end)

	it("and in the next", function()
		local done = false
		coroutine.spawn(function()
			time.sleep("1h")
			done = true
		end)
		clock:advance("1h")
		assert.is_true(done)
	end)
end)

describe("after that block", function()
	it("time goes by itself", function() time.sleep("1ms") end)
end)
