-- string.gsub where the replacement runs Lua code, so that it may wait, and where the search is hard, so that it can be
-- interrupted. The rule for empty matches is that of lstrlib.c: none directly behind the last match. Errors have the place
-- of whoever called string.gsub: the C function of that name is between.

local find, sub, concat, type, error, expand = ...

-- The text for %0 to %9 and %% in a replacement string.
local function expanded(repl, whole, ...)
	local captures = { ... }
	return (
		expand(repl, "%%(.?)", function(what)
			if what == "%" then
				return "%"
			elseif what == "0" or (what == "1" and #captures == 0) then
				return whole
			elseif not find(what, "%d") then
				error("invalid use of '%' in replacement string", 8)
			elseif captures[what + 0] == nil then
				error("invalid capture index %" .. what .. " in replacement string", 8)
			end
			return captures[what + 0]
		end)
	)
end

local function replacement(s, repl, kind, from, to, first, ...)
	local value
	if kind == "table" then
		value = repl[first == nil and sub(s, from, to) or first]
	elseif kind ~= "function" then
		value = expanded(repl, sub(s, from, to), first, ...)
	elseif first == nil then
		value = repl(sub(s, from, to))
	else
		value = repl(first, ...)
	end
	if not value then
		return sub(s, from, to)
	end
	local got = type(value)
	if got ~= "string" and got ~= "number" then
		error("invalid replacement value (a " .. got .. ")", 5)
	end
	return value
end

-- One match: its bounds, and what replaces it unless it is empty and directly behind the last one.
local function step(s, repl, kind, last, from, to, ...)
	if not from or (to < from and to == last) then
		return from, to, nil
	end
	return from, to, replacement(s, repl, kind, from, to, ...)
end

return function(s, pattern, repl, limit)
	local kind = type(repl)
	local anchored = sub(pattern, 1, 1) == "^"
	local out, parts, count = {}, 0, 0
	local copied, at, last = 1, 1, nil
	while not limit or count < limit do
		local from, to, value = step(s, repl, kind, last, find(s, pattern, at))
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
