-- Assertions: one table of checks, seen twice. `test.equal(actual, expected)` puts what was found first; `assert.equal(
-- expected, actual)` and its many spellings are those of luassert. Both raise the same failure, which `pcall` sees as a
-- table with `message`, `diff` and `__tostring`.

local show, diff, doubles = ...

local Failure = {}
Failure.__index = Failure
Failure.__name = "assertion failure"

function Failure:__tostring()
	if not self.diff then
		return self.message
	end
	return self.message .. "\n" .. table.concat(self.diff, "\n")
end

local function fail(message, note, lines)
	local failure = { message = message, diff = lines }
	if note ~= nil then
		failure.message = tostring(note) .. ": " .. message
	end
	error(setmetatable(failure, Failure), 0)
end

-- What a raised value says, without the place that Lua puts in front.
local function raised_text(err)
	if type(err) == "string" then
		return (err:gsub("^[^\n]-:%d+: ", "", 1))
	end
	return tostring(err)
end

local function error_fits(err, expected)
	if expected == nil or err == expected then
		return true
	end
	if type(expected) == "string" then
		return tostring(err) == expected or raised_text(err) == expected
	end
	return diff.same(err, expected)
end

local function text_of(value)
	return type(value) == "userdata" and tostring(value) or value
end

local function is_callable(value)
	if type(value) == "function" then
		return true
	end
	local meta = getmetatable(value)
	return type(meta) == "table" and meta.__call ~= nil
end

-- Each check: `holds(actual, …)` gives whether it holds, then what it returns in place of its argument (optional).
-- `says(actual, …)` and `denies(actual, …)` tell why it does not, the second one for `is_not`.
local checks = {}

local function kind_check(kind)
	return {
		args = 1,
		holds = function(value)
			return type(value) == kind
		end,
		says = function(value)
			return string.format("expected a %s, got %s %s", kind, type(value), show.inline(value))
		end,
		denies = function(value)
			return string.format("expected anything but a %s, got %s", kind, show.inline(value))
		end,
	}
end

for _, kind in ipairs({ "boolean", "number", "string", "table", "function", "userdata", "thread" }) do
	checks[kind] = kind_check(kind)
end

local function plain_check(what, holds)
	return {
		args = 1,
		holds = holds,
		says = function(value)
			return string.format("expected %s, got %s", what, show.inline(value))
		end,
		denies = function(value)
			return string.format("expected anything but %s, got %s", what, show.inline(value))
		end,
	}
end

checks["true"] = plain_check("true", function(value)
	return value == true
end)
checks["false"] = plain_check("false", function(value)
	return value == false
end)
checks["nil"] = plain_check("nil", function(value)
	return value == nil
end)
checks.truthy = plain_check("a true value", function(value)
	return value and true or false
end)
checks.falsy = plain_check("false or nil", function(value)
	return not value
end)
checks.callable = plain_check("something to call", is_callable)
checks.integer = plain_check("an integer", function(value)
	return math.type(value) == "integer"
end)
checks.empty = plain_check("an empty table or string", function(value)
	return value == "" or (type(value) == "table" and next(value) == nil)
end)

checks.equal = {
	args = 2,
	pair = true,
	holds = function(actual, expected)
		return actual == expected
	end,
	says = function(actual, expected)
		if type(actual) == "table" and diff.same(actual, expected) then
			return "expected the same table, got another one of equal contents (`same` compares contents)"
		end
		return "values are not equal", diff.lines(expected, actual)
	end,
	denies = function(actual)
		return "expected anything but " .. show.inline(actual)
	end,
}

checks.same = {
	args = 2,
	pair = true,
	holds = function(actual, expected)
		return diff.same(actual, expected)
	end,
	says = function(actual, expected)
		return "values are not the same", diff.lines(expected, actual)
	end,
	denies = function(actual)
		return "expected anything but " .. show.inline(actual)
	end,
}

checks.near = {
	args = 3,
	pair = true,
	holds = function(actual, expected, tolerance)
		return type(actual) == "number" and math.abs(actual - expected) <= tolerance
	end,
	says = function(actual, expected, tolerance)
		return string.format("expected %s within %s of %s", show.inline(actual), show.inline(tolerance), show.inline(expected))
	end,
	denies = function(actual, expected, tolerance)
		return string.format("expected %s farther than %s from %s", show.inline(actual), show.inline(tolerance), show.inline(expected))
	end,
}

