-- Health of an Approval: while people are asked, it waits for them.
local status = obj.status or {}
local phase = status.phase or "Pending"
local said = status.message or ""
if phase == "Pending" then
  return {status = "Suspended", message = "people are asked: " .. (obj.spec.question or "")}
end
if phase == "Decided" then
  return {status = "Healthy", message = "decided: " .. (status.decision or "")}
end
if phase == "Withdrawn" then
  return {status = "Healthy", message = "the question was withdrawn"}
end
return {status = "Degraded", message = phase .. ": nobody answered in time" .. (said ~= "" and "; " .. said or "")}
