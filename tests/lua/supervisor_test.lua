local supervisor = require("supervisor")

local HOST = "app:processes"

-- Where the workers live now, by name.
local pids

-- What a worker tells: its name, and "up" or "down".
local function next_word()
	local message = process.receive("30s")
	assert(message, "a worker says something")
	assert.equal("worker", message.topic, message.error and tostring(message.error))
	local name, what, pid = message.values[1], message.values[2], message.values[3]
	if what == "up" then
		pids[name] = pid
	end
	return name .. " " .. what
end

local function expect(...)
	for _, word in ipairs({ ... }) do
		assert.equal(word, next_word())
	end
end

-- Words of processes that run side by side, in whatever order.
local function expect_all(...)
	local words, heard = { ... }, {}
	for _ in ipairs(words) do
		table.insert(heard, next_word())
	end
	table.sort(words)
	table.sort(heard)
	assert.same(words, heard)
end

local function expect_silence()
	assert.is_nil(process.receive("50ms"))
end

local function worker(name, fields)
	local child = { id = name, entry = "app:worker", host = HOST, args = { process.pid(), name } }
	for field, value in pairs(fields or {}) do
		child[field] = value
	end
	return child
end

local function start(spec)
	return assert(supervisor.start_link(spec))
end

local function tell(name, what)
	assert(process.send(pids[name], "order", what))
end

-- The ids of the children that run.
local function running(pid)
	local ids = {}
	for _, child in ipairs(assert(supervisor.children(pid))) do
		if child.pid then
			table.insert(ids, child.id)
		end
	end
	return ids
end