checks.matches = {
	args = 2,
	optional = 4,
	pair = true,
	holds = function(text, pattern, init, plain)
		text = text_of(text)
		if type(text) == "number" then
			text = tostring(text)
		end
		if type(text) ~= "string" then
			return false
		end
		return text:find(pattern, init or 1, plain) ~= nil
	end,
	says = function(text, pattern)
		return string.format("expected a match of %s in %s", show.inline(pattern), show.inline(text_of(text)))
	end,
	denies = function(text, pattern)
		return string.format("expected no match of %s in %s", show.inline(pattern), show.inline(text_of(text)))
	end,
}

checks.contains = {
	args = 2,
	pair = true,
	holds = function(whole, part)
		whole = text_of(whole)
		if type(whole) == "string" then
			return whole:find(tostring(part), 1, true) ~= nil
		end
		if type(whole) == "table" then
			for _, item in next, whole do
				if diff.same(item, part) then
					return true
				end
			end
		end
		return false
	end,
	says = function(whole, part)
		return string.format("expected %s to contain %s", show.inline(text_of(whole)), show.inline(part))
	end,
	denies = function(whole, part)
		return string.format("expected %s not to contain %s", show.inline(text_of(whole)), show.inline(part))
	end,
}

checks.unique = {
	args = 1,
	holds = function(list)
		for i = 1, #list do
			for k = i + 1, #list do
				if diff.same(list[i], list[k]) then
					return false
				end
			end
		end
		return true
	end,
	says = function(list)
		return "expected no value twice in " .. show.inline(list)
	end,
	denies = function(list)
		return "expected a value twice in " .. show.inline(list)
	end,
}

-- Calls the function; what it raised is left in the record for the texts.
local function attempt(record, fn)
	if not is_callable(fn) then
		error("expected a function, got " .. type(fn), 0)
	end
	local ok, err = pcall(fn)
	record.raised, record.err = not ok, err
	return not ok, err
end

local tried = {}

checks.error = {
	args = 1,
	optional = 2,
	holds = function(fn, expected)
		local raised, err = attempt(tried, fn)
		return raised and error_fits(err, expected), err
	end,
	says = function(_, expected)
		if not tried.raised then
			return "expected an error, none was raised"
		end
		return "another error was raised", diff.lines(expected, type(expected) == "string" and raised_text(tried.err) or tried.err)
	end,
	denies = function()
		return "expected no error, got: " .. show.inline(text_of(tried.err))
	end,
}

checks.error_matches = {
	args = 2,
	optional = 4,
	holds = function(fn, pattern, init, plain)
		local raised, err = attempt(tried, fn)
		return raised and tostring(err):find(pattern, init or 1, plain) ~= nil, err
	end,
	says = function(_, pattern)
		if not tried.raised then
			return "expected an error, none was raised"
		end
		return string.format("expected a match of %s in the error %s", show.inline(pattern), show.inline(tostring(tried.err)))
	end,
	denies = function(_, pattern)
		return string.format("expected no match of %s in the error %s", show.inline(pattern), show.inline(tostring(tried.err)))
	end,
}

-- A returned Error object, and of which kind.
checks.failure = {
	args = 1,
	optional = 2,
	holds = function(err, kind)
		local ok, found = pcall(function()
			return err:kind()
		end)
		return ok and type(err) == "userdata" and (kind == nil or found == kind)
	end,
	says = function(err, kind)
		local wanted = kind and ("an Error of kind " .. show.inline(kind)) or "an Error"
		local ok, found = pcall(function()
			return err:kind()
		end)
		local got = ok and found and (" of kind " .. show.inline(found)) or ""
		return string.format("expected %s, got %s%s", wanted, show.inline(text_of(err)), got)
	end,
	denies = function(err)
		return "expected no Error, got " .. show.inline(text_of(err))
	end,
}

local ALIASES = {
	equals = "equal", eq = "equal",
	deep_equal = "same", match = "matches", has_match = "matches",
	ok = "truthy", falsey = "falsy",
	errors = "error", raises = "error", throws = "error",
	func = "function", error_object = "failure",
}

-- luassert has `assert.True` too, because `assert.true` is no Lua.
local function find(name)
	return checks[ALIASES[name] or name] or checks[name:lower()]
