describe("till", function()
	local till

	before_each(function()
		till = process.spawn_monitored("shop:till", nil)
	end)

	it("adds up", function()
		process.send(till, "price", 2)
		process.send(till, "price", 3)
		process.send(till, "pay")
		assert.equal(5, process.receive("5s").value)
		assert.equal("EXIT", process.receive("5s").type)
	end)

	it("waits for the next price", function()
		process.send(till, "price", 2)
		assert.is_nil(process.receive("10ms"))
	end)

	pending("gives change")
end)
