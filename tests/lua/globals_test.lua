describe("the globals", function()
	it("are those of the contract", function()
		for _, name in ipairs({
			"type", "tonumber", "tostring", "error", "pcall", "xpcall", "pairs", "ipairs", "next", "select", "getmetatable",
			"setmetatable", "rawget", "rawset", "rawequal", "rawlen", "load", "collectgarbage", "unpack", "require", "print",
			"subscribe", "unsubscribe", "integer", "number", "boolean",
		}) do
			assert.is_function(_G[name], name)
		end
		for _, name in ipairs({ "process", "channel", "payload", "os", "errors", "package", "table", "math", "string", "coroutine", "utf8", "debug" }) do
			assert.is_table(_G[name], name)
		end
		assert.equal("Lua 5.4", _VERSION)
	end)

	it("leave out what could do harm", function()
		for _, name in ipairs({ "dofile", "loadfile", "loadstring", "warn" }) do
			assert.is_nil(_G[name], name)
		end
		assert.is_nil(string.dump)
		assert.is_nil(package.loadlib)
		assert.is_nil(debug.getinfo)
		assert.is_nil(debug.sethook)
		assert.is_function(debug.traceback)
		assert.is_nil(getmetatable(_G))
	end)

	it("load text and no bytecode", function()
		assert.equal(3, load("return 1 + 2")())
		assert.equal(7, load("return x", "chunk", "t", { x = 7 })())
		local chunk, message = load("\27Lua")
		assert.is_nil(chunk)
		assert.is_string(message)
		chunk, message = load("return", "x", "b")
		assert.is_nil(chunk)
		assert.is_string(message)
		chunk, message = load("return (")
		assert.is_nil(chunk)
		assert.matches("1:", message, 1, true)
	end)

	it("cast without converting", function()
		assert.equal("x", string("x"))
		assert.equal(1, integer(1))
		assert.equal(1.5, number(1.5))
		assert.is_true(boolean(true))
		assert.has_error(function() integer("1") end)
		assert.has_error(function() integer(1.5) end)
		assert.has_error(function() string(1) end)
	end)

	it("erase type annotations", function()
		local f = load([[
			type Point = { x: number, y: number? }
			local function f(a: number, b: string?): (number, string)
				local c: number = a + 1
				return c, b or "none"
			end
			return f
		]])
		assert.same({ 3, "none" }, { f()(2) })
	end)

	it("refuse finalizers", function()
		assert.error_matches(function()
			setmetatable({}, { __gc = function() end })
		end, "__gc is not supported")
	end)

	it("have the old mathematics too", function()
		assert.equal(8.0, math.pow(2, 3))
		assert.equal(2.0, math.log10(100))
		assert.near(0.7853981, math.atan2(1, 1), 1e-6)
		assert.same({}, table.create(10, 2))
	end)

	it("show what __tostring gives", function()
		local seven = setmetatable({}, { __tostring = function() return 7 end })
		assert.equal("7", tostring(seven))
		assert.is_string(tostring(seven))
		assert.equal("7%7", string.format("%s%%%s", seven, 7))
		assert.equal("a 7 %d 7", string.format("%s %s %%d %s", "a", seven, seven))
	end)

	it("repeat long texts as they do short ones", function()
		for _, text in ipairs({ "x", "abcdefg", ("\0é"):rep(99), "", ("y"):rep(70000) }) do
			for _, separator in ipairs({ "", ", ", ("-"):rep(70000) }) do
				for _, times in ipairs({ 1, 2, 3, 65535, 65536, 65537 }) do
					local size = #text * times + #separator * (times - 1)
					if size < 1 << 24 then
						local parts = {}
						for at = 1, times do
							parts[at] = text
						end
						assert.is_true(table.concat(parts, separator) == text:rep(times, separator), size)
					end
				end
			end
		end
		assert.equal(1 << 20, #("x"):rep("1048576"))
		assert.equal(1 << 20, #string.rep(12, (1 << 19) * 1.0))
	end)

	it("replace as Lua does", function()
		local function b()
			return "b"
		end
		assert.same({ "bba", 2 }, { ("aaa"):gsub("a", b, "2") })
		assert.same({ "bba", 2 }, { ("aaa"):gsub("a", b, 2.0) })
		assert.same({ "aaa", 0 }, { ("aaa"):gsub("c)", b) })
	end)

	it("blame the line that made the mistake", function()
		local function raised(text)
			return select(2, pcall(load(text, "=case")))
		end
		for text, wanted in pairs({
			["string.gsub('abc', '%', function() end)"] = "case:1: malformed pattern (ends with '%')",
			["string.gsub('abc', '.', function() return {} end)"] = "case:1: invalid replacement value (a table)",
			["string.gsub('a )', ')', function() end)"] = "case:1: invalid pattern capture",
			["string.gsub('abc', '.', error)"] = "a",
			["table.sort({ 1, 'x' })"] = "attempt to compare string with number",
			["table.sort({ {}, {} })"] = "attempt to compare two table values",
			["table.sort(setmetatable({}, { __len = function() return math.maxinteger end }))"] = "case:1: bad argument #1 to 'sort' (array too big)",
		}) do
			assert.equal(wanted, raised(text), text)
		end
		local names = { "b", "a", "c" }
		table.sort(names)
		assert.same({ "a", "b", "c" }, names)
		local mixed = setmetatable({}, { __lt = function() return false end })
		table.sort({ mixed, mixed, 1 })
	end)
end)
