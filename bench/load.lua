-- The load: removals of random users from random organizations, by callers whose tokens are picked at random from the
-- first TOKENS of a file (or one after the other), or read one by one from a file of any length. wrk's arguments behind
-- `--`: guids file, organizations, tokens file, tokens, order (random, sequential, stream), users (0: always another), seed.
-- With `stream` TOKENS is where in the file to begin. Prints one line of JSON at the end. Requests are joined from ready-made parts: the generator must not be what is slow.

local function read(path, count)
  local lines = {}
  for line in io.lines(path) do
    if #lines == count then break end
    lines[#lines + 1] = line
  end
  if #lines < count then error(path .. " has fewer than " .. count .. " lines") end
  return lines
end

local random, format = math.random, string.format
local guids, tokens, order, users, stream
local position = 0

local function toUser()
  if users > 0 then return format("%08x-0000-4000-8000-000000000001", random(users)) end
  return format("%08x-%04x-4%03x-8%03x-%08x0001", random(0, 0x7fffffff), random(0, 0xffff), random(0, 0xfff),
    random(0, 0xfff), random(0, 0x7fffffff))
end

local function nextToken()
  if order == "random" then return tokens[random(#tokens)] end
  if order == "stream" then
    local line = stream:read("*l")
    if not line then error("no tokens are left") end
    return line
  end
  position = position % #tokens + 1
  return tokens[position]
end

function init(args)
  math.randomseed(tonumber(args[7]))
  guids = read(args[1], tonumber(args[2]))
  order = args[5]
  users = tonumber(args[6])
  if order == "stream" then
    stream = io.open(args[3])
    stream:seek("set", tonumber(args[4]))
  else
    tokens = read(args[3], tonumber(args[4]))
  end
end

function request()
  return "DELETE /v2/organizations/" .. guids[random(#guids)] .. "/users/" .. toUser()
    .. " HTTP/1.1\r\nHost: api.example.org\r\nUser-Agent: Go-http-client/1.1\r\nAuthorization: bearer " .. nextToken() .. "\r\n\r\n"
end

function done(summary, latency)
  local errors = summary.errors
  io.write(format(
    '{"requests":%d,"durationMicros":%d,"lost":%d,"refused":%d,"p50Micros":%d,"p99Micros":%d}\n',
    summary.requests, summary.duration, errors.connect + errors.read + errors.write + errors.timeout, errors.status,
    latency:percentile(50), latency:percentile(99)))
end
