-- Requests for wrk: random users and movies of MovieLens 1M. The variable ROWS is the number of rows per request.
local rows = tonumber(os.getenv("ROWS") or "1")

wrk.method = "POST"
wrk.path = "/predict"
wrk.headers["Content-Type"] = "application/json"

function init()
  math.randomseed(1)
end

function request()
  local list = {}
  for i = 1, rows do
    list[i] = string.format('{"user":%d,"movie":%d}', math.random(0, 6039), math.random(0, 3951))
  end
  return wrk.format(nil, nil, nil, '{"rows":[' .. table.concat(list, ",") .. "]}")
end

function done(summary, latency)
  local seconds = summary.duration / 1e6
  local errors = summary.errors
  io.write(string.format("requests/s %.0f, rows/s %.0f, p50 %.2f ms, p99 %.2f ms\n",
    summary.requests / seconds, rows * summary.requests / seconds,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
  io.write(string.format("errors: connect %d, read %d, write %d, status %d, timeout %d\n",
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
