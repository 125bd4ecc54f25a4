---@meta test

---Tests, in the words of busted and luassert. In a test file everything here is global too, `assert` with luassert's names.
---
---```lua
---local test = require("test")
---test.equal(6 * 7, 42)
---test.same({ 1, { 2 } }, { 1, { 2 } }, "tables by what they hold")
---test.error_matches(function() error("no luck") end, "luck")
---```
---@class testlib: TestChecks
---@field assert luassert
---@field describe TestBlock
---@field it TestCase
---@field spy spylib
---@field stub stublib
---@field match matchlib
test = {}

---Checks one value. The last argument of every check is a note for its message; what was checked is given back.
---@alias TestOne fun(value: any, note?: string): any

---Checks what was found against what was expected.
---@alias TestPair fun(actual: any, expected: any, note?: string): any

---Checks what was found against a number.
---@alias TestNear fun(actual: number, expected: number, tolerance: number, note?: string): any

---Checks a text.
---@alias TestMatch fun(text: any, pattern: string, init?: integer, plain?: boolean, note?: string): any

---Checks a call; what it raised is given back.
---@alias TestRaise fun(fn: function, expected?: any, note?: string): any

---Checks a call; what it raised is given back.
---@alias TestRaiseMatch fun(fn: function, pattern: string, init?: integer, plain?: boolean, note?: string): any

---Checks a returned Error.
---@alias TestFailure fun(err: any, kind?: ErrorKind, note?: string): any

---A clock that stands still; the test or block that asked for it lets it go on at its end.
---@class TestClock
---@field advance fun(self: TestClock, d: duration): TestClock lets time pass: what is due fires in order, and what it leads to has happened then
---@field release fun(self: TestClock): TestClock time goes on by itself

---A function that remembers how it was called. What it replaced is put back by `revert`, and at the end of the test or block.
---@class Spy
---@field calls table[] the arguments of each call, with `n`
---@field returnvals table[] the results of each call, with `n`
---@field called fun(self: Spy, times?: integer): boolean, integer whether it was, or as often as that; how often
---@field called_with fun(self: Spy, ...: any): boolean
---@field returned_with fun(self: Spy, ...: any): boolean
---@field clear fun(self: Spy): Spy forgets the calls
---@field revert fun(self: Spy): Spy puts back what it replaced
---@overload fun(...: any): any, ...

---A spy that stands in for a function.
---@class Stub: Spy
---@field returns fun(...: any): Stub what it gives
---@field invokes fun(fn: function): Stub what it calls
---@field by_default StubAnswer
---@field on_call_with fun(...: any): StubAnswer for calls with these arguments

---@class StubAnswer
---@field returns fun(...: any): Stub
---@field invokes fun(fn: function): Stub

---@class spylib
---@field new fun(fn: function): Spy a spy around a function
---@field on fun(owner: table, key: any): Spy a spy around the function in a field, in its place
---@field is_spy fun(v: any): boolean

---`stub(owner, key, ...)` puts a stub into a field: it gives the values behind the key, or calls the function there.
---@class stublib
---@field new fun(owner?: table, key?: any, ...: any): Stub alone, or in a field
---@overload fun(owner: table, key: any, ...: any): Stub

---Stands for other values in `called_with`.
---@class Matcher

---@class matchlib
---@field _ Matcher any value
---@field is_nil fun(): Matcher
---@field is_boolean fun(): Matcher
---@field is_number fun(): Matcher
---@field is_string fun(): Matcher
---@field is_table fun(): Matcher
---@field is_function fun(): Matcher
---@field is_userdata fun(): Matcher
---@field is_thread fun(): Matcher
---@field is_true fun(): Matcher
---@field is_false fun(): Matcher
---@field matches fun(pattern: string): Matcher a text in which a Lua pattern is found

---What is asked of a spy, with `was`, `has`, `not` before it as one likes: `assert.spy(s).was_not.called()`.
---@class SpyAssert
---@field was SpyAssert
---@field was_not SpyAssert
---@field called fun(times?: integer): Spy
---@field called_with fun(...: any): Spy
---@field returned_with fun(...: any): Spy
---@field called_at_least fun(times: integer): Spy
---@field called_at_most fun(times: integer): Spy
---@field called_more_than fun(times: integer): Spy
---@field called_less_than fun(times: integer): Spy

