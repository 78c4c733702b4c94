-- A request to run is for the policy as the operator knows it: not while an edit has yet to be looked at, the policy is
-- stalled or suspended. A preview may be asked for at any time.
local suspended = obj.spec.suspend == true
local current = obj.status ~= nil and obj.status.observedGeneration == obj.metadata.generation
local stalled = false
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    if condition.type == "Stalled" and condition.status == "True" then
      stalled = true
    end
  end
end
local actions = {}
actions["run"] = {["disabled"] = suspended or stalled or not current}
actions["dry-run"] = {["disabled"] = false}
actions["suspend"] = {["disabled"] = suspended}
actions["resume"] = {["disabled"] = not suspended}
return actions
