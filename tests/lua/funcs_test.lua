local env = require("env")
local funcs = require("funcs")
local security = require("security")
local time = require("time")

local HOST = "app:processes"

local function next_event(wanted)
	local event = assert(process.receive("30s"))
	if wanted then
		assert.equal(wanted, event.topic or event.type)
	end
	return event
end

local function fails(kind, text, value, err)
	assert.is_nil(value)
	assert.equal(kind, err:kind())
	assert.matches(text, tostring(err), 1, true)
	return err
end

-- The process of the call of `fn:nested` that runs.
local function nested()
	for _, info in ipairs(process.list()) do
		if info.entry == "fn:nested" then
			return info.pid
		end
	end
end

describe("funcs.call", function()
	it("gives the value and nil", function()
		local value, err, more = funcs.call("fn:echo", { 1, { deep = true } })
		assert.same({ 1, { deep = true } }, value)
		assert.is_nil(err)
		assert.is_nil(more)
		assert.equal(nil, (funcs.call("fn:echo")))
		assert.equal(2, select("#", funcs.call("fn:echo")))
	end)

	it("copies, and keeps what crosses", function()
		local shared = { 1, s = "a\0b" }
		shared.self = shared
		local value = assert(funcs.call("fn:echo", shared))
		assert.are_not.equal(shared, value)
		assert.equal(value, value.self)
		assert.equal("a\0b", value.s)
		local err = errors.new({ message = "m", kind = "Conflict", details = { a = 1 } })
		assert.equal(1, funcs.call("fn:echo", { err })[1]:details().a)
		assert.same({ ok = true }, funcs.call("fn:fails", "userdata"))
	end)

	it("says what is wrong with the target", function()
		fails("Invalid", "function ID required", funcs.call(""))
		fails("Invalid", "function ID required", funcs.call())
		fails("Invalid", "function ID required", funcs.call(nil))
		fails("Invalid", "namespace:name", funcs.call("echo"))
		fails("Invalid", "namespace:name", funcs.call(":echo"))
		fails("Invalid", "namespace:name", funcs.call("fn:"))
		fails("NotFound", "no handler registered for fn:nothing", funcs.call("fn:nothing"))
		fails("NotFound", "no handler registered for app:shout", funcs.call("app:shout"))
		fails("NotFound", "no handler registered for app:echo", funcs.call("app:echo"))
		fails("NotFound", "no handler registered for app:processes", funcs.call("app:processes"))
		fails("Invalid", "invalid duration", funcs.call("fn:bad_options"))
		local ok, err = pcall(funcs.call, {})
		assert.is_false(ok)
		assert.matches("bad argument #1", err, 1, true)
	end)

	it("ends as main ends", function()
		assert.equal(false, (funcs.call("fn:fails", "false")))
		assert.is_nil((funcs.call("fn:fails", "nothing")))
		assert.equal("kept", (funcs.call("fn:fails", "other")))
		assert.equal(false, fails("Internal", "a text", funcs.call("fn:fails", "string")):retryable())
		local err = fails("NotFound", "gone", funcs.call("fn:fails", "error"))
		assert.equal(true, err:retryable())
		assert.same({ id = 7 }, err:details())
		fails("Internal", "no kind", funcs.call("fn:fails", "unknown"))
		assert.is_nil(fails("Internal", "raised", funcs.call("fn:fails", "raise")):retryable())
		fails("Conflict", "raised", funcs.call("fn:fails", "raise_error"))
		fails("Internal", "table", funcs.call("fn:fails", "raise_table"))
		fails("Internal", "beside main", funcs.call("fn:fails", "beside"))
	end)

	it("refuses what has no main", function()
		fails("NotFound", 'method "absent" not found in module', funcs.call("fn:no_method"))
		fails("Invalid", "", funcs.call("fn:broken"))
		for _ = 1, 2 do
			fails("Internal", "no chunk", funcs.call("fn:chunk_fails"))
		end
	end)

	it("is a process while it lasts", function()
		local who = assert(funcs.call("fn:worker", "identity"))
		assert.matches("^{.*|0x%x+}$", who.pid)
		assert.are_not.equal(process.pid(), who.pid)
		assert.equal("fn:worker", who.id)
		assert.equal("function.lua", who.info.kind)
		assert.equal("running", who.info.state)
		fails("NotFound", "process not found", process.info(who.pid))
		assert.same({ true, 42 }, funcs.call("fn:worker", "spawn"))
	end)

	it("takes messages", function()
		local future = funcs.async("fn:worker", "obey", process.pid())
		local pid = next_event("started").value
		assert(process.send(pid, "order", "done"))
		assert.equal("done", future:response():receive():data())
	end)

	it("fails when it is terminated, and the state is not used again", function()
		funcs.call("fn:state", "count")
		local before = funcs.call("fn:state", "count")
		assert.is_true(before > 1)
		local future = funcs.async("fn:state", "wait")
		local running
		while not running do
			time.sleep("1ms")
			for _, info in ipairs(process.list()) do
				if info.entry == "fn:state" and info.state == "waiting" then
					running = info.pid
				end
			end
		end
		assert(process.terminate(running))
		local err = future:response():receive()
		assert.equal("process terminated", err:message())
		assert.equal(1, (funcs.call("fn:state", "count")))
	end)

	it("fails when it is blocked for ever", function()
		fails("Internal", "all coroutines blocked", funcs.call("fn:state", "block"))
	end)

	it("is limited in time and memory", function()
		local first = assert(funcs.call("fn:limited"))
		assert.equal(first + 1, (funcs.call("fn:limited")))
		local err = fails("LimitExceeded", "memory", funcs.call("fn:limited", "eat"))
		assert.equal("max_memory", err:details().limit)
		assert.is_nil(err:retryable())
		assert.equal(1, (funcs.call("fn:limited")))
		assert(funcs.call("fn:hurried"))
		fails("Timeout", "execution time limit exceeded: 1000 ms", funcs.call("fn:hurried", "spin"))
		assert.equal(1, (funcs.call("fn:hurried")))
	end)
end)