describe("supervisor", function()
	before_each(function()
		pids = {}
	end)

	it("starts children in order and stops them in reverse", function()
		local pid = start({ children = { worker("a"), worker("b"), worker("c") } })
		expect_all("a up", "b up", "c up")
		assert.same({ "a", "b", "c" }, running(pid))
		assert.is_true(pids.a < pids.b and pids.b < pids.c)
		assert.is_true(supervisor.stop(pid))
		expect("c down", "b down", "a down")
		local children, err = supervisor.children(pid)
		assert.is_nil(children)
		assert.equal(errors.NOT_FOUND, err:kind())
	end)

	it("tells what its children are", function()
		local pid = start({ children = { worker("a", { restart = "transient" }) } })
		expect("a up")
		assert.same({
			{ id = "a", pid = pids.a, entry = "app:worker", host = HOST, type = "worker", restart = "transient" },
		}, supervisor.children(pid))
		supervisor.stop(pid)
		expect("a down")
	end)

	it("restarts a child with a new pid", function()
		local pid = start({ children = { worker("a"), worker("b") } })
		expect_all("a up", "b up")
		local before = pids.a
		tell("a", "crash")
		expect("a up")
		assert.are_not.equal(before, pids.a)
		assert.same({ "a", "b" }, running(pid))
		supervisor.stop(pid, "enough")
		expect("b down", "a down")
	end)

	it("is stopped for a reason that is a text or an error", function()
		local reasons = { "enough", 7, errors.new({ message = "too much", kind = "Internal" }) }
		for _, reason in pairs(reasons) do
			local pid = start({ children = { worker("a") } })
			expect("a up")
			assert.is_true(supervisor.stop(pid, reason))
			expect("a down")
		end
		local pid = start({ children = { worker("a") } })
		expect("a up")
		for _, reason in ipairs({ { code = 1 }, true, print, channel.new() }) do
			local ok, err = pcall(supervisor.stop, pid, reason)
			assert.is_false(ok)
			assert.matches("bad argument #2 to 'stop' (string expected", err, 1, true)
		end
		assert.same({ "a" }, running(pid))
		supervisor.stop(pid)
		expect("a down")
	end)

	it("one_for_all restarts all of them", function()
		local pid = start({ strategy = "one_for_all", children = { worker("a"), worker("b"), worker("c") } })
		expect_all("a up", "b up", "c up")
		tell("b", "crash")
		expect("c down", "a down")
		expect_all("a up", "b up", "c up")
		supervisor.stop(pid)
		expect("c down", "b down", "a down")
	end)

	it("rest_for_one restarts those that were started later", function()
		local pid = start({ strategy = "rest_for_one", children = { worker("a"), worker("b"), worker("c") } })
		expect_all("a up", "b up", "c up")
		tell("b", "crash")
		expect("c down")
		expect_all("b up", "c up")
		supervisor.stop(pid)
		expect("c down", "b down", "a down")
	end)

	it("knows permanent, transient and temporary children", function()
		local pid = start({
			intensity = 10,
			children = {
				worker("permanent"),
				worker("transient", { restart = "transient" }),
				worker("temporary", { restart = "temporary" }),
			},
		})
		expect_all("permanent up", "transient up", "temporary up")
		tell("permanent", "end")
		expect("permanent up")
		tell("transient", "crash")
		expect("transient up")
		tell("transient", "refuse")
		expect("transient up")
		tell("transient", "end")
		tell("temporary", "crash")
		while #running(pid) > 1 do
			require("time").sleep("1ms")
		end
		expect_silence()
		assert.same({ "permanent" }, running(pid))
		-- What is transient stays known, what is temporary does not.
		assert.is_true(process.info(assert(supervisor.restart_child(pid, "transient"))) ~= nil)
		expect("transient up")
		local restarted, err = supervisor.restart_child(pid, "temporary")
		assert.is_nil(restarted)
		assert.equal("child not found: temporary", err:message())
		supervisor.stop(pid)
		expect("transient down", "permanent down")
	end)

	it("ends when restarts are too many, and says why", function()
		process.set_options({ trap_links = true })
		local pid = start({ intensity = 1, period = "1m", children = { worker("a"), worker("b") } })
		expect_all("a up", "b up")
		tell("a", "crash")
		expect("a up")
		tell("a", "crash")
		expect("b down")
		local event = process.receive("30s")
		process.set_options({ trap_links = false })
		assert.equal("LINK_DOWN", event.type)
		assert.equal(pid, event.from)
		assert.equal(errors.LIMIT_EXCEEDED, event.error:kind())
		assert.matches("^restart intensity exceeded: 2 in 1m0s, limit 1 %(last: a: .*crashed%)$", event.error:message())
	end)

	it("has an intensity of 3 in 5s", function()
		-- However slow the machine is.
		test.clock()
		process.set_options({ trap_links = true })
		start({ children = { worker("a") } })
		expect("a up")
		for _ = 1, 3 do
			tell("a", "end")
			expect("a up")
		end
		tell("a", "end")
		local event = process.receive("30s")
		process.set_options({ trap_links = false })
		assert.equal("restart intensity exceeded: 4 in 5s, limit 3 (last: a: ended normally)", event.error:message())
	end)

	it("forgets restarts that are long ago", function()
		local pid = start({ intensity = 1, period = "1ms", children = { worker("a") } })
		expect("a up")
		for _ = 1, 5 do
			tell("a", "end")
			expect("a up")
			require("time").sleep("5ms")
		end
		supervisor.stop(pid)
		expect("a down")
	end)

	it("adds, stops and restarts children", function()
		local pid = start({})
		assert.same({}, supervisor.children(pid))
		local child = assert(supervisor.start_child(pid, worker("a")))
		expect("a up")
		assert.equal(pids.a, child)
		local twice, err = supervisor.start_child(pid, worker("a"))
		assert.is_nil(twice)
		assert.equal(errors.ALREADY_EXISTS, err:kind())
		local _, conflict = supervisor.restart_child(pid, "a")
		assert.equal(errors.CONFLICT, conflict:kind())
		assert.is_true(supervisor.terminate_child(pid, "a"))
		expect("a down")
		assert.same({}, running(pid))
		local again = assert(supervisor.restart_child(pid, "a"))
		expect("a up")
		assert.equal(pids.a, again)
		local missing, unknown = supervisor.terminate_child(pid, "b")
		assert.is_nil(missing)
		assert.equal(errors.NOT_FOUND, unknown:kind())
		supervisor.stop(pid)
		expect("a down")
	end)

	it("ends a child that outlives its shutdown", function()
		local pid = start({ children = { worker("stubborn", { shutdown = "1s" }), worker("b", { shutdown = "kill" }) } })
		expect_all("stubborn up", "b up")
		assert.is_true(supervisor.stop(pid))
		expect("stubborn down")
		expect_silence()
		for _, name in ipairs({ "stubborn", "b" }) do
			assert.is_nil(process.info(pids[name]))
		end
	end)

	it("holds trees of any depth", function()
		local function tree(depth)
			if depth == 0 then
				return worker("leaf")
			end
			return { id = "level" .. depth, type = "supervisor", children = { tree(depth - 1) } }
		end
		local pid = start({ children = { tree(50) } })
		expect("leaf up")
		tell("leaf", "crash")
		expect("leaf up")
		assert.is_true(supervisor.stop(pid))
		expect("leaf down")
	end)

	it("passes on to the supervisor above what it cannot mend", function()
		local inner = { id = "inner", type = "supervisor", intensity = 0, children = { worker("a"), worker("b") } }
		local pid = start({ strategy = "one_for_all", children = { worker("outer"), inner } })
		expect_all("outer up", "a up", "b up")
		tell("a", "crash")
		expect("b down", "outer down")
		expect_all("outer up", "a up", "b up")
		supervisor.stop(pid)
		expect("b down", "a down", "outer down")
	end)

	it("may be started by a child", function()
		local spec = { intensity = 0, children = { worker("a") } }
		local wrapper = { id = "wrapper", entry = "app:wrapper", host = HOST, args = { spec }, type = "supervisor" }
		local pid = start({ children = { wrapper } })
		expect("a up")
		tell("a", "crash")
		expect("a up")
		supervisor.stop(pid)
		expect("a down")
	end)

	it("ends with whoever started it", function()
		for _, how in ipairs({ "terminate", "cancel" }) do
			local pid = assert(process.spawn("app:wrapper", HOST, { children = { worker("a") } }))
			expect("a up")
			process[how](pid)
			expect("a down")
		end
	end)

	it("says why a child cannot be started, and leaves nothing behind", function()
		local broken = worker("broken", { entry = "app:nowhere" })
		local pid, err = supervisor.start_link({ children = { worker("a"), broken } })
		assert.is_nil(pid)
		assert.equal(errors.NOT_FOUND, err:kind())
		assert.equal("child 'broken': entry not found: app:nowhere", tostring(err))
		expect("a up", "a down")
		pid = start({ children = { worker("b") } })
		expect("b up")
		local child, refused = supervisor.start_child(pid, broken)
		assert.is_nil(child)
		assert.equal(errors.NOT_FOUND, refused:kind())
		assert.same({ "b" }, running(pid))
		supervisor.stop(pid)
		expect("b down")
	end)

	it("names what is wrong with a specification", function()
		local function refusal(spec, expected)
			local pid, err = supervisor.start_link(spec)
			assert.is_nil(pid)
			assert.equal(errors.INVALID, err:kind())
			assert.equal(expected, tostring(err))
		end
		local function child(field, value)
			return { children = { worker("a", { [field] = value }) } }
		end
		refusal({ strategy = "all" }, "supervisor: strategy must be one of one_for_one, one_for_all, rest_for_one, not all")
		refusal({ intensity = -1 }, "supervisor: intensity must be an integer from 0, not -1")
		refusal({ period = "-1s" }, "supervisor: period cannot be negative")
		refusal({ intensty = 1 }, "supervisor: unknown field 'intensty'")
		refusal({ children = { worker("a"), worker("a") } }, "child 'a' is given twice")
		refusal({ children = { {} } }, "children[1]: id is required, a string")
		refusal({ children = { { id = "a" } } }, "child 'a': entry is required, the id of a process")
		refusal(child("restart", "always"), "child 'a': restart must be one of permanent, transient, temporary, not always")
		refusal(child("type", "thing"), "child 'a': type must be one of worker, supervisor, not thing")
		refusal(child("args", "x"), "child 'a': args must be an array, not a string")
		refusal(child("args", { n = 1e9 }), "child 'a': args must be 0 to 1000 values, not 1000000000.0")
		local own = {}
		own[1] = { id = "own", type = "supervisor", children = own }
		refusal({ children = own }, "supervisor: children contains itself")
		local _, err = supervisor.start_link(child("host", "app:nowhere"))
		assert.equal("child 'a': host not found: app:nowhere", tostring(err))
		_, err = supervisor.start_link(child("shutdown", "soon"))
		assert.matches("^child 'a': shutdown: invalid duration", tostring(err))
		assert.has_error(function()
			supervisor.start_link(nil)
		end)
	end)

	it("is only asked what it knows", function()
		local children, err = supervisor.children(process.pid())
		assert.is_nil(children)
		assert.equal(errors.INVALID, err:kind())
		assert.matches("^not a supervisor: ", err:message())
		children, err = supervisor.children("nobody")
		assert.is_nil(children)
		assert.equal(errors.NOT_FOUND, err:kind())
		for _, name in ipairs({ "children", "start_child", "terminate_child", "restart_child", "stop" }) do
			assert.error_matches(function()
				supervisor[name]()
			end, "^supervisor_test.lua:%d+: bad argument #1 to '" .. name .. "' %(string expected, got nil%)$")
		end
	end)

	it("is found by its name", function()
		local pid = start({ children = { worker("a") } })
		expect("a up")
		assert(process.registry.register("boss", pid))
		assert.same({ "a" }, running("boss"))
		assert.is_true(supervisor.stop("boss"))
		expect("a down")
	end)
end)
