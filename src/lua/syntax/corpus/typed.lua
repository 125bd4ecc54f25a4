-- Annotations as a program uses them.
type ID = string @min_len(1) @max_len(64)
type Status =
    | "pending" -- a literal
    | "active"
    | "done"

type User = {
    id: ID,
    name: string,
    age?: integer @min(0) @max(150),
    tags: {string},
    meta: {[string]: any},
    readonly created: number,
    on_change?: (user: User, field: string) -> (),
    end: number?,
}
type Result<T, E: {message: string}> = {ok: true, value: T} | {ok: false, error: E}
type Visit<T> = fun(item: T, index: integer): (boolean, string?)
type Both = User & {extra: any[]}

local Store = {}
Store.__index = Store

function Store.new<T>(items: {T}?): (typeof(Store), nil)
    local self = setmetatable({items = items or {}, hooks = {} :: {[string]: (T) -> ()}}, Store)
    return self, nil
end

function Store:each(visit: Visit<User>, ...: any): integer
    local count: integer, stop: boolean = 0, false
    for index: integer, user: User in ipairs(self.items as {User}) do
        stop = visit(user, index, ...) as boolean
        if stop :: boolean then goto done end
        count = count + 1
    end
    ::done::
    return count
end

local function find(store: any, id: ID): (User?, error?)
    local found: User? <close> = nil
    for i: integer = 1, #store.items do
        local user = store.items[i] :: any :: User
        if user!.id == id then return user, nil end
    end
    return found, errors and errors.new("not found") or nil
end

local users: {User} = {
    {id = "a", name = "Ada", tags = {} as {string}, meta = {}, created = 1},
    {id = "b", name = "Bob", tags = {}, meta = {}, created = 2},
}
local store = Store.new(users)!
local total: number @min(0) = store:each(function(user: User, index: integer): (boolean, string?)
    return index > 5, user.name
end)
local user = find(store, "b")!
local label: "short" | "long" = (user as User).name
type(user)
local type = type(label)
local compare = total as number < 10 and total :: number > 1
return {total = total, name = label, type = type, compare = compare}
