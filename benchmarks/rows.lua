-- wrk: POST the lines of a file to a path in turn.  wrk -s rows.lua URL -- FILE PATH
local requests, count, at = {}, 0, 0
function init(args)
  for line in io.lines(args[1]) do
    count = count + 1
    requests[count] = wrk.format("POST", args[2], {["content-type"] = "application/json"}, line)
  end
end
function request()
  at = at % count + 1
  return requests[at]
end
