-- The customer. It survives the supervisor's end because it traps links: then a failure is an event like any other.
local HOST = "bank:processes"

-- What comes of it: a receipt, a new teller who opens, or the end of the bank.
local function deposit(teller, amount)
	process.send(teller, "deposit", amount)
	return process.receive()
end

local function main()
	process.set_options({ trap_links = true })
	local bank = assert(supervisor.start_link({
		-- Whoever was started after the one that failed is started anew: a teller needs its ledger.
		strategy = "rest_for_one",
		intensity = 2,
		period = "1m",
		children = {
			{ id = "ledger", entry = "bank:ledger", host = HOST },
			{ id = "teller", entry = "bank:teller", host = HOST, args = { process.pid() } },
		},
	}))

	local opening = process.receive()
	local first = opening.from
	io.print("The bank opens with a balance of " .. opening.value .. ".")
	io.print("10 more: " .. deposit(first, 10).value)
	io.print("5 more: " .. deposit(first, 5).value)

	opening = deposit(first, "a banana")
	io.print("A banana is too much for the teller. A new one opens at " .. opening.value .. ".")
	io.print("The same process? " .. tostring(opening.from == first))
	io.print("1 more: " .. deposit(opening.from, 1).value)

	io.print("Bananas for everybody who comes:")
	while opening.topic == "open" do
		opening = deposit(opening.from, "a banana")
	end
	io.print("The bank closes. " .. opening.error:kind() .. ": " .. opening.error:message())
	io.print("It was " .. (opening.from == bank and "the supervisor" or "somebody else") .. " who gave up.")
end

return { main = main }
