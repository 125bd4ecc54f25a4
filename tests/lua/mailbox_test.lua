local time = require("time")

local HOST = "app:processes"
local ECHO = "app:echo"

local me = process.pid()

local function note(topic, ...)
	assert(process.send(me, topic, ...))
end

-- Starts a coroutine and lets it run until it waits.
local function beside(body)
	coroutine.spawn(body)
	time.sleep("1ms")
end

describe("process.receive", function()
	it("copies a list however Lua holds it", function()
		local backwards, mixed, late, grown = {}, { x = "y" }, { [2] = "b", [4] = "d" }, {}
		for index = 20, 1, -1 do
			backwards[index] = { index }
			mixed[index] = index
		end
		mixed[0], mixed[-1], mixed[1.5] = "zero", "less", "half"
		late[1], late[3] = "a", "c"
		for index = 1, 9 do
			grown[index] = index
		end
		-- What is left of the array lies behind a hole.
		grown[4], grown[5] = nil, nil
		grown.key = grown
		for _, list in ipairs({ backwards, mixed, late, grown }) do
			note("list", list)
			local copy = process.receive(0).value
			local count = 0
			for key, value in pairs(copy) do
				count = count + 1
				if value ~= copy then
					assert.same(list[key], value)
				end
			end
			for _ in pairs(list) do
				count = count - 1
			end
			assert.equal(0, count)
			assert.equal(list.key and copy, copy.key)
		end
	end)

	it("takes messages and events in the order of arrival", function()
		note("a", 1)
		assert(process.cancel(me, "now"))
		note("b", 2)
		assert.equal("a", process.receive(0).topic)
		local cancel = process.receive(0)
		assert.equal("CANCEL", cancel.type)
		assert.equal(process.event.CANCEL, cancel.kind)
		assert.equal("now", cancel.reason)
		assert.equal(me, cancel.from)
		assert.equal(me, cancel.pid)
		assert.is_nil(cancel.result)
		assert.equal("b", process.receive(0).topic)
	end)

	it("leaves alone what inbox and events are only asked for", function()
		process.inbox()
		process.events()
		note("plain", 1)
		assert(process.cancel(me))
		assert.equal("plain", process.receive(0).topic)
		assert.equal("", process.receive(0).reason)
	end)

	it("leaves messages to a coroutine that waits on the inbox", function()
		local got
		beside(function()
			got = process.inbox():receive()
		end)
		note("claimed", 1)
		assert(process.cancel(me, "mine"))
		assert.equal("mine", process.receive("20s").reason)
		time.sleep("1ms")
		assert.equal("claimed", got:topic())
	end)

	it("leaves events to a coroutine that waits for them", function()
		local got
		beside(function()
			got = process.events():receive()
		end)
		assert(process.cancel(me, "claimed"))
		note("mine", 1)
		assert.equal("mine", process.receive("20s").topic)
		time.sleep("1ms")
		assert.equal("claimed", got.reason)
	end)

	it("serves those who wait in the order in which they began", function()
		local order = {}
		for i = 1, 3 do
			beside(function()
				order[i] = process.receive().value
			end)
		end
		for i = 1, 3 do
			note("turn", i)
		end
		while #order < 3 do
			time.sleep("1ms")
		end
		assert.same({ 1, 2, 3 }, order)
	end)

	it("gives one nil when the time is up", function()
		assert.equal(1, select("#", process.receive(0)))
		assert.equal(1, select("#", process.receive("1ms")))
		assert.is_nil(process.receive(-5))
		local value, err = process.receive({})
		assert.is_nil(value)
		test.is_error(err, "Invalid")
	end)

	it("shows messages with their values and without any", function()
		note("several", nil, false, nil)
		local message = process.receive(0)
		assert.equal(3, message.values.n)
		assert.is_nil(message.value)
		assert.is_false(message.values[2])
		note("none")
		assert.same({ type = "MESSAGE", kind = "message", topic = "none", from = me, values = { n = 0 } }, process.receive(0))
	end)

	it("gives plain tables that can be sent on", function()
		local pid = assert(process.spawn_monitored("app:answer", HOST))
		note("forward", process.receive("30s"))
		local event = process.receive(0).value
		assert.equal(pid, event.from)
		assert.same({ value = 42 }, event.result)
		assert.is_nil(getmetatable(event))
	end)
end)

