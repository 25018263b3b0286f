-- Driven by load.py: the method, the body and the key come from the environment; the figures leave as one JSON line.
wrk.method = os.getenv("LOAD_METHOD")
wrk.body = os.getenv("LOAD_BODY")
wrk.headers["Authorization"] = "Bearer " .. os.getenv("LOAD_KEY")
if wrk.body then wrk.headers["Content-Type"] = "application/json" end

done = function(summary, latency, requests)
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
