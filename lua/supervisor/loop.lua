-- A supervisor process: it starts its children in order, does what `native.decide` says when one of them ends, answers calls,
-- and stops the children in reverse order when it ends itself. That it ends with whoever started it is OTP's rule as well.

local native = ...

local TOPIC = "@supervisor"

-- Set when nothing is to be started any more.
local ENDING = {}

local Supervisor = {}
Supervisor.__index = Supervisor

local function failure(kind, ...)
	return errors.new({ kind = kind, retryable = false, message = string.format(...) })
end

-- The next event or request, within that many nanoseconds if given.
local function receive(timeout)
	local deadline = timeout and native.now() + timeout
	while true do
		local item = process.receive(deadline and math.max(deadline - native.now(), 0))
		-- The failure of a child, or of the parent, comes as EXIT too; other messages are no business of a supervisor's.
		if not item or item.type == "EXIT" or item.type == "CANCEL" or item.topic == TOPIC then
			return item
		end
	end
end

function Supervisor:next()
	return table.remove(self.backlog, 1) or receive()
end

-- Waits for the end of a child, and keeps for later what comes meanwhile. False when the time is over.
function Supervisor:wait_for_exit(pid, timeout)
	for at, item in ipairs(self.backlog) do
		if item.type == "EXIT" and item.from == pid then
			table.remove(self.backlog, at)
			return true
		end
	end
	local deadline = timeout and native.now() + timeout
	while true do
		local item = receive(deadline and math.max(deadline - native.now(), 0))
		if not item then
			return false
		end
		if item.type == "EXIT" and item.from == pid then
			return true
		end
		table.insert(self.backlog, item)
	end
end

function Supervisor:start(child)
	local pid, err
	if child.spec then
		pid, err = native.start(child.spec, true)
	else
		pid, err = process.spawn_linked_monitored(child.entry, child.host, table.unpack(child.args, 1, child.args.n))
	end
	child.pid = pid
	if pid then
		native.begun(pid)
	end
	return pid, err
end

function Supervisor:stop(child)
	local pid = child.pid
	if not pid then
		return
	end
	if child.shutdown == "kill" then
		process.terminate(pid)
		self:wait_for_exit(pid)
	else
		native.ask_to_stop(pid, self.reason)
		local timeout = child.shutdown ~= "infinity" and child.shutdown or nil
		if not self:wait_for_exit(pid, timeout) then
			process.terminate(pid)
			self:wait_for_exit(pid)
		end
	end
	child.pid = nil
end

function Supervisor:stop_all()
	for at = #self.children, 1, -1 do
		self:stop(self.children[at])
	end
end

function Supervisor:index_of(field, value)
	for at, child in ipairs(self.children) do
		if child[field] == value then
			return at
		end
	end
end

-- Starts these children; one that cannot be started counts as one that has failed, and those behind it wait for it.
function Supervisor:start_all(children)
	for _, child in ipairs(children) do
		local pid, err = self:start(child)
		if not pid then
			return child, err
		end
	end
end

function Supervisor:intensity_exceeded(count, child, err)
	return errors.new({
		kind = errors.LIMIT_EXCEEDED,
		message = string.format(
			"restart intensity exceeded: %d in %s, limit %d (last: %s: %s)",
			count,
			native.show_duration(self.period),
			self.intensity,
			child.id,
			err and tostring(err) or "ended normally"
		),
	})
end

-- Does what follows from the end of a child. An error when that is the end of the supervisor, ENDING when its host stops.
function Supervisor:child_ended(at, err)
	local child = self.children[at]
	local pid = child.pid
	child.pid = nil
	if child.host and native.is_stopping(child.host) then
		return ENDING
	end
	if err then
		native.record(child.id, child.entry, pid, err)
	end
	local restarts = {}
	for index, other in ipairs(self.children) do
		restarts[index] = other.restart
	end
	local decision = native.decide(self.strategy, restarts, at, err ~= nil)
	local count = decision.is_restart and self.note_restart()
	if count then
		return self:intensity_exceeded(count, child, err)
	end
	local starting = {}
	for _, index in ipairs(decision.start) do
		table.insert(starting, self.children[index])
	end
	for _, index in ipairs(decision.stop) do
		self:stop(self.children[index])
	end
	for index = #decision.forget, 1, -1 do
		table.remove(self.children, decision.forget[index])
	end
	local failed, cause = self:start_all(starting)
	if failed then
		table.insert(self.backlog, { type = "REFUSED", child = failed, error = cause })
	end
end

local requests = {}

function requests.children(self)
	local list = {}
	for at, child in ipairs(self.children) do
		list[at] = {
			id = child.id,
			pid = child.pid,
			entry = child.entry,
			host = child.host,
			type = child.type,
			restart = child.restart,
		}
	end
	return list
end

function requests.start_child(self, request)
	local child = request.child
	if self:index_of("id", child.id) then
		return nil, failure(errors.ALREADY_EXISTS, "child '%s' exists already", child.id)
	end
	local pid, err = self:start(child)
	if pid then
		table.insert(self.children, child)
	end
	return pid, err
end

function requests.terminate_child(self, request)
	local at = self:index_of("id", request.id)
	if not at then
		return nil, failure(errors.NOT_FOUND, "child not found: %s", tostring(request.id))
	end
	local child = self.children[at]
	self:stop(child)
	if child.restart == "temporary" then
		table.remove(self.children, at)
	end
	return true
end

function requests.restart_child(self, request)
	local at = self:index_of("id", request.id)
	if not at then
		return nil, failure(errors.NOT_FOUND, "child not found: %s", tostring(request.id))
	end
	local child = self.children[at]
	if child.pid then
		return nil, failure(errors.CONFLICT, "child '%s' is running: %s", child.id, child.pid)
	end
	return self:start(child)
end

-- Handles one item; something when it is the end: an Error, or ENDING.
function Supervisor:handle(item)
	if item.type == "CANCEL" or item.from == self.parent and item.type == "EXIT" then
		return ENDING
	elseif item.type == "EXIT" then
		local at = self:index_of("pid", item.from)
		return at and self:child_ended(at, item.error)
	elseif item.type == "REFUSED" then
		local at = self:index_of("id", item.child.id)
		-- Meanwhile it may have been started, or taken away, by a request.
		return at and not self.children[at].pid and self:child_ended(at, item.error)
	elseif item.value.what == "stop" then
		self.reason = item.value.reason or self.reason
		return ENDING
	end
	local value, err = requests[item.value.what](self, item.value)
	native.reply(item.value.call, value, err)
end

-- The main function of a supervisor process. Its start is answered when all children run; when one cannot be started nothing
-- of it is left, and the answer says why.
local function run(spec, call)
	local self = setmetatable({
		parent = native.parent(),
		strategy = spec.strategy,
		intensity = spec.intensity,
		period = spec.period,
		note_restart = native.intensity(spec.intensity, spec.period),
		children = spec.children,
		backlog = {},
		reason = "supervisor stopping",
	}, Supervisor)
	process.set_options({ trap_links = true })
	process.events()
	if not process.monitor(self.parent) then
		return
	end
	local failed, err = self:start_all(self.children)
	if failed then
		self:stop_all()
		native.reply(call, nil, errors.wrap(err, string.format("child '%s'", failed.id)))
		return
	end
	native.reply(call, true)
	local ending
	repeat
		ending = self:handle(self:next())
	until ending
	self:stop_all()
	if ending ~= ENDING then
		return nil, ending
	end
end

return { run = run }
