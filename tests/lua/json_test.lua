local json = require("json")

describe("json.encode", function()
	it("writes values shortly", function()
		assert.equal("null", json.encode(nil))
		assert.equal("true", json.encode(true))
		assert.equal("42", json.encode(42))
		assert.equal("1.5", json.encode(1.5))
		assert.equal('"a\\nb\\"c"', json.encode('a\nb"c'))
		assert.equal("[1,2,3]", json.encode({ 1, 2, 3 }))
		assert.equal('{"a":{"b":[]}}', json.encode({ a = { b = {} } }))
		assert.equal("[]", json.encode({}))
		assert.equal("null", json.encode(0 / 0))
		assert.equal("null", json.encode(math.huge))
		assert.equal("null", json.encode(print))
		assert.equal('"oops"', json.encode(errors.new("oops")))
	end)

	it("refuses what JSON cannot hold", function()
		local cycle = {}
		cycle.me = cycle
		local deep = {}
		for _ = 1, 200 do
			deep = { deep }
		end
		for name, value in pairs({ cycle = cycle, deep = deep, sparse = { 1, nil, 3, [10] = 1 }, mixed = { 1, a = 2 } }) do
			local text, err = json.encode(value)
			assert.is_nil(text, name)
			test.is_error(err, "Internal")
		end
	end)
end)

describe("json.decode", function()
	it("reads values", function()
		assert.same({ a = { 1, 2, { b = true } } }, json.decode('{"a":[1,2,{"b":true}]}'))
		assert.equal("integer", math.type(json.decode("42")))
		assert.equal("float", math.type(json.decode("4.5")))
		assert.equal("é", json.decode('"\\u00e9"'))
		local value, err = json.decode("null")
		assert.is_nil(value)
		assert.is_nil(err)
	end)

	it("keeps empty objects apart from arrays", function()
		for _, text in ipairs({ '{"a":null}', '{"a":1,"a":null}' }) do
			assert.equal("{}", json.encode(json.decode(text)), text)
		end
		assert.equal('{"o":{},"l":[]}', (json.encode(json.decode('{"o":{},"l":[]}')):gsub('"l":%[%],"o":{}', '"o":{},"l":[]')))
	end)

	it("says what is wrong", function()
		local _, err = json.decode("")
		test.is_error(err, "Invalid")
		_, err = json.decode(nil)
		test.is_error(err, "Invalid")
		_, err = json.decode("{")
		test.is_error(err, "Internal")
		_, err = json.decode('{"a":1} x')
		test.is_error(err, "Internal")
	end)

	it("round-trips", function()
		local value = { list = { 1, 2.5, "x" }, flag = false, text = "tab\tquote\"", nested = { { {} } } }
		assert.same(value, json.decode(json.encode(value)))
	end)
end)

local person = {
	type = "object",
	required = { "name" },
	properties = { name = { type = "string" }, age = { type = "integer", minimum = 0 } },
}

local function refused(ok, err)
	assert.is_false(ok)
	test.is_error(err, "Invalid")
	assert.is_false(err:retryable())
	return err
end

