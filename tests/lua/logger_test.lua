local logger = require("logger")

describe("logger", function()
	it("takes messages at four levels and returns nothing", function()
		for _, level in ipairs({ "debug", "info", "warn" }) do
			assert.equal(0, select("#", logger[level](logger, "said at " .. level, { n = 1, nested = { deep = true } })))
		end
	end)

	it("has children", function()
		local child = logger:named("part"):with({ user = 7 })
		assert.is_userdata(child)
		assert.equal(0, select("#", child:info("from the part")))
		assert.has_error(function()
			logger:named("")
		end)
	end)

	it("shows whatever a value says of itself", function()
		local time = require("time")
		local function saying(fn)
			return setmetatable({}, { __tostring = fn })
		end
		local thrown = {}
		local ok, err = pcall(logger.info, logger, saying(function() error(thrown) end))
		assert.is_false(ok)
		assert.equal(thrown, err)
		logger:info(saying(function() return "\255" end))
		logger:info(saying(function()
			time.sleep("1ms")
			return "after a while"
		end))
		logger:info("fields", { ["\255"] = 1, [1] = time.seconds(1) })
		assert.error_matches(function() logger:info() end, "logger_test.lua:%d+: bad argument #1 to 'info'")
	end)
end)
