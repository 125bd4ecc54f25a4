-- Starts the module as a process, waits for its end and shows what it returned.
local function main()
  local pid, err = process.spawn_monitored("app:multiply", "app:processes", 6, 7)
  if not pid then
    return nil, err
  end

  local event = process.receive(time.seconds(10))
  if not event then
    return nil, "the module did not answer"
  elseif event.error then
    return nil, event.error
  end
  io.print("6 * 7 = " .. event.value)
end

return { main = main }