describe("json.validate", function()
	it("takes tables and texts", function()
		for _, schema in ipairs({ person, json.encode(person) }) do
			local ok, err = json.validate(schema, { name = "x", age = 3 })
			assert.is_true(ok)
			assert.is_nil(err)
			assert.is_true(json.validate_string(schema, '{"name":"x"}'))
		end
		assert.is_true(json.validate(true, 1))
		assert.is_true(json.validate({}, "anything"))
		assert.is_true(json.validate({ type = "boolean" }, false))
	end)

	it("says where and what is wrong", function()
		local err = refused(json.validate(person, { name = "x", age = -1 }))
		assert.equal("data does not match the schema: at /age: -1 is less than the minimum of 0", err:message())
		err = refused(json.validate(person, { age = "old" }))
		assert.matches('"name" is a required property', err:message(), 1, true)
		assert.matches('at /age: "old" is not of type "integer"', err:message(), 1, true)
		assert.equal(2, #err:details().errors)
		err = refused(json.validate_string(person, '{"name":[{"deep":1}]}'))
		assert.equal('at /name: [{"deep":1}] is not of type "string"', err:message():match("schema: (.*)"))
		assert.same({ path = "/name", message = '[{"deep":1}] is not of type "string"' }, err:details().errors[1])
	end)

	it("keeps its errors short", function()
		local data = {}
		for i = 1, 20000 do
			data[i] = ("x"):rep(100)
		end
		local err = refused(json.validate({ items = { type = "integer" } }, data))
		assert.is_true(#err:message() < 2000)
		local few = { table.unpack(data, 1, 100) }
		err = refused(json.validate({ items = { type = "integer" } }, few))
		assert.matches("; and 95 more", err:message(), 1, true)
		assert.is_true(#err:message() < 2000)
		err = refused(json.validate({ type = "integer" }, { [("k"):rep(100000)] = ("v"):rep(100000) }))
		assert.is_true(#err:message() < 1000)
		err = refused(json.validate({ additionalProperties = false }, { [("k"):rep(100000)] = 1 }))
		assert.is_true(#err:message() < 1000)
	end)

	it("needs both", function()
		assert.equal("data is required", refused(json.validate(person, nil)):message())
		assert.equal("data is required", refused(json.validate_string(person, nil)):message())
		assert.equal("schema is required", refused(json.validate(nil, {})):message())
		assert.equal("schema is required", refused(json.validate_string(nil, "{}")):message())
		assert.matches("schema must be a table or JSON text, not a number", refused(json.validate(1, {})):message(), 1, true)
		assert.matches("data must be a string", refused(json.validate_string({}, {})):message(), 1, true)
	end)

	it("refuses what is no JSON", function()
		assert.matches("data is not JSON", refused(json.validate_string(person, "{")):message(), 1, true)
		assert.matches("schema is not JSON", refused(json.validate("{", {})):message(), 1, true)
		assert.matches("data is not JSON", refused(json.validate_string(person, '"\xff"')):message(), 1, true)
		assert.matches("data is not JSON", refused(json.validate_string(person, ("["):rep(100000))):message(), 1, true)
		local cycle = {}
		cycle.me = cycle
		assert.matches("contains itself", refused(json.validate(person, cycle)):message(), 1, true)
		assert.matches("contains itself", refused(json.validate(cycle, {})):message(), 1, true)
		assert.matches("larger than 16MiB", refused(json.validate({}, ("x"):rep(17 << 20))):message(), 1, true)
		assert.matches("larger than 512KiB", refused(json.validate({ title = ("x"):rep(1 << 20) }, 1)):message(), 1, true)
	end)

	it("refuses a schema that is wrong, and names the place", function()
		local err = refused(json.validate({ properties = { age = { type = "intger" } } }, {}))
		assert.matches("the schema is wrong: at /properties/age/type: ", err:message(), 1, true)
		refused(json.validate({ pattern = "(" }, "x"))
		refused(json.validate({ ["$ref"] = "#/nowhere" }, 1))
	end)

	it("fetches nothing", function()
		for _, where in ipairs({ "https://example.com/schema.json", "file:///etc/passwd", "other.json" }) do
			refused(json.validate({ ["$ref"] = where }, 1))
		end
		assert.is_true(json.validate({ ["$schema"] = "http://json-schema.org/draft-07/schema#", type = "integer" }, 1))
	end)

	it("reads an empty table as the schema asks", function()
		local schema = {
			type = "object",
			properties = { list = { type = "array" }, map = { type = "object" }, either = { anyOf = { { type = "object" }, { type = "null" } } } },
		}
		assert.is_true(json.validate(schema, {}))
		assert.is_true(json.validate(schema, { list = {}, map = {}, either = {} }))
		assert.is_true(json.validate({ properties = {}, required = {}, items = {} }, { 1 }))
		refused(json.validate(person, {}))
		refused(json.validate({ type = "object" }, { 1 }))
		refused(json.validate_string({ type = "object" }, "[]"))
	end)

	it("knows formats, references and recursion", function()
		local tree = {
			["$defs"] = { node = { type = "object", properties = { value = { type = "integer" }, next = { ["$ref"] = "#/$defs/node" } } } },
			["$ref"] = "#/$defs/node",
		}
		local data = { value = 1 }
		for i = 1, 100 do
			data = { value = i, next = data }
		end
		assert.is_true(json.validate(tree, data))
		data.next.next.next.value = "x"
		assert.matches("at /next/next/next/value", refused(json.validate(tree, data)):message(), 1, true)
		assert.is_true(json.validate({ ["$ref"] = "#" }, 1))
		assert.is_true(json.validate({ allOf = { { ["$ref"] = "#" } } }, { 1 }))
	end)

	it("ends a check that would never end", function()
		-- Each level doubles what there is to try, and the last one fails.
		local schema = {
			["$ref"] = "#/$defs/a",
			["$defs"] = {
				a = {
					anyOf = {
						{ type = "array", items = { ["$ref"] = "#/$defs/a" }, minItems = 1 },
						{ type = "array", items = { ["$ref"] = "#/$defs/a" }, maxItems = 9, minItems = 1 },
					},
				},
			},
		}
		local data = 1
		for _ = 1, 100 do
			data = { data }
		end
		local ok, err = json.validate(schema, data)
		assert.is_false(ok)
		assert.is_true(err:kind() == "Invalid" or err:kind() == "LimitExceeded")
		assert.is_true(#err:message() < 1000)
		-- A pattern that backtracks without end.
		ok, err = json.validate({ pattern = "^(?=(a+)+$)(a+)+b$" }, ("a"):rep(5000))
		assert.is_false(ok)
		assert.is_true(#err:message() < 1000)
	end)

	it("survives long chains of references", function()
		local chain = { ["$ref"] = "#/$defs/d1", ["$defs"] = {} }
		for i = 1, 8000 do
			chain["$defs"]["d" .. i] = { allOf = { { ["$ref"] = "#/$defs/d" .. i + 1 } } }
		end
		chain["$defs"].d8001 = { items = { ["$ref"] = "#/$defs/d1" } }
		local data = 1
		for _ = 1, 100 do
			data = { data }
		end
		local ok, err = json.validate(chain, data)
		assert.is_true(ok or err:kind() == "LimitExceeded", tostring(err))
	end)

	it("leaves others their time", function()
		local ticks = 0
		local done = false
		coroutine.spawn(function()
			while not done do
				time.sleep("1ms")
				ticks = ticks + 1
			end
		end)
		local list = {}
		for i = 1, 20000 do
			list[i] = { id = i, name = "n" .. i }
		end
		local text = json.encode(list)
		assert.is_true(json.validate_string({ items = { required = { "id" }, properties = { name = { type = "string" } } } }, text))
		done = true
		assert.is_true(ticks > 0)
	end)
end)
