-- Starts the worker on the process host, waits for its end and shows what it returned.
local function main()
  local pid, err = process.spawn_monitored("myns:compute_worker", "myns:processes", 6, 7)
  if not pid then
    return nil, err
  end

  local event = process.receive(time.seconds(10))
  if not event then
    return nil, "the worker did not answer"
  end
  if event.type == "EXIT" and event.from == pid then
    if event.error then
      return nil, event.error
    end
    io.print("6 * 7 = " .. event.value)
  end
end

return { main = main }
