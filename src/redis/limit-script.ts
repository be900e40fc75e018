/**
 * `spend` of `policy/rate-limit.ts`, where many processes share one number: a single step on the server, by the server's
 * clock. test/property/rate-limit.test.ts shows the two equal.
 *
 * KEYS: for each unit to be taken, the key that holds the moment its quota is whole again. ARGV: for each, or once for
 * all, microseconds for one unit and microseconds for all of them. Answers three numbers for each: 1 or 0, microseconds
 * until the quota is whole, microseconds since the epoch.
 */
export const LIMIT_SCRIPT = `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function keep(key, fullAt)
  -- Whole digits, however Lua would print such a number. The second on top lets the key outlive its meaning: expiry counts in whole milliseconds.
  local ttl = math.ceil((fullAt - now) / 1000) + 1000
  return redis.call('SET', key, string.format('%.0f', fullAt), 'PX', ttl)
end

local function take(key, unit, window)
  local kept = redis.pcall('GET', key)
  if type(kept) == 'table' then
    -- A key of another type is not ours, and SET replaces it; any other error is the answer.
    if string.find(kept.err, 'WRONGTYPE', 1, true) ~= 1 then error(kept.err) end
    kept = false
  end
  local fullAt = tonumber(kept) or now
  -- Written so that NaN, which tonumber takes from a foreign value, falls here too.
  if not (fullAt > now) then fullAt = now end

  local latest = now + window
  if fullAt > latest then
    -- The quota was lowered, the clock set back or the value is foreign. Kept, so that it is true from now on.
    keep(key, latest)
    return 0, window
  end
  local spent = fullAt + unit
  if spent > latest then return 0, fullAt - now end
  keep(key, spent)
  return 1, spent - now
end

local decisions = {}
for index, key in ipairs(KEYS) do
  local at = #ARGV == 2 and 1 or 2 * index - 1
  local allowed, full = take(key, tonumber(ARGV[at]), tonumber(ARGV[at + 1]))
  decisions[3 * index - 2], decisions[3 * index - 1], decisions[3 * index] = allowed, full, now
end
return decisions
`;
