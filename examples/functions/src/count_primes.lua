local function is_prime(n)
	for divisor = 2, math.floor(math.sqrt(n)) do
		if n % divisor == 0 then
			return false
		end
	end
	return n > 1
end

return {
	count = function(from, to)
		local count = 0
		for n = from, to do
			if is_prime(n) then
				count = count + 1
			end
		end
		return count
	end,
}
