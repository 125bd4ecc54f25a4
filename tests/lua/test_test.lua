-- The framework, by its own means.

local time = require("time")

local function failure_of(fn, ...)
	local ok, err = pcall(fn, ...)
	assert(not ok, "it did not fail")
	return tostring(err)
end

describe("assert", function()
	it("is still Lua's own when it is called", function()
		assert(true)
		local a, b = assert(1, 2)
		assert(a == 1 and b == 2)
		local ok, err = pcall(assert, false, "message")
		assert(not ok and err == "message")
		ok, err = pcall(assert, nil)
		assert(err:find("assertion failed!", 1, true))
	end)

	it("knows luassert's spellings", function()
		assert.True(true)
		assert.is_true(true)
		assert.is.True(true)
		assert.is_not_true(false)
		assert.is_not.True(1)
		assert.equal(1, 1)
		assert.equals(1, 1)
		assert.are.equal(1, 1)
		assert.are_equal(1, 1)
		assert.are_not.equal(1, 2)
		assert.not_equal(1, 2)
		assert.are.same({ 1, { 2 } }, { 1, { 2 } })
		assert.is_not.same({ 1 }, { 2 })
		assert.is_nil(nil)
		assert.is_not_nil(1)
		assert.truthy("x")
		assert.is_truthy(0)
		assert.falsy(nil)
		assert.is_falsy(false)
		assert.has_error(function() error("x") end)
		assert.has.errors(function() error("x") end, "x")
		assert.has_no.errors(function() end)
		assert.has_no_error(function() end)
		assert.error_matches(function() error("number 5") end, "%d")
		assert.matches("%d+", "a1")
		assert.has_match("%d+", "a1")
		assert.is_table({})
		assert.is_string("")
		assert.is_function(print)
		assert.is_number(1)
		assert.is_boolean(false)
		assert.is_userdata(errors.new("x"))
		assert.near(1.0, 1.05, 0.1)
		assert.is_near(1.0, 1.05, 0.1)
		assert.unique({ 1, 2, 3 })
	end)

	it("returns what it was given", function()
		assert.equal(5, (assert.is_number(5)))
	end)

	it("refuses names it does not have", function()
		assert.matches("assert has no `is_elephant`", failure_of(function() return assert.is_elephant end), 1, true)
	end)

	it("says what differs", function()
		assert.equal("values are not equal\n- 1\n+ 2", failure_of(assert.equal, 1, 2))
		assert.equal("note: values are not equal\n- 1\n+ 2", failure_of(assert.equal, 1, 2, "note"))
		assert.equal("values are not equal\n- 2\n+ 1", failure_of(test.equal, 1, 2))
		assert.equal('values are not equal\n- 1\n+ "1"', failure_of(assert.equal, 1, "1"))
	end)

	it("shows tables line by line", function()
		local text = failure_of(assert.same, { a = 1, list = { "x", "y" } }, { a = 1, list = { "x", "z" }, more = true })
		assert.equal(
			[[
values are not the same
  …
    a = 1,
    list = {
      "x",
-     "y",
+     "z",
    },
+   more = true,
  }]],
			text
		)
	end)

	it("shows what differs far down in a long text", function()
		local lines = {}
		for i = 1, 1000 do
			lines[i] = "line " .. i
		end
		local expected = table.concat(lines, "\n")
		lines[900] = "another"
		local text = failure_of(assert.equal, expected, table.concat(lines, "\n"))
		assert.matches("…\n  line 897\n  line 898\n  line 899\n- line 900\n+ another\n  line 901", text, 1, true)
	end)

	it("survives cycles", function()
		local a, b = {}, {}
		a.me, b.me = a, b
		assert.same(a, b)
		b.x = 1
		assert.matches("<cycle>", failure_of(assert.same, a, b), 1, true)
	end)

	it("tells equal tables from the same", function()
		assert.matches("equal contents", failure_of(assert.equal, { 1 }, { 1 }), 1, true)
	end)
end)

