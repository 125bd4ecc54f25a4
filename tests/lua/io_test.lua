local io = require("io")

describe("io", function()
	it("writes", function()
		assert.is_true(io.write("a", 1, true))
		assert.is_true(io.print("x", nil, 2))
		assert.is_true(io.eprint("to stderr"))
		assert.is_true(io.flush())
	end)

	it("meets the end of its input", function()
		local line, err = io.readline()
		assert.is_nil(line)
		assert.matches("EOF", tostring(err), 1, true)
		local data
		data, err = io.read()
		assert.is_nil(data)
		assert.is_userdata(err)
	end)

	it("has no raw mode without a terminal", function()
		local ok, err = io.raw()
		assert.is_nil(ok)
		test.is_error(err, "Unavailable")
	end)

	it("has arguments", function()
		assert.same({}, io.args())
	end)

	it("is not there for processes on other hosts", function()
		local id = test.entry({
			kind = "process.lua",
			name = "mute",
			modules = { "io" },
			source = [[
				return function()
					local ok, err = io.write("x")
					return { ok = ok, kind = err:kind(), text = err:message(), args = #io.args() }
				end
			]],
		})
		local seen = assert(process.exec(id, "app:processes"))
		assert.same({ kind = "Unavailable", text = "no terminal context", args = 0 }, seen)
	end)
end)
