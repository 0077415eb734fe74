-- What wrk sends: each connection reserves, and what was reserved is committed by the next request there is.
-- Arguments: what idempotency keys begin with, then an API key for each tenant, tenant-0 first.
local prefix, keys = "", {}
local ready, first, last = {}, 1, 0
local count, turn = 0, 0
local refused = ""

function init(args)
  prefix = args[1]
  for i = 2, #args do keys[#keys + 1] = args[i] end
end

local function post(tenant, path, body)
  return wrk.format("POST", path, {
    ["Host"] = "127.0.0.1", ["Content-Type"] = "application/json", ["X-Cycles-API-Key"] = keys[tenant]
  }, body)
end

function request()
  count = count + 1
  local key = prefix .. "-" .. count
  if first <= last then
    local one = ready[first]
    ready[first] = nil
    first = first + 1
    return post(one.tenant, "/v1/reservations/" .. one.id .. "/commit",
      '{"idempotency_key":"' .. key .. '","actual":{"unit":"TOKENS","amount":420}}')
  end
  turn = turn % #keys + 1
  return post(turn, "/v1/reservations",
    '{"idempotency_key":"' .. key .. '","subject":{"tenant":"tenant-' .. (turn - 1) .. '"},' ..
    '"action":{"kind":"llm.completion","name":"gpt-4o"},"estimate":{"unit":"TOKENS","amount":1000}}')
end

function response(status, headers, body)
  if status ~= 200 then
    if refused == "" then
      refused = body
      io.stderr:write(status .. " " .. body .. "\n")
    end
    return
  end
  local id = body:match('"reservation_id":"([^"]+)"')
  if id ~= nil then
    last = last + 1
    ready[last] = { id = id, tenant = tonumber(body:match('tenant:tenant%-(%d+)')) + 1 }
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"us":%d,"p50Us":%d,"p99Us":%d,"errors":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
