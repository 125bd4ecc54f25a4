-- Starts its partner, plays, and stops it with good manners.
local function main(rounds)
  local pong, err = process.spawn_monitored("app:pong", "app:processes")
  if not pong then
    return nil, err
  end

  for round = 1, tonumber(rounds or 3) do
    process.send(pong, "ping", { round = round })
    local answer = process.receive(time.seconds(10))
    if not answer or answer.topic ~= "pong" then
      return nil, "no pong"
    end
    io.print("ping " .. round .. " -> pong " .. answer.value.round)
  end

  process.cancel(pong, "game over")
  local event = process.receive(time.seconds(10))
  io.print("pong said: " .. tostring(event.value))
end

return { main = main }
