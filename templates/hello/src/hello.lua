-- Says hello; the words after the command's name are the arguments.
local function main(name)
  if name == "" then
    return nil, "nobody to say hello to"
  end
  io.print("Hello, " .. (name or "World") .. "!")
end

return { main = main }
