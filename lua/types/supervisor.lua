---@meta supervisor
---Supervisors as in Erlang: processes that start others in order and start them again when they end.
supervisor = {}

---Starts a supervisor with its children and links it to the caller; its pid once all of them run.
---Fields: strategy ("one_for_one", "one_for_all", "rest_for_one"), intensity (3) restarts within period ("5s"),
---children: an array of { id, entry, host, args, restart = "permanent" | "transient" | "temporary", shutdown = "5s" | "kill",
---type = "worker" | "supervisor" }. A child of type "supervisor" may have these fields itself, instead of an entry.
---@param spec table
---@return string? pid, Error? err
function supervisor.start_link(spec) end

---Its children in the order of their start, as tables of id, pid, entry, host, type, restart. Who does not run has no pid.
---@return table? children, Error? err
function supervisor.children(pid) end

---Adds a child and starts it.
---@return string? pid, Error? err
function supervisor.start_child(pid, child) end

---Stops a child. Unless it is temporary it stays known, and can be restarted.
---@return true? ok, Error? err
function supervisor.terminate_child(pid, id) end

---Starts a child that does not run.
---@return string? pid, Error? err
function supervisor.restart_child(pid, id) end

---Stops the children in reverse order, then the supervisor, and waits for that.
---@return true? ok, Error? err
function supervisor.stop(pid, reason) end
