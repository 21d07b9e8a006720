-- Health of a Connector, a Policy, a ClusterPolicy or a Workflow: its conditions follow kstatus.
local function condition(type_)
  if obj.status ~= nil and obj.status.conditions ~= nil then
    for _, each in ipairs(obj.status.conditions) do
      if each.type == type_ then
        return each
      end
    end
  end
  return {status = "Unknown", reason = "", message = ""}
end

local function health(status, found)
  local message = found.message
  if message == nil or message == "" then
    message = found.reason
  end
  return {status = status, message = message}
end

if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "the operator has not looked at this spec yet"}
end
if obj.spec ~= nil and obj.spec.suspend == true then
  return {status = "Suspended", message = "spec.suspend is true"}
end
if condition("Stalled").status == "True" then
  return health("Degraded", condition("Stalled"))
end
if condition("Reconciling").status == "True" then
  return health("Progressing", condition("Reconciling"))
end
if condition("Ready").status == "True" then
  return health("Healthy", condition("Ready"))
end
if condition("Ready").status == "False" then
  return health("Degraded", condition("Ready"))
end
return health("Progressing", condition("Ready"))
