-- Divides whole numbers. By zero it fails, and its keeper starts another one.
return function()
  while true do
    local task = process.receive()
    if task.topic == "divide" then
      process.send(task.from, "quotient", task.value.dividend // task.value.divisor)
    end
  end
end
