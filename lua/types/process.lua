---@meta process
---Who one is, starting other processes, messages and events. A process is known by its pid; host ids and names work as in YAML.
process = {}

---The id of the entry that this process runs.
---@return string id
function process.id() end

---The pid of this process.
---@return string pid
function process.pid() end

---Starts a process of an entry on a host and does not wait for it. In scripts, sessions and tests `id` may be a file
---("./worker.lua", "./worker.wasm#compute") and `host` nil.
---@param id string
---@param host string?
---@return string? pid, Error? err
function process.spawn(id, host, ...) end

---As spawn; its end arrives as an EXIT event, with `value` or `error`.
---@return string? pid, Error? err
function process.spawn_monitored(id, host, ...) end

---As spawn; when one of the two fails, the other ends too, or reads a LINK_DOWN event if it traps links.
---@return string? pid, Error? err
function process.spawn_linked(id, host, ...) end

---Both of spawn_linked and spawn_monitored.
---@return string? pid, Error? err
function process.spawn_linked_monitored(id, host, ...) end

---Starts a process and waits for its result.
---@return any value, Error? err
function process.exec(id, host, ...) end

---Queues a message in the mailbox of a process. `dest` is a pid or a registered name. Full: Unavailable, and `retryable()`
---is true; LimitExceeded for a message that is larger than the whole mailbox.
---@param dest string
---@param topic string
---@return true? ok, Error? err
function process.send(dest, topic, ...) end

---The next event or message as a table; nil when the time is up. Without a timeout it waits for ever, 0 only looks.
---@param timeout duration?
---@return table? item
function process.receive(timeout) end

---The channel of Message objects that arrive.
---@return Channel
function process.inbox() end

---The channel of EXIT, LINK_DOWN and CANCEL events.
---@return Channel
function process.events() end

---A channel of its own for the messages of one topic. `opts.message = true`: Message objects instead of values.
---@param topic string
---@param opts table?
---@return Channel? ch, Error? err
function process.listen(topic, opts) end

---Ends a subscription of `listen`; the channel is closed.
---@param ch Channel
---@return boolean ok, Error? err
function process.unlisten(ch) end

---Ends a process at once, whatever it does.
---@param dest string
---@return true? ok, Error? err
function process.terminate(dest) end

---Sends a CANCEL event: asks a process to end. As many may lie there unread as a mailbox holds messages.
---@param dest string
---@param reason string?
---@return true? ok, Error? err
function process.cancel(dest, reason) end

---The end of that process will arrive as an EXIT event.
---@param dest string
---@return true? ok, Error? err
function process.monitor(dest) end

---Takes a monitor back.
---@param dest string
---@return true? ok, Error? err
function process.unmonitor(dest) end

---When one of the two fails, the other ends too.
---@param dest string
---@return true? ok, Error? err
function process.link(dest) end

---Takes a link back.
---@param dest string
---@return true? ok, Error? err
function process.unlink(dest) end

---{trap_links = boolean}: whether the failure of a linked process is an event and not the end.
---@return table options
function process.get_options() end

---Sets options: `trap_links`.
---@param options table
---@return boolean ok, Error? err
function process.set_options(options) end

---The process goes on as that entry (nil: as the one it is), afresh and with those arguments: same pid, mailbox, names, monitors
---and links. Does not return; if it fails the process ends with the error.
---@param id string?
function process.upgrade(id, ...) end

---A Spawner whose children have those context values too. Each of its methods gives a new Spawner.
---@param values table
---@return Spawner spawner
function process.with_context(values) end

---A Spawner with options.
---@param options table
---@return Spawner spawner
function process.with_options(options) end

---Adds context values.
---@return Spawner spawner
function Spawner:with_context(values) end

---Adds options.
---@return Spawner spawner
function Spawner:with_options(options) end

---The children run for that actor.
---@return Spawner spawner
function Spawner:with_actor(actor) end

---The children run in that scope.
---@return Spawner spawner
function Spawner:with_scope(scope) end

---The child gets that name. If it is taken, nothing is spawned: messages go to who has it, and its pid is returned.
---@return Spawner spawner
function Spawner:with_name(name) end

---The child finds that message in its mailbox.
---@return Spawner spawner
function Spawner:with_message(topic, ...) end

---As process.spawn; so are spawn_monitored, spawn_linked, spawn_linked_monitored and exec.
---@return string? pid, Error? err
function Spawner:spawn(id, host, ...) end

---pid, entry, host, kind, state, steps, mailbox, memory, started_at, links, monitors of a process; nil: of this one.
---@param pid string?
---@return table? info, Error? err
function process.info(pid) end

---The tables of `info` for every live process, oldest first.
---@return table[] infos
function process.list() end

---Gives a process (nil: this one) a name of at most 1024 bytes; every destination takes names.
---@param name string
---@param pid string?
---@return boolean ok, Error? err
function process.registry.register(name, pid) end

---The pid that has a name.
---@param name string
---@return string? pid, Error? err
function process.registry.lookup(name) end

---Takes a name back. False when nobody had it.
---@param name string
---@return boolean
function process.registry.unregister(name) end
