-- string.gsub with a function (or a table that has a metatable) as replacement, so that the replacement may wait.
-- The search is Lua's own; the rule for empty matches is that of lstrlib.c: none directly behind the last match.

local find, sub, concat, type, error = ...

local function replacement(s, repl, by_call, from, to, first, ...)
	local value
	if not by_call then
		value = repl[first == nil and sub(s, from, to) or first]
	elseif first == nil then
		value = repl(sub(s, from, to))
	else
		value = repl(first, ...)
	end
	if not value then
		return sub(s, from, to)
	end
	local kind = type(value)
	if kind ~= "string" and kind ~= "number" then
		error("invalid replacement value (a " .. kind .. ")", 0)
	end
	return value
end

-- One match: its bounds, and what replaces it unless it is empty and directly behind the last one.
local function step(s, repl, by_call, last, from, to, ...)
	if not from or (to < from and to == last) then
		return from, to, nil
	end
	return from, to, replacement(s, repl, by_call, from, to, ...)
end

return function(s, pattern, repl, limit)
	local by_call = type(repl) == "function"
	local anchored = sub(pattern, 1, 1) == "^"
	local out, parts, count = {}, 0, 0
	local copied, at, last = 1, 1, nil
	while not limit or count < limit do
		local from, to, value = step(s, repl, by_call, last, find(s, pattern, at))
		if not from then
			break
		end
		if value == nil then
			at = at + 1
		else
			count = count + 1
			out[parts + 1] = sub(s, copied, from - 1)
			out[parts + 2] = value
			parts = parts + 2
			copied, at, last = to + 1, to + 1, to
		end
		if anchored or at > #s + 1 then
			break
		end
	end
	out[parts + 1] = sub(s, copied)
	return concat(out), count
end
