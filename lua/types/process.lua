---@meta process

---Who one is, starting other processes, messages and events. Processes share nothing: what crosses is copied, functions and
---userdata arrive as nil. A destination is a pid or a registered name.
---
---```lua
---process.send(process.pid(), "greeting", "hello")
---local item = process.receive("1s")
---assert(item.type == "MESSAGE" and item.topic == "greeting" and item.value == "hello")
---```
---@class processlib
---@field event {EXIT: "pid.exit", LINK_DOWN: "pid.link.down", CANCEL: "pid.cancel", OUTDATED: "pid.outdated"} the `kind` of events
process = {}

---Names of processes.
---@class processregistrylib
---@field LOCAL 0 the scope of names that exist
---@field EVENTUAL 1 for clusters: not available
---@field CONSISTENT 2 for clusters: not available
---@field STRONG 3 for clusters: not available
process.registry = {}

---A process: `{host|number}`. Treat it as opaque.
---@alias Pid string

---Starts processes with something added. Its methods give a new one; wrong use raises.
---@class Spawner
local Spawner = {}

---A message as `inbox()` gives it.
---@class Message
local Message = {}

---What `receive` gives: an event or a message, a plain table.
---@class Event
---@field type "MESSAGE"|"EXIT"|"LINK_DOWN"|"CANCEL"
---@field kind "message"|"pid.exit"|"pid.link.down"|"pid.cancel"
---@field from Pid who sent it, who ended, or who cancels
---@field pid? Pid of events: the same as `from`
---@field at? integer of events: Unix seconds
---@field topic? string of a message
---@field value any of a message: its first value; of an end: the result
---@field values? {n: integer, [integer]: any} of a message: all its values
---@field error? Error of an end: why it failed, nil on success
---@field result? {value: any, error: Error?} of an end: both
---@field reason? string of CANCEL: why, or `""`

---What is known about a process.
---@class ProcessInfo
---@field pid Pid
---@field entry string the id of the entry it runs
---@field host string
---@field kind string of the entry
---@field state "starting"|"ready"|"running"|"waiting"|"exiting" `ready`: waits for a worker; `waiting`: for a message, a timer, a call
---@field steps integer how often it was scheduled
---@field mailbox integer items that nobody has taken
---@field memory integer bytes
---@field started_at integer Unix seconds
---@field links Pid[]
---@field monitors Pid[] whom it monitors

---@class ProcessOptions
---@field trap_links? boolean whether the failure of a linked process is an event and not the end; false
---@field upgradable? boolean without effect

---The id of the entry that this process runs.
---@return string id
function process.id() end

---The pid of this process.
---@return Pid pid
function process.pid() end

---Starts a process of an entry on a host and does not wait for it. In scripts, sessions and tests `id` may be a file
---(`"./worker.lua"`, `"./worker.wasm#compute"`) and `host` nil.
---@param id SpawnId|string
---@param host HostId|string|nil
---@param ... any its arguments
---@return Pid? pid
---@return Error? err NotFound: no such entry or host; Invalid: no id, or arguments that do not fit; Unavailable (retryable): no room
function process.spawn(id, host, ...) end

---As spawn; its end arrives as an EXIT event, with `value` or `error`.
---@param id SpawnId|string
---@param host HostId|string|nil
---@param ... any its arguments
---@return Pid? pid
---@return Error? err NotFound: no such entry or host; Invalid: no id, or arguments that do not fit; Unavailable (retryable): no room
function process.spawn_monitored(id, host, ...) end

---As spawn; when one of the two fails, the other ends too, or reads a LINK_DOWN event if it traps links.
---@param id SpawnId|string
---@param host HostId|string|nil
---@param ... any its arguments
---@return Pid? pid
---@return Error? err NotFound: no such entry or host; Invalid: no id, or arguments that do not fit; Unavailable (retryable): no room
function process.spawn_linked(id, host, ...) end

---Both of spawn_linked and spawn_monitored.
---@param id SpawnId|string
---@param host HostId|string|nil
---@param ... any its arguments
---@return Pid? pid
---@return Error? err NotFound: no such entry or host; Invalid: no id, or arguments that do not fit; Unavailable (retryable): no room
function process.spawn_linked_monitored(id, host, ...) end

---Starts a process and waits for its result.
---@param id SpawnId|string
---@param host HostId|string|nil
---@param ... any its arguments
---@return any value
---@return Error? err NotFound: no such entry or host; Invalid: no id; otherwise what it failed with
function process.exec(id, host, ...) end

---Queues a message in the mailbox of a process. True says that it is queued, not that it is read.
---@param dest Pid|string
---@param topic string not one that begins with `@`
---@param ... any values; copied
---@return true? ok
---@return Error? err NotFound: no such process; Invalid: a wrong topic; Unavailable (retryable): its mailbox is full; LimitExceeded: larger than the whole mailbox
function process.send(dest, topic, ...) end

---The next event or message. Messages of a topic with a `listen` channel go there.
---@param timeout? duration nanoseconds, "1.5s" or a Duration; nil waits for ever, 0 only looks
---@return Event? item nil when the time is up
---@return Error? err Invalid: not a duration
function process.receive(timeout) end

---The channel of Message objects that arrive; the same one every time.
---@return Channel ch
function process.inbox() end

---The channel of EXIT, LINK_DOWN and CANCEL events; the same one every time. Who has called it is asked to stop with CANCEL
---and not ended at once.
---@return Channel ch
function process.events() end

---A channel of its own for the messages of one topic; the same one for the same topic.
---@param topic string not one that begins with `@`
---@param opts? {message: boolean} `message = true`: Message objects instead of values
---@return Channel? ch
---@return Error? err Invalid: a wrong topic
function process.listen(topic, opts) end

