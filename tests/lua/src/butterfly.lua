-- Becomes what it is told, and counts what it was asked in between.

local asked = 0

return function()
	process.listen("echo")
	while true do
		local message = process.receive()
		if message.topic == "become" then
			-- Nothing holds it back.
			pcall(process.upgrade, table.unpack(message.values, 1, message.values.n))
			error("still a butterfly")
		end
		asked = asked + 1
		process.send(message.from, "asked", asked)
	end
end
