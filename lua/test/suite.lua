-- Blocks and tests of one file: how they are declared, which of them are selected, and how they run.
--
-- `native` is the half in Rust: `guard(ns, fn)` runs a function as a task of its own that nothing in it can keep from
-- ending, `mark()` and `sweep(mark)` find what a test left behind, `emit(event)` tells the reporters.

local native, Failure, show, doubles = ...

local suite = {}

-- Raised by `pending()` inside of a test.
local Pending = {}

local function new_block(name, parent)
	return {
		name = name,
		parent = parent,
		children = {},
		before_all = {},
		after_all = {},
		before_each = {},
		after_each = {},
	}
end

local root = new_block(nil, nil)
local current = root
local running = false

local function check_declaring(what)
	if running then
		error(what .. " cannot be called inside of a test", 3)
	end
end

local function check_name(what, name)
	if type(name) ~= "string" then
		error(what .. " needs a name, got " .. type(name), 3)
	end
end

local function check_function(what, fn)
	if type(fn) ~= "function" then
		error(what .. " needs a function, got " .. type(fn), 3)
	end
end

-- `it(name, fn)`, `it(name, fn, options)` and `it(name, options, fn)`; options are a table with `timeout`, or a timeout.
local function read_options(a, b)
	local fn, options = a, b
	if type(b) == "function" then
		fn, options = b, a
	end
	if options ~= nil and type(options) ~= "table" then
		options = { timeout = options }
	end
	return fn, options or {}
end

local function add_test(what, mode, name, a, b)
	check_declaring(what)
	check_name(what, name)
	local fn, options = read_options(a, b)
	if fn ~= nil then
		check_function(what, fn)
	end
	local _, line = native.where(3)
	current.children[#current.children + 1] = {
		name = name,
		parent = current,
		fn = fn,
		line = line,
		timeout = options.timeout ~= nil and native.duration(options.timeout) or nil,
		only = mode == "only",
		pending = (mode == "skip" or not fn) and "not run" or nil,
	}
end