describe("a listened topic", function()
	it("never reaches the inbox nor receive", function()
		local news = process.listen("news")
		local inbox = process.inbox()
		note("news", 1)
		assert.is_nil(process.receive(0))
		assert.is_true(channel.select({ inbox:case_receive(), default = true }).default)
		assert.equal(1, (news:receive()))
		process.unlisten(news)
	end)

	it("takes what was queued before", function()
		note("late", 1)
		note("other", 2)
		note("late", 3)
		local late = process.listen("late")
		assert.equal(1, (late:receive()))
		assert.equal(3, (late:receive()))
		assert.equal(2, process.receive(0).value)
		process.unlisten(late)
	end)

	it("gives raw values: nil for none, an array for several", function()
		local raw = process.listen("raw")
		note("raw")
		note("raw", "one")
		note("raw", 1, 2)
		local value, open = raw:receive()
		assert.is_nil(value)
		assert.is_true(open)
		assert.equal("one", (raw:receive()))
		assert.same({ 1, 2 }, (raw:receive()))
		process.unlisten(raw)
	end)

	it("gives Message objects when asked to", function()
		local objects = process.listen("objects", { message = true })
		note("objects", "v")
		local message = objects:receive()
		assert.equal("objects", message:topic())
		assert.equal("v", message:payload():data())
		process.unlisten(objects)
	end)

	it("has a channel of its own, closed by unlisten; what is unread becomes ordinary", function()
		local one, two = process.listen("one"), process.listen("two")
		assert.equal(one, process.listen("one"))
		assert.are_not.equal(one, two)
		note("one", "unread")
		assert.is_true(process.unlisten(one))
		assert.is_true(process.unlisten(two))
		local value, open = one:receive()
		assert.is_nil(value)
		assert.is_false(open)
		note("one", "later")
		assert.equal("unread", process.receive(0).value)
		assert.equal("later", process.receive(0).value)
		local ok, err = process.unlisten(one)
		assert.is_false(ok)
		test.is_error(err, "Invalid")
		assert.has_error(function()
			process.unlisten("one")
		end)
	end)
end)

describe("a full mailbox", function()
	it("is told to the sender, who may try again, and still takes events", function()
		local pid = assert(process.spawn_monitored("app:sleeper", "app:narrow"))
		assert.is_true(process.send(pid, "x"))
		assert.is_true(process.send(pid, "x"))
		local ok, err = process.send(pid, "x")
		assert.is_nil(ok)
		test.is_error(err, "Unavailable")
		assert.is_true(err:retryable())
		assert.equal("mailbox of " .. pid .. " is full", err:message())
		assert.equal(2, process.info(pid).mailbox)
		assert.is_true(process.cancel(pid, "event"))
		assert.equal(3, process.info(pid).mailbox)
		process.terminate(pid)
		assert.equal("EXIT", process.receive("30s").type)
	end)

	it("refuses for good what is larger than all of it", function()
		local pid = assert(process.spawn_monitored("app:sleeper", "app:slim"))
		local ok, err = process.send(pid, "x", string.rep("x", 5000))
		assert.is_nil(ok)
		test.is_error(err, "LimitExceeded")
		assert.is_false(err:retryable())
		assert.matches("larger than the whole mailbox of " .. pid .. ": 4KiB", err:message(), 1, true)
		assert.equal(0, process.info(pid).mailbox)
		process.terminate(pid)
		assert.equal("EXIT", process.receive("30s").type)
	end)

	it("holds 100 000 messages or 64 MiB unless its host says otherwise", function()
		local pid = assert(process.spawn("app:sleeper", HOST))
		for _ = 1, 100000 do
			assert.is_true(process.send(pid, "x"))
		end
		local _, err = process.send(pid, "x")
		test.is_error(err, "Unavailable")
		process.terminate(pid)
		pid = assert(process.spawn("app:sleeper", HOST))
		local mebibyte = string.rep("x", 1 << 20)
		for _ = 1, 63 do
			assert.is_true(process.send(pid, "x", mebibyte))
		end
		_, err = process.send(pid, "x", mebibyte)
		test.is_error(err, "Unavailable")
		process.terminate(pid)
	end)

	it("takes no more CANCELs than messages", function()
		local pid = assert(process.spawn_monitored("app:sleeper", "app:narrow"))
		assert.is_true(process.cancel(pid))
		assert.is_true(process.cancel(pid))
		local ok, err = process.cancel(pid)
		assert.is_nil(ok)
		test.is_error(err, "Internal")
		assert.is_true(err:retryable())
		assert.equal("cancel failed: mailbox of " .. pid .. " is full", tostring(err))
		process.terminate(pid)
		assert.equal("EXIT", process.receive("30s").type)
	end)

	it("may be full of bytes", function()
		local pid = assert(process.spawn_monitored("app:sleeper", "app:slim"))
		local kibibyte = string.rep("x", 1024)
		for _ = 1, 3 do
			assert.is_true(process.send(pid, "x", kibibyte))
		end
		local _, err = process.send(pid, "x", kibibyte)
		test.is_error(err, "Unavailable")
		assert.is_true(process.send(pid, "x", "little"))
		process.terminate(pid)
		assert.equal("EXIT", process.receive("30s").type)
	end)
end)

