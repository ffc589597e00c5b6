-- wrk: posts JSON. Usage: wrk -s post.lua URL -- JSON
init = function(args)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.body = args[1]
  req = wrk.format()
end
request = function() return req end
