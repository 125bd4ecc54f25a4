-- Asks the worker that the guest keeps. Each new worker is told as a message `worker` with its pid.
local io = require("io")
local time = require("time")

local WAIT = time.seconds(30)

local function expect(topic)
  local event = process.receive(WAIT)
  assert(event and event.topic == topic, "no " .. topic)
  return event.value
end

local function main()
  local keeper = assert(process.spawn_monitored("actors:keeper", "actors:processes",
    "actors:worker", "actors:processes", process.pid()))
  local worker = expect("worker")

  for _, divisor in ipairs({ 7, 0, 6 }) do
    assert(process.send(worker, "divide", { dividend = 42, divisor = divisor }))
    if divisor == 0 then
      local another = expect("worker")
      io.print("42 / 0 was too much for the worker; is another one there? " .. tostring(another ~= worker))
      worker = another
    else
      io.print(("42 / %d = %d"):format(divisor, expect("quotient")))
    end
  end

  assert(process.cancel(keeper, "enough"))
  local ended = process.receive(WAIT)
  io.print("the keeper ended and had replaced " .. ended.value .. " worker")
end

return main
