local HOST = "app:processes"

local function exec(id, ...)
	return process.exec(id, HOST, ...)
end

describe("a component", function()
	it("runs as a process", function()
		assert.equal(42, (exec("app:compute", 6, 7)))
		local pid = assert(process.spawn_monitored("app:compute", HOST, 6, 7))
		local event = process.receive("30s")
		assert.equal("EXIT", event.type)
		assert.equal(pid, event.from)
		assert.equal(42, event.value)
		assert.equal("integer", math.type(event.value))
	end)

	it("takes and gives text", function()
		local greet = test.wasm("wasm/greet.wasm", "greet")
		assert.equal("Hello, wörld!", (exec(greet, "wörld")))
	end)

	it("maps every type there and back", function()
		local cases = {
			["echo-bool"] = true,
			["echo-s64"] = math.mininteger,
			["echo-u32"] = 4294967295,
			["echo-f64"] = 0.1,
			["echo-char"] = "é",
			["echo-string"] = "\0 text ∞",
			["echo-list-u8"] = "\0\255bytes",
			["echo-list-string"] = { "a", "", "c" },
			["echo-point"] = { x = 1, y = -2 },
			["echo-list-point"] = { { x = 1, y = 2 }, { x = 3, y = 4 } },
			["echo-color"] = "green",
			["echo-option"] = 7,
		}
		for method, value in pairs(cases) do
			local id = test.wasm("wasm/types.wasm", method)
			assert.same(value, exec(id, value), method)
		end
	end)

	it("refuses arguments that do not fit", function()
		local id = test.wasm("wasm/types.wasm", "echo-u8")
		for _, value in ipairs({ 256, -1, 1.5, "x", {} }) do
			local result, err = exec(id, value)
			assert.is_nil(result)
			test.is_error(err, "Invalid")
		end
	end)

	it("traps without hurting anybody", function()
		local id = test.wasm("wasm/trapper.wasm", "trap-unreachable")
		local result, err = exec(id)
		assert.is_nil(result)
		assert.matches("unreachable", tostring(err), 1, true)
		assert.equal(42, (exec("app:compute", 6, 7)))
	end)

	it("is terminated in an endless loop", function()
		local id = test.wasm("wasm/spin.wasm", "spin")
		local pid = assert(process.spawn_monitored(id, HOST))
		assert(process.terminate(pid))
		assert.equal("process terminated", process.receive("30s").error:message())
	end)

	it("keeps to its limits", function()
		local busy = test.wasm("wasm/spin.wasm", "spin", { limits = { max_execution_ms = 50 } })
		local _, err = exec(busy)
		test.is_error(err, "Timeout")
		assert.equal("execution time limit exceeded: 50 ms", err:message())
		local eater = test.wasm("wasm/eater.wasm", "eat-forever", { limits = { max_memory = "4MiB" } })
		_, err = exec(eater)
		test.is_error(err, "LimitExceeded")
	end)

	it("sleeps beside others", function()
		local id = test.wasm("wasm/sleeper.wasm", "sleep-ms", { imports = { "wasi:io", "wasi:clocks" } })
		for _ = 1, 20 do
			assert(process.spawn_monitored(id, HOST, 20))
		end
		for _ = 1, 20 do
			local event = process.receive("30s")
			assert.is_nil(event.error)
			assert.is_true(event.value >= 20)
		end
	end)

	it("needs its hash", function()
		local id = test.entry({
			kind = "process.wasm",
			name = "wrong",
			fs = "app:wasm",
			path = "/compute.wasm",
			hash = "sha256:" .. string.rep("0", 64),
			method = "compute",
		})
		local result, err = exec(id, 1, 2)
		assert.is_nil(result)
		assert.matches("hash", tostring(err), 1, true)
	end)
end)

describe("a module as text", function()
	it("is a process like any other", function()
		local add = test.wat(
			[[(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))]],
			"add",
			{ wit = "add: func(a: s32, b: s32) -> s32" }
		)
		assert.equal(7, (exec(add, 3, 4)))
	end)

	it("may be a component", function()
		local id = test.wat(
			[[
			(component
				(core module $m (func (export "f") (result i32) i32.const 7))
				(core instance $i (instantiate $m))
				(func (export "seven") (result u32) (canon lift (core func $i "f"))))
			]],
			"seven"
		)
		assert.equal(7, (exec(id)))
	end)

	it("says what is wrong with it", function()
		assert.error_matches(function()
			test.wat("(module", "f")
		end, "expected")
	end)
end)
