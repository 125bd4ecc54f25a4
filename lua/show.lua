-- Values as text for people: keys sorted, cycles named; depth, number of items and length of strings are bounded. Of user
-- code only `__tostring` runs. There are three layouts: an answer at the prompt, lines to compare, and a word in a sentence.

local errors, utf8, string, table, math = errors, utf8, string, table, math
local type, next, pcall, tostring, rawget, rawlen, getmetatable = type, next, pcall, tostring, rawget, rawlen, getmetatable

local MAX_STRING = 2000
local MAX_INLINE = 200

-- Width: how long a line of items may be, at the top and within; what does not fit gets a line for each item, the last one
-- followed by `trailing`. Depth, items and total: how many levels, items of one table and items in all. Errors: whether an
-- Error object shows its kind.
local ANSWER = { width = 200, inner_width = 100, trailing = "", depth = 8, items = 100, total = 1000, errors = true }
local LINES = { width = 0, inner_width = 0, trailing = ",", depth = 12, items = 500, total = math.huge, errors = false }
local INLINE = { width = math.huge, inner_width = math.huge, depth = 12, items = 500, total = 500, errors = false }

local show = {}

-- The first `bytes` of a text, without the part of a character at the end.
local function cut(text, bytes)
	local last = utf8.offset(text:sub(1, bytes + 1), -1)
	-- Of bytes that are no UTF-8 nothing more is taken away.
	return text:sub(1, last and last > bytes - 3 and last - 1 or bytes)
end

local ESCAPES = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\\"] = "\\\\", ['"'] = '\\"' }

-- A string as Lua would read it again, shortened when it is very long.
function show.quote(text)
	local rest = ""
	if #text > MAX_STRING then
		rest = string.format(" … (%d bytes)", #text)
		text = cut(text, MAX_STRING)
	end
	local broken = not utf8.len(text)
	local quoted = text:gsub(broken and '[%c\\"\128-\255]' or '[%c\\"]', function(char)
		return ESCAPES[char] or string.format("\\x%02x", char:byte())
	end)
	return '"' .. quoted .. '"' .. rest
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

-- Everything but the inside of a table.
local function atom(value, layout)
	if type(value) == "string" then
		return show.quote(value)
	end
	local failure = layout.errors and show.failure(value)
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
local WORDS =
	"and break do else elseif end false for function goto if in local nil not or repeat return then true until while"
for word in string.gmatch(WORDS, "%a+") do
	KEYWORDS[word] = true
end

local function key_text(key, layout)
	if type(key) == "string" and key:find("^[%a_][%w_]*$") and not KEYWORDS[key] then
		return key
	end
	return "[" .. atom(key, layout) .. "]"
end

local function has_tostring(t)
	local meta = getmetatable(t)
	return type(meta) == "table" and rawget(meta, "__tostring") ~= nil
end

local render

-- Adds the texts of `count` items, as many as the bounds allow, and how many are left out.
local function add_items(items, count, item, more, state)
	for i = 1, count do
		if i > state.layout.items or state.total >= state.layout.total then
			items[#items + 1] = string.format(more, count - i + 1)
			return
		end
		state.total = state.total + 1
		items[#items + 1] = item(i)
	end
end

-- The items of a table as texts, in the order in which they are shown.
local function items_of(t, indent, state)
	local items, n = {}, rawlen(t)
	local keys = other_keys(t, n)
	local inner = indent .. "  "
	add_items(items, n, function(i)
		return render(rawget(t, i), inner, state)
	end, "… %d more", state)
	add_items(items, #keys, function(i)
		return key_text(keys[i], state.layout) .. " = " .. render(rawget(t, keys[i]), inner, state)
	end, "… %d more keys", state)
	return items
end

local function render_table(t, indent, state)
	local layout = state.layout
	state.above[t] = true
	local items = items_of(t, indent, state)
	state.above[t] = nil
	local line = table.concat(items, ", ")
	local width = indent == "" and layout.width or layout.inner_width
	if #indent + #line + 4 <= width and not line:find("\n", 1, true) then
		return "{ " .. line .. " }"
	end
	local inner = indent .. "  "
	return "{\n" .. inner .. table.concat(items, ",\n" .. inner) .. layout.trailing .. "\n" .. indent .. "}"
end

function render(value, indent, state)
	if type(value) ~= "table" or has_tostring(value) then
		return atom(value, state.layout)
	elseif state.above[value] then
		return "<cycle>"
	elseif next(value) == nil then
		return "{}"
	elseif #indent >= 2 * state.layout.depth or state.total >= state.layout.total then
		return "{…}"
	end
	return render_table(value, indent, state)
end

local function laid_out(value, layout)
	return render(value, "", { layout = layout, above = {}, total = 0 })
end

-- The value on one line if it fits, else on several.
function show.value(value)
	return laid_out(value, ANSWER)
end

-- The value as an array of lines, one for each part of a table.
function show.lines(value)
	local lines = {}
	for line in (laid_out(value, LINES) .. "\n"):gmatch("(.-)\n") do
		lines[#lines + 1] = line
	end
	return lines
end

-- The value on one line, cut where it gets too long.
function show.inline(value)
	local text = laid_out(value, INLINE):gsub("%s*\n%s*", " ")
	if #text > MAX_INLINE then
		return cut(text, MAX_INLINE - 3) .. "…"
	end
	return text
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
