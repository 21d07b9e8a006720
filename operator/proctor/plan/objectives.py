"""What an Agent's status says of its objectives: a function of what was measured and of what the status said before.

Of each objective it is only written what is news. Counts move with every task; a status that followed them would be a
write every few seconds for each busy agent, and each write wakes everybody who watches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final

from proctor.api.bounds import BudgetGate
from proctor.api.fields import format_decimal, format_duration
from proctor.api.objectives import Objective, ObjectiveState, ObjectiveStatus, ReleaseGate
from proctor.plan import conditions
from proctor.plan.conditions import Finding
from proctor.plan.indications import Indications, Subject
from proctor.plan.world import Event, Manifest
from proctor.slo.counts import NOTHING, Counts, Measured
from proctor.slo.gate import Gate, gate
from proctor.slo.standing import Standing, judge

STALE_AFTER: Final = timedelta(seconds=60)
"""So long the gateway may be silent, as during its restart, before what was measured is called stale."""

_REFRESH: Final = timedelta(minutes=5)
"""Counts that changed, but nothing that anybody acts on, are written so often."""

_NOT_MISSED: Final = frozenset({ObjectiveState.MET, ObjectiveState.AT_RISK})


@dataclass(frozen=True)
class Reported:
    """The part of a status that tells of objectives."""

    slos: tuple[ObjectiveStatus, ...] = ()
    compliance: str | None = None
    budget: str | None = None
    gate: ReleaseGate | None = None
    findings: tuple[Finding, ...] = ()


def report(subject: Subject, known: Indications, now: datetime, floor: BudgetGate | None = None) -> Reported:
    """What the status should say now. The same facts give the same report, so it may be asked for at any time."""
    if not subject.objectives:
        return Reported()
    before = {each.name: each for each in subject.reported}
    fresh = _usable(subject, known)
    is_stale = known.silent_since is not None and now - known.silent_since >= STALE_AFTER
    slos = tuple(_of(each, subject, before.get(each.name), fresh, is_stale) for each in subject.objectives)
    return Reported(
        slos=slos,
        compliance=f"{sum(each.state in _NOT_MISSED for each in slos)}/{len(slos)}",
        budget=_smallest_budget(slos),
        gate=subject.gate if fresh is None else _told(release_gate(subject, known, floor)),
        findings=(_compliant(slos),),
    )


def _usable(subject: Subject, known: Indications) -> Measured | None:
    """The measurement, if it is one of these objectives and not of those that the spec had before."""
    found = known.measured
    return found if found is not None and found.objectives == subject.objectives else None


def _of(
    objective: Objective,
    subject: Subject,
    before: ObjectiveStatus | None,
    fresh: Measured | None,
    is_stale: bool,
) -> ObjectiveStatus:
    unmeasured = _blank(objective)
    if before is not None and (before.target, before.window) != (unmeasured.target, unmeasured.window):
        before = None
    if is_stale:
        # What was measured stays as it was, with its time: that nobody can look is neither a failure nor a success.
        told = "the gateway cannot be asked; these are the values of the last measurement"
        return (before or unmeasured).model_copy(
            update={"state": ObjectiveState.STALE, "message": told, "alerts_firing": ()}
        )
    if fresh is None:
        return before or unmeasured
    after = _measured(judge_of(objective, fresh), subject.stable, fresh.as_of)
    return after if before is None or _is_news(before, after) else before


def judge_of(objective: Objective, fresh: Measured) -> Standing:
    """How the objective stands by all live tasks."""
    # The newest event is that of all indicators: a task that nobody scored is no sign that scores have stopped.
    has_stopped = fresh.newest is not None and fresh.newest <= fresh.as_of - objective.window
    return _judged(objective, tuple(fresh.counts.get(objective.name, {}).items()), has_stopped)


@lru_cache(maxsize=4096)
def _judged(objective: Objective, windows: tuple[tuple[timedelta, Counts], ...], has_stopped: bool) -> Standing:
    """Remembered, for most agents of a fleet rest most of the time, and are looked at every few seconds."""
    return judge(objective, dict(windows), has_stopped=has_stopped)


def _blank(objective: Objective) -> ObjectiveStatus:
    return ObjectiveStatus(
        name=objective.name,
        state=ObjectiveState.INSUFFICIENT_DATA,
        message="not measured yet",
        target=_share(objective.target / 100),
        window=format_duration(objective.window),
    )


def _measured(standing: Standing, revision: str | None, as_of: datetime) -> ObjectiveStatus:
    counts, some = standing.counts, standing.counts.total > 0
    exhaustion = standing.time_to_exhaustion
    return _blank(standing.objective).model_copy(
        update={
            "state": standing.state,
            "message": standing.message,
            "revision": revision,
            "sli": _rounded(counts.good / counts.total, 4) if some else None,
            "interval": tuple(_rounded(each, 4) for each in standing.interval) if some else (),
            "good": counts.good,
            "total": counts.total,
            "budget_remaining": _rounded(standing.budget.remaining, 2) if some else None,
            "events_left": standing.budget.events_left if some else None,
            "burn_rates": {format_duration(each): _rounded(rate, 2) for each, rate in standing.burn_rates.items()},
            "time_to_exhaustion": format_duration(_whole_minutes(exhaustion)) if exhaustion else None,
            "alerts_firing": tuple(row.id for row in standing.firing),
            "alerts_left_out": tuple(f"{each.row.id}: {each.why}" for each in standing.left_out),
            "evidence": _rounded(standing.evidence, 1) if some else None,
            "as_of": as_of.replace(microsecond=0),
        }
    )


def _is_news(before: ObjectiveStatus, after: ObjectiveStatus) -> bool:
    """Whether somebody would act differently, or the counts are old."""
    if before.model_copy(update={"as_of": after.as_of}) == after:
        return False
    if before.as_of is None or after.as_of is None or after.as_of - before.as_of >= _REFRESH:
        return True
    return _weighty(before) != _weighty(after)


def _weighty(each: ObjectiveStatus) -> tuple[object, ...]:
    sli = round(float(each.sli), 3) if each.sli else None
    return (each.state, sli, each.budget_remaining, each.alerts_firing, each.alerts_left_out, each.revision)


def _told(found: Gate) -> ReleaseGate:
    return ReleaseGate(state=found.state, objective=found.objective, message=found.message or None)


def release_gate(subject: Subject, known: Indications, floor: BudgetGate | None = None, *, is_own: bool = True) -> Gate:
    """What the error budgets mean for upgrades: as measured, or else as last recorded.

    A restart of the operator, or an outage of the gateway, neither lifts a freeze nor makes one. `floor` is what
    policies demand at least, also of objectives that hold up nothing by themselves; `is_own`: whether these count, too.
    """
    if not is_own and floor is None:
        return Gate()
    fresh = _usable(subject, known)
    if fresh is not None:
        objectives = fresh.objectives if is_own else tuple(_open(each) for each in fresh.objectives)
        stable = ((each, fresh.stable.get(each.name, {}).get(each.window, NOTHING)) for each in objectives)
        return gate(stable, floor)
    if not subject.objectives or subject.gate is None:
        return Gate()
    return Gate(subject.gate.state, subject.gate.objective, subject.gate.message or "")


def _open(objective: Objective) -> Objective:
    """The objective with a gate that holds up nothing."""
    return objective.model_copy(update={"gate": objective.gate.model_copy(update={"rollout": False})})


def _compliant(slos: Iterable[ObjectiveStatus]) -> Finding:
    def told(state: ObjectiveState) -> str:
        return "; ".join(f"{each.name}: {each.message}" for each in slos if each.state is state)

    if breached := told(ObjectiveState.BREACHED):
        return conditions.false("SLOCompliant", "Breached", breached)
    if stale := told(ObjectiveState.STALE):
        return conditions.unknown("SLOCompliant", "Stale", stale)
    if unknown := told(ObjectiveState.INSUFFICIENT_DATA):
        return conditions.unknown("SLOCompliant", "InsufficientData", unknown)
    if at_risk := told(ObjectiveState.AT_RISK):
        return conditions.true("SLOCompliant", "AtRisk", at_risk)
    return conditions.true("SLOCompliant", "Met", "")


def _smallest_budget(slos: Iterable[ObjectiveStatus]) -> str | None:
    known = [Decimal(each.budget_remaining) for each in slos if each.budget_remaining is not None]
    return f"{min(known) * 100:.0f}%" if known else None


_TELLS: Final = {ObjectiveState.AT_RISK: "SLOAtRisk", ObjectiveState.BREACHED: "SLOBreached"}


def turns(before: Iterable[ObjectiveStatus], after: Iterable[Manifest]) -> Iterator[Event]:
    """An Event for each objective that became at risk, was breached, or recovered from that."""
    states = {each.name: each.state for each in before}
    for each in map(ObjectiveStatus.model_validate, after):
        was = states.get(each.name)
        if was == each.state:
            continue
        if each.state in _TELLS:
            yield Event(_TELLS[each.state], f"{each.name}: {each.message}", "Warning")
        elif each.state is ObjectiveState.MET and was in _TELLS:
            yield Event("SLORecovered", f"{each.name}: {each.message}")


def _share(value: Decimal) -> str:
    return format_decimal(value.normalize())


def _rounded(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text in {"", "-0"} else text


def _whole_minutes(duration: timedelta) -> timedelta:
    return max(duration - duration % timedelta(minutes=1), timedelta(minutes=1))
