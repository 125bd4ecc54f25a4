-- The functions of `table` that take as many steps as their arguments say, where those are many or run metamethods: here
-- they can be suspended and interrupted between two steps. Messages and checks are those of ltablib.c; level 3 is the
-- caller of the C function that called these.

local type, error, concat, unpack, most = ...

local slow = {}

-- The length of a table that may have an opinion of its own about it.
local function length(t)
	local n = #t
	if type(n) ~= "number" or n % 1 ~= 0 then
		error("object length is not an integer", 4)
	end
	return n
end

local function following(t, i)
	i = i + 1
	local value = t[i]
	if value ~= nil then
		return i, value
	end
end

function slow.ipairs(t)
	return following, t, 0
end

-- Values that a stack has room for.
local VALUES = 1000000

function slow.unpack(t, first, last)
	last = last or length(t)
	if first > last then
		return
	end
	local count = last - first + 1
	if count <= 0 or count >= VALUES then
		error("too many results to unpack", 3)
	end
	local values = {}
	for i = 1, count do
		values[i] = t[first + i - 1]
	end
	return unpack(values, 1, count)
end

function slow.append(t, value)
	t[length(t) + 1] = value
end

function slow.insert(t, pos, value)
	local free = length(t) + 1
	if pos < 1 or pos > free then
		error("bad argument #2 to 'insert' (position out of bounds)", 3)
	end
	for i = free, pos + 1, -1 do
		t[i] = t[i - 1]
	end
	t[pos] = value
end

function slow.remove(t, pos)
	local size = length(t)
	pos = pos or size
	if pos ~= size and (pos < 1 or pos > size + 1) then
		error("bad argument #2 to 'remove' (position out of bounds)", 3)
	end
	local removed = t[pos]
	for i = pos, size - 1 do
		t[i] = t[i + 1]
	end
	t[pos < size and size or pos] = nil
	return removed
end

function slow.move(from, first, last, at, to)
	if first > 0 or last < most + first then
		local count = last - first + 1
		if at > most - count + 1 then
			error("bad argument #4 to 'move' (destination wrap around)", 3)
		end
		if at > last or at <= first or from ~= to then
			for i = 0, count - 1 do
				to[at + i] = from[first + i]
			end
		else
			for i = count - 1, 0, -1 do
				to[at + i] = from[first + i]
			end
		end
		return to
	end
	error("bad argument #3 to 'move' (too many elements to move)", 3)
end

-- Pieces that are joined at a time.
local PIECES = 4096

function slow.concat(t, sep, first, last)
	last = last or length(t)
	local out, joined, count = {}, {}, 0
	for i = first, last do
		local piece = t[i]
		local kind = type(piece)
		if kind ~= "string" and kind ~= "number" then
			error("invalid value (" .. kind .. ") at index " .. i .. " in table for 'concat'", 3)
		end
		count = count + 1
		out[count] = piece
		if count == PIECES then
			joined[#joined + 1] = concat(out, sep)
			out, count = {}, 0
		end
	end
	if count > 0 then
		joined[#joined + 1] = concat(out, sep)
	end
	return concat(joined, sep)
end

return slow
