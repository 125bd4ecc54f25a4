-- Three guests sleep, the longest first; on the one worker of this host a Lua process counts meanwhile.
local function main()
  local names = {}
  for _, ms in ipairs({ 2000, 1000, 100 }) do
    local pid, err = process.spawn_monitored("app:sleeper", "app:processes", ms, 1)
    if not pid then
      return nil, err
    end
    names[pid] = ms .. " ms"
  end
  local counter = assert(process.spawn_monitored("app:counter", "app:processes", 1000000))

  local woken, sum = {}, nil
  while #woken < 3 or not sum do
    local event = process.receive(time.seconds(30))
    if not event or event.error then
      return nil, event and event.error or "nobody woke"
    end
    if event.from == counter then
      sum = event.value
    else
      table.insert(woken, names[event.from])
    end
  end
  io.print("woken in this order: " .. table.concat(woken, ", "))
  io.print("counted meanwhile: " .. sum)
end

return { main = main }
