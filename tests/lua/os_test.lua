describe("os", function()
	it("has the clock and nothing dangerous", function()
		assert.is_integer(os.time())
		assert.equal("wippy", os.platform)
		assert.equal(5, os.difftime(15, 10))
		assert.error_matches(function() os.difftime(15) end, "bad argument #2 to 'difftime' %(number expected, got no value%)")
		local before = os.clock()
		assert.is_true(os.clock() >= before)
		for _, name in ipairs({ "execute", "exit", "getenv", "remove", "rename", "tmpname", "setlocale" }) do
			assert.is_nil(os[name], name)
		end
	end)

	it("formats dates", function()
		assert.equal("1970-01-01 00:00:00", os.date("!%Y-%m-%d %H:%M:%S", 0))
		assert.equal("Thu Thursday Jan January 001 %", os.date("!%a %A %b %B %j %%", 0))
		local t = os.date("!*t", 86400)
		assert.equal(1970, t.year)
		assert.equal(2, t.day)
		assert.equal(6, t.wday)
		assert.is_false(t.isdst)
	end)

	it("makes times of tables", function()
		local t = os.date("*t", 1700000000)
		assert.equal(1700000000, os.time(t))
	end)

	it("takes for fields what Lua takes", function()
		local at = os.time({ year = 2024, month = 3, day = 1 })
		assert.equal(at, os.time({ year = "2024", month = "3", day = 1.0 }))
		for field, text in pairs({
			year = "field 'year' is not an integer",
			month = "field 'month' is not an integer",
		}) do
			assert.error_matches(function() os.time({ [field] = 5.5 }) end, text)
			assert.error_matches(function() os.time({ [field] = 1e20 }) end, text)
			assert.error_matches(function() os.time({ [field] = "much" }) end, text)
			assert.error_matches(function() os.time({ [field] = {} }) end, text)
		end
		assert.error_matches(function() os.time({ year = math.mininteger }) end, "field 'year' is out%-of%-bound")
		assert.error_matches(function() os.time({ day = 1 << 40 }) end, "field 'day' is out%-of%-bound")
	end)
end)
