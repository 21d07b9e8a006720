"""What error budgets mean for upgrades: the error-budget policy (Google's SRE Workbook, appendix B)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from proctor.api.bounds import BudgetGate
from proctor.api.objectives import Objective, ReleaseState
from proctor.slo.budget import allowed, budget
from proctor.slo.counts import Counts


@dataclass(frozen=True)
class Gate:
    """Whether upgrades go on as usual, in smaller steps, or not at all, and because of which objective."""

    state: ReleaseState = ReleaseState.NORMAL
    objective: str | None = None
    message: str = ""


OPEN = Gate()
_NEVER = Decimal("-Infinity")

_ORDER = (ReleaseState.NORMAL, ReleaseState.SLOW, ReleaseState.FREEZE)


def gate(counted: Iterable[tuple[Objective, Counts]], floor: BudgetGate | None = None) -> Gate:
    """The strictest demand of all objectives, by what the stable revision left of their budgets in their windows.

    What is not known holds up nothing: a new agent would never get its first upgrade. `floor` is what policies demand
    at least, also of an objective that holds up nothing by itself.
    """
    found = [_of(objective, counts, floor) for objective, counts in counted if counts.total >= objective.min_events]
    # The first of those that are equally strict: the same standings always name the same objective.
    return max(found, key=lambda each: _ORDER.index(each.state), default=OPEN)


def _of(objective: Objective, counts: Counts, floor: BudgetGate | None) -> Gate:
    own, left, name = objective.gate, budget(counts, allowed(objective.target)).remaining, objective.name
    demands = [each for each in (own if own.rollout else None, floor) if each is not None]
    freeze = max((each.freeze_below for each in demands), default=_NEVER)
    slow = max((each.slow_below for each in demands), default=_NEVER)
    told = f"{name} has {left * 100:.0f} % of its error budget left"
    if left < freeze:
        return Gate(ReleaseState.FREEZE, name, f"{told}; upgrades are frozen below {freeze * 100:.0f} %")
    if left < slow:
        return Gate(ReleaseState.SLOW, name, f"{told}; upgrades are slowed below {slow * 100:.0f} %")
    return OPEN
