-- One command a line.
local function run(line)
	local what, key, value = line:match("^(%a+)%s*(%S*)%s*(.*)$")
	if not store[what] then
		return "unknown command: " .. line
	end
	local answer, err = store[what](key, value)
	if err then
		return "failed: " .. err
	elseif type(answer) == "table" then
		return table.concat(answer, " ")
	elseif answer == true then
		return "ok"
	end
	return answer or "(nothing)"
end

local function main()
	local line = io.readline()
	while line do
		io.print(run(line))
		line = io.readline()
	end
end

return { main = main }