---A named block of tests. `describe.only`: nothing but it; `describe.skip`: not it.
---@class TestBlock
---@field only fun(name: string, fn: fun())
---@field skip fun(name: string, fn: fun())
---@overload fun(name: string, fn: fun())

---A test. `it.only`: nothing but it; `it.skip`: not it. Without a function it is pending.
---@class TestCase
---@field only fun(name: string, fn: fun(), options?: TestOptions|duration)
---@field skip fun(name: string, fn?: fun())
---@overload fun(name: string, fn?: fun(), options?: TestOptions|duration)
---@overload fun(name: string, options: TestOptions|duration, fn: fun())

---@class TestOptions
---@field timeout? duration instead of the file's, 5s

---Every check: `test.CHECK(actual, expected, note)`.
---@class TestChecks
---@field fail fun(message?: string) fails
---@field boolean TestOne a boolean
---@field not_boolean TestOne not a boolean
---@field is_boolean TestOne a boolean
---@field is_not_boolean TestOne not a boolean
---@field number TestOne a number
---@field not_number TestOne not a number
---@field is_number TestOne a number
---@field is_not_number TestOne not a number
---@field string TestOne a string
---@field not_string TestOne not a string
---@field is_string TestOne a string
---@field is_not_string TestOne not a string
---@field table TestOne a table
---@field not_table TestOne not a table
---@field is_table TestOne a table
---@field is_not_table TestOne not a table
---@field function TestOne a function
---@field not_function TestOne not a function
---@field is_function TestOne a function
---@field is_not_function TestOne not a function
---@field userdata TestOne a userdata
---@field not_userdata TestOne not a userdata
---@field is_userdata TestOne a userdata
---@field is_not_userdata TestOne not a userdata
---@field thread TestOne a coroutine
---@field not_thread TestOne not a coroutine
---@field is_thread TestOne a coroutine
---@field is_not_thread TestOne not a coroutine
---@field true TestOne true
---@field not_true TestOne not true
---@field is_true TestOne true
---@field is_not_true TestOne not true
---@field false TestOne false
---@field not_false TestOne not false
---@field is_false TestOne false
---@field is_not_false TestOne not false
---@field nil TestOne nil
---@field not_nil TestOne not nil
---@field is_nil TestOne nil
---@field is_not_nil TestOne not nil
---@field truthy TestOne neither false nor nil
---@field not_truthy TestOne not neither false nor nil
---@field is_truthy TestOne neither false nor nil
---@field is_not_truthy TestOne not neither false nor nil
---@field falsy TestOne false or nil
---@field not_falsy TestOne not false or nil
---@field is_falsy TestOne false or nil
---@field is_not_falsy TestOne not false or nil
---@field callable TestOne a function, or what can be called
---@field not_callable TestOne not a function, or what can be called
---@field is_callable TestOne a function, or what can be called
---@field is_not_callable TestOne not a function, or what can be called
---@field integer TestOne an integer
---@field not_integer TestOne not an integer
---@field is_integer TestOne an integer
---@field is_not_integer TestOne not an integer
---@field empty TestOne `""` or `{}`
---@field not_empty TestOne not `""` or `{}`
---@field is_empty TestOne `""` or `{}`
---@field is_not_empty TestOne not `""` or `{}`
---@field unique TestOne a list without a value twice
---@field not_unique TestOne not a list without a value twice
---@field is_unique TestOne a list without a value twice
---@field is_not_unique TestOne not a list without a value twice
---@field equal TestPair `==`
---@field not_equal TestPair not `==`
---@field is_equal TestPair `==`
---@field is_not_equal TestPair not `==`
---@field same TestPair equal in all they hold
---@field not_same TestPair not equal in all they hold
---@field is_same TestPair equal in all they hold
---@field is_not_same TestPair not equal in all they hold
---@field near TestNear a number within a tolerance of another
---@field not_near TestNear not a number within a tolerance of another
---@field is_near TestNear a number within a tolerance of another
---@field is_not_near TestNear not a number within a tolerance of another
---@field matches TestMatch a text in which a Lua pattern is found
---@field not_matches TestMatch not a text in which a Lua pattern is found
---@field is_matches TestMatch a text in which a Lua pattern is found
---@field is_not_matches TestMatch not a text in which a Lua pattern is found
---@field contains TestPair a text with that part, or a table with that item
---@field not_contains TestPair not a text with that part, or a table with that item
---@field is_contains TestPair a text with that part, or a table with that item
---@field is_not_contains TestPair not a text with that part, or a table with that item
---@field error TestRaise raises, and that error if one is given
---@field not_error TestRaise not raises, and that error if one is given
---@field is_error TestFailure as `failure`
---@field is_not_error TestRaise not raises, and that error if one is given
---@field error_matches TestRaiseMatch raises an error in which the pattern is found
---@field not_error_matches TestRaiseMatch not raises an error in which the pattern is found
---@field is_error_matches TestRaiseMatch raises an error in which the pattern is found
---@field is_not_error_matches TestRaiseMatch not raises an error in which the pattern is found
---@field failure TestFailure an Error, of that kind if one is given
---@field not_failure TestFailure not an Error, of that kind if one is given
---@field is_failure TestFailure an Error, of that kind if one is given
---@field is_not_failure TestFailure not an Error, of that kind if one is given
---@field equals TestPair as `equal`
---@field not_equals TestPair as `not_equal`
---@field eq TestPair as `equal`
---@field not_eq TestPair as `not_equal`
---@field deep_equal TestPair as `same`
---@field not_deep_equal TestPair as `not_same`
---@field match TestMatch as `matches`
---@field not_match TestMatch as `not_matches`
---@field has_match TestMatch as `matches`
---@field not_has_match TestMatch as `not_matches`
---@field ok TestOne as `truthy`
---@field not_ok TestOne as `not_truthy`
---@field falsey TestOne as `falsy`
---@field not_falsey TestOne as `not_falsy`
---@field errors TestRaise as `error`
---@field not_errors TestRaise as `not_error`
---@field raises TestRaise as `error`
---@field not_raises TestRaise as `not_error`
---@field throws TestRaise as `error`
---@field not_throws TestRaise as `not_error`
---@field func TestOne as `function`
---@field not_func TestOne as `not_function`
---@field error_object TestFailure as `failure`
---@field not_error_object TestFailure as `not_failure`
---@field has_error TestRaise as `error`
---@field has_no_error TestRaise as `not_error`
---@field no_error TestRaise as `not_error`

