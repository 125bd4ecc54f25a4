-- Deep equality, and what two values differ in, as lines of a diff.

local show = ...

local diff = {}

-- An Error object of ours, seen from outside: a userdata that has a kind.
local function is_error(value)
	return type(value) == "userdata" and errors ~= nil and errors.is(value, value:kind())
end

local function both_errors(a, b)
	local ok, yes = pcall(function()
		return is_error(a) and is_error(b)
	end)
	return ok and yes
end

local same

local function same_tables(a, b, seen)
	if seen[a] and seen[a][b] then
		return true
	end
	seen[a] = seen[a] or {}
	seen[a][b] = true
	for key, value in next, a do
		if not same(value, rawget(b, key), seen) then
			return false
		end
	end
	for key in next, b do
		if rawget(a, key) == nil then
			return false
		end
	end
	return true
end

function same(a, b, seen)
	if a == b then
		return true
	end
	if type(a) == "table" and type(b) == "table" then
		return same_tables(a, b, seen)
	end
	if both_errors(a, b) then
		return a:kind() == b:kind()
			and a:message() == b:message()
			and a:retryable() == b:retryable()
			and same(a:details(), b:details(), seen)
	end
	return false
end

-- Whether two values are equal, tables by their contents.
function diff.same(a, b)
	return same(a, b, {})
end

-- Lines of both sides that are compared: of texts their own lines, of values those of `show`.
local function sides(expected, actual)
	local function text_lines(text)
		local lines = {}
		for line in (text .. "\n"):gmatch("(.-)\n") do
			lines[#lines + 1] = line
		end
		return lines
	end
	local texts = type(expected) == "string" and type(actual) == "string"
	if texts and (expected:find("\n") or actual:find("\n")) then
		return text_lines(expected), text_lines(actual)
	end
	return show.lines(expected), show.lines(actual)
end

local MAX_LINES = 400

-- Lengths of the longest common subsequences of all tails.
local function common(a, b)
	local rows = { [#a + 1] = {} }
	for j = 1, #b + 1 do
		rows[#a + 1][j] = 0
	end
	for i = #a, 1, -1 do
		local row, below = { [#b + 1] = 0 }, rows[i + 1]
		for j = #b, 1, -1 do
			if a[i] == b[j] then
				row[j] = below[j + 1] + 1
			else
				row[j] = math.max(below[j], row[j + 1])
			end
		end
		rows[i] = row
	end
	return rows
end

local function merge(a, b)
	local rows, out, i, j = common(a, b), {}, 1, 1
	while i <= #a or j <= #b do
		if i <= #a and j <= #b and a[i] == b[j] then
			out[#out + 1] = "  " .. a[i]
			i, j = i + 1, j + 1
		elseif j > #b or (i <= #a and rows[i + 1][j] >= rows[i][j + 1]) then
			out[#out + 1] = "- " .. a[i]
			i = i + 1
		else
			out[#out + 1] = "+ " .. b[j]
			j = j + 1
		end
	end
	return out
end

local CONTEXT = 3

-- Leaves out the equal lines that are far from every difference.
local function condense(lines)
	local near = {}
	for i, line in ipairs(lines) do
		if line:sub(1, 1) ~= " " then
			for k = i - CONTEXT, i + CONTEXT do
				near[k] = true
			end
		end
	end
	local out, skipping = {}, false
	for i, line in ipairs(lines) do
		if near[i] then
			out[#out + 1] = line
		elseif not skipping then
			out[#out + 1] = "  …"
		end
		skipping = not near[i]
	end
	return out
end

-- Of long texts without the lines that both begin with, but for some: what differs may stand far down.
local function from_difference(a, b)
	if #a <= MAX_LINES and #b <= MAX_LINES then
		return a, b
	end
	local equal = 0
	while equal < #a and equal < #b and a[equal + 1] == b[equal + 1] do
		equal = equal + 1
	end
	-- One more stands for all that are left out.
	local first = math.max(equal - CONTEXT, 1)
	return table.move(a, first, #a, 1, {}), table.move(b, first, #b, 1, {})
end

local function cut(lines)
	if #lines <= MAX_LINES then
		return lines
	end
	local out = table.move(lines, 1, MAX_LINES, 1, {})
	out[MAX_LINES + 1] = "…"
	return out
end

-- The difference as lines: `- ` expected, `+ ` actual, two blanks before what is equal.
function diff.lines(expected, actual)
	local a, b = from_difference(sides(expected, actual))
	a, b = cut(a), cut(b)
	if #a == 1 and #b == 1 then
		if a[1] == b[1] then
			-- Equal to the eye: what differs is what they are.
			return { "- " .. a[1] .. " (" .. type(expected) .. ")", "+ " .. b[1] .. " (" .. type(actual) .. ")" }
		end
		return { "- " .. a[1], "+ " .. b[1] }
	end
	return condense(merge(a, b))
end

return diff
