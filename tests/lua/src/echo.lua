-- Answers what it is asked: a process for the suites to talk to.

local replies = {}

function replies.echo(message)
	process.send(message.from, "echo", table.unpack(message.values, 1, message.values.n))
end

function replies.fail(message)
	error(message.value, 0)
end

function replies.pid(message)
	process.send(message.from, "pid", process.pid())
end

local function main(...)
	if select("#", ...) > 0 then
		return ...
	end
	while true do
		local item = process.receive()
		if item.type == "CANCEL" then
			return "cancelled: " .. item.reason
		elseif item.type == "MESSAGE" then
			if item.topic == "stop" then
				return item.value
			end
			replies[item.topic](item)
		end
	end
end

return { main = main }
