-- Guests as actors among Lua processes: `fixtures/guests/actor.wit` says what the guest does.

local HOST = "app:processes"
local WAIT = "60s"

local function guest(method)
	return test.wasm("wasm/actor.wasm", method, {
		imports = { "wippy:process", "wippy:time", "wippy:log", "wippy:env" },
	})
end

local function exec(method, ...)
	local told, err = process.exec(guest(method), HOST, ...)
	assert.is_nil(err)
	return told
end

-- The next message of that topic or event of that type.
local function expect(what)
	local event = assert(process.receive(WAIT), "nothing came")
	assert.equal(what, event.type == "MESSAGE" and event.topic or event.type)
	return event
end

describe("a guest in a conversation", function()
	it("gives back what it was sent", function()
		local echo = assert(process.spawn_monitored(guest("echo"), HOST))
		for _, value in ipairs({
			{ a = 1, b = { true, 2.5, "x" } },
			{ 1, { 2, {} } },
			"text",
			"",
			"\255\0bytes",
			false,
			math.mininteger,
			0.1,
		}) do
			assert(process.send(echo, "ping", value))
			local pong = expect("echo")
			assert.equal(echo, pong.from)
			assert.same(value, pong.value)
			assert.equal(1, pong.values.n)
		end
		assert(process.send(echo, "ping"))
		assert.equal(0, expect("echo").values.n)
		assert(process.send(echo, "ping", 1, "two", { 3 }))
		assert.same({ 1, "two", { 3 } }, expect("echo").value)
		assert(process.send(echo, "stop"))
		assert.equal(10, expect("EXIT").value)
	end)

	it("makes do with what JSON has no word for", function()
		local echo = assert(process.spawn(guest("echo"), HOST))
		local loop = { name = "loop" }
		loop.me = loop
		assert(process.send(echo, "ping", loop))
		assert.same({ name = "loop" }, expect("echo").value)
		assert(process.send(echo, "ping", { 0 / 0, [5] = "gap" }))
		assert.same({ ["5"] = "gap" }, expect("echo").value)
		assert(process.send(echo, "ping", { errors.new("gone") }))
		assert.same({ "gone" }, expect("echo").value)
		process.terminate(echo)
	end)

	it("asks a Lua process", function()
		local me = process.pid()
		local asking = assert(process.spawn_monitored(guest("ask"), HOST, me, "sum", "[1, 2, 3.5]"))
		local question = expect("sum")
		assert.same({ 1, 2, 3.5 }, question.value)
		process.send(question.from, "answer", { sum = 6.5 })
		assert.equal(("message answer from %s: json {\"sum\":6.5}"):format(me), expect("EXIT").value)
		assert.equal(asking, question.from)
	end)

	it("serves under a name", function()
		local desk = assert(process.spawn_monitored(guest("serve"), HOST, "desk"))
		-- It has its name when it answers for the first time.
		assert(process.send(desk, "ping", 6))
		assert.equal(6, expect("echo").value)
		assert.equal(desk, process.registry.lookup("desk"))
		assert(process.send("desk", "ping", 7))
		assert.equal(7, expect("echo").value)
		assert(process.send("desk", "stop"))
		expect("EXIT")
		assert.is_nil((process.registry.lookup("desk")))
	end)

	it("hears a CANCEL", function()
		local echo = assert(process.spawn_monitored(guest("echo"), HOST))
		assert(process.cancel(echo, "that is all"))
		local ended = expect("EXIT")
		assert.equal("that is all", ended.error:message())
	end)

	it("waits for a message and for its time", function()
		assert.equal("nothing", exec("wait", 10))
		local waiting = assert(process.spawn_monitored(guest("wait"), HOST, 3600000))
		assert(process.send(waiting, "now", 1))
		assert.equal(("message now from %s: json 1"):format(process.pid()), expect("EXIT").value)
	end)

	it("finds its arguments", function()
		assert.equal('json {"a":[1]}\ntext x\nnone\njson true', exec("started-with", { a = { 1 } }, "x", nil, true))
		assert.equal("json 1\ntext b", exec("started-with-two", 1, "b"))
	end)
end)

describe("a guest that keeps others", function()
	it("starts a Lua worker again until it succeeds", function()
		assert.equal(3, exec("supervise", "app:third_time", HOST))
		local attempts, err = process.exec(guest("supervise"), HOST, "app:broken", HOST)
		assert.is_nil(attempts)
		assert.matches("broken from the start", err:message(), 1, true)
	end)

	it("reads how a Lua process ended", function()
		local function ended(entry, json)
			return exec("spawn", entry, HOST, json, "m", ""):match("\nexit %b{}: (.*)$")
		end
		assert.equal('json {"a":[1,2]}', ended("app:answer", '{"a": [1, 2]}'))
		assert.equal("text x", ended("app:answer", '"x"'))
		assert.equal("none", ended("app:ending", '"nothing"'))
		assert.equal("json 1", ended("app:ending", '"value and number"'))
		assert.equal("Internal: went wrong", ended("app:ending", '"text"'))
		assert.equal('Conflict: no (retryable) {"a":[1]}', ended("app:ending", '"error"'))
	end)

	it("falls with a Lua process it is linked to, and the other way round", function()
		process.set_options({ trap_links = true })
		local collecting = assert(process.spawn_linked(guest("collect"), HOST, 1))
		assert(process.terminate(collecting))
		assert.equal(collecting, expect("LINK_DOWN").from)
		process.set_options({ trap_links = false })
		local linker = assert(process.spawn_monitored(guest("collect-trapping"), HOST, 1))
		local sleeper = assert(process.spawn("app:sleeper", HOST))
		assert.equal("ok", exec("act", "link", sleeper))
		assert(process.send(linker, "enough"))
		expect("EXIT")
		assert(process.terminate(sleeper))
	end)
end)
