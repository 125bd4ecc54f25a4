-- table.sort, so that a comparison may wait and a long sort can be interrupted.
-- A merge sort of a copy: always n log n comparisons, and an error leaves the table as it was.

local type, error, compare = ...

local function less(a, b)
	return a < b
end

-- The same for values of which some may have no order: that error is Lua's own, without a place in here.
local function less_if_any(a, b)
	local result = compare(a, b)
	if result == nil then
		return a < b
	end
	return result
end

-- The order of values that are all numbers or all strings needs no care.
local function natural(a, n)
	local kind = type(a[1])
	if kind ~= "number" and kind ~= "string" then
		return less_if_any
	end
	for i = 2, n do
		if type(a[i]) ~= kind then
			return less_if_any
		end
	end
	return less
end

-- Sorts a[from .. to] by insertion.
local function insert(a, from, to, before)
	for i = from + 1, to do
		local value, j = a[i], i - 1
		while j >= from and before(value, a[j]) do
			a[j + 1] = a[j]
			j = j - 1
		end
		a[j + 1] = value
	end
end

-- Merges a[from .. mid] and a[mid + 1 .. to] into b.
local function merge(a, b, from, mid, to, before)
	local i, j = from, mid + 1
	for k = from, to do
		if j > to or (i <= mid and not before(a[j], a[i])) then
			b[k] = a[i]
			i = i + 1
		else
			b[k] = a[j]
			j = j + 1
		end
	end
end

local RUN = 8

-- As in ltablib.c.
local MOST = 0x7fffffff

return function(t, before)
	local n = #t
	if type(n) ~= "number" or n % 1 ~= 0 then
		error("object length is not an integer", 3)
	elseif n >= MOST then
		error("bad argument #1 to 'sort' (array too big)", 3)
	end
	local a, b = {}, {}
	for i = 1, n do
		a[i] = t[i]
	end
	before = before or natural(a, n)
	for from = 1, n, RUN do
		insert(a, from, from + RUN - 1 < n and from + RUN - 1 or n, before)
	end
	local width = RUN
	while width < n do
		for from = 1, n, 2 * width do
			local mid = from + width - 1 < n and from + width - 1 or n
			local to = from + 2 * width - 1 < n and from + 2 * width - 1 or n
			merge(a, b, from, mid, to, before)
		end
		a, b = b, a
		width = 2 * width
	end
	for i = 1, n do
		t[i] = a[i]
	end
end
