#!/usr/bin/env wippy
-- Every construct of Lua 5.4, in the spellings that look most like annotations.
--[[ long comment with a: T, x :: T, y as T, z! and type X = {} ]]
--[==[ another ]] one
]==]
local a <const>, b<close>, c = 1, nil, 3
local d
local e, f = "x: number", 'y :: T'
local long = [[local x: T = 1]] .. [==[type X = "]]" as Y!]==]
local escapes = "\a\b\f\n\r\t\v\\\"\'\x41\u{20AC}\065\z
                 continued" .. 'line\
break'

-- numbers
local numbers = { 0, 1., .5, 3.14, 1e10, 1E-5, 0xff, 0XA.8p1, 0x.1p-3, 9223372036854775807, 1//2, 2^-3, 5%3 }

-- names that are words of annotations
local type_of, as, readonly, fun, typeof, keyof, is = type, 1, 2, 3, 4, 5, 6
local kind = type(as)
as = readonly
as, fun = fun, as
local t = { type = 1, as = as, readonly = readonly, ["fun"] = fun, keyof; typeof, is }
t.as = t.type
t.type = type(t)
local value = t.as
as = value
local number = a
as = number as = 3
do
  local type = type
  type = type
  type "x"
  type { 1 }
end
local function fun2(fun, as, type) return fun, as, type end
fun2(as, fun, type "x")
local string_type = type"x":upper():lower()

-- methods, calls, indexes
local object = { value = 1 }
function object.new(class) return setmetatable({}, { __index = class }) end
function object:get() return self.value end
function object.nested() return object end
object.inner = { deep = {} }
function object.inner.deep:method(...) return ..., select('#', ...) end
function object.inner.deep.plain(x, ...) return x, ... end
local r = object:get() + object.nested():get()
object:get()
object.inner.deep:method(1, 2, 3)
object.inner.deep:method "text"
object.inner.deep:method { 1 }
object.inner.deep:method [[long]]
object["inner"]["deep"]["plain"](1)
;(object or t).value = 2
;("x"):rep(3)
local s = ("%d"):format(3)
local chained = (function() return object end)():get()
local g = object.nested
{ 1 }
local n = #t + -#t + - - 2 + ~5 + (not not true and 1 or 2)

-- operators and comparisons that look like generics
local lt = a < c and c > a
local list = { a < c, c > a }
print(a < c, c > a)
local shifted = 1 << 2 >> 1
local bits = 1 | 2 & 3 ~ 4
local le = a <= c and c >= a and a ~= c and a == 1
local concat = "a" .. 1 .. "b" .. 2.5 .. ""
local precedence = not a == nil or -2 ^ 2 .. "" ~= "4"

-- labels and goto
do
  local i = 1
  ::top::
  if i <= 3 then i = i + 1 goto top end
  goto done
  ::done::
end
for i = 1, 3 do
  for j = 1, 3 do
    if j == 2 then goto continue end
    local x = j ::inner:: -- a label behind an expression
    x = i ::again::
    x = j
    ::last::
    x = t
    ::x:: (print or type)("x")
    ::y:: fun2(1)
    ::z:: object.value = 1
    ::continue::
  end
end

-- control flow
if a then elseif b then else end
while false do break end
repeat local done = true until done
for i = 10, 1, -1 do local _ = i end
for k, v in pairs(t) do local _ = k, v end
for _, v in next, t do local _ = v end
for w in ("a b"):gmatch "%a+" do local _ = w end
do end
do ; ; end
local function varargs(...)
  local first, second = ...
  local packed = { ... }
  local count = select("#", ...)
  return first, (second), packed, count;
end
local anonymous = function(x, y, ...) return x, y, ... end
local nested = function() return function() return function() end end end
local recursive
recursive = function(x) return x == 0 and 0 or recursive(x - 1) end
local multi = { [1] = 1, [2] = { [3] = { x = function() return 1 end } }, f(1), "a"; "b", n = 1, }
a_global, another = 1, 2
t.x, t["y"], t[1 + 1] = 1, 2, 3
local tbl = {
  method = function(self, x)
    return self:method(x)
  end,
  [varargs(1)] = { varargs(1, 2) },
}
return a, b, c, tbl;
