-- modules.lua SHARE SHARES: starts every broken form of a share of the modules in this folder, cut off at each byte (large
-- ones at a hundred), and with single bits flipped. Whatever comes of one, the next is started; `total` is printed when all are through.

local fs = require("fs")
local folder = fs.get("script:dir")

-- The same numbers in every run.
local seed = 42
local function random(limit)
	seed = (seed * 1103515245 + 12345) % 2147483648
	return seed // 65536 % limit
end

local total = 0

local function end_of(pid)
	local event = process.receive("1s")
	if not event then
		-- A flipped bit can make a loop endless.
		process.terminate(pid)
		event = process.receive("60s")
	end
	assert(event and event.type == "EXIT" and event.from == pid, "no EXIT")
end

local function try(bytes)
	total = total + 1
	-- Another file each time, so that none is taken for the one before; and not too many of them.
	local file = "broken" .. total % 16
	assert(folder:writefile(file .. ".wasm", bytes))
	local pid, err = process.spawn_monitored("./" .. file .. ".wasm")
	if pid then
		end_of(pid)
	else
		assert(#err:message() < 1000, err:message())
	end
end

local function cut(bytes)
	local step = #bytes < 1000 and 1 or #bytes // 100
	for length = 0, #bytes - 1, step do
		try(bytes:sub(1, length))
	end
end

local function flip(bytes)
	for _ = 1, #bytes < 3000 and 40 or 3 do
		local at = random(#bytes) + 1
		local flipped = string.char(bytes:byte(at) ~ 1 << random(8))
		try(bytes:sub(1, at - 1) .. flipped .. bytes:sub(at + 1))
	end
end

local names = {}
for entry in folder:readdir("/") do
	names[#names + 1] = entry.name:match("^.*%.wasm$")
end
table.sort(names)
local share, shares = tonumber((...)), tonumber((select(2, ...)))
for at = share, #names, shares do
	local name = names[at]
	local bytes = assert(folder:readfile(name))
	cut(bytes)
	flip(bytes)
end
assert(total > 1000, "there is nothing to break")
print("total", total)
