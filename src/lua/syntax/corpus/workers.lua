-- Processes as the contract shows them: a supervisor of workers with a queue, timers and a select.
local time = require("time")
local logger = require("logger")

local Queue = {}
Queue.__index = Queue
Queue.__len = function(self) return self.last - self.first + 1 end
Queue.__call = function(self, ...) return self:push(...) end

function Queue.new(limit) return setmetatable({ first = 1, last = 0, limit = limit or math.huge }, Queue) end

function Queue:push(item, ...)
  if item == nil then return self end
  if #self >= self.limit then return nil, errors.new { kind = errors.LIMIT_EXCEEDED, message = "queue is full" } end
  self.last = self.last + 1
  self[self.last] = item
  return self:push(...)
end

function Queue:pop()
  if #self == 0 then return nil end
  local item = self[self.first]
  self[self.first] = nil
  self.first = self.first + 1
  return item
end

local states <const> = { idle = 0, busy = 1 << 0, dead = 1 << 1, [-1] = "unknown" }

local function supervise(entry, host, options)
  options = options or {}
  local count, delay = options.workers or 4, options.delay or "100ms"
  local workers, queue = {}, Queue.new(options.limit)
  local inbox, events, ticker = process.inbox(), process.events(), time.ticker(delay)

  local function start(slot)
    local pid, err = process.spawn_monitored(entry, host, slot)
    if err then
      logger:error("worker does not start", { slot = slot, reason = tostring(err), retry = err:retryable() })
      return false
    end
    workers[pid] = { slot = slot, state = states.idle, since = time.now():unix() }
    return true
  end

  for slot = 1, count do
    if not start(slot) then break end
  end

  while true do
    local result = channel.select {
      inbox:case_receive(),
      events:case_receive(),
      ticker:channel():case_receive(),
    }
    if not result.ok then goto stop end

    if result.channel == inbox then
      local topic, payload = result.value:topic(), result.value:payload():data()
      if topic == "job" then
        local ok, err = queue(payload)
        if not ok then process.send(result.value:from(), "refused", tostring(err)) end
      elseif topic == "done" and workers[payload.pid] then
        workers[payload.pid].state = workers[payload.pid].state & ~states.busy
      end
    elseif result.channel == events then
      local event = result.value
      if event.kind == process.event.EXIT then
        local worker = workers[event.from]
        workers[event.from] = nil
        if worker and event.result and event.result.error then
          logger:warn(("worker %d ended: %s"):format(worker.slot, event.result.error))
          if not start(worker.slot) then time.sleep(delay) end
        end
      elseif event.kind == process.event.CANCEL then
        goto stop
      end
    end

    for pid, worker in pairs(workers) do
      if worker.state == states.idle then
        local job = queue:pop()
        if not job then break end
        worker.state = worker.state | states.busy
        process.send(pid, "job", job)
      end
    end
  end
  ::stop::
  ticker:stop()
  for pid in pairs(workers) do process.cancel(pid, "1s") end
  return #queue
end

return {
  main = function(...)
    local args <const> = { ... }
    return supervise(args[1] or "app:worker", args[2], { workers = tonumber(args[3]) })
  end,
  Queue = Queue,
}
