-- Health of a RegistryCleanupPolicy: the conditions Ready, Reconciling and Stalled as kstatus reads them, and whether the
-- last run succeeded.
local hs = {}
if obj.spec ~= nil and obj.spec.suspend == true then
  hs.status = "Suspended"
  hs.message = "Policy is suspended"
  return hs
end
if obj.status == nil or obj.status.conditions == nil
    or obj.status.observedGeneration ~= obj.metadata.generation then
  hs.status = "Progressing"
  hs.message = "Waiting for the operator to observe the latest generation"
  return hs
end
local c = {}
for _, condition in ipairs(obj.status.conditions) do
  c[condition.type] = condition
end
if c.Stalled ~= nil and c.Stalled.status == "True" then
  hs.status = "Degraded"
  hs.message = c.Stalled.reason .. ": " .. c.Stalled.message
  return hs
end
if c.Reconciling ~= nil and c.Reconciling.status == "True" and c.Reconciling.reason ~= "ProgressingWithRetry" then
  hs.status = "Progressing"
  hs.message = c.Reconciling.message
  return hs
end
if c.Ready ~= nil and c.Ready.status == "False" then
  hs.status = "Degraded"
  hs.message = c.Ready.reason .. ": " .. c.Ready.message
  return hs
end
if c.LastRunSucceeded ~= nil and c.LastRunSucceeded.status == "False" then
  hs.status = "Degraded"
  hs.message = c.LastRunSucceeded.reason .. ": " .. c.LastRunSucceeded.message
  return hs
end
if c.Ready ~= nil and c.Ready.status == "True" then
  hs.status = "Healthy"
  hs.message = c.Ready.message
  return hs
end
hs.status = "Progressing"
hs.message = "Waiting for the first reconciliation"
return hs
