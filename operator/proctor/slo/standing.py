"""How an objective stands, from what was counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from math import exp

from proctor.api.fields import format_decimal, format_duration
from proctor.api.objectives import Objective, ObjectiveState
from proctor.evidence.breach import one_sample
from proctor.slo.budget import Budget, allowed, budget, burn_rate, time_to_exhaustion
from proctor.slo.counts import NOTHING, Counts, Windows
from proctor.slo.interval import interval
from proctor.slo.paging import SURE, LeftOut, Row, firing, rows

_REPORTED = (timedelta(minutes=5), timedelta(hours=1), timedelta(hours=6), timedelta(days=3))
_PRESENT = timedelta(hours=1)
"""The window whose rate says when the budget will be spent."""
_MOST_EVIDENCE = 14.0


@dataclass(frozen=True)
class Standing:
    """How an objective stands."""

    objective: Objective
    state: ObjectiveState
    message: str
    counts: Counts
    budget: Budget
    interval: tuple[float, float]
    burn_rates: Mapping[timedelta, float]
    """How much faster than allowed the budget was spent, by window; a window without events is not in it."""
    time_to_exhaustion: timedelta | None
    firing: tuple[Row, ...]
    left_out: tuple[LeftOut, ...]
    evidence: float
    """The e-value against "the share of bad events is as allowed", up to a million."""


def windows_of(objectives: Iterable[Objective]) -> tuple[timedelta, ...]:
    """Every window whose counts are needed to judge the objectives, shortest first."""
    wanted = set[timedelta]()
    for each in objectives:
        wanted |= {each.window, *_reported(each)}
        wanted |= {side for row in rows(each) if isinstance(row, Row) for side in (row.long, row.short)}
    return tuple(sorted(wanted))


def _reported(objective: Objective) -> tuple[timedelta, ...]:
    return tuple(each for each in _REPORTED if each <= objective.window)


def judge(objective: Objective, windows: Windows, *, has_stopped: bool = False) -> Standing:
    """How the objective stands. `has_stopped`: there were events once, but none within the window."""
    share = allowed(objective.target)
    counts = windows.get(objective.window, NOTHING)
    left = budget(counts, share)
    burns = {each: burn_rate(windows.get(each, NOTHING), share) for each in _reported(objective)}
    true = firing(objective, windows)
    log_e = one_sample(counts.bad, counts.total, float(share))
    state, message = _state(objective, counts, left, true, log_e, has_stopped=has_stopped)
    return Standing(
        objective=objective,
        state=state,
        message=message,
        counts=counts,
        budget=left,
        interval=interval(counts),
        burn_rates={each: burn for each, burn in burns.items() if burn is not None},
        time_to_exhaustion=time_to_exhaustion(left.remaining, objective.window, burns.get(_PRESENT)),
        firing=true,
        left_out=tuple(each for each in rows(objective) if isinstance(each, LeftOut)),
        evidence=exp(min(log_e, _MOST_EVIDENCE)),
    )


def _state(
    objective: Objective, counts: Counts, left: Budget, true: tuple[Row, ...], log_e: float, *, has_stopped: bool
) -> tuple[ObjectiveState, str]:
    seen = f"{counts.bad} bad of {counts.total} in {format_duration(objective.window)}"
    wanted = f"{format_decimal(objective.target)} % are to be good"
    if has_stopped and not counts.total:
        return ObjectiveState.STALE, f"no event for {format_duration(objective.window)}, though there were some before"
    if counts.total < objective.min_events:
        return ObjectiveState.INSUFFICIENT_DATA, f"{seen}; judged from {objective.min_events} events on"
    if left.remaining <= 0:
        if log_e >= SURE:
            return ObjectiveState.BREACHED, f"{seen}; {wanted}"
        # Not a breach: so few events may well be bad luck, and who is paged by luck stops looking.
        return ObjectiveState.AT_RISK, f"budget spent, {seen}; evidence {exp(log_e):.1f} of 20, so it may be chance"
    if true or left.remaining < objective.gate.slow_below:
        fast = f", and it is being spent too fast: {', '.join(row.id for row in true)}" if true else ""
        return ObjectiveState.AT_RISK, f"{seen}; {left.remaining * 100:.0f} % of the budget is left{fast}"
    return ObjectiveState.MET, f"{seen}; {wanted}"
