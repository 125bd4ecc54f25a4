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
end)
