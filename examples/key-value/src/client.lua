-- Requests to the server as functions. The answer has a topic of its own, so it finds its way past everything else that lies
-- in the caller's mailbox.
local replies = process.listen("store.reply")

local function request(what, ...)
	local sent, err = process.send("store", what, ...)
	if not sent then
		return nil, err
	end
	local timeout = time.after("5s")
	local answer = channel.select({ replies:case_receive(), timeout:case_receive() })
	if answer.channel == timeout then
		return nil, errors.new({ message = "the store does not answer", kind = errors.TIMEOUT, retryable = true })
	end
	return answer.value
end

local store = {}

for _, what in ipairs({ "set", "get", "delete", "keys" }) do
	store[what] = function(...)
		return request(what, ...)
	end
end

return store