describe("a pooled state", function()
	it("runs its chunk once, in each call another process", function()
		local first = assert(funcs.call("fn:state", "count"))
		assert.equal(first + 1, (funcs.call("fn:state", "count")))
		local pids = assert(funcs.call("fn:state", "pid"))
		local again = assert(funcs.call("fn:state", "pid"))
		assert.equal(pids.now, again.before)
		assert.are_not.equal(again.now, again.before)
	end)

	it("keeps nothing else of a call", function()
		local calls = assert(funcs.call("fn:state", "litter"))
		assert.same(
			{
				topic_open = false,
				timer_open = false,
				sender = false,
				own_open = true,
				own_unbound = true,
				calls = calls + 1,
			},
			(funcs.call("fn:state", "look"))
		)
	end)

	it("closes the files of a call", function()
		assert(funcs.call("fn:state", "open"))
		assert.matches("file already closed", funcs.call("fn:state", "read"), 1, true)
	end)

	it("does not hold on to garbage", function()
		assert.is_true(funcs.call("fn:state", "litter_memory") > 15000)
		assert.is_true(funcs.call("fn:state", "memory") < 5000)
	end)

	it("survives a failure", function()
		local calls = assert(funcs.call("fn:state", "count"))
		fails("Internal", "on purpose", funcs.call("fn:state", "fail"))
		assert.equal(calls + 2, (funcs.call("fn:state", "count")))
	end)

	it("is new in every call of an inline pool", function()
		assert.equal(1, (funcs.call("fn:fresh")))
		assert.equal(1, (funcs.call("fn:fresh")))
	end)
end)

