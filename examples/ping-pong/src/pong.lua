-- Answers every ping, until it is told to stop. A process is just a loop over its mailbox.
local function main()
  while true do
    local message = process.receive()
    if message.topic == "ping" then
      process.send(message.from, "pong", { round = message.value.round })
    elseif message.type == "CANCEL" then
      return "enough"
    end
  end
end

return { main = main }
