-- Starts a worker per number and waits for all of them; they end in any order.
local function main(count)
  count = tonumber(count or 3)
  for number = 1, count do
    local pid, err = process.spawn_monitored("app:worker", "app:processes", number)
    if not pid then
      return nil, err
    end
  end

  local squares = {}
  for _ = 1, count do
    local event = process.receive(time.seconds(5))
    if not event then
      return nil, "a worker did not answer"
    elseif event.error then
      return nil, event.error
    end
    squares[event.value.number] = event.value.square
  end
  io.print(table.concat(squares, " "))
end

return { main = main }
