local PARTS = 4

return {
	main = function(most)
		most = math.tointeger(tonumber(most)) or 10000
		local size = most // PARTS
		local parts = {}
		for part = 1, PARTS do
			local to = part < PARTS and part * size or most
			parts[part] = assert(funcs.async("functions:count_primes", (part - 1) * size + 1, to))
		end
		local total = 0
		for _, part in ipairs(parts) do
			total = total + part:response():receive():data()
		end
		local percent = assert(funcs.call("functions:percent", total, most))
		io.print(total .. " primes up to " .. most .. ", that is " .. percent .. " %")
	end,
}
