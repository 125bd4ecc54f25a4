-- Ends in the way that it is told.

local ways = {
	["nothing"] = function() end,
	["false"] = function()
		return false
	end,
	["value and nil"] = function()
		return 1, nil
	end,
	["value and number"] = function()
		return 1, 2
	end,
	["text"] = function()
		return 1, "went wrong"
	end,
	["error"] = function()
		return nil, errors.new({ message = "no", kind = errors.CONFLICT, retryable = true, details = { a = { 1 } } })
	end,
	["raise"] = function()
		error("raised")
	end,
	["raise beside"] = function()
		coroutine.spawn(error, "beside")
		process.receive()
	end,
	["send"] = function(to)
		process.send(to, "note", "last words")
	end,
	["parent"] = function(to)
		process.send(to, "child", process.spawn("app:echo", "app:processes"))
	end,
}

return function(way, ...)
	return ways[way](...)
end
