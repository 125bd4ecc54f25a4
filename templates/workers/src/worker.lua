-- One piece of work: what main returns arrives at whoever watches, as the value of an EXIT event.
local function main(number)
  return { number = number, square = number * number }
end

return { main = main }
