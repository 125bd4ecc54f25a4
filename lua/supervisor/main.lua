-- What a supervisor process runs: it gets its specification, and the number of the call that waits for its start.

return getmetatable(require("supervisor")).run(...)
