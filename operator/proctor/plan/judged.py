"""What the status says of the evidence of an upgrade: figures as texts, and one short text for `kubectl get`."""

from __future__ import annotations

from datetime import datetime
from math import ceil, exp

from proctor.api.progress import Arm, MetricVerdict, Test, Verdict
from proctor.delivery import evidence
from proctor.delivery.evidence import Figures, MetricFigures
from proctor.delivery.evidence.capital import Tally
from proctor.delivery.facts import Wanted
from proctor.delivery.phases import Collecting, Held, Place, Rollout

_MOST = 13.8
"""A million, as a logarithm: nobody needs more digits."""


def verdict_status(
    rollout: Rollout, verdict: evidence.Verdict, wanted: Wanted, before: Verdict | None, now: datetime
) -> Verdict:
    """The verdict in the words of the status. What has not changed keeps its time: else each look would be a write."""
    figures = verdict.figures
    told = Verdict(
        state=_state(verdict),
        text=_text(rollout, verdict, wanted),
        tasks=figures.candidate_tasks + figures.stable_tasks,
        harm=Test(e=as_e(figures.log_harm_peak), threshold=_number(1 / figures.alpha)),
        non_inferior=_non_inferior(figures),
        metrics=tuple(_metric(each, verdict) for each in figures.metrics),
    )
    if before is not None and before.model_copy(update={"as_of": None}) == told:
        return before
    return told.model_copy(update={"as_of": now})


def _state(verdict: evidence.Verdict) -> str:
    match verdict:
        case evidence.Promote(reason="Inconclusive") | evidence.Rollback(reason="Inconclusive"):
            return "Inconclusive"
        case evidence.Promote():
            return "NotWorse"
        case evidence.Rollback():
            return "Harmful"
        case evidence.Collecting(then=then):
            return "Inconclusive" if then else "Undecided"


def _text(rollout: Rollout, verdict: evidence.Verdict, wanted: Wanted) -> str:
    if isinstance(verdict, evidence.Rollback):
        return f"{verdict.reason}: {verdict.metric}" if verdict.metric else verdict.reason
    if isinstance(verdict, evidence.Collecting) and verdict.reason == "EvidenceUnavailable":
        return "Unavailable"
    if not isinstance(rollout, Collecting | Held):
        return _state(verdict)
    seen, needed = _progress(rollout.place, verdict, wanted)
    if isinstance(rollout, Held):
        return f"{rollout.reason} {seen}"
    if isinstance(verdict, evidence.Promote) and (needed is None or seen >= needed):
        return f"NotWorse {seen}"
    return f"Collecting {seen}/{needed if needed is not None else '?'}"


def _progress(place: Place, verdict: evidence.Verdict, wanted: Wanted) -> tuple[int, int | None]:
    """Tasks of the candidate at this step, and how many it is expected to take."""
    step = wanted.steps[place.step] if place.step < len(wanted.steps) else None
    least = step.until.min_tasks if step and step.until else 20
    seen = verdict.figures.candidate_tasks - place.offset
    if isinstance(verdict, evidence.Collecting) and wanted.is_last_weight(place.step):
        return seen, None if verdict.expected is None else max(least, verdict.expected - place.offset)
    to_go = verdict.figures.step_tasks_to_go
    return seen, None if to_go is None else max(least, seen + ceil(to_go * verdict.figures.propensity) if to_go else 0)


def _non_inferior(figures: Figures) -> Test | None:
    gating = [each for each in figures.metrics if each.gate]
    if not gating:
        return None
    farthest = min(gating, key=lambda each: each.log_noninferior)
    e, threshold = as_e(farthest.log_noninferior), _number(1 / figures.beta)
    return Test(e=e, threshold=threshold, eta_tasks=figures.tasks_to_go)


def _metric(one: MetricFigures, verdict: evidence.Verdict) -> MetricVerdict:
    state = "NotWorse" if one.is_noninferior else "Undecided"
    is_worst = isinstance(verdict, evidence.Rollback) and verdict.metric == one.name
    return MetricVerdict(
        name=one.name,
        state="Harmful" if is_worst else state,
        candidate=_arm(one.candidate),
        stable=_arm(one.stable),
        e=as_e(one.log_harm),
        promotion=as_e(one.log_noninferior),
        margin=_number(one.margin),
    )


def _arm(tally: Tally) -> Arm:
    return Arm(bad=_number(tally.bad), tasks=tally.n)


def as_e(log_evidence: float) -> str:
    """Evidence that is kept as a logarithm, as a text."""
    return ">1000000" if log_evidence > _MOST else _number(exp(log_evidence))


def _number(value: float) -> str:
    return f"{value:.3g}"
