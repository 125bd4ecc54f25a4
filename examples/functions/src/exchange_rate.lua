-- A state is used for one call after the other: what stands up here is kept between them.
local attempts = 0

return {
	rate = function(currency)
		attempts = attempts + 1
		if attempts == 1 then
			return nil, errors.new({ message = "the bank is closed", kind = errors.UNAVAILABLE, retryable = true })
		end
		return { currency = currency, rate = 1.25, attempts = attempts }
	end,
}
