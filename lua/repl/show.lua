-- Values as a session prints them: on one line when they fit, keys sorted, cycles named; depth, width and the number of items
-- are bounded. Of user code only `__tostring` runs.

-- How long a line of items may be: a whole event on one line at the top, less within.
local WIDTH, INNER_WIDTH = 200, 100
local MAX_DEPTH = 8
local MAX_ITEMS = 100
local MAX_TOTAL = 1000
local MAX_STRING = 2000

local errors, utf8, string, table, math = errors, utf8, string, table, math
local type, next, pcall, tostring, rawget, rawlen, getmetatable = type, next, pcall, tostring, rawget, rawlen, getmetatable

local show = {}

local ESCAPES = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\\"] = "\\\\", ['"'] = '\\"' }

-- A string as Lua would read it again, shortened when it is very long.
function show.quote(text)
	local cut = ""
	if #text > MAX_STRING then
		cut = string.format(" … (%d bytes)", #text)
		local whole = utf8.offset(text:sub(1, MAX_STRING), -1) or MAX_STRING + 1
		text = text:sub(1, whole - 1)
	end
	local broken = not utf8.len(text)
	local quoted = text:gsub(broken and '[%c\\"\128-\255]' or '[%c\\"]', function(char)
		return ESCAPES[char] or string.format("\\x%02x", char:byte())
	end)
	return '"' .. quoted .. '"' .. cut
end

-- An Error object as `error[Kind]: message`; nil for everything else.
function show.failure(value)
	if type(value) ~= "userdata" then
		return nil
	end
	local ok, kind = pcall(function()
		return errors.call_stack(value) and value:kind()
	end)
	if not ok or not kind then
		return nil
	end
	local named = kind == "" and "error: " or "error[" .. kind .. "]: "
	return named .. tostring(value)
end

local function safely(value)
	local ok, text = pcall(tostring, value)
	return ok and text or "<" .. type(value) .. ">"
end

local function atom(value)
	if type(value) == "string" then
		return show.quote(value)
	end
	local failure = show.failure(value)
	return failure and "<" .. failure .. ">" or safely(value)
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
		if not (math.type(key) == "integer" and key >= 1 and key <= n) then
			keys[#keys + 1] = key
		end
	end
	table.sort(keys, before)
	return keys
end

local KEYWORDS = {}
local WORDS = "and break do else elseif end false for function goto if in local nil not or repeat return then true until while"
for word in WORDS:gmatch("%a+") do
	KEYWORDS[word] = true
end

local function key_text(key)
	if type(key) == "string" and key:find("^[%a_][%w_]*$") and not KEYWORDS[key] then
		return key
	end
	return "[" .. atom(key) .. "]"
end

local function has_tostring(t)
	local meta = getmetatable(t)
	return type(meta) == "table" and rawget(meta, "__tostring") ~= nil
end

local render

-- The items of a table as texts, in the order in which they are shown.
local function items_of(t, indent, state)
	local items, n = {}, rawlen(t)
	local function add(name, value)
		state.total = state.total + 1
		items[#items + 1] = name .. render(value, indent .. "  ", state)
	end
	local keys = other_keys(t, n)
	local array = math.min(n, MAX_ITEMS)
	local named = math.min(#keys, MAX_ITEMS)
	for i = 1, array do
		if state.total >= MAX_TOTAL then
			array = i - 1
			break
		end
		add("", rawget(t, i))
	end
	if n > array then
		items[#items + 1] = string.format("… %d more", n - array)
	end
	for i = 1, named do
		if state.total >= MAX_TOTAL then
			named = i - 1
			break
		end
		add(key_text(keys[i]) .. " = ", rawget(t, keys[i]))
	end
	if #keys > named then
		items[#items + 1] = string.format("… %d more keys", #keys - named)
	end
	return items
end

local function render_table(t, indent, state)
	state.above[t] = true
	local items = items_of(t, indent, state)
	state.above[t] = nil
	local line = table.concat(items, ", ")
	local width = indent == "" and WIDTH or INNER_WIDTH
	if #indent + #line + 4 <= width and not line:find("\n", 1, true) then
		return "{ " .. line .. " }"
	end
	local inner = indent .. "  "
	return "{\n" .. inner .. table.concat(items, ",\n" .. inner) .. "\n" .. indent .. "}"
end

function render(value, indent, state)
	if type(value) ~= "table" or has_tostring(value) then
		return atom(value)
	elseif state.above[value] then
		return "<cycle>"
	elseif next(value) == nil then
		return "{}"
	elseif #indent >= 2 * MAX_DEPTH or state.total >= MAX_TOTAL then
		return "{…}"
	end
	return render_table(value, indent, state)
end

-- The value as text, of one line or several.
function show.value(value)
	return render(value, "", { above = {}, total = 0 })
end

-- Whether results are `nil, err` or `false, err`.
function show.is_failure(results)
	return results.n == 2 and not results[1] and show.failure(results[2]) ~= nil
end

-- What is printed for the results of an expression, and whether they say that it failed.
function show.results(results)
	if show.is_failure(results) then
		return show.failure(results[2]), true
	end
	local texts = {}
	for i = 1, results.n do
		texts[i] = show.value(results[i])
	end
	return table.concat(texts, "\t"), false
end

return show
