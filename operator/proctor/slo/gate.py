"""What error budgets mean for upgrades: the error-budget policy (Google's SRE Workbook, appendix B)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from proctor.api.objectives import ObjectiveState, ReleaseState
from proctor.slo.standing import Standing

_UNKNOWN = frozenset({ObjectiveState.INSUFFICIENT_DATA, ObjectiveState.STALE})


@dataclass(frozen=True)
class Gate:
    """Whether upgrades go on as usual, in smaller steps, or not at all, and because of which objective."""

    state: ReleaseState = ReleaseState.NORMAL
    objective: str | None = None
    message: str = ""


OPEN = Gate()

_ORDER = (ReleaseState.NORMAL, ReleaseState.SLOW, ReleaseState.FREEZE)


def gate(standings: Iterable[Standing]) -> Gate:
    """The strictest demand of all objectives, by the budget that the stable revision left of them.

    What is not known holds up nothing: a new agent would never get its first upgrade.
    """
    found = [_of(each) for each in standings if each.objective.gate.rollout and each.state not in _UNKNOWN]
    # The first of those that are equally strict: the same standings always name the same objective.
    return max(found, key=lambda each: _ORDER.index(each.state), default=OPEN)


def _of(standing: Standing) -> Gate:
    policy, left = standing.objective.gate, standing.budget.remaining
    name = standing.objective.name
    told = f"{name} has {left * 100:.0f} % of its error budget left"
    if left < policy.freeze_below:
        return Gate(ReleaseState.FREEZE, name, f"{told}; upgrades are frozen below {policy.freeze_below * 100:.0f} %")
    if left < policy.slow_below:
        return Gate(ReleaseState.SLOW, name, f"{told}; upgrades are slowed below {policy.slow_below * 100:.0f} %")
    return OPEN
