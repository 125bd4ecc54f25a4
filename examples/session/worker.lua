local limit = ...
local sum = 0
for i = 1, limit do
	sum = sum + i
end
return sum
