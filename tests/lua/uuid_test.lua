local uuid = require("uuid")

local DNS = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"

describe("uuid", function()
	it("makes random and timed ones", function()
		for version, make in pairs({ [1] = uuid.v1, [4] = uuid.v4, [7] = uuid.v7 }) do
			local id, err = make()
			assert.is_nil(err)
			assert.equal(36, #id)
			assert.equal(version, uuid.version(id))
			assert.equal("RFC4122", uuid.variant(id))
			assert.not_equal(id, make())
		end
		local first = uuid.v7()
		assert.is_true(first < uuid.v7())
	end)

	it("makes the same of the same name", function()
		assert.equal("5df41881-3aed-3515-88a7-2f4a814cf09e", uuid.v3(DNS, "www.example.com"))
		assert.equal("2ed6657d-e927-568b-95e1-2665a8aea6a2", uuid.v5(DNS, "www.example.com"))
	end)

	it("reads and shows", function()
		local parts = uuid.parse(uuid.v7())
		assert.equal(7, parts.version)
		assert.is_true(math.abs(parts.timestamp - os.time()) < 60)
		assert.is_nil(parts.node)
		assert.is_string(uuid.parse(uuid.v1()).node)
		assert.equal("6ba7b8109dad11d180b400c04fd430c8", uuid.format(DNS, "simple"))
		assert.equal("urn:uuid:" .. DNS, uuid.format(DNS, "urn"))
		assert.equal(DNS, uuid.format("6BA7B8109DAD11D180B400C04FD430C8", "standard"))
	end)

	it("refuses what is none", function()
		assert.is_true(uuid.validate(DNS))
		for _, bad in ipairs({ "", "nonsense", 5, {} }) do
			assert.is_false(uuid.validate(bad))
			for _, read in ipairs({ uuid.version, uuid.variant, uuid.parse, uuid.format, uuid.v3, uuid.v5 }) do
				local value, err = read(bad, "standard")
				assert.is_nil(value)
				test.is_error(err, "Invalid")
			end
		end
		local _, err = uuid.format(DNS, "sideways")
		test.is_error(err, "Invalid")
	end)
end)