describe("a pool", function()
	it("runs as many calls as it has workers; the others wait", function()
		local futures = {}
		for i = 1, 3 do
			futures[i] = assert(funcs.async("fn:pair", "obey", process.pid()))
		end
		local first, second = next_event("started").value, next_event("started").value
		assert.is_nil(process.receive("30ms"))
		process.send(first, "order", "one")
		local third = next_event("started").value
		process.send(second, "order", "two")
		process.send(third, "order", "three")
		local got = {}
		for i = 1, 3 do
			got[i] = futures[i]:response():receive():data()
		end
		table.sort(got)
		assert.same({ "one", "three", "two" }, got)
	end)

	it("lets a function wait for a process that calls it though it is full", function()
		assert.equal(3, (funcs.call("fn:through_exec", 3)))
	end)

	it("lets a function call itself though it is full", function()
		assert.equal(10, (funcs.call("fn:recursive", 10)))
		assert.equal(64, (funcs.call("fn:recursive", 64)))
		fails("LimitExceeded", "fn:recursive calls itself through a full pool", funcs.call("fn:recursive", 65))
	end)

	it("ends calls that call themselves without end", function()
		fails("LimitExceeded", "fn:endless is nested more than 1000 calls deep", funcs.call("fn:endless"))
		local exec = "fn:endless_exec is nested more than 1000 calls deep"
		fails("LimitExceeded", exec, process.exec("fn:endless_exec", HOST))
	end)

	it("counts calls that are on, and results that are kept, as memory of the caller", function()
		assert.equal("kept", (process.exec("fn:hoarder", HOST, "dropped")))
		fails("LimitExceeded", "memory limit exceeded: 4MiB", process.exec("fn:hoarder", HOST, "results"))
		fails("LimitExceeded", "memory limit exceeded: 4MiB", process.exec("fn:hoarder", HOST, "calls"))
	end)

	it("makes instances at boot if it shall", function()
		while not env.get("WARMED") do
			time.sleep("10ms")
		end
		assert.equal("yes", (env.get("WARMED")))
		assert.equal(false, (funcs.call("fn:warm")))
	end)
end)

describe("funcs.async", function()
	it("gives a Future", function()
		local future, err = funcs.async("fn:echo", "value")
		assert.is_nil(err)
		assert.equal(false, future:is_complete())
		local value, none = future:result()
		assert.is_nil(value)
		assert.is_nil(none)
		assert.same({ nil, false }, { future:error() })
		assert.equal(false, future:is_canceled())
		assert.equal(future:channel(), future:response())
		local wrapper, ok = future:response():receive()
		assert.equal(true, ok)
		assert.equal("value", wrapper:data())
		assert.equal("lua/any", wrapper:get_format())
		assert.same({ nil, false }, { future:response():receive() })
		assert.equal(true, future:is_complete())
		assert.equal("value", future:result():data())
		assert.same({ nil, false }, { future:error() })
		assert.same({ true }, { future:cancel() })
		assert.equal(false, future:is_canceled())
		assert.equal("value", future:result():data())
	end)

	it("carries a failure", function()
		local future = assert(funcs.async("fn:fails", "error"))
		local err, ok = future:response():receive()
		assert.equal(true, ok)
		assert.equal("NotFound", err:kind())
		assert.same({ nil, false }, { future:response():receive() })
		local value, again = future:result()
		assert.is_nil(value)
		assert.equal("NotFound", again:kind())
		local failure, failed = future:error()
		assert.equal(true, failed)
		assert.equal("Internal", failure:kind())
		assert.equal("async call failed: gone", tostring(failure))
		assert.equal("gone", failure:message())
		assert.equal(true, future:is_complete())
		-- Too late to be canceled.
		assert.equal(true, (future:cancel()))
		assert.equal(false, future:is_canceled())
		_, again = future:result()
		assert.equal("NotFound", again:kind())
	end)

	it("carries nil", function()
		local wrapper, ok = funcs.async("fn:fails", "nothing"):response():receive()
		assert.equal(true, ok)
		assert.is_nil(wrapper:data())
	end)

	it("completes no Future before its caller waits", function()
		local future = assert(funcs.async("fn:ends_with_a_note", process.pid()))
		while process.info().mailbox == 0 do
		end
		local steps = process.info().steps
		while process.info().steps < steps + 20 do
			assert.equal(false, future:is_complete())
		end
		assert.equal("over", future:response():receive():data())
		assert.equal(true, future:is_complete())
		process.receive(0)
	end)

	it("can be canceled", function()
		local future = assert(funcs.async("fn:worker", "spin", process.pid()))
		local pid = next_event("started").value
		assert.same({ true }, { future:cancel() })
		assert.equal(true, future:is_canceled())
		assert.equal(true, future:is_complete())
		assert.same({ nil, false }, { future:response():receive() })
		fails("Canceled", "", future:result())
		assert.same({ nil, false }, { future:error() })
		assert.same({ true }, { future:cancel() })
		if process.monitor(pid) then
			next_event("EXIT")
		end
		fails("NotFound", "process not found", process.info(pid))
	end)

	it("checks only the target at once", function()
		fails("NotFound", "no handler registered for fn:nothing", funcs.async("fn:nothing"))
		fails("Invalid", "function ID required", funcs.async(""))
		fails("Invalid", "", funcs.async("fn:broken"))
		local future = assert(funcs.async("fn:compute", "not", "numbers"))
		assert.equal("Invalid", future:response():receive():kind())
	end)

	it("works in a select", function()
		local slow = assert(funcs.async("fn:worker", "sleep", "1h"))
		local quick = assert(funcs.async("fn:echo", 5))
		local won = channel.select({ slow:response():case_receive(), quick:response():case_receive() })
		assert.equal(quick:channel(), won.channel)
		assert.equal(5, won.value:data())
		assert.equal(true, won.ok)
		local idle = channel.select({ slow:response():case_receive(), default = true })
		assert.equal(true, idle.default)
		slow:cancel()
	end)

	it("calls in parallel", function()
		local futures = {}
		for i = 1, 20 do
			futures[i] = assert(funcs.async("fn:worker", "obey", process.pid()))
		end
		local pids = {}
		for i = 1, 20 do
			pids[i] = next_event("started").value
		end
		for i = 1, 20 do
			process.send(pids[i], "order", i)
		end
		local sum = 0
		for i = 1, 20 do
			sum = sum + futures[i]:response():receive():data()
		end
		assert.equal(210, sum)
	end)

	it("goes on when its caller returns, and ends when it fails", function()
		assert.equal("left", (funcs.call("fn:nested", "async", "obey", process.pid())))
		local pid = next_event("started").value
		assert(process.monitor(pid))
		process.send(pid, "order", "late")
		assert.equal("late", next_event("EXIT").value)
		local future = assert(funcs.async("fn:nested", "async and fail", "events", process.pid()))
		next_event("started")
		process.send(nested(), "now")
		fails("Internal", "failed", nil, future:response():receive())
		assert.equal("CANCEL", next_event("heard").value)
	end)
end)

