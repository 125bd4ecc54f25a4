-- Every way in which a main can end.
return function(how)
	if how == "string" then
		return "dropped", "a text"
	elseif how == "error" then
		return nil, errors.new({ message = "gone", kind = "NotFound", retryable = true, details = { id = 7 } })
	elseif how == "unknown" then
		return nil, errors.new("no kind")
	elseif how == "raise" then
		error("raised")
	elseif how == "raise_error" then
		error(errors.new({ message = "raised", kind = "Conflict" }))
	elseif how == "raise_table" then
		error({ 1 })
	elseif how == "beside" then
		coroutine.spawn(function()
			error("beside main")
		end)
		channel.new():receive()
	elseif how == "other" then
		return "kept", { "not an error" }
	elseif how == "false" then
		return false
	elseif how == "nothing" then
		return
	elseif how == "userdata" then
		return { channel.new(), print, ok = true }
	end
	return how
end
