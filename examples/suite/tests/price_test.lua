describe("price", function()
	it("multiplies", function()
		assert.equal(42, (process.exec("shop:price", nil, 6, 7)))
	end)

	it("refuses what is no number", function()
		local _, err = process.exec("shop:price", nil, "six", 7)
		test.is_error(err, "Invalid")
	end)

	it("can be a module that exists in this file alone", function()
		local id = test.wat([[
			(module (func (export "twice") (param i32) (result i32)
				local.get 0
				i32.const 2
				i32.mul))
		]], "twice")
		assert.equal(42, (process.exec(id, nil, 21)))
	end)
end)