describe("the end of a caller", function()
	local function caller_of(...)
		local future = assert(funcs.async("fn:nested", ...))
		local callee = next_event("started").value
		assert(process.monitor(callee))
		return nested(), callee, future
	end

	it("is told to a callee that listens", function()
		local caller, callee = caller_of("call", "events", process.pid())
		assert(process.terminate(caller))
		assert.same({ n = 3, "CANCEL", "caller context canceled", caller }, next_event("heard").values)
		local exit = next_event("EXIT")
		assert.equal(callee, exit.from)
		assert.equal("CANCEL", exit.value)
	end)

	it("ends a callee that does not listen", function()
		local caller, callee = caller_of("call", "spin", process.pid())
		assert(process.terminate(caller))
		local exit = next_event("EXIT")
		assert.equal(callee, exit.from)
		assert.equal("process terminated", exit.error:message())
	end)

	it("reaches a process that is called", function()
		local caller, callee = caller_of("bridge", "events", process.pid())
		assert(process.terminate(caller))
		assert.equal("caller context canceled", next_event("heard").values[2])
		assert.equal(callee, next_event("EXIT").from)
	end)

	it("is a CANCEL of the caller too, for a process that is called", function()
		local caller, callee, future = caller_of("bridge", "events", process.pid())
		assert(process.cancel(caller, "enough"))
		assert.equal("caller context canceled", next_event("heard").values[2])
		assert.equal(callee, next_event("EXIT").from)
		assert.equal("Canceled", future:response():receive():kind())
	end)
end)

