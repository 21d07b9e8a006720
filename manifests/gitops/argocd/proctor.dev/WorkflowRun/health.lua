-- Health of a WorkflowRun, by its phase.
local status = obj.status or {}
local phase = status.phase or "Queued"
local message = phase
if status.message ~= nil and status.message ~= "" then
  message = phase .. ": " .. status.message
end
local known = {
  Queued = "Progressing",
  Running = "Progressing",
  Compensating = "Progressing",
  WaitingApproval = "Suspended",
  Succeeded = "Healthy",
  Cancelled = "Healthy",
}
return {status = known[phase] or "Degraded", message = message}