describe("test", function()
	it("puts what was found first", function()
		test.equal(1, 1)
		test.same({ 1 }, { 1 })
		test.not_equal(1, 2)
		test.is_nil(nil)
		test.not_nil(1)
		test.matches("abc", "b")
		test.contains("abc", "b")
		test.contains({ 1, 2 }, 2)
		test.not_contains({ 1, 2 }, 3)
		test.has_error(function() error("x") end, "x")
		test.no_error(function() end)
		test.is_error(errors.new({ message = "x", kind = errors.TIMEOUT }), "Timeout")
		assert.equal(test, require("test"))
	end)
end)

describe("hooks", function()
	local calls = {}
	before_all(function() calls[#calls + 1] = "before_all" end)
	before_each(function() calls[#calls + 1] = "before_each" end)
	after_each(function() calls[#calls + 1] = "after_each" end)

	it("run", function() calls[#calls + 1] = "it" end)

	describe("inside", function()
		before_each(function() calls[#calls + 1] = "inner" end)
		it("run outermost first", function() end)
	end)

	after_all(function()
		assert.same({
			"before_all", "before_each", "it", "after_each", "before_each", "inner", "after_each",
		}, calls)
	end)
end)

describe("what began before the tests", function()
	local echo, doomed
	local function eventually(...)
		return assert(process.receive("30s"), ...)
	end

	before_all(function()
		local echoing = "return function(to) while true do process.send(to, 'echo', process.receive().value) end end"
		local id = test.entry({ name = "echo", kind = "process.lua", source = echoing })
		echo = process.spawn(id, nil, process.pid())
		doomed = process.spawn_monitored(id, nil, process.pid())
		process.send(process.pid(), "kept", 0)
	end)

	it("is asked by one test", function()
		process.send(process.pid(), "mine", 1)
		process.send(echo, "x", 2)
		process.terminate(doomed)
		-- Both have come when the next test begins.
		while process.info(doomed) or process.info(process.pid()).mailbox < 4 do
			time.sleep("1ms")
		end
	end)

	it("answers in the next", function()
		assert.equal(0, eventually().value)
		local got = { eventually(), eventually() }
		table.sort(got, function(a, b) return (a.topic or "") > (b.topic or "") end)
		assert.equal(2, got[1].value)
		assert.equal("EXIT", got[2].type)
		assert.is_nil(process.receive(0))
	end)

	after_all(function() process.terminate(echo) end)
end)

describe("a test", function()
	it("leaves a coroutine, a subscription and messages", function()
		coroutine.spawn(function() time.sleep("1h") end)
		process.listen("news")
		process.send(process.pid(), "news", 1)
		process.send(process.pid(), "other", 2)
	end)

	it("finds none of them in the next one", function()
		assert.is_nil(process.receive(0))
		process.send(process.pid(), "news", 3)
		assert.equal(3, process.receive("20s").value)
	end)

	it("declares folders, variables and hosts too", function()
		test.entry({ name = "here", kind = "fs.directory", directory = "." })
		assert.matches("declares folders", require("fs").get("test:here"):readfile("test_test.lua"), 1, true)
		test.entry({ name = "store", kind = "env.storage.static", values = { COLOUR = "red" } })
		test.entry({ name = "colour", kind = "env.variable", variable = "COLOUR", storage = "test:store" })
		assert.equal("red", require("env").get("COLOUR"))
		test.entry({ name = "small", kind = "process.host", host = { mailbox_limit = 1 } })
		local id = test.entry({ name = "idle", kind = "process.lua", source = "return function() process.events():receive() end" })
		local pid = process.spawn(id, "test:small")
		assert.is_true(process.send(pid, "a", 1))
		local _, err = process.send(pid, "a", 2)
		test.is_error(err, "Unavailable")
		process.terminate(pid)
		assert.has_error(function() test.entry({ name = "small", kind = "process.host" }) end, "host test:small is already running")
	end)

	it("may take longer when it says so", function() time.sleep("20ms") end, "20s")

	pending("may be declared for later")
	it("may have no body yet")
end)
