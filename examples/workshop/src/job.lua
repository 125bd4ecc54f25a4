-- Runs a program to its end. What ends the program ends the job too, and then the supervisor has it done again.
return function(customer, entry)
	local _, err = process.exec(entry, "workshop:processes")
	process.send(customer, "job", entry, err)
	if err then
		error(err)
	end
end
