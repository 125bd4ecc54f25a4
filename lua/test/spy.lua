-- Spies and stubs, under luassert's names: functions that remember how they were called, and ones that stand in for others.
--
-- A spy is a table that can be called. What was put in place of a field of a table (`spy.on`, `stub`, `mock`) is put back
-- by `revert`, and by the runner at the end of the test or block in which it was made.

local diff, show = ...

local spy, stub, match = {}, {}, {}
local Spy = {}

local pack, unpack = table.pack, table.unpack

-- Matchers: values that stand for others in `called_with` and `returned_with`.
local Matcher = {}
Matcher.__index = Matcher
Matcher.__name = "matcher"

function Matcher:__tostring()
	return "match." .. self.name
end

local function matcher(name, fits)
	return setmetatable({ name = name, fits = fits }, Matcher)
end

match._ = matcher("_", function()
	return true
end)

for _, kind in ipairs({ "nil", "boolean", "number", "string", "table", "function", "userdata", "thread" }) do
	match["is_" .. kind] = function()
		return matcher("is_" .. kind .. "()", function(value)
			return type(value) == kind
		end)
	end
end

function match.is_true()
	return matcher("is_true()", function(value)
		return value == true
	end)
end

function match.is_false()
	return matcher("is_false()", function(value)
		return value == false
	end)
end

function match.matches(pattern)
	return matcher("matches(" .. show.inline(pattern) .. ")", function(value)
		return type(value) == "string" and value:find(pattern) ~= nil
	end)
end

local function fits(wanted, value)
	if getmetatable(wanted) == Matcher then
		return wanted.fits(value)
	end
	return diff.same(value, wanted)
end

local function all_fit(wanted, values)
	if wanted.n ~= values.n then
		return false
	end
	for i = 1, wanted.n do
		if not fits(wanted[i], values[i]) then
			return false
		end
	end
	return true
end

-- What was put in place of a field, in the order in which it was; `revert_since` takes it back.
local replaced = {}

local function put_back(item)
	if rawget(item.owner, item.key) == item.double then
		rawset(item.owner, item.key, item.original)
	end
end

local methods = {}

function methods:revert()
	for i = #replaced, 1, -1 do
		if replaced[i].double == self then
			put_back(table.remove(replaced, i))
		end
	end
	return self
end

function methods:clear()
	self.calls, self.returnvals = {}, {}
	return self
end

-- How often it was called; with a number whether it was called as often as that.
function methods:called(times)
	local count = #self.calls
	if times then
		return count == times, count
	end
	return count > 0, count
end

local function any(list, wanted)
	for _, values in ipairs(list) do
		if all_fit(wanted, values) then
			return true
		end
	end
	return false
end

function methods:called_with(...)
	return any(self.calls, pack(...))
end

function methods:returned_with(...)
	return any(self.returnvals, pack(...))
end

Spy.__index = methods
Spy.__name = "spy"

