-- One run in the policy's own mode, now.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["registrycleanup.dev/run-requested-at"] = os.date("!%Y-%m-%dT%XZ")
return obj
