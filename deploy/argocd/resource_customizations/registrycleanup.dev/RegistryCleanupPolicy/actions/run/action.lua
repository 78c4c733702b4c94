-- One run in the policy's own mode, now.
local os = require("os")
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  error("the operator has not looked at the latest edit yet, and would refuse the request: try again in a moment")
end
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["registrycleanup.dev/run-requested-at"] = os.date("!%Y-%m-%dT%XZ")
return obj
