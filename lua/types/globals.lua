---@meta _

---Runs a function as a coroutine of this process, beside the others; it begins when the current one next waits. Its
---results are dropped; an error in it ends the process.
---@param fn fun(...: any)
---@param ... any its arguments
---@return thread co
function coroutine.spawn(fn, ...) end

---Gives the messages of a topic to a channel of one's own, as raw values; as `process.listen`, which makes the channel.
---@param topic string not one that begins with `@`
---@param ch Channel
---@return true? ok
---@return Error? err Invalid: a wrong topic; AlreadyExists: topic or channel has a subscription
function subscribe(topic, ch) end

---Takes a `subscribe` back. Later messages of the topic are ordinary ones.
---@param ch Channel
---@return boolean ok false when it has none
function unsubscribe(ch) end

---The items of a list, as `table.unpack`.
---@param list table
---@param i? integer the first, 1
---@param j? integer the last, `#list`
---@return any ...
function unpack(list, i, j) end

---Gives an integer back, and raises for anything else. No conversion.
---@param v any
---@return integer v
function integer(v) end

---Gives a number back, and raises for anything else. No conversion.
---@param v any
---@return number v
function number(v) end

---Gives a boolean back, and raises for anything else. No conversion.
---@param v any
---@return boolean v
function boolean(v) end

---An empty table with room.
---@param narr integer items of the list part
---@param nrec integer other fields
---@return table t
function table.create(narr, nrec) end

---x to the power of y.
---@param x number
---@param y number
---@return number z
function math.pow(x, y) end

---The logarithm to base 10.
---@param x number
---@return number y
function math.log10(x) end

---The angle of a point, in radians.
---@param y number
---@param x number
---@return number radians
function math.atan2(y, x) end

---The hyperbolic sine.
---@param x number
---@return number y
function math.sinh(x) end

---The hyperbolic cosine.
---@param x number
---@return number y
function math.cosh(x) end

---The hyperbolic tangent.
---@param x number
---@return number y
function math.tanh(x) end

---A number as mantissa and exponent: `x == m * 2^e`.
---@param x number
---@return number m
---@return integer e
function math.frexp(x) end

---`m * 2^e`.
---@param m number
---@param e integer
---@return number x
function math.ldexp(m, e) end
