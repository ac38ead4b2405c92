-- Health of a weir.dev Rollout for Argo CD: kstatus conditions, read once the controller has seen the newest spec.
local hs = {status = "Progressing", message = "Waiting for the controller"}
if obj.status == nil or obj.status.conditions == nil then
  return hs
end
if obj.metadata.generation ~= nil and obj.status.observedGeneration ~= obj.metadata.generation then
  hs.message = "Waiting for the controller to see the newest spec"
  return hs
end
local conditions = {}
for _, condition in ipairs(obj.status.conditions) do
  conditions[condition.type] = condition
end
local function holds(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end
if holds("Stalled") then
  hs.status = "Degraded"
  hs.message = conditions["Stalled"].message
  return hs
end
if holds("Reconciling") then
  -- What waits for a person or for a window is not work in progress: Argo CD calls it suspended.
  local annotations = obj.metadata.annotations or {}
  local awaits = obj.status.phase == "Waiting" or conditions["Reconciling"].reason == "AwaitingApproval"
  if awaits or annotations["weir.dev/paused"] ~= nil then
    hs.status = "Suspended"
  else
    hs.status = "Progressing"
  end
  hs.message = conditions["Reconciling"].message
  return hs
end
if holds("Ready") then
  hs.status = "Healthy"
  hs.message = obj.status.message or conditions["Ready"].message
  return hs
end
hs.message = obj.status.message or hs.message
return hs
