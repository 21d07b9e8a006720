"""Tasks and calls in a person's words."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from proctor.cli.tasks import Call, Phase, Task
from proctor.cli.views.tone import Tone
from proctor.cli.wording import counted, seconds

_PHASES = {
    Phase.QUEUED: Tone.BUSY,
    Phase.RUNNING: Tone.BUSY,
    Phase.INPUT_REQUIRED: Tone.WARN,
    Phase.SUCCEEDED: Tone.GOOD,
    Phase.FAILED: Tone.BAD,
    Phase.CANCELLED: Tone.OFF,
    Phase.INDETERMINATE: Tone.WARN,
}
_STATES = {
    "Started": Tone.BUSY,
    "Waiting": Tone.BUSY,
    "Succeeded": Tone.GOOD,
    "Failed": Tone.BAD,
    "Denied": Tone.BAD,
    "Unknown": Tone.WARN,
}
_NEXT = {
    "Timeout": "it took longer than spec.limits.timeout allows",
    "LimitExceeded": "it needed more than spec.limits allows",
    "BudgetExhausted": "a budget of money is spent: the fault names the policy, or spec.limits of the Agent",
    "PolicyDenied": "the calls show which one was denied, and by which rule",
    "AgentUnavailable": "no pod took it; kubectl proctor explain agent/{agent} says why",
    "AgentError": "the agent's program failed; kubectl proctor logs {agent} --task {task}",
    "Interrupted": "a pod or the gateway went away while it ran",
    "OutcomeUnknown": "a call may or may not have had its effect: look at the calls before you send it again",
    "Suspended": "spec.suspend is true",
}


def tone_of(task: Task) -> Tone:
    """How the task stands."""
    return _PHASES[task.phase]


def tone_of_call(call: Call) -> Tone:
    """How the call ended."""
    return _STATES.get(call.state, Tone.UNKNOWN)


def money(amount: Decimal | None) -> str:
    """An amount, or a dash where a price is not known."""
    return "-" if amount is None else format(amount.normalize(), "f")


def summary(task: Task, now: datetime) -> str:
    """`in 3.2s · 4 calls · 1,234 tokens · cost 0.0012`."""
    usage = task.usage
    calls = usage.steps + usage.tool_calls
    parts = [f"in {seconds(task.seconds(now))}"]
    parts += [counted(calls, "call")] if calls else []
    parts += [counted(usage.tokens, "token")] if usage.tokens else []
    parts += [f"cost {money(usage.cost)}"] if usage.cost else []
    parts += [f"{task.attempts} attempts"] if task.attempts > 1 else []
    return " · ".join(parts)


def advice(task: Task) -> str:
    """What a person may do about the task's fault; empty if nothing is known."""
    reason = task.error.reason if task.error else ""
    place = f"{task.agent.name} -n {task.agent.namespace}"
    return _NEXT.get(reason, "").format(agent=place, task=task.id)
