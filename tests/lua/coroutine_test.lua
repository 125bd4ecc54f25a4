local time = require("time")

describe("coroutines", function()
	it("are Lua's own", function()
		local co = coroutine.create(function(a)
			local b = coroutine.yield(a + 1)
			return b * 2
		end)
		assert.same({ true, 2 }, { coroutine.resume(co, 1) })
		assert.equal("suspended", coroutine.status(co))
		assert.same({ true, 6 }, { coroutine.resume(co, 3) })
		assert.equal("dead", coroutine.status(co))
		assert.same({ false, "cannot resume dead coroutine" }, { coroutine.resume(co) })
	end)

	it("may wait inside a generator", function()
		local gen = coroutine.wrap(function()
			for i = 1, 3 do
				time.sleep("1ms")
				coroutine.yield(i)
			end
		end)
		local got = {}
		for value in gen do
			got[#got + 1] = value
		end
		assert.same({ 1, 2, 3 }, got)
	end)

	it("may wait inside pcall, iterators, sort, gsub and metamethods", function()
		local function nap(...)
			time.sleep("1ms")
			return ...
		end
		assert.same({ true, 5 }, { pcall(nap, 5) })
		local t = { 3, 1, 2 }
		table.sort(t, function(a, b)
			return nap(a < b)
		end)
		assert.same({ 1, 2, 3 }, t)
		assert.equal("xBx", (("xbx"):gsub("b", function(b)
			return nap(b:upper())
		end)))
		local lazy = setmetatable({}, {
			__index = function(_, key)
				return nap(key)
			end,
			__add = function(a)
				return nap(a)
			end,
		})
		assert.equal("k", lazy.k)
		assert.equal(lazy, lazy + 1)
	end)

	it("spawned run after the current one waits", function()
		local order = {}
		coroutine.spawn(function(...)
			order[#order + 1] = select("#", ...)
		end, 1, nil)
		order[#order + 1] = "first"
		time.sleep("1ms")
		assert.same({ "first", 2 }, order)
	end)

	it("can be closed, with their pending variables", function()
		local closed = false
		local co = coroutine.create(function()
			local guard <close> = setmetatable({}, {
				__close = function()
					closed = true
				end,
			})
			coroutine.yield(guard)
		end)
		coroutine.resume(co)
		assert.is_true(coroutine.close(co))
		assert.is_true(closed)
	end)

	it("run until they wait, however long that takes", function()
		local text = [[
			return function()
				local order = {}
				coroutine.spawn(function() order[#order + 1] = "spawned" end)
				local steps = process.info().steps
				while process.info().steps < steps + 5 do end
				order[#order + 1] = "main"
				channel.select({ require("time").after("1ms"):case_receive() })
				return order
			end
		]]
		-- Both in a process and in a test.
		local id = test.entry({ kind = "process.lua", name = "busy_first", modules = { "time" }, source = text })
		assert.same({ "main", "spawned" }, assert(process.exec(id, nil)))
		assert.same({ "main", "spawned" }, load(text)()())
	end)

	it("that never wait do not hold up a test", function()
		local spins, done = 0, false
		coroutine.spawn(function()
			while not done do
				spins = spins + 1
			end
		end)
		time.sleep("20ms")
		done = true
		assert.is_true(spins > 0)
	end)

	it("end the process with an uncaught error", function()
		local id = test.entry({
			kind = "process.lua",
			name = "stray",
			modules = { "time" },
			source = [[
				return function()
					coroutine.spawn(function() error("stray") end)
					time.sleep("5s")
				end
			]],
		})
		local _, err = process.exec(id, nil)
		assert.matches("stray", tostring(err), 1, true)
	end)

	it("may wait in metamethods that ipairs, table.unpack, insert and remove call", function()
		local function nap(...)
			time.sleep("1ms")
			return ...
		end
		local kept = { "a", "b" }
		local slow = setmetatable({}, {
			__index = function(_, key)
				return nap(kept[key])
			end,
			__newindex = function(_, key, value)
				nap()
				kept[key] = value
			end,
			__len = function()
				return nap(#kept)
			end,
		})
		local got = {}
		for i, value in ipairs(slow) do
			got[i] = value
		end
		assert.same({ "a", "b" }, got)
		assert.same({ "a", "b" }, { table.unpack(slow) })
		assert.same({ "b" }, { unpack(slow, 2, 3) })
		assert.equal(0, select("#", unpack(slow, 2, 1)))
		table.insert(slow, "c")
		table.insert(slow, 1, "z")
		assert.same({ "z", "a", "b", "c" }, kept)
		assert.equal("c", table.remove(slow))
		assert.equal("z", table.remove(slow, 1))
		assert.same({ "a", "b" }, kept)
		assert.error_matches(function()
			table.unpack(slow, 1, 100000000)
		end, "coroutine_test.lua:%d+: too many results to unpack")
		assert.error_matches(function()
			table.insert(setmetatable({}, { __len = function() return "many" end }), 1)
		end, "coroutine_test.lua:%d+: object length is not an integer")
	end)

	it("that fail are closed, and raise what closing raised", function()
		local ok, err = pcall(coroutine.wrap(function()
			local guard <close> = setmetatable({}, {
				__close = function(_, first)
					error("second after " .. first, 0)
				end,
			})
			error("first", 0)
		end))
		assert.is_false(ok)
		assert.matches("second after first", err, 1, true)
	end)
end)
