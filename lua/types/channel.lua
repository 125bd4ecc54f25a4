---@meta channel

---Channels between the coroutines of one process. They hold any value, nil too; a channel never leaves its process.
---
---```lua
---local results = channel.new(2)
---coroutine.spawn(function() results:send(6 * 7) end)
---local value, open = results:receive()
---assert(value == 42 and open)
---```
---@class channellib
channel = {}

---What a coroutine sends and another one receives, in the order of sending. The same channel is always `==` to itself.
---@class Channel
local Channel = {}

---A case of `channel.select`; may be used again.
---@class ChannelCase
local ChannelCase = {}

---What `channel.select` gives.
---@class Selected
---@field channel? Channel of the case that ran; nil for the default
---@field value any what was received, or sent
---@field ok boolean false when the channel that was received from is closed and empty
---@field default? true when no case was ready and `default` was given

---A channel.
---@param n? integer values it holds before a send waits; 0, the default: every send waits for its receiver
---@return Channel ch
function channel.new(n) end

---Waits for the first of several cases that is ready, in the order of the list, and runs it.
---`default = true` in the list, or as second argument, makes it only look. Raises when a send case's channel is closed.
---
---```lua
---local a, b = channel.new(1), channel.new(1)
---b:send("hello")
---local found = channel.select({ a:case_receive(), b:case_receive() })
---assert(found.channel == b and found.value == "hello")
---```
---@param cases (ChannelCase|{default: boolean})[]|{default: boolean?} what `case_send` and `case_receive` give; 1048576 at most
---@param default? boolean whether to give up at once when none is ready
---@return Selected selected
function channel.select(cases, default) end

---Sends a value, waiting for room or a receiver. Raises on a closed channel.
---@param v any
---@return true? sent nil when the channel was closed while this waited
---@return Error? err Invalid: closed while this waited
function Channel:send(v) end

---Waits for the next value.
---@return any value nil once it is closed and empty
---@return boolean open false once it is closed and empty
function Channel:receive() end

---Closes it: what it holds can still be received, sending raises. Closing again changes nothing. A channel of
---`process.listen`, `process.inbox` or `process.events` holds nothing: what it would have shown goes to `process.receive`.
function Channel:close() end

---A case for select: send this value.
---@param v any
---@return ChannelCase case
function Channel:case_send(v) end

---A case for select: receive.
---@return ChannelCase case
function Channel:case_receive() end

return channel
