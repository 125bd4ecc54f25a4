return {
	main = function(currency)
		local answer, err = funcs.call("functions:exchange_rate", currency)
		if err then
			return nil, err
		end
		io.print("1 EUR is " .. answer.rate .. " " .. answer.currency .. " (attempt " .. answer.attempts .. ")")
		local once = funcs.new():with_options({ timeout = "1m", retry = { max_attempts = 1 } })
		io.print("again: " .. once:call("functions:exchange_rate", currency).rate)
	end,
}
