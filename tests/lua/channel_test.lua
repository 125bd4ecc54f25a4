local time = require("time")

describe("a channel", function()
	it("hands over between coroutines", function()
		local ch = channel.new()
		coroutine.spawn(function()
			for i = 1, 3 do
				assert.is_true(ch:send(i))
			end
			ch:close()
		end)
		local got = {}
		while true do
			local value, open = ch:receive()
			if not open then
				break
			end
			got[#got + 1] = value
		end
		assert.same({ 1, 2, 3 }, got)
	end)

	it("buffers in order and drains after close", function()
		local ch = channel.new(3)
		ch:send("a")
		ch:send(nil)
		ch:send("c")
		ch:close()
		ch:close()
		local function pair()
			return { n = 2, ch:receive() }
		end
		assert.same({ n = 2, "a", true }, pair())
		local value, open = ch:receive()
		assert.is_nil(value)
		assert.is_true(open)
		assert.same({ n = 2, "c", true }, pair())
		value, open = ch:receive()
		assert.is_nil(value)
		assert.is_false(open)
	end)

	it("raises on a send after close", function()
		local ch = channel.new(1)
		ch:close()
		assert.error_matches(function()
			ch:send(1)
		end, "send on closed channel")
	end)

	it("tells a parked sender of the close", function()
		local ch, results = channel.new(), channel.new(1)
		coroutine.spawn(function()
			local ok, err = ch:send("never")
			results:send({ ok = ok, text = tostring(err) })
		end)
		time.sleep("1ms")
		ch:close()
		local got = results:receive()
		assert.is_nil(got.ok)
		assert.matches("send on closed channel", got.text, 1, true)
	end)

	it("wakes all parked receivers at the close", function()
		local ch, done = channel.new(), channel.new(3)
		for _ = 1, 3 do
			coroutine.spawn(function()
				local _, open = ch:receive()
				done:send(open)
			end)
		end
		time.sleep("1ms")
		ch:close()
		for _ = 1, 3 do
			assert.is_false((done:receive()))
		end
	end)

	it("serves senders and receivers first come, first served", function()
		-- In a process of its own: in a test a coroutine whose slice is over gives way to the others.
		local id = test.entry({
			kind = "process.lua",
			name = "queue",
			modules = { "time" },
			source = [[
				return function()
					local ch, order = channel.new(), {}
					for i = 1, 5 do
						coroutine.spawn(function() ch:send(i) end)
					end
					require("time").sleep("1ms")
					for _ = 1, 5 do order[#order + 1] = ch:receive() end
					return order
				end
			]],
		})
		assert.same({ 1, 2, 3, 4, 5 }, assert(process.exec(id, nil)))
	end)

	it("takes odd capacities", function()
		assert.is_userdata(channel.new(-1))
		assert.is_userdata(channel.new(2.0))
		assert.has_error(function()
			channel.new("many")
		end)
	end)
end)

describe("channel.select", function()
	it("takes the first that is ready", function()
		local a, b = channel.new(1), channel.new(1)
		a:send("a")
		b:send("b")
		for _ = 1, 10 do
			local got = channel.select({ b:case_receive(), a:case_receive() })
			assert.equal(b, got.channel)
			assert.equal("b", got.value)
			assert.is_true(got.ok)
			assert.is_nil(got.default)
			b:send("b")
		end
	end)

	it("has a default in two spellings", function()
		local a = channel.new()
		assert.same({ default = true, ok = true }, channel.select({ a:case_receive(), default = true }))
		assert.same({ default = true, ok = true }, channel.select({ a:case_receive() }, true))
	end)

	it("sends", function()
		local a, b = channel.new(), channel.new(1)
		local got = channel.select({ a:case_send(1), b:case_send(2) })
		assert.equal(b, got.channel)
		assert.equal(2, got.value)
		assert.is_true(got.ok)
		assert.equal(2, (b:receive()))
	end)

	it("waits for whichever comes first", function()
		local a, b = channel.new(), channel.new()
		coroutine.spawn(function()
			time.sleep("2ms")
			b:send("b")
		end)
		local got = channel.select({ a:case_receive(), b:case_receive() })
		assert.equal("b", got.value)
	end)

	it("sees a close", function()
		local a = channel.new()
		a:close()
		local got = channel.select({ a:case_receive() })
		assert.is_false(got.ok)
		assert.is_nil(got.value)
		assert.error_matches(function()
			channel.select({ a:case_send(1) })
		end, "send on closed channel")
	end)

	it("raises when a send case's channel closes while it waits", function()
		local a = channel.new()
		coroutine.spawn(function()
			time.sleep("1ms")
			a:close()
		end)
		assert.error_matches(function()
			channel.select({ a:case_send(1) })
		end, "send on closed channel")
	end)

	it("withdraws what did not win", function()
		local a, b = channel.new(), channel.new(1)
		b:send(1)
		channel.select({ a:case_receive(), b:case_receive() })
		local got = channel.select({ a:case_send("lost"), default = true })
		assert.is_true(got.default)
	end)

	it("ignores what is no case, and cases are used again", function()
		local a = channel.new(2)
		local case = a:case_send(7)
		channel.select({ case, "noise" })
		channel.select({ case })
		assert.equal(7, (a:receive()))
		assert.equal(7, (a:receive()))
	end)
end)

describe("a deadlock", function()
	it("is told at once", function()
		local ok, err = process.exec("test:deadlock", nil)
		assert.is_nil(ok)
		assert.matches("all coroutines blocked with no pending operations", tostring(err), 1, true)
	end)

	before_all(function()
		test.entry({ kind = "process.lua", name = "deadlock", source = "return function() channel.new():receive() end" })
	end)
end)