---luassert's way: `assert.are.same(expected, actual)`, `assert.is_nil(value)`, `assert.has_error(fn)`; the expected value first.
---Words like `is`, `are`, `has`, `not`, `no` may stand before a check, with a dot or `_` between; still Lua's `assert` when called.
---@class luassert
---@field is luassert
---@field are luassert
---@field was luassert
---@field has luassert
---@field does luassert
---@field is_not luassert
---@field are_not luassert
---@field has_no luassert
---@field no luassert
---@field fail fun(message?: string) fails
---@field spy fun(s: Spy): SpyAssert
---@field stub fun(s: Spy): SpyAssert
---@field boolean TestOne a boolean
---@field is_boolean TestOne a boolean
---@field is_not_boolean TestOne not a boolean
---@field not_boolean TestOne not a boolean
---@field number TestOne a number
---@field is_number TestOne a number
---@field is_not_number TestOne not a number
---@field not_number TestOne not a number
---@field string TestOne a string
---@field is_string TestOne a string
---@field is_not_string TestOne not a string
---@field not_string TestOne not a string
---@field table TestOne a table
---@field is_table TestOne a table
---@field is_not_table TestOne not a table
---@field not_table TestOne not a table
---@field is_function TestOne a function
---@field is_not_function TestOne not a function
---@field not_function TestOne not a function
---@field userdata TestOne a userdata
---@field is_userdata TestOne a userdata
---@field is_not_userdata TestOne not a userdata
---@field not_userdata TestOne not a userdata
---@field thread TestOne a coroutine
---@field is_thread TestOne a coroutine
---@field is_not_thread TestOne not a coroutine
---@field not_thread TestOne not a coroutine
---@field is_true TestOne true
---@field is_not_true TestOne not true
---@field not_true TestOne not true
---@field is_false TestOne false
---@field is_not_false TestOne not false
---@field not_false TestOne not false
---@field is_nil TestOne nil
---@field is_not_nil TestOne not nil
---@field not_nil TestOne not nil
---@field truthy TestOne neither false nor nil
---@field is_truthy TestOne neither false nor nil
---@field is_not_truthy TestOne not neither false nor nil
---@field not_truthy TestOne not neither false nor nil
---@field falsy TestOne false or nil
---@field is_falsy TestOne false or nil
---@field is_not_falsy TestOne not false or nil
---@field not_falsy TestOne not false or nil
---@field callable TestOne a function, or what can be called
---@field is_callable TestOne a function, or what can be called
---@field is_not_callable TestOne not a function, or what can be called
---@field not_callable TestOne not a function, or what can be called
---@field integer TestOne an integer
---@field is_integer TestOne an integer
---@field is_not_integer TestOne not an integer
---@field not_integer TestOne not an integer
---@field empty TestOne `""` or `{}`
---@field is_empty TestOne `""` or `{}`
---@field is_not_empty TestOne not `""` or `{}`
---@field not_empty TestOne not `""` or `{}`
---@field unique TestOne a list without a value twice
---@field is_unique TestOne a list without a value twice
---@field is_not_unique TestOne not a list without a value twice
---@field not_unique TestOne not a list without a value twice
---@field equal fun(expected: any, actual: any, note?: string): any `==`
---@field is_equal fun(expected: any, actual: any, note?: string): any `==`
---@field is_not_equal fun(expected: any, actual: any, note?: string): any not `==`
---@field not_equal fun(expected: any, actual: any, note?: string): any not `==`
---@field same fun(expected: any, actual: any, note?: string): any equal in all they hold
---@field is_same fun(expected: any, actual: any, note?: string): any equal in all they hold
---@field is_not_same fun(expected: any, actual: any, note?: string): any not equal in all they hold
---@field not_same fun(expected: any, actual: any, note?: string): any not equal in all they hold
---@field near fun(expected: number, actual: number, tolerance: number, note?: string): any a number within a tolerance of another
---@field is_near fun(expected: number, actual: number, tolerance: number, note?: string): any a number within a tolerance of another
---@field is_not_near fun(expected: number, actual: number, tolerance: number, note?: string): any not a number within a tolerance of another
---@field not_near fun(expected: number, actual: number, tolerance: number, note?: string): any not a number within a tolerance of another
---@field matches fun(pattern: string, text: any, init?: integer, plain?: boolean, note?: string): any a text in which a Lua pattern is found
---@field is_matches fun(pattern: string, text: any, init?: integer, plain?: boolean, note?: string): any a text in which a Lua pattern is found
---@field is_not_matches fun(pattern: string, text: any, init?: integer, plain?: boolean, note?: string): any not a text in which a Lua pattern is found
---@field not_matches fun(pattern: string, text: any, init?: integer, plain?: boolean, note?: string): any not a text in which a Lua pattern is found
---@field contains fun(expected: any, actual: any, note?: string): any a text with that part, or a table with that item
---@field is_contains fun(expected: any, actual: any, note?: string): any a text with that part, or a table with that item
---@field is_not_contains fun(expected: any, actual: any, note?: string): any not a text with that part, or a table with that item
---@field not_contains fun(expected: any, actual: any, note?: string): any not a text with that part, or a table with that item
---@field error TestRaise raises, and that error if one is given
---@field is_error TestRaise raises, and that error if one is given
---@field is_not_error TestRaise not raises, and that error if one is given
---@field not_error TestRaise not raises, and that error if one is given
---@field error_matches TestRaiseMatch raises an error in which the pattern is found
---@field is_error_matches TestRaiseMatch raises an error in which the pattern is found
---@field is_not_error_matches TestRaiseMatch not raises an error in which the pattern is found
---@field not_error_matches TestRaiseMatch not raises an error in which the pattern is found
---@field failure TestFailure an Error, of that kind if one is given
---@field is_failure TestFailure an Error, of that kind if one is given
---@field is_not_failure TestFailure not an Error, of that kind if one is given
---@field not_failure TestFailure not an Error, of that kind if one is given
---@field True TestOne true
---@field False TestOne false
---@field Nil TestOne nil
---@field equals fun(expected: any, actual: any, note?: string): any `==`
---@field eq fun(expected: any, actual: any, note?: string): any `==`
---@field deep_equal fun(expected: any, actual: any, note?: string): any equal in all they hold
---@field match fun(pattern: string, text: any, init?: integer, plain?: boolean, note?: string): any a text in which a Lua pattern is found
---@field has_match fun(pattern: string, text: any, init?: integer, plain?: boolean, note?: string): any a text in which a Lua pattern is found
---@field ok TestOne neither false nor nil
---@field falsey TestOne false or nil
---@field errors TestRaise raises, and that error if one is given
---@field raises TestRaise raises, and that error if one is given
---@field throws TestRaise raises, and that error if one is given
---@field func TestOne a function
---@field error_object TestFailure an Error, of that kind if one is given
---@field are_equal fun(expected: any, actual: any, note?: string): any `==`
---@field are_not_equal fun(expected: any, actual: any, note?: string): any not `==`
---@field are_same fun(expected: any, actual: any, note?: string): any equal in all they hold
---@field are_not_same fun(expected: any, actual: any, note?: string): any not equal in all they hold
---@field are_equals fun(expected: any, actual: any, note?: string): any `==`
---@field are_not_equals fun(expected: any, actual: any, note?: string): any not `==`
---@field has_error TestRaise raises, and that error if one is given
---@field has_no_error TestRaise not raises, and that error if one is given
---@field has_no_match fun(pattern: string, text: any, init?: integer, plain?: boolean, note?: string): any not a text in which a Lua pattern is found
---@overload fun(v: any, message?: any, ...: any): any, ...

