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
end)
