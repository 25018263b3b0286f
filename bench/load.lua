-- The wrk script of load.py. Its parameters are in the environment; it prints the figures as one JSON line.
--   LOAD_METHOD, LOAD_KEY, LOAD_BODY   the request
--   LOAD_DISTINCT_KEYS                 "yes": each request has a new Idempotency-Key
--   LOAD_PATHS                         a file with one path per line, requested in turn and from the first again
--   LOAD_SEED                          for the keys, and for the first path
local paths_file = os.getenv("LOAD_PATHS")
local PLACEHOLDER = "?"

wrk.method = os.getenv("LOAD_METHOD")
wrk.body = os.getenv("LOAD_BODY")
wrk.headers["Authorization"] = "Bearer " .. os.getenv("LOAD_KEY")
if wrk.body then wrk.headers["Content-Type"] = "application/json" end
math.randomseed(tonumber(os.getenv("LOAD_SEED")))

local function uuid()
  local random = math.random
  return string.format("%08x-%04x-4%03x-%04x-%04x%08x", random(0, 0xffffffff), random(0, 0xffff), random(0, 0xfff),
    random(0x8000, 0xbfff), random(0, 0xffff), random(0, 0xffffffff))
end

-- wrk calls these for each request. The constant parts are formatted once, at the first call.
local head, tail
local function with_distinct_key()
  if not head then
    wrk.headers["Idempotency-Key"] = PLACEHOLDER
    local request = wrk.format()
    local header = "Idempotency-Key: "
    local at = request:find(header .. PLACEHOLDER, 1, true) + #header
    head, tail = request:sub(1, at - 1), request:sub(at + #PLACEHOLDER)
  end
  return head .. uuid() .. tail
end

local requests, nth = {}, 0
local function next_path()
  if nth == 0 then
    for path in io.lines(paths_file) do requests[#requests + 1] = wrk.format(nil, path) end
    nth = math.random(#requests)
  end
  nth = nth % #requests + 1
  return requests[nth]
end

if os.getenv("LOAD_DISTINCT_KEYS") == "yes" then request = with_distinct_key end
if paths_file then request = next_path end

done = function(summary, latency, requests)
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