---@type luassert
assert = nil

---@type TestBlock
describe = nil

---@type TestBlock
context = nil

---@type TestCase
it = nil

---@type TestCase
spec = nil

---@type spylib
spy = nil

---@type stublib
stub = nil

---@type matchlib
match = nil

---As `test.mock`.
---@param owner table
---@param as_stub? boolean
---@return table owner
function mock(owner, as_stub) end

---Puts a spy, or a stub, in place of every function of a table.
---@param owner table
---@param as_stub? boolean stubs instead of spies
---@return table owner
function test.mock(owner, as_stub) end

---Stops the time of the test file: timers, timeouts, time limits and the delays before a call is made again wait for
---`clock:advance("1h")`, in all of its processes. Deadlines of tests, files and guests' own clocks stay in real time.
---@return TestClock clock
function test.clock() end

---A test beside which no other runs, unless it is `only` too.
---@param name string
---@param fn fun()
---@param options? TestOptions|duration
function test.only(name, fn, options) end

---A test that is not run; inside of a test: ends it as pending.
---@param name? string of the test, or why
---@param fn? fun()
function test.pending(name, fn) end

---As `pending`.
---@param name? string of the test, or why
---@param fn? fun()
function test.skip(name, fn) end

---Runs before the first test of the block.
---@param fn fun()
function test.before_all(fn) end

