-- Busy from its first instruction to its last; the scheduler takes turns all the same.
local function main(limit)
  local sum = 0
  for i = 1, limit do
    sum = sum + i
  end
  return sum
end

return { main = main }
