-- The module `test`: what a test file sees. Assertions, blocks and the runner are its parts (`lua/test/`); the half in Rust
-- (`native`) runs functions under a deadline and declares entries.

local native, checks, assert_object, suite, doubles, shown = ...

local test = {}

for name, check in pairs(checks) do
	test[name] = check
end

test.assert = assert_object
test.describe, test.it = suite.describe, suite.it
test.only, test.pending, test.skip = suite.only, suite.pending, suite.pending
test.before_all, test.after_all = suite.before_all, suite.after_all
test.before_each, test.after_each = suite.before_each, suite.after_each

test.spy, test.stub, test.mock, test.match = doubles.spy, doubles.stub, doubles.mock, doubles.match

-- A clock that stands still: the timers of the file, and its time, move by `advance` alone. When the test or block ends that
-- asked for it, time goes on by itself.
local Clock = {}
Clock.__index = Clock
Clock.__name = "clock"

-- Lets time pass: what is due fires in order, and what it leads to has happened when this returns.
function Clock:advance(duration)
	native.advance_clock(duration)
	return self
end

-- Time goes on by itself.
function Clock:release()
	native.release_clock()
	return self
end

function test.clock()
	native.stop_clock()
	return setmetatable({}, Clock)
end

-- The id of a `process.wasm` entry made of WAT text, which exists in this test file only.
function test.wat(text, method, fields)
	return native.wat(text, method, fields or {})
end

-- The same of a file, its path seen from the test file.
function test.wasm(path, method, fields)
	return native.wasm(path, method, fields or {})
end

-- Declares an entry as YAML would; gives its id.
function test.entry(fields)
	return native.entry(fields)
end

local GLOBALS = {
	describe = test.describe, context = test.describe,
	it = test.it, spec = test.it, only = test.only, pending = test.pending,
	before_all = test.before_all, setup = test.before_all, lazy_setup = test.before_all,
	after_all = test.after_all, teardown = test.after_all, lazy_teardown = test.after_all,
	before_each = test.before_each, after_each = test.after_each,
	assert = assert_object, test = test,
	spy = test.spy, stub = test.stub, mock = test.mock, match = test.match,
}

-- Kept out of the table that users see: the start of a test file.
return setmetatable(test, {
	native = shown,
	start = function(chunk, options)
		for name, value in pairs(GLOBALS) do
			_G[name] = value
		end
		suite.run(chunk, options)
	end,
})
