-- Values as text for people: keys sorted, cycles named, depth and length bounded. Nothing here runs user code but
-- `__tostring` of userdata and of tables that have one.

local MAX_DEPTH = 12
local MAX_ITEMS = 500
local MAX_STRING = 2000

local show = {}

local ESCAPES = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\\"] = "\\\\", ['"'] = '\\"' }

-- A string as Lua would read it again, shortened when it is very long.
function show.quote(text)
	local cut = ""
	if #text > MAX_STRING then
		cut = string.format(" … (%d bytes)", #text)
		text = text:sub(1, MAX_STRING)
	end
	local quoted = text:gsub('[%c\\"]', function(char)
		return ESCAPES[char] or string.format("\\x%02x", char:byte())
	end)
	return '"' .. quoted .. '"' .. cut
end

local function safely(value)
	local ok, text = pcall(tostring, value)
	return ok and text or "<" .. type(value) .. ">"
end

-- Everything that takes one line whatever it is.
function show.atom(value)
	if type(value) == "string" then
		return show.quote(value)
	end
	return safely(value)
end

local ORDER = { number = 1, string = 2, boolean = 3 }

local function before(a, b)
	local kind_a, kind_b = type(a), type(b)
	if kind_a ~= kind_b then
		return (ORDER[kind_a] or 4) < (ORDER[kind_b] or 4)
	end
	if kind_a == "number" or kind_a == "string" then
		return a < b
	end
	return safely(a) < safely(b)
end

-- The keys outside of 1..n in a stable order.
local function other_keys(t, n)
	local keys = {}
	for key in next, t do
		local is_item = math.type(key) == "integer" and key >= 1 and key <= n
		if not is_item then
			keys[#keys + 1] = key
		end
	end
	table.sort(keys, before)
	return keys
end

local KEYWORDS = {}
for word in
	([[and break do else elseif end false for function goto if in local nil not or repeat return then true until while]]):gmatch(
		"%a+"
	)
do
	KEYWORDS[word] = true
end

local function key_text(key)
	if type(key) == "string" and key:find("^[%a_][%w_]*$") and not KEYWORDS[key] then
		return key
	end
	return "[" .. show.atom(key) .. "]"
end

local function has_tostring(t)
	local meta = getmetatable(t)
	return type(meta) == "table" and rawget(meta, "__tostring") ~= nil
end

local add_value

-- The parts of a table, each through `add(prefix, value)`.
local function each_part(t, add)
	local n = rawlen(t)
	for i = 1, math.min(n, MAX_ITEMS) do
		add("", rawget(t, i))
	end
	if n > MAX_ITEMS then
		add("", nil, string.format("… %d more", n - MAX_ITEMS))
	end
	local keys = other_keys(t, n)
	for i = 1, math.min(#keys, MAX_ITEMS) do
		add(key_text(keys[i]) .. " = ", rawget(t, keys[i]))
	end
	if #keys > MAX_ITEMS then
		add("", nil, string.format("… %d more keys", #keys - MAX_ITEMS))
	end
end

local function add_table(out, t, indent, prefix, suffix, above)
	out[#out + 1] = indent .. prefix .. "{"
	above[t] = true
	each_part(t, function(name, value, note)
		if note then
			out[#out + 1] = indent .. "  " .. note
		else
			add_value(out, value, indent .. "  ", name, ",", above)
		end
	end)
	above[t] = nil
	out[#out + 1] = indent .. "}" .. suffix
end

function add_value(out, value, indent, prefix, suffix, above)
	local text
	if type(value) ~= "table" or has_tostring(value) then
		text = show.atom(value)
	elseif above[value] then
		text = "<cycle>"
	elseif next(value) == nil then
		text = "{}"
	elseif #indent >= 2 * MAX_DEPTH then
		text = "{…}"
	else
		return add_table(out, value, indent, prefix, suffix, above)
	end
	out[#out + 1] = indent .. prefix .. text .. suffix
end

-- The value as an array of lines, one for each part of a table.
function show.lines(value)
	local out = {}
	add_value(out, value, "", "", "", {})
	return out
end

-- The value on one line, cut where it gets too long.
function show.inline(value)
	local text = table.concat(show.lines(value), " "):gsub("%s+", " "):gsub(", }", " }")
	if #text > 200 then
		return text:sub(1, 197) .. "…"
	end
	return text
end

return show
