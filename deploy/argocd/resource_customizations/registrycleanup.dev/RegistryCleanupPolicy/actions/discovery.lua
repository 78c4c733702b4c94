-- A suspended policy takes no request to run, but still one to preview.
local suspended = obj.spec.suspend == true
local actions = {}
actions["run"] = {["disabled"] = suspended}
actions["dry-run"] = {["disabled"] = false}
actions["suspend"] = {["disabled"] = suspended}
actions["resume"] = {["disabled"] = not suspended}
return actions