local function add_block(what, mode, name, fn)
	check_declaring(what)
	check_name(what, name)
	check_function(what, fn)
	local block = new_block(name, current)
	local _, line = native.where(3)
	block.line, block.only, block.skip = line, mode == "only", mode == "skip"
	current.children[#current.children + 1] = block
	current = block
	fn()
	current = block.parent
end

-- A function with `.only` and `.skip`, as others know it.
local function declarator(what, add)
	return setmetatable({
		only = function(...)
			add(what .. ".only", "only", ...)
		end,
		skip = function(...)
			add(what .. ".skip", "skip", ...)
		end,
	}, {
		__call = function(_, ...)
			add(what, nil, ...)
		end,
	})
end

suite.describe = declarator("describe", add_block)
suite.it = declarator("it", add_test)

function suite.only(...)
	add_test("only", "only", ...)
end

-- Declares a test that is not run; inside of a test, ends it as pending.
function suite.pending(name, a, b)
	if running then
		error(setmetatable({ reason = name or "pending" }, Pending), 0)
	end
	add_test("pending", "skip", name, a, b)
end

for _, when in ipairs({ "before_all", "after_all", "before_each", "after_each" }) do
	suite[when] = function(fn)
		check_declaring(when)
		check_function(when, fn)
		local list = current[when]
		list[#list + 1] = fn
	end
end

-- Which tests are to run.

local function path_of(node)
	local path = {}
	while node and node.name do
		table.insert(path, 1, node.name)
		node = node.parent
	end
	return path
end

local function is_inside(node, flag)
	while node do
		if node[flag] then
			return true
		end
		node = node.parent
	end
	return false
end

local function each_test(block, visit)
	for _, child in ipairs(block.children) do
		if child.children then
			each_test(child, visit)
		else
			visit(child)
		end
	end
end

-- A filter is found as it stands, or as a Lua pattern.
local function fits(text, filter)
	if not filter or text:find(filter, 1, true) then
		return true
	end
	local ok, found = pcall(string.find, text, filter)
	return ok and found ~= nil
end

local function select_tests(filter)
	local has_only = false
	each_test(root, function(test)
		has_only = has_only or is_inside(test, "only")
	end)
	each_test(root, function(test)
		local wanted = not has_only or is_inside(test, "only")
		test.selected = wanted and fits(table.concat(path_of(test), " "), filter)
		if test.selected then
			local node = test.parent
			while node do
				node.selected = true
				node = node.parent
			end
		end
	end)
end

-- A random order that the seed repeats.
local function shuffle(block, seed)
	local children = block.children
	for i = #children, 2, -1 do
		seed = (seed * 1103515245 + 12345) % 2147483648
		local k = seed // 65536 % i + 1
		children[i], children[k] = children[k], children[i]
	end
	for _, child in ipairs(children) do
		if child.children then
			seed = shuffle(child, seed)
		end
	end
	return seed
end

-- Running.

local function is_own(frame)
	return frame.source:sub(1, 6) == "[test]"
end

local function visible(frames)
	local out = {}
	for _, frame in ipairs(frames or {}) do
		if not is_own(frame) then
			out[#out + 1] = frame
		end
	end
	return out
end

local function describe_raised(err)
	if getmetatable(err) == Failure then
		return err.message, err.diff
	end
	if type(err) == "table" then
		return show.inline(err)
	end
	if type(err) == "userdata" then
		local ok, kind = pcall(function()
			return err:kind()
		end)
		if ok and kind ~= "" then
			return string.format("error[%s]: %s", kind, tostring(err))
		end
	end
	return tostring(err)
end

-- What a step of a test came to: nil, or a failure, or `{pending = reason}`.
local function step(fn, timeout, where)
	running = true
	local status, err, frames = native.guard(timeout, fn)
	running = false
	if status == "ok" then
		return nil
	end
	if status == "error" and getmetatable(err) == Pending then
		return { pending = tostring(err.reason) }
	end
	local failure = { where = where, frames = visible(frames), status = status }
	if status == "timeout" then
		failure.message = "timed out after " .. native.show_duration(timeout)
	else
		failure.message, failure.diff = describe_raised(err)
	end
	return failure
end

-- All blocks around a node, outermost first.
local function blocks_around(node)
	local blocks = {}
	local block = node.parent
	while block do
		table.insert(blocks, 1, block)
		block = block.parent
	end
	return blocks
end

local function run_hooks(block, when, timeout)
	for _, fn in ipairs(block[when]) do
		local failure = step(fn, timeout, when)
		if failure then
			return failure
		end
	end
end

local function emit_test(test, status, more)
	more = more or {}
	more.type, more.path, more.line, more.status = "test", path_of(test), test.line, status
	native.emit(more)
end

-- A failure with one that came after it.
local function and_then(failure, late)
	if not late or (failure and late.pending) then
		return failure
	end
	if not failure or failure.pending then
		return late
	end
	failure.message = failure.message .. "\nthen in " .. late.where .. ": " .. late.message
	return failure
end

-- Runs before_each, the test and after_each; the first failure is the test's, further ones are added to it.
local function run_steps(test, timeout)
	local blocks, failure, ready = blocks_around(test), nil, 0
	for _, block in ipairs(blocks) do
		failure = run_hooks(block, "before_each", timeout)
		if failure then
			break
		end
		ready = ready + 1
	end
	failure = failure or step(test.fn, timeout)
	for i = #blocks, 1, -1 do
		local late = i <= ready + 1 and run_hooks(blocks[i], "after_each", timeout)
		failure = and_then(failure, late or nil)
	end
	return failure
end

-- Whether it was said that a test shall not run; if so it is told.
local function is_put_off(test)
	local is_off = test.pending or is_inside(test, "skip")
	if is_off then
		emit_test(test, "pending", { reason = test.pending or "not run" })
	end
	return is_off
end

local function run_test(test, options)
	if is_put_off(test) then
		return
	end
	local mark, started, replaced = native.mark(), native.now(), doubles.count()
	local failure = run_steps(test, test.timeout or options.timeout)
	local took = native.now() - started
	doubles.revert_since(replaced)
	local left = native.sweep(mark)
	if failure and failure.pending then
		return emit_test(test, "pending", { reason = failure.pending, left = left, took = took })
	end
	emit_test(test, failure and "failed" or "passed", { failure = failure, left = left, took = took })
end

local function fail_all(block, failure)
	each_test(block, function(test)
		if test.selected and not is_put_off(test) then
			emit_test(test, "failed", { failure = failure, left = {}, took = 0 })
		end
	end)
end

local function run_after_all(block, options)
	local failure = run_hooks(block, "after_all", options.timeout)
	if failure then
		local path = path_of(block)
		path[#path + 1] = "after_all"
		native.emit({ type = "test", path = path, line = block.line, status = "failed", failure = failure, left = {}, took = 0 })
	end
end

local run_block

local function run_child(child, options)
	if not child.selected or native.stopped() then
		return
	end
	if child.children then
		run_block(child, options)
	else
		run_test(child, options)
	end
end

function run_block(block, options)
	if is_inside(block, "skip") then
		return each_test(block, function(test)
			if test.selected then
				run_test(test, options)
			end
		end)
	end
	local mark, replaced = native.mark(), doubles.count()
	local failure = run_hooks(block, "before_all", options.timeout)
	if failure then
		fail_all(block, failure)
	else
		for _, child in ipairs(block.children) do
			run_child(child, options)
		end
	end
	run_after_all(block, options)
	doubles.revert_since(replaced)
	local left = native.sweep(mark)
	if #left > 0 then
		native.emit({ type = "left", path = path_of(block), left = left })
	end
end

local function list(block)
	each_test(block, function(test)
		if test.selected then
			emit_test(test, "listed")
		end
	end)
end

-- Runs what the chunk declares. `options`: `timeout` in nanoseconds, `filter`, `seed`, `list`. An error of the chunk
-- itself is raised; the frames of where it happened go with the event.
function suite.run(chunk, options)
	local status, err, frames = native.guard(options.timeout, chunk)
	if status ~= "ok" then
		local failure = { status = status, frames = visible(frames) }
		if status == "timeout" then
			failure.message = "the file itself timed out after " .. native.show_duration(options.timeout)
		else
			failure.message, failure.diff = describe_raised(err)
		end
		return native.emit({ type = "broken", failure = failure })
	end
	if options.seed then
		shuffle(root, options.seed)
	end
	select_tests(options.filter)
	if options.list then
		return list(root)
	end
	if root.selected then
		run_block(root, options)
	end
end

return suite
