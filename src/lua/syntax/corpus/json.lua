-- A JSON reader and writer.
local json = {}

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }
local unescapes = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }

local Reader = {}
Reader.__index = Reader

function Reader.new(text) return setmetatable({ text = text, at = 1 }, Reader) end

function Reader:fail(message)
  local line, column = 1, 1
  for i = 1, self.at - 1 do
    if self.text:byte(i) == 10 then line, column = line + 1, 1 else column = column + 1 end
  end
  error(("%d:%d: %s"):format(line, column, message), 0)
end

function Reader:space() self.at = self.text:match("^[ \t\r\n]*()", self.at) end

function Reader:take(pattern)
  local found, after = self.text:match("^(" .. pattern .. ")()", self.at)
  if found then self.at = after end
  return found
end

function Reader:string()
  local parts = {}
  while true do
    local plain = self:take('[^"\\%c]*')
    parts[#parts + 1] = plain
    if self:take '"' then return table.concat(parts) end
    if not self:take("\\") then self:fail "unfinished string" end
    local char = self:take '["\\/bfnrt]'
    if char then parts[#parts + 1] = unescapes[char] goto continue end
    do
      local hex = self:take("u%x%x%x%x")
      if not hex then self:fail("invalid escape") end
      local code = tonumber(hex:sub(2), 16)
      if code >= 0xD800 and code < 0xDC00 then
        local low = self:take("\\u[dD][c-fC-F]%x%x")
        if low then code = 0x10000 + ((code - 0xD800) << 10 | (tonumber(low:sub(3), 16) - 0xDC00)) end
      end
      parts[#parts + 1] = utf8.char(code)
    end
    ::continue::
  end
end

function Reader:value(depth)
  if depth > 100 then self:fail("nested too deeply") end
  self:space()
  local sign = self:take '[%[{"]'
  if sign == '"' then return self:string()
  elseif sign == "[" then return self:array(depth)
  elseif sign == "{" then return self:object(depth) end
  for word, value in pairs { ["true"] = true, ["false"] = false } do
    if self:take(word) then return value end
  end
  if self:take("null") then return nil end
  local number = self:take("-?%d+%.?%d*[eE]?[+-]?%d*")
  return number and (math.tointeger(number) or tonumber(number)) or self:fail("value expected")
end

function Reader:array(depth)
  local result, n = {}, 0
  self:space()
  if self:take("%]") then return result end
  repeat
    n = n + 1
    result[n] = self:value(depth + 1)
    self:space()
  until not self:take(",")
  if not self:take("%]") then self:fail("']' expected") end
  return result
end

function Reader:object(depth)
  local result = {}
  self:space()
  if self:take("}") then return result end
  repeat
    self:space()
    if not self:take('"') then self:fail("key expected") end
    local key = self:string()
    self:space()
    if not self:take(":") then self:fail("':' expected") end
    result[key] = self:value(depth + 1)
    self:space()
  until not self:take(",")
  if not self:take("}") then self:fail("'}' expected") end
  return result
end

function json.decode(text)
  local reader = Reader.new(text)
  local ok, value = pcall(reader.value, reader, 1)
  if not ok then return nil, value end
  reader:space()
  if reader.at <= #text then return nil, "text behind the value" end
  return value
end

local write = {}

function write.string(out, value)
  out[#out + 1] = '"' .. value:gsub('[%c"\\]', function(c)
    return escapes[c] or ("\\u%04x"):format(c:byte())
  end) .. '"'
end

function write.number(out, value)
  if value ~= value or value == math.huge or value == -math.huge then error("not a JSON number") end
  out[#out + 1] = math.type(value) == "integer" and ("%d"):format(value) or ("%.17g"):format(value)
end

function write.boolean(out, value) out[#out + 1] = tostring(value) end
write["nil"] = function(out) out[#out + 1] = "null" end

function write.table(out, value, seen)
  if seen[value] then error("cycle") end
  seen[value] = true
  local is_array = #value > 0 or next(value) == nil
  out[#out + 1] = is_array and "[" or "{"
  if is_array then
    for i, item in ipairs(value) do
      if i > 1 then out[#out + 1] = "," end
      write[type(item)](out, item, seen)
    end
  else
    local keys = {}
    for key in pairs(value) do keys[#keys + 1] = key end
    table.sort(keys, function(x, y) return tostring(x) < tostring(y) end)
    for i, key in ipairs(keys) do
      if i > 1 then out[#out + 1] = "," end
      write.string(out, tostring(key))
      out[#out + 1] = ":"
      write[type(value[key])](out, value[key], seen)
    end
  end
  out[#out + 1] = is_array and "]" or "}"
  seen[value] = nil
end

function json.encode(value)
  local out = {}
  local writer = write[type(value)] or function() error("cannot encode a " .. type(value)) end
  writer(out, value, {})
  return table.concat(out)
end

assert(json.decode('{"a": [1, 2.5, "x\\u0041", {"b": null}]}').a[3] == "xA")
assert(json.encode { 1, 2, { a = "b" } } == '[1,2,{"a":"b"}]')
return json