describe("options", function()
	it("end a call in time", function()
		for _, timeout in ipairs({ "30ms", 30, time.milliseconds(30) }) do
			local quick = funcs.new():with_options({ timeout = timeout })
			local err = fails("Timeout", "call of fn:worker timed out after 30ms", quick:call("fn:worker", "sleep", "1h"))
			assert.equal(false, err:retryable())
		end
		local clock = test.clock()
		local future = assert(funcs.new():with_options({ timeout = "1s" }):async("fn:worker", "events", process.pid()))
		next_event("started")
		clock:advance("1s")
		assert.equal("CANCEL", next_event("heard").value)
		assert.equal("Timeout", future:response():receive():kind())
	end)

	it("make a failed call again", function()
		local function with(retry)
			retry.initial_delay = 1
			return funcs.new():with_options({ retry = retry })
		end
		fails("Unavailable", "try again", funcs.call("fn:flaky", "none", 1))
		assert.equal(3, (with({ max_attempts = 3 }):call("fn:flaky", "enough", 2)))
		fails("Unavailable", "try again", with({ max_attempts = 3 }):call("fn:flaky", "too few", 3))
		assert.equal(4, (funcs.call("fn:flaky", "too few", 3)))
		fails("Internal", "try again", with({ max_attempts = 3 }):call("fn:flaky", "internal", 1, "Internal"))
		assert.equal(2, (with({ max_attempts = 3 }):call("fn:flaky", "timeout", 1, "Timeout")))
		fails("Timeout", "", with({ max_attempts = 3, skip_kinds = { "Timeout" } }):call("fn:flaky", "skip", 1, "Timeout"))
		fails("Timeout", "", with({ max_attempts = 3, retry_kinds = { "Conflict" } }):call("fn:flaky", "only", 1, "Timeout"))
		assert.equal(2, with({ max_attempts = 2 }):async("fn:flaky", "async", 1):response():receive():data())
	end)

	it("come from the entry unless the call says otherwise", function()
		local before = assert(funcs.call("fn:patient"))
		fails("Unavailable", "no", funcs.call("fn:patient", "fail"))
		assert.equal(before + 4, (funcs.call("fn:patient")))
		local once = funcs.new():with_options({ retry = { max_attempts = 1 } })
		fails("Unavailable", "no", once:call("fn:patient", "fail"))
		assert.equal(before + 6, (funcs.call("fn:patient")))
		local clock = test.clock()
		for _, executor in ipairs({ funcs.new(), once }) do
			local future = assert(executor:async("fn:patient", "sleep"))
			clock:advance("59s")
			assert.is_false((future:is_complete()))
			clock:advance("1s")
			fails("Timeout", "timed out after 1m0s", nil, future:response():receive())
		end
	end)

	it("are told when they are wrong", function()
		local wrong = funcs.new():with_options({ timeout = "soon" })
		fails("Invalid", "option timeout: invalid duration", wrong:call("fn:echo"))
		local ok, err = pcall(wrong.with_options, wrong, "soon")
		assert.is_false(ok)
		assert.matches("table expected, got string", err, 1, true)
		assert.equal(1, (funcs.new():with_options({ unheard_of = true }):call("fn:echo", 1)))
	end)

	it("replace, and leave the Executor as it is", function()
		local plain = funcs.new()
		local quick = plain:with_options({ timeout = "30ms" })
		local again = quick:with_options({ retry = { max_attempts = 2 } })
		assert.equal("slept", (plain:call("fn:worker", "sleep", "60ms")))
		fails("Timeout", "", quick:call("fn:worker", "sleep", "1h"))
		assert.equal("slept", (again:call("fn:worker", "sleep", "60ms")))
	end)
end)

