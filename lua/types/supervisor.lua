---@meta supervisor

---Supervisors as in Erlang: processes that start others in order and start them again when they end.
---
---```lua
---local supervisor = require("supervisor")
---local pid = assert(supervisor.start_link({ strategy = "one_for_one", children = {} }))
---assert(#supervisor.children(pid) == 0)
---assert(supervisor.stop(pid, "done"))
---```
---@class supervisorlib
supervisor = {}

---How a supervisor goes about it.
---@class SupervisorSpec
---@field strategy? "one_for_one"|"one_for_all"|"rest_for_one" who is started again with who failed: itself (default), all, those after it
---@field intensity? integer restarts within `period` that are too many when exceeded, 3
---@field period? duration "5s"
---@field children? SupervisorChild[]

---A child. One of type "supervisor" may have the fields of a SupervisorSpec itself, instead of an entry.
---@class SupervisorChild: SupervisorSpec
---@field id string by which it is known
---@field entry? SpawnId|string
---@field host? HostId|string
---@field args? any[]
---@field restart? "permanent"|"transient"|"temporary" always (default), after a failure, never
---@field shutdown? duration|"kill" how long it may take to stop, "5s"
---@field type? "worker"|"supervisor" "worker"

---A child as it is now.
---@class SupervisorChildInfo
---@field id string
---@field pid? Pid nil when it does not run
---@field entry? string
---@field host? string
---@field type "worker"|"supervisor"
---@field restart "permanent"|"transient"|"temporary"

---Starts a supervisor with its children and links it to the caller.
---@param spec SupervisorSpec
---@return Pid? pid once all children run
---@return Error? err Invalid: a wrong spec; otherwise why a child did not start
function supervisor.start_link(spec) end

---Its children in the order of their start.
---@param pid Pid|string
---@return SupervisorChildInfo[]? children
---@return Error? err NotFound: no such process; Invalid: no supervisor
function supervisor.children(pid) end

---Adds a child and starts it.
---@param pid Pid|string
---@param child SupervisorChild
---@return Pid? pid of the child
---@return Error? err AlreadyExists: a child of that id; Invalid: a wrong spec; otherwise why it did not start
function supervisor.start_child(pid, child) end

---Stops a child. Unless it is temporary it stays known, and can be restarted.
---@param pid Pid|string
---@param id string
---@return true? ok
---@return Error? err NotFound: no such child
function supervisor.terminate_child(pid, id) end

---Starts a child that does not run.
---@param pid Pid|string
---@param id string
---@return Pid? pid of the child
---@return Error? err NotFound: no such child; Conflict: it runs; otherwise why it did not start
function supervisor.restart_child(pid, id) end

---Stops the children in reverse order, then the supervisor, and waits for that.
---@param pid Pid|string
---@param reason? string|number|Error what their CANCEL shows
---@return true? ok
---@return Error? err NotFound: no such process; Invalid: no supervisor
function supervisor.stop(pid, reason) end

return supervisor