end

-- Runs a check on its arguments, the found value first. The message, if any, stands behind the last argument.
local function judge(check, negated, note, ...)
	local holds, result = check.holds(...)
	if holds ~= negated then
		if result ~= nil then
			return result
		end
		return ...
	end
	local explain = negated and check.denies or check.says
	local message, lines = explain(...)
	fail(message, note, not negated and lines or nil)
end

local function pick_note(check, n, ...)
	local last = check.optional or check.args
	if n > last then
		return (select(last + 1, ...))
	end
end

local function check_count(name, check, n)
	-- A call that gave nothing is as good as nil for the checks of one value.
	if check.args > 1 and n < check.args then
		error(string.format("%s takes %d arguments, got %d", name, check.args, n), 3)
	end
end

-- `check(actual, expected, …, note)`.
local function found_first(name, check, negated)
	return function(...)
		local n = select("#", ...)
		check_count(name, check, n)
		return judge(check, negated, pick_note(check, n, ...), ...)
	end
end

-- `check(expected, actual, …, note)`, as luassert has it.
local function expected_first(name, check, negated)
	if not check.pair then
		return found_first(name, check, negated)
	end
	return function(...)
		local n = select("#", ...)
		check_count(name, check, n)
		local expected, actual = ...
		return judge(check, negated, pick_note(check, n, ...), actual, expected, select(3, ...))
	end
end

local NEUTRAL = { is = true, are = true, was = true, were = true, has = true, have = true, does = true, be = true, to = true }
local NEGATIVE = { ["not"] = true, no = true }

-- Reads `is_not_nil`, `has_no`, `are.same`: leading words that only read well, whether it is negated, the check's name.
local function read_words(words, negated)
	while words ~= "" do
		if find(words) then
			return words, negated
		end
		local first, rest = words:match("^([^_]+)_?(.*)$")
		if NEGATIVE[first] then
			negated = not negated
		elseif not NEUTRAL[first] then
			return words, negated
		end
		words = rest
	end
	return "", negated
end

local Chain = {}

local function chain(negated)
	return setmetatable({}, {
		__index = function(self, words)
			local value = Chain.step(words, negated)
			rawset(self, words, value)
			return value
		end,
	})
end

function Chain.step(words, negated)
	if type(words) ~= "string" then
		return nil
	end
	local name, is_negated = read_words(words, negated)
	if name == "" then
		return chain(is_negated)
	end
	local check = find(name)
	if not check then
		error(string.format("assert has no `%s`", words), 3)
	end
	return expected_first(words, check, is_negated)
end

local plain_assert = assert

-- `assert`: still Lua's own when it is called, and luassert's when it is indexed.
local assert_object = setmetatable({}, {
	__call = function(_, ...)
		if ... then
			return ...
		end
		if select("#", ...) == 0 then
			plain_assert()
		end
		-- As Lua's own, but the place of a message made here is the caller's.
		if select("#", ...) == 1 then
			error("assertion failed!", 2)
		end
		error((select(2, ...)), 0)
	end,
	__index = function(self, words)
		local value = Chain.step(words, false)
		rawset(self, words, value)
		return value
	end,
})

-- `assert.spy(s).was.called_with(…)`.
rawset(assert_object, "spy", doubles.questioner(fail))
rawset(assert_object, "stub", assert_object.spy)

-- luassert's name for a failure on purpose.
rawset(assert_object, "fail", function(message)
	fail(message or "failed")
end)

-- The functions of `test`, the found value first.
local test_checks = {
	fail = function(message)
		fail(message or "failed")
	end,
}

for name, check in pairs(checks) do
	test_checks[name] = found_first(name, check, false)
	test_checks["not_" .. name] = found_first("not_" .. name, check, true)
	test_checks["is_" .. name] = test_checks[name]
	test_checks["is_not_" .. name] = test_checks["not_" .. name]
end
for alias, name in pairs(ALIASES) do
	test_checks[alias] = test_checks[name]
	test_checks["not_" .. alias] = test_checks["not_" .. name]
end
test_checks.has_error = test_checks.error
test_checks.has_no_error = test_checks.not_error
test_checks.no_error = test_checks.not_error
test_checks.is_error = test_checks.failure

return { assert = assert_object, checks = test_checks, Failure = Failure }