describe("an Executor", function()
	it("gives context values to its calls and theirs", function()
		local shared = { 1 }
		local executor = funcs.new():with_context({ who = "me", list = { a = shared, b = shared } })
		for more = 0, 2 do
			local seen = assert(executor:call("fn:heir", more)).values
			assert.equal("me", seen.who)
			assert.equal(seen.list.a, seen.list.b)
		end
		assert.equal("me", executor:async("fn:heir"):response():receive():data().values.who)
		assert.same({ who = "me" }, (funcs.new():with_context({ who = "me" }):call("fn:bridged_heir")))
		assert.same({ values = {}, scoped = false }, (funcs.call("fn:heir")))
	end)

	it("accumulates values and is never changed", function()
		local one = funcs.new():with_context({ a = 1, b = 1 })
		local two = one:with_context({ b = 2, c = 3 }):with_options({ timeout = "30s" })
		assert.same({ a = 1, b = 2, c = 3 }, assert(two:call("fn:heir")).values)
		assert.same({ a = 1, b = 1 }, assert(one:call("fn:heir")).values)
	end)

	it("sets actor and scope", function()
		local executor = funcs.new():with_actor(security.new_actor("user:1")):with_scope(security.new_scope())
		assert.same({ values = {}, actor = "user:1", scoped = true }, (executor:call("fn:heir", 1)))
		assert.same({ values = {}, scoped = false }, (funcs.call("fn:heir", 1)))
	end)

	it("passes on what its own process has", function()
		local outer = process.with_context({ outer = 1 }):with_actor(security.new_actor("user:2"))
		local seen = assert(outer:exec("fn:inner", HOST))
		assert.same({ values = { outer = 1, inner = 2 }, actor = "user:2", scoped = false }, seen)
	end)

	it("raises when it is used in a wrong way", function()
		local executor = funcs.new()
		for _, wrong in ipairs({
			{ "with_context", "x" },
			{ "with_context", { [1] = "x" } },
			{ "with_actor" },
			{ "with_actor", {} },
			{ "with_scope", 1 },
			{ "with_options" },
		}) do
			local ok, err = pcall(executor[wrong[1]], executor, wrong[2])
			assert.is_false(ok)
			assert.matches("bad argument #1 to '" .. wrong[1] .. "'", tostring(err), 1, true)
		end
		local ok, err = pcall(executor.call, "fn:echo")
		assert.is_false(ok)
		assert.matches("a method of an Executor is called with a colon", err, 1, true)
	end)
end)

describe("a process with a default host", function()
	it("can be called", function()
		local who = assert(funcs.call("fn:bridged", "identity"))
		assert.equal("fn:bridged", who.id)
		assert.equal(HOST, who.info.host)
		assert.equal("a", funcs.call("fn:bridged_by_options", "a")[1])
		assert.equal(42, (funcs.call("fn:bridged_wasm", 6, 7)))
		assert.equal("other", funcs.async("fn:bridged", "other"):response():receive():data())
	end)

	it("can be terminated", function()
		local future = assert(funcs.async("fn:bridged", "obey", process.pid()))
		assert(process.terminate(next_event("started").value))
		assert.equal("process terminated", future:response():receive():message())
	end)
end)

describe("a WebAssembly function", function()
	it("is called like every other", function()
		assert.equal(42, (funcs.call("fn:compute", 6, 7)))
		assert.equal(42, funcs.async("fn:compute", 6, 7):response():receive():data())
		fails("Invalid", "compute: expected 2 arguments", funcs.call("fn:compute", 1))
		assert.equal(5, (funcs.call("fn:compute", 5, 1)))
	end)

	it("may be text", function()
		assert.equal(42, (funcs.call("fn:add", 40, 2)))
		assert.equal(42, (funcs.call("fn:component")))
		local err = fails("Internal", "failed to compile wasm module: ", funcs.call("fn:bad_text"))
		assert.matches("%(fn:bad_text:1:%d+%)$", tostring(err))
	end)

	it("gives a result as it is, where a process unwraps it", function()
		assert.same({ { ok = "fine" } }, { funcs.call("fn:check", true) })
		assert.same({ { err = "not fine" } }, { funcs.call("fn:check", false) })
		assert.equal("fine", (funcs.call("fn:check_process", true)))
		fails("Internal", "not fine", funcs.call("fn:check_process", false))
		assert.same({ n = 2 }, table.pack(funcs.call("fn:void")))
	end)

	it("keeps its instance for the next call, but in an inline pool", function()
		for call = 1, 3 do
			assert.equal(call, (funcs.call("fn:bump")))
			assert.equal(call, (funcs.call("fn:count", 1)))
			assert.equal(1, (funcs.call("fn:bump_inline")))
		end
	end)

	it("has a new instance after a trap and after a limit, not after wrong arguments", function()
		local calls = funcs.call("fn:count", 1)
		fails("Invalid", "expected 1 argument", funcs.call("fn:count"))
		assert.equal(calls + 1, (funcs.call("fn:count", 1)))
		fails("Internal", "wasm trap: unreachable", funcs.call("fn:count", 0))
		assert.equal(1, (funcs.call("fn:count", 1)))
		for call = 1, 5 do
			assert.equal(call, (funcs.call("fn:fueled", 100)))
		end
		fails("LimitExceeded", "fuel limit exceeded: 2000", funcs.call("fn:fueled", 30000))
		assert.equal(1, (funcs.call("fn:fueled", 100)))
	end)

	it("fails by traps, exit codes and limits", function()
		local err = fails("Internal", "wasm trap: unreachable", funcs.call("fn:trap"))
		assert.equal("unreachable", err:details().trap)
		assert.is_nil(err:retryable())
		assert.equal(7, fails("Internal", "exit status 7", funcs.call("fn:quit", 7)):details().exit_code)
		assert.same({ n = 2 }, table.pack(funcs.call("fn:quit", 0)))
		assert.same({ { err = true } }, { funcs.call("fn:run") })
		fails("Timeout", "execution time limit exceeded: 200 ms", funcs.call("fn:doze", 60000, 1))
		assert.equal(2, (funcs.call("fn:sleep", 1, 2)))
	end)

	it("is a process that can be terminated, and stopped with its caller", function()
		for _, stop in ipairs({ process.terminate, function() end }) do
			local future = assert(funcs.async("fn:sleep", 60000, 1))
			local pid
			while not pid do
				time.sleep("1ms")
				for _, info in ipairs(process.list()) do
					if info.entry == "fn:sleep" then
						pid = info.pid
						assert.equal("function.wasm", info.kind)
					end
				end
			end
			assert(process.monitor(pid))
			stop(pid)
			if stop ~= process.terminate then
				future:cancel()
			end
			assert.equal("process terminated", next_event("EXIT").error:message())
		end
	end)
end)