function Spy:__call(...)
	local args = pack(...)
	self.calls[#self.calls + 1] = args
	local run = self.callback
	for _, case in ipairs(self.cases) do
		if all_fit(case.args, args) then
			run = case.callback
		end
	end
	local results = pack(run(...))
	self.returnvals[#self.returnvals + 1] = results
	return unpack(results, 1, results.n)
end

local function new(callback)
	return setmetatable({ calls = {}, returnvals = {}, cases = {}, callback = callback }, Spy)
end

local function is_callable(value)
	local meta = getmetatable(value)
	return type(value) == "function" or (type(meta) == "table" and meta.__call ~= nil)
end

local function replace(owner, key, double)
	if type(owner) ~= "table" then
		error("expected a table, got " .. type(owner), 3)
	end
	replaced[#replaced + 1] = { owner = owner, key = key, double = double, original = rawget(owner, key) }
	rawset(owner, key, double)
	return double
end

-- A spy around a function.
function spy.new(callback)
	if not is_callable(callback) then
		error("spy.new needs a function, got " .. type(callback), 2)
	end
	return new(callback)
end

-- Puts a spy around the function in a field of a table.
function spy.on(owner, key)
	local callback = type(owner) == "table" and owner[key] or nil
	if not is_callable(callback) then
		error("spy.on: " .. show.inline(key) .. " is no function of the table", 2)
	end
	return replace(owner, key, new(callback))
end

function spy.is_spy(value)
	return getmetatable(value) == Spy
end

-- `s.returns(…)` and `s.invokes(fn)` say what a stub does; `s.on_call_with(…)` what it does for certain arguments.
local function answers(set)
	return {
		returns = function(...)
			local values = pack(...)
			return set(function()
				return unpack(values, 1, values.n)
			end)
		end,
		invokes = set,
	}
end

local function new_stub(...)
	local first = ...
	local double = new(function() end)
	local ways = answers(function(callback)
		double.callback = callback
		return double
	end)
	double.returns, double.invokes = ways.returns, ways.invokes
	double.by_default = ways
	function double.on_call_with(...)
		local case = { args = pack(...), callback = function() end }
		table.insert(double.cases, case)
		return answers(function(callback)
			case.callback = callback
			return double
		end)
	end
	if select("#", ...) == 1 and is_callable(first) then
		double.invokes(first)
	elseif select("#", ...) > 0 then
		double.returns(...)
	end
	return double
end

stub.new = function(owner, key, ...)
	if owner == nil then
		return new_stub()
	end
	return replace(owner, key, new_stub(...))
end

setmetatable(stub, {
	__call = function(_, owner, key, ...)
		if type(owner) ~= "table" or key == nil then
			error("stub needs a table and the name of a field", 2)
		end
		return replace(owner, key, new_stub(...))
	end,
})

-- Puts a spy, or with `as_stub` a stub, in place of every function of a table; gives the table.
local function mock(owner, as_stub)
	for key, value in pairs(owner) do
		if type(value) == "function" or spy.is_spy(value) then
			replace(owner, key, as_stub and new_stub() or new(value))
		end
	end
	return owner
end

local function times(count)
	return count == 1 and "once" or count .. " times"
end

local function shown_calls(lists)
	local lines = {}
	for i = 1, math.min(#lists, 10) do
		local values = {}
		for k = 1, lists[i].n do
			values[k] = show.inline(lists[i][k])
		end
		lines[i] = "  (" .. table.concat(values, ", ") .. ")"
	end
	if #lists > 10 then
		lines[11] = "  … " .. #lists - 10 .. " more"
	end
	return #lines > 0 and "; there were\n" .. table.concat(lines, "\n") or "; there were none"
end

local function shown_args(...)
	local values = pack(...)
	for i = 1, values.n do
		local value = values[i]
		values[i] = getmetatable(value) == Matcher and tostring(value) or show.inline(value)
	end
	return "(" .. table.concat(values, ", ") .. ")"
end

-- What `assert.spy(s).was` knows: whether it holds, and what to say when it does not, or when it should not.
local questions = {
	called = function(s, count)
		local holds, found = s:called(count)
		local wanted = count and times(count) or "at least once"
		return holds, "expected a call " .. wanted .. ", there were " .. found, "expected no call " .. wanted .. ", there were " .. found
	end,
	called_with = function(s, ...)
		local args = shown_args(...)
		return s:called_with(...), "expected a call with " .. args .. shown_calls(s.calls), "expected no call with " .. args
	end,
	returned_with = function(s, ...)
		local args = shown_args(...)
		return s:returned_with(...), "expected it to return " .. args .. shown_calls(s.returnvals), "expected it not to return " .. args
	end,
}

local function counted(words, holds)
	return function(s, count)
		local found = #s.calls
		local text = words .. " " .. times(count) .. ", there were " .. found
		return holds(found, count), "expected calls " .. text, "expected no calls " .. text
	end
end

questions.called_at_least = counted("at least", function(found, count)
	return found >= count
end)
questions.called_at_most = counted("at most", function(found, count)
	return found <= count
end)
questions.called_more_than = counted("more than", function(found, count)
	return found > count
end)
questions.called_less_than = counted("less than", function(found, count)
	return found < count
end)

local NEUTRAL = { was = true, has = true, is = true, were = true, have = true, has_been = true }

local function ask(s, negated, fail)
	return setmetatable({}, {
		__index = function(_, words)
			local name, no = words, negated
			while not questions[name] do
				local first, rest = name:match("^([^_]+)_?(.*)$")
				if first == "not" or first == "no" then
					no = not no
				elseif not NEUTRAL[first] then
					error("assert.spy has no `" .. words .. "`", 2)
				end
				if rest == "" then
					return ask(s, no, fail)
				end
				name = rest
			end
			return function(...)
				local holds, says, denies = questions[name](s, ...)
				if (holds and true or false) == no then
					fail(no and denies or says)
				end
				return s
			end
		end,
	})
end

-- `assert.spy(s)`, `assert.stub(s)`.
local function questioner(fail)
	return function(s)
		if not spy.is_spy(s) then
			error("assert.spy needs a spy, got " .. type(s), 2)
		end
		return ask(s, false, fail)
	end
end

return {
	spy = spy,
	stub = stub,
	mock = mock,
	match = match,
	questioner = questioner,
	-- For the runner: how many replacements there are, and the end of those made since.
	count = function()
		return #replaced
	end,
	revert_since = function(count)
		for i = #replaced, count + 1, -1 do
			put_back(table.remove(replaced, i))
		end
	end,
}
