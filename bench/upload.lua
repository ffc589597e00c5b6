-- wrk: posts a form with one file of pseudorandom bytes. Usage: wrk -s upload.lua URL -- BYTES
init = function(args)
  local block = {}
  for i = 1, 65536 do block[i] = string.char(math.random(0, 255)) end
  local bytes = tonumber(args[1])
  local file = string.rep(table.concat(block), math.ceil(bytes / 65536)):sub(1, bytes)
  local boundary = "----weft-bench-7d91c5e2a4f8"
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "multipart/form-data; boundary=" .. boundary
  wrk.body = "--" .. boundary .. '\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n' ..
    "Content-Type: application/octet-stream\r\n\r\n" .. file .. "\r\n--" .. boundary .. "--\r\n"
  req = wrk.format()
end
request = function() return req end