describe("a guest with the grant funcs", function()
	local function call(target, input)
		local result = assert(funcs.call("fn:caller", target, input))
		return result.ok, result.err
	end

	it("calls functions in Lua and WebAssembly, and processes", function()
		assert.same({ "HELLO" }, { call("fn:for_guests", "hello") })
		assert.same({ { ok = "HELLO" } }, { funcs.call("fn:caller_twice", "fn:for_guests", "hello") })
		assert.equal("HELLO", (funcs.call("fn:caller_process", "fn:for_guests", "hello")))
		assert.equal("hello", call("fn:bridged", "identity") and "hello")
		local outer = assert(funcs.call("fn:caller_of_bytes", "fn:for_guests", "bytes"))
		assert.same({ ok = "\xff\0" }, outer)
	end)

	it("gets texts as they are, nothing for nil, and JSON", function()
		assert.equal("", call("fn:for_guests", "nothing"))
		assert.equal('[1,"two",{"three":3.5}]', call("fn:for_guests", "list"))
		local text, err = call("fn:for_guests", "bytes")
		assert.is_nil(text)
		assert.equal("the result is not UTF-8 text; call-bytes takes it as it is", err)
	end)

	it("gets errors as texts", function()
		for _, case in ipairs({
			{ "nowhere", "invalid function target: nowhere" },
			{ "fn:missing", "no handler registered for fn:missing" },
			{ "fn:for_guests", "no luck" },
		}) do
			local text, err = call(case[1], "fail")
			assert.is_nil(text)
			assert.equal(case[2], err)
		end
	end)

	it("calls in the context of its caller", function()
		local executor = funcs.new():with_context({ who = "bob" })
		assert.same({ { ok = "bob" } }, { executor:call("fn:caller", "fn:for_guests", "who") })
	end)

	it("takes its calls with it", function()
		local future = assert(funcs.async("fn:caller", "fn:for_guests", "sleep"))
		local pids = {}
		while not pids["fn:for_guests"] do
			for _, info in ipairs(process.list()) do
				pids[info.entry] = info.pid
			end
			time.sleep("1ms")
		end
		assert(process.monitor(pids["fn:for_guests"]))
		assert(process.terminate(pids["fn:caller"]))
		assert.equal("process terminated", next_event("EXIT").error:message())
		assert.equal("process terminated", future:response():receive():message())
	end)
end)
