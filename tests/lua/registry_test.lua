local registry = require("registry")

local function ids(query)
	local found = {}
	for i, entry in ipairs(assert(registry.find(query))) do
		found[i] = entry.id
	end
	return found
end

describe("registry", function()
	it("gives an entry with id, kind, meta and data", function()
		local entry, err = registry.get("app:labelled")
		assert.is_nil(err)
		assert.equal("app:labelled", entry.id)
		assert.equal("registry.entry", entry.kind)
		assert.same({ tags = { "first", "second" }, owner = { team = "core" }, title = "A labelled entry" }, entry.meta)
		assert.same({ answer = 42, greeting = "${env:GREETING}, you" }, entry.data)
	end)

	it("says what is not there", function()
		local entry, err = registry.get("app:nothing")
		assert.is_nil(entry)
		test.is_error(err, "NotFound")
	end)

	it("finds by parts of the id", function()
		assert.same({ "app:labelled" }, ids({ [".kind"] = "registry.entry" }))
		assert.same({ "app:labelled" }, ids({ [".name"] = "label*" }))
		assert.same({ "app:labelled" }, ids({ [".ns"] = "app", [".id"] = "*:labelled" }))
		assert.same({}, ids({ [".ns"] = "elsewhere" }))
	end)

	it("finds by meta", function()
		for _, query in ipairs({
			{ ["meta.owner.team"] = "core" },
			{ ["meta.tags"] = { "second" } },
			{ meta = { owner = { team = "core" } } },
			{ ["~meta.title"] = "^A l.*y$" },
			{ ["*meta.title"] = "labelled" },
			{ ["*meta.tags"] = "first" },
			{ ["^meta.title"] = "A " },
			{ ["$meta.title"] = "entry" },
			{ ["^meta.title"] = "A ", unknown = true },
		}) do
			assert.same({ "app:labelled" }, ids(query))
		end
		assert.same({}, ids({ ["meta.tags"] = { "second", "third" } }))
		assert.same({}, ids({ ["^meta.title"] = "A ", ["$meta.title"] = "A " }))
	end)

	it("refuses a query that it cannot read", function()
		local found, err = registry.find({ ["~meta.title"] = "(" })
		assert.is_nil(found)
		test.is_error(err, "Invalid")
		assert.has_error(function()
			registry.find("app:labelled")
		end)
	end)
end)
