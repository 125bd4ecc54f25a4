describe("require", function()
	it("gives modules, the same each time", function()
		assert.equal(require("time"), require("time"))
		assert.equal(process, require("process"))
		assert.equal(string, require("string"))
	end)

	it("gives files below the test's folder and the project", function()
		local shout = require("src.lib.shout")
		assert.equal("HI!", shout.shout("hi"))
		assert.equal(shout, require("src.lib.shout"))
	end)

	it("says where it looked", function()
		assert.error_matches(function()
			require("no.such.module")
		end, "module 'no%.such%.module' not found")
		assert.error_matches(function()
			require("../etc/passwd")
		end, "not found")
		assert.error_matches(function()
			require("sql")
		end, "this runtime does not provide it")
	end)

	it("gives entries only what they declare", function()
		local seen = assert(process.exec("app:bare", "app:processes", "json"))
		assert.is_false(seen.ok)
		assert.equal("NotFound", seen.kind)
		assert.equal(
			"module 'json' not found: entry app:bare does not declare it; add to the entry: modules: [json]",
			seen.message
		)
	end)

	it("gives entries their imports", function()
		assert.equal("LOUD!", assert(process.exec("app:importer", "app:processes", "loud")))
	end)

	it("gives libraries what they declare themselves, whoever imports them", function()
		local inner = test.entry({ kind = "library.lua", name = "inner", source = "return { word = 'inner' }" })
		local library = test.entry({
			kind = "library.lua",
			name = "library",
			modules = { "json" },
			imports = { deep = inner },
			source = [[
				local json = require("json")
				local deep = require("deep")
				local M = {}
				function M.encode(value) return json.encode(value) end
				function M.later() return require("json") == json and require("deep") == deep and deep.word end
				return M
			]],
		})
		local id = test.entry({
			kind = "process.lua",
			name = "user_of_library",
			imports = { library = library },
			source = [[
				return function()
					local ok, err = pcall(require, "uuid")
					return { library.encode({ 1 }), library.later(), ok, err:message() }
				end
			]],
		})
		assert.same({
			"[1]",
			"inner",
			false,
			"module 'uuid' not found: entry " .. id .. " does not declare it; add to the entry: modules: [uuid]",
		}, assert(process.exec(id, nil)))
	end)
end)