---Runs after the last test of the block.
---@param fn fun()
function test.after_all(fn) end

---Runs before every test of the block.
---@param fn fun()
function test.before_each(fn) end

---Runs after every test of the block, failed ones too.
---@param fn fun()
function test.after_each(fn) end

---An entry of WebAssembly text that exists in this test file only.
---@param text string
---@param method string the function to call
---@param fields? table further fields of the entry: `imports`, `wasi`, `limits`, `kind` (`process.wasm`)
---@return string id
function test.wat(text, method, fields) end

---The same of a module's file.
---@param path string seen from the test file
---@param method string the function to call
---@param fields? table as for `wat`
---@return string id
function test.wasm(path, method, fields) end

---An entry as YAML would declare it.
---@param fields table `name`, `kind` and what the kind has
---@return string id
function test.entry(fields) end

---As `test.only`.
---@param name string
---@param fn fun()
---@param options? TestOptions|duration
function only(name, fn, options) end

---As `test.pending`.
---@param name? string of the test, or why
---@param fn? fun()
function pending(name, fn) end

---As `test.before_all`.
---@param fn fun()
function before_all(fn) end

---As `test.before_all`.
---@param fn fun()
function setup(fn) end

---As `test.before_all`.
---@param fn fun()
function lazy_setup(fn) end

---As `test.after_all`.
---@param fn fun()
function after_all(fn) end

---As `test.after_all`.
---@param fn fun()
function teardown(fn) end

---As `test.after_all`.
---@param fn fun()
function lazy_teardown(fn) end

---As `test.before_each`.
---@param fn fun()
function before_each(fn) end

---As `test.after_each`.
---@param fn fun()
function after_each(fn) end

return test
