---@meta channel
---Channels between the coroutines of one process.
channel = {}

---A channel with room for `n` values; 0: a send waits for its receiver.
---@param n integer?
---@return Channel
function channel.new(n) end

---Waits for the first of several cases that is ready; `default = true` in it makes it only look. Gives `channel`, `value`, `ok`.
---@param cases table
---@return table
function channel.select(cases) end

---Sends a value, waiting as needed. Raises on a closed channel.
---@return true
function Channel:send(v) end

---The next value and true; nil and false once it is closed and empty.
---@return any value, boolean ok
function Channel:receive() end

---Closes it.
function Channel:close() end

---A case for select.
function Channel:case_send(v) end

---A case for select.
function Channel:case_receive() end

---Runs a function as a coroutine of this process, beside the others. An error in it ends the process.
---@param fn function
---@return thread
function coroutine.spawn(fn, ...) end
