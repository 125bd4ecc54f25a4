local name = ...
if not name then
	return nil, errors.new({ message = "whom shall I greet?", kind = errors.INVALID })
end
return "Hello, " .. name .. "!"