describe("an EXIT", function()
	local function exit_of(...)
		local pid = assert(process.spawn_monitored("app:ending", HOST, ...))
		local event = process.receive("30s")
		assert.equal(pid, event.from)
		return event
	end

	it("carries any value of a normal return", function()
		assert.same({}, exit_of("nothing").result)
		assert.is_false(exit_of("false").value)
		assert.is_nil(exit_of("false").error)
		assert.equal(1, exit_of("value and nil").value)
		assert.equal(1, exit_of("value and number").value)
	end)

	it("carries the error of a return", function()
		local event = exit_of("text")
		assert.is_nil(event.value)
		test.is_error(event.error, "Internal")
		assert.equal("went wrong", event.error:message())
		assert.is_false(event.error:retryable())
		event = exit_of("error")
		test.is_error(event.error, "Conflict")
		assert.is_true(event.error:retryable())
		assert.same({ a = { 1 } }, event.error:details())
	end)

	it("carries what nobody caught, in any coroutine", function()
		local event = exit_of("raise")
		test.is_error(event.error, "Internal")
		assert.is_nil(event.error:retryable())
		assert.matches("raised", event.error:message(), 1, true)
		assert.matches("beside", exit_of("raise beside").error:message(), 1, true)
	end)

	it("comes after the last message", function()
		local pid = assert(process.spawn_monitored("app:ending", HOST, "send", me))
		assert.equal("last words", process.receive("30s").value)
		assert.equal(pid, process.receive("30s").from)
	end)

	it("does not come after unmonitor, queued or not", function()
		local pid = assert(process.spawn_monitored("app:answer", HOST))
		while process.info().mailbox == 0 do
			time.sleep("1ms")
		end
		assert.is_true(process.unmonitor(pid))
		assert.is_nil(process.receive(0))
		assert.is_true(process.unmonitor(pid))
	end)
end)

describe("a failure", function()
	it("is told to links, and a normal return is not", function()
		assert(process.set_options({ trap_links = true }))
		for how, fails in pairs({
			["nothing"] = false,
			["false"] = false,
			["value and nil"] = false,
			["value and number"] = false,
			["text"] = true,
			["error"] = true,
			["raise"] = true,
			["raise beside"] = true,
		}) do
			local pid = assert(process.spawn_linked_monitored("app:ending", HOST, how))
			local exit = process.receive("30s")
			assert.equal("EXIT", exit.type)
			assert.equal(fails, exit.error ~= nil, how)
			if fails then
				local down = process.receive("30s")
				assert.equal("LINK_DOWN", down.type)
				assert.equal(pid, down.from)
				assert.equal(exit.error:message(), down.error:message())
			end
			assert.is_nil(process.receive(0))
			assert.same({}, process.info().links)
		end
		-- A limit too, and a process that is cancelled and returns has not failed.
		local hurried = assert(process.spawn_linked("app:hurried", HOST))
		local down = process.receive("30s")
		assert.equal(hurried, down.from)
		test.is_error(down.error, "Timeout")
		local polite = assert(process.spawn_linked_monitored(ECHO, HOST))
		assert(process.cancel(polite, "please"))
		assert.equal("cancelled: please", process.receive("30s").value)
		assert.is_nil(process.receive("20ms"))
		assert(process.set_options({ trap_links = false }))
	end)
end)

