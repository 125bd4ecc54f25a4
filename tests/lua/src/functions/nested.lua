-- Calls the worker and waits for it, or does not.
return function(how, ...)
	if how == "call" then
		return funcs.call("fn:worker", ...)
	elseif how == "bridge" then
		return funcs.call("fn:bridged", ...)
	elseif how == "async" then
		funcs.async("fn:worker", ...)
		return "left"
	elseif how == "async and fail" then
		funcs.async("fn:worker", ...)
		process.receive()
		error("failed")
	end
end
