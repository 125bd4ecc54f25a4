local function bad(p, format)
	local none, err = p:transcode(format)
	assert.is_nil(none)
	test.is_error(err, "Internal")
end

describe("payload", function()
	it("has the names of the formats", function()
		assert.same({
			JSON = "json/plain",
			YAML = "yaml/plain",
			STRING = "text/plain",
			BYTES = "application/octet-stream",
			MSGPACK = "application/msgpack",
			LUA = "lua/any",
			GOLANG = "golang/any",
			ERROR = "golang/error",
		}, payload.format)
	end)

	it("wraps values", function()
		local p = payload.new({ a = 1 })
		assert.same({ a = 1 }, p:data())
		assert.equal(payload.format.LUA, p:get_format())
		assert.equal("lua/any", payload.new(nil):get_format())
		assert.equal("payload{format=lua/any}", tostring(p))
		assert.equal("golang/error", payload.new(errors.new("x")):get_format())
		assert.equal("payload{format=golang/error}", tostring(payload.new(errors.new("x"))))
	end)

	it("copies tables in and out", function()
		local source = { deep = { 1 } }
		source.me = source
		local p = payload.new(source)
		source.deep[1] = 2
		local data = p:data()
		assert.equal(1, data.deep[1])
		assert.equal(data, data.me)
		data.deep[1] = 3
		assert.equal(1, p:data().deep[1])
		assert.equal(1, p:unmarshal().deep[1])
	end)

	it("transcodes", function()
		local p = assert(payload.new({ a = { 1, 2 } }):transcode(payload.format.JSON))
		assert.equal("json/plain", p:get_format())
		assert.equal("payload{format=json/plain}", tostring(p))
		assert.same({ a = { 1, 2 } }, p:unmarshal())
		assert.same({ a = { 1, 2 } }, assert(p:transcode(payload.format.LUA)):data())
		bad(payload.new({}), "no/format")
		bad(payload.new({}), payload.format.MSGPACK)
		bad(payload.new({}), payload.format.STRING)
		bad(payload.new({}), payload.format.ERROR)
		bad(payload.new({ 1, nil, 3, [9] = 1 }), payload.format.JSON)
	end)

	it("transcodes all plain data to JSON and Lua, and back", function()
		for _, value in ipairs({ true, false, 0, -7, 2.5, "", "text", "\0\n\"", {}, { 1, 2, 3 }, { a = { b = "c" } } }) do
			local json = assert(payload.new(value):transcode(payload.format.JSON))
			assert.equal("string", type(json:data()))
			assert.same(value, json:unmarshal())
			assert.same(value, assert(payload.new(value):transcode(payload.format.LUA)):data())
		end
		assert.equal("null", assert(payload.new(nil):transcode(payload.format.JSON)):data())
		assert.is_nil(payload.new(nil):transcode(payload.format.LUA):data())
	end)

	it("does not cross processes", function()
		process.send(process.pid(), "wrapped", payload.new(1))
		local message = process.receive("20s")
		assert.equal(1, message.values.n)
		assert.is_nil(message.value)
		process.send(process.pid(), "unwrapped", payload.new(1):data())
		assert.equal(1, process.receive("20s").value)
	end)
end)

describe("a Message", function()
	local function message_of(...)
		assert(process.send(process.pid(), "topic", ...))
		return (process.inbox():receive())
	end

	it("is a userdata that knows its topic and its sender", function()
		local message = message_of()
		assert.equal("userdata", type(message))
		assert.equal("topic", message:topic())
		assert.equal(process.pid(), message:from())
		assert.equal("process.Message{topic=topic}", tostring(message))
	end)

	it("has one wrapper, nil for no payload, an array of wrappers for several", function()
		assert.is_nil(message_of():payload())
		local one = message_of({ 1 }):payload()
		assert.same({ 1 }, one:data())
		assert.equal("lua/any", one:get_format())
		assert.equal("golang/error", message_of(errors.new("x")):payload():get_format())
		local several = message_of("a", nil, { 3 }):payload()
		assert.equal("table", type(several))
		assert.equal(3, #several)
		assert.equal("a", several[1]:data())
		assert.is_nil(several[2]:data())
		assert.same({ 3 }, several[3]:data())
		-- One nil is one payload.
		assert.is_nil(message_of(nil):payload():data())
	end)
end)