describe("every destination", function()
	it("may be a name", function()
		local pid = assert(process.spawn(ECHO, HOST))
		assert(process.registry.register("destination", pid))
		local name = "destination"
		assert.is_true(process.send(name, "pid"))
		assert.equal(pid, process.receive("30s").value)
		assert.is_true(process.monitor(name))
		assert.is_true(process.link(name))
		assert.same({ pid }, process.info().links)
		assert.equal(pid, process.info(name).pid)
		assert.is_true(process.unlink(name))
		assert.same({}, process.info().links)
		assert.is_true(process.cancel(name, "by name"))
		assert.equal("cancelled: by name", process.receive("30s").value)
		for _, call in ipairs({ process.monitor, process.link, process.unlink, process.unmonitor, process.cancel, process.terminate }) do
			local ok, err = call(name)
			assert.is_nil(ok)
			test.is_error(err, "NotFound")
			assert.equal("could not resolve 'destination' as PID or registered name", err:message())
		end
		local again = assert(process.spawn_monitored(ECHO, HOST))
		assert(process.registry.register(name, again))
		assert.is_true(process.unmonitor(name))
		assert.is_true(process.terminate(name))
		assert.is_nil(process.receive("20ms"))
	end)
end)

describe("a pid", function()
	it("names the host and a number that is never used again", function()
		local seen = {}
		for _ = 1, 20 do
			local pid = assert(process.spawn_monitored("app:answer", HOST))
			local number = pid:match("^{app:processes|0x(%x+)}$")
			assert.is_true(number ~= nil and #number >= 5 and number == number:lower(), pid)
			assert.is_nil(seen[number])
			seen[number] = true
			process.receive("30s")
		end
	end)
end)

describe("a host", function()
	it("that does not start at boot starts with its first process", function()
		assert.equal(42, (process.exec("app:answer", "app:lazy_host")))
	end)
end)

describe("a parent's end", function()
	it("ends the children that are linked to it if it fails, and only then", function()
		for _, fails in ipairs({ false, true }) do
			local parent = assert(process.spawn("app:linker", HOST))
			process.send(parent, "spawn", "app:sleeper")
			local child
			while not child do
				child = process.info(parent).links[1]
				time.sleep("1ms")
			end
			assert(process.monitor(child))
			if fails then
				process.terminate(parent)
				local event = process.receive("30s")
				assert.equal(child, event.from)
				assert.equal("linked process failed", event.error:message())
			else
				assert(process.monitor(parent))
				process.send(parent, "return")
				assert.equal(parent, process.receive("30s").from)
				assert.same({}, process.info(child).links)
				assert.is_nil(process.receive(0))
				process.unmonitor(child)
				process.terminate(child)
			end
		end
	end)

	it("leaves its children alone", function()
		assert(process.spawn_monitored("app:ending", HOST, "parent", me))
		local child = process.receive("30s").value
		assert.equal("EXIT", process.receive("30s").type)
		assert.is_true(process.send(child, "stop"))
	end)
end)

describe("process.exec", function()
	it("says exactly what is wrong", function()
		for text, args in pairs({
			["exec requires id and host arguments"] = { ECHO },
			["process ID required"] = { "", HOST },
			["host ID required"] = { ECHO, "" },
			["invalid process ID format (namespace:name required)"] = { "echo", HOST },
		}) do
			local value, err = process.exec(table.unpack(args))
			assert.is_nil(value)
			test.is_error(err, "Invalid")
			assert.equal(text, err:message())
		end
		local _, err = process.exec("app:ending", HOST, "text")
		assert.equal("went wrong", err:message())
	end)
end)

describe("process.terminate and process.cancel", function()
	it("say what is wrong", function()
		local dead = "{app:processes|0xfffff}"
		local ok, err = process.terminate(dead)
		assert.is_nil(ok)
		test.is_error(err, "Internal")
		assert.equal("terminate failed: process not found: " .. dead, tostring(err))
		ok, err = process.cancel(dead)
		assert.is_nil(ok)
		test.is_error(err, "Internal")
		assert.equal("cancel failed: process not found: " .. dead, tostring(err))
		_, err = process.cancel()
		test.is_error(err, "Invalid")
		assert.equal("cancel requires at least destination argument", err:message())
		assert.has_error(function()
			process.terminate()
		end)
	end)
end)

describe("process.info", function()
	it("shows every field", function()
		local info = process.info()
		assert.equal(me, info.pid)
		assert.equal("running", info.state)
		assert.equal("integer", math.type(info.steps))
		assert.equal("integer", math.type(info.memory))
		assert.is_true(math.abs(info.started_at - os.time()) < 3600)
		local pid = assert(process.spawn_monitored("app:sleeper", HOST))
		assert(process.registry.register("sleeper", pid))
		while process.info("sleeper").state ~= "waiting" do
			time.sleep("1ms")
		end
		assert.equal(pid, process.info("sleeper").pid)
		local monitors = process.info().monitors
		assert.equal(pid, monitors[#monitors])
		process.terminate("sleeper")
		assert.equal(pid, process.receive("30s").from)
		local none, err = process.info("sleeper")
		assert.is_nil(none)
		test.is_error(err, "NotFound")
	end)

	it("lists the oldest first", function()
		local pids = {}
		for i = 1, 3 do
			pids[i] = assert(process.spawn("app:sleeper", HOST))
		end
		local all = process.list()
		for i = 1, 3 do
			assert.equal(pids[i], all[#all - 3 + i].pid)
			process.terminate(pids[i])
		end
	end)
end)

describe("process.registry", function()
	it("says what is wrong", function()
		local function refused(kind, text, ...)
			local ok, err = process.registry.register(...)
			assert.is_falsy(ok)
			test.is_error(err, kind)
			assert.equal(text, err:message())
		end
		refused("Invalid", "pid must be a string", "name", 5)
		refused("Invalid", "invalid pid format: missing braces", "name", "nobody")
		refused("Invalid", "invalid pid format: missing pipe", "name", "{nobody}")
		refused("NotFound", "process not found: {a|b}", "name", "{a|b}")
		refused("Invalid", 'name "{a|b}" reads as a pid: choose another one', "{a|b}")
		refused("Invalid", "scope must be a number", "name", me, "local")
		refused("Invalid", "unknown registry scope: 1.5", "name", me, 1.5)
		refused("Invalid", "unknown registry scope: 7", "name", me, 7)
		refused("Invalid", "name too long: 10000000 bytes, 1024 at most", string.rep("x", 10000000))
		refused("Internal", "eventual registry not available", "name", me, process.registry.EVENTUAL)
		refused("Internal", "global registry not available", "name", me, process.registry.CONSISTENT)
		refused("Internal", "global registry not available", "name", me, process.registry.STRONG)
		assert.is_true(process.registry.register("name", me, process.registry.LOCAL))
		assert.is_true(process.registry.unregister("name", process.registry.LOCAL))
	end)

	it("takes only names that are text", function()
		local _, err = process.registry.register("\255")
		assert.equal("name must be UTF-8 text", err:message())
		_, err = process.registry.lookup("\255")
		test.is_error(err, "NotFound")
	end)
end)

describe("a topic", function()
	it("that is not listened to any more wakes who waits for messages", function()
		coroutine.spawn(function()
			local ch = process.listen("left")
			process.send(me, "left", "hello")
			require("time").sleep("5ms")
			process.unlisten(ch)
		end)
		assert.equal("hello", process.receive("30s").value)
	end)

	it("is not listened to when its channel was closed", function()
		local ch = process.listen("closed")
		process.send(me, "closed", 1)
		ch:close()
		process.send(me, "closed", 2)
		for _ = 1, 2 do
			assert.same({ n = 2, nil, false }, table.pack(ch:receive()))
		end
		local other = process.listen("closed")
		assert.not_equal(ch, other)
		assert.equal(1, (other:receive()))
		assert.equal(2, (other:receive()))
		process.unlisten(other)
	end)

	it("and a destination are text", function()
		for _, call in ipairs({ process.listen, function(topic) return subscribe(topic, channel.new()) end }) do
			local _, err = call("\255")
			assert.equal("topic must be UTF-8 text", err:message())
		end
		assert.is_true(process.registry.register("?"))
		local _, err = process.send("\255", "t")
		test.is_error(err, "NotFound")
		assert.is_true(process.registry.unregister("?"))
		_, err = process.spawn("\255", HOST)
		assert.matches("\u{fffd}", err:message(), 1, true)
		for given, seen in pairs({ [5] = "5", ["a\255"] = "a\u{fffd}" }) do
			process.cancel(me, given)
			assert.equal(seen, process.receive("30s").reason)
		end
	end)
end)
