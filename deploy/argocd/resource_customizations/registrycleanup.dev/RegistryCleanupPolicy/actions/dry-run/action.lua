-- One run that removes nothing, now, whatever the policy's mode.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["registrycleanup.dev/dry-run-requested-at"] = os.date("!%Y-%m-%dT%XZ")
return obj