---Ends a subscription of `listen`; the channel is closed.
---@param ch Channel
---@return boolean ok
---@return Error? err Invalid: no subscription
function process.unlisten(ch) end

---Ends a process at once, whatever it does; its monitors read `process terminated`.
---@param dest Pid|string
---@return true? ok
---@return Error? err Internal: no such process; NotFound: no such name
function process.terminate(dest) end

---Sends a CANCEL event: asks a process to end. There is no deadline. As many may lie there unread as a mailbox holds messages.
---@param dest Pid|string
---@param reason? string for the event
---@return true? ok
---@return Error? err Internal: no such process; NotFound: no such name; Invalid: no destination
function process.cancel(dest, reason) end

---The end of that process will arrive as an EXIT event, once.
---@param dest Pid|string
---@return true? ok
---@return Error? err Internal: no such process, or monitored already; NotFound: no such name
function process.monitor(dest) end

---Takes a monitor back.
---@param dest Pid|string
---@return true? ok
---@return Error? err NotFound: no such name; Invalid: no destination
function process.unmonitor(dest) end

---When one of the two fails, the other ends too, or reads LINK_DOWN if it traps links.
---@param dest Pid|string
---@return true? ok
---@return Error? err Internal: no such process, or (retryable) one that others have linked to too often; NotFound: no such name
function process.link(dest) end

---Takes a link back.
---@param dest Pid|string
---@return true? ok
---@return Error? err NotFound: no such name; Invalid: no destination
function process.unlink(dest) end

---The options of this process.
---@return ProcessOptions options
function process.get_options() end

---Sets options.
---@param options ProcessOptions
---@return boolean ok
---@return Error? err Invalid: no table, another option, or no boolean
function process.set_options(options) end

---The process goes on as that entry (nil: as the one it is), afresh and with those arguments: same pid, mailbox, names, monitors
---and links. Does not return; if it fails the process ends with the error.
---@param id? SpawnId|string
---@param ... any arguments of main
function process.upgrade(id, ...) end

---What is known about a process.
---@param pid? Pid|string nil: this one
---@return ProcessInfo? info
---@return Error? err NotFound: no such process or name
function process.info(pid) end

---What is known about every live process, oldest first.
---@return ProcessInfo[] infos
function process.list() end

---A Spawner whose children have those context values too.
---@param values table<string, any>
---@return Spawner spawner
function process.with_context(values) end

---A Spawner with options.
---@param options table<string, any> `network` is accepted and has no effect
---@return Spawner spawner
function process.with_options(options) end

---Gives a process a name, which every destination takes. Freed when the process ends.
---@param name string 1024 bytes at most
---@param pid? Pid nil: this one
---@param scope? integer LOCAL
---@return boolean ok true too when it has that name already
---@return Error? err AlreadyExists: another process has it; Invalid: a wrong pid; Internal: a scope for clusters
function process.registry.register(name, pid, scope) end

---The pid that has a name.
---@param name string
---@return Pid? pid
---@return Error? err NotFound: nobody has it
function process.registry.lookup(name) end

---Takes a name back.
---@param name string
---@param scope? integer LOCAL
---@return boolean ok false when nobody had it
function process.registry.unregister(name, scope) end

---Adds context values; later ones win.
---@param values table<string, any>
---@return Spawner spawner
function Spawner:with_context(values) end

---Adds options.
---@param options table<string, any>
---@return Spawner spawner
function Spawner:with_options(options) end

---The children run for that actor.
---@param actor Actor
---@return Spawner spawner
function Spawner:with_actor(actor) end

---The children run in that scope.
---@param scope Scope
---@return Spawner spawner
function Spawner:with_scope(scope) end

---The child gets that name. If it is taken, nothing is spawned: messages go to who has it, and its pid is returned.
---@param name string not empty
---@return Spawner spawner
function Spawner:with_name(name) end

---The child finds that message in its mailbox.
---@param topic string not one that begins with `@`
---@param ... any values; copied
---@return Spawner spawner
function Spawner:with_message(topic, ...) end

---As process.spawn.
---@param id SpawnId|string
---@param host HostId|string|nil
---@param ... any its arguments
---@return Pid? pid
---@return Error? err NotFound: no such entry or host; Unavailable (retryable): no room
function Spawner:spawn(id, host, ...) end

---As process.spawn_monitored.
---@param id SpawnId|string
---@param host HostId|string|nil
---@param ... any its arguments
---@return Pid? pid
---@return Error? err NotFound: no such entry or host; Unavailable (retryable): no room
function Spawner:spawn_monitored(id, host, ...) end

---As process.spawn_linked.
---@param id SpawnId|string
---@param host HostId|string|nil
---@param ... any its arguments
---@return Pid? pid
---@return Error? err NotFound: no such entry or host; Unavailable (retryable): no room
function Spawner:spawn_linked(id, host, ...) end

---As process.spawn_linked_monitored.
---@param id SpawnId|string
---@param host HostId|string|nil
---@param ... any its arguments
---@return Pid? pid
---@return Error? err NotFound: no such entry or host; Unavailable (retryable): no room
function Spawner:spawn_linked_monitored(id, host, ...) end

---As process.exec.
---@param id SpawnId|string
---@param host HostId|string|nil
---@param ... any its arguments
---@return any value
---@return Error? err NotFound: no such entry or host; otherwise what it failed with
function Spawner:exec(id, host, ...) end

---Its topic.
---@return string topic
function Message:topic() end

---Who sent it.
---@return Pid pid `""` when nobody in particular did
function Message:from() end

---Its values.
---@return Payload|Payload[]|nil payload one, several as a list, or none
function Message:payload() end

return process
