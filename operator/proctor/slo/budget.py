"""The arithmetic of error budgets (Google's SRE Workbook, chapters 2 and 5)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from math import floor

from proctor.slo.counts import Counts


def allowed(target: Decimal) -> Decimal:
    """The share of events that may be bad, for a target in percent."""
    return 1 - target / 100


@dataclass(frozen=True)
class Budget:
    """What is left of the bad events that are allowed."""

    remaining: float
    """As a share of the budget: 1 with no bad event, 0 when it is spent, below 0 when it is overspent."""
    events_left: int
    """How many more bad events are allowed; below 0 when there were too many."""


def budget(counts: Counts, share: Decimal) -> Budget:
    """The budget of a window in which that share may be bad. Without events nothing is spent."""
    total = share * counts.total
    if not total:
        return Budget(1.0, 0)
    # Decimals: in binary, a hundred times a hundredth is not quite one event.
    return Budget(float(1 - counts.bad / total), floor(total - counts.bad))


def burn_rate(counts: Counts, share: Decimal) -> float | None:
    """How many times faster than allowed the budget was spent; None without events."""
    return float(Decimal(counts.bad) / counts.total / share) if counts.total else None


def time_to_exhaustion(remaining: float, window: timedelta, burn: float | None) -> timedelta | None:
    """When the budget is spent if it goes on burning like this; None if it does not burn, or is spent already."""
    if not burn or remaining <= 0:
        return None
    return min(remaining / burn, 1.0) * window
