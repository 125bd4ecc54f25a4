-- Gives a guest numbers to add up, asks for the sums, and asks it to end.
local io = require("io")
local time = require("time")

local WAIT = time.seconds(30)

local function main()
  local language = io.args()[1] or "rust"
  local guest = assert(process.spawn_monitored("guests:" .. language, "guests:processes"))

  process.send(guest, "add", { item = "apples", count = 3 })
  process.send(guest, "add", { item = "pears", count = 2 })
  process.send(guest, "add", { item = "apples", count = 4 })
  process.send(guest, "sums")
  local answer = assert(process.receive(WAIT), "no answer")
  assert(answer.topic == "sums", tostring(answer.error))
  io.print(("%d apples, %d pears"):format(answer.value.apples, answer.value.pears))

  process.cancel(guest, "that is all")
  local ended = assert(process.receive(WAIT), "no end")
  assert(ended.error == nil, tostring(ended.error))
  io.print(ended.value)
end

return main
