"""How an agent's objectives stand, as its status tells it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from proctor.api.agent import Agent
from proctor.api.objectives import ObjectiveState, ObjectiveStatus
from proctor.cli.views.tone import Tone

_TONES = {
    ObjectiveState.MET: Tone.GOOD,
    ObjectiveState.AT_RISK: Tone.WARN,
    ObjectiveState.BREACHED: Tone.BAD,
    ObjectiveState.INSUFFICIENT_DATA: Tone.UNKNOWN,
    ObjectiveState.STALE: Tone.UNKNOWN,
}


@dataclass(frozen=True)
class ObjectiveView:
    """One objective."""

    name: str
    state: str
    tone: Tone
    good: str
    """The share of good events; `-` while there are none."""
    target: str
    window: str
    budget: str
    """The share of the error budget that is left."""
    events_left: int | None
    as_of: datetime | None
    message: str


def objectives(agent: Agent) -> tuple[ObjectiveView, ...]:
    """All of them, in the order of the spec."""
    return tuple(_view(each) for each in agent.status.slos)


def release_gate(agent: Agent) -> str:
    """What the error budgets mean for upgrades; empty if nothing."""
    gate = agent.status.release_gate
    if gate is None or not gate.message:
        return ""
    until = f" until {gate.override_until:%Y-%m-%d %H:%M} UTC" if gate.override_until else ""
    overridden = f"; overridden by Approval {gate.override}{until}" if gate.override else ""
    return f"upgrades: {gate.state}; {gate.message}{overridden}"


def frozen(agent: Agent) -> str:
    """Why an upgrade waits or does not go on, if a policy or a budget holds it; empty if nothing does."""
    found = agent.status.condition("Reconciling")
    return found.message if found is not None and found.reason == "UpgradesFrozen" else ""


def _view(each: ObjectiveStatus) -> ObjectiveView:
    return ObjectiveView(
        name=each.name,
        state=each.state.value,
        tone=_TONES[each.state],
        good=_percent(each.sli),
        target=_percent(each.target),
        window=each.window,
        budget=_percent(each.budget_remaining),
        events_left=each.events_left,
        as_of=each.as_of,
        message=each.message or "",
    )


def _percent(share: str | None) -> str:
    return "-" if share is None else f"{float(share) * 100:.2f}".rstrip("0").rstrip(".") + "%"
