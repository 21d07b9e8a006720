"""Live tasks as evidence: what each counts as by the agent's objectives, and how the sum of it is kept.

The metrics are fixed when the comparison begins and kept with the evidence: an objective that is edited meanwhile
changes nothing for a candidate that is being compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from proctor.api import names
from proctor.api.agent import Agent, AgentSpec
from proctor.api.cel import ExpressionError, Language, Type
from proctor.api.fields import parse_duration
from proctor.api.objectives import Indicator, IndicatorType
from proctor.delivery.evidence import Capital, Kind, Metric, Observation, fold, record, retried
from proctor.delivery.phases import Upgrade
from proctor.plan.children import owned_by
from proctor.plan.said import OutcomeItem, Outcomes
from proctor.plan.world import Manifest

SUCCESS = "success"
"""The metric that is compared where the spec names none."""
_MARGIN = Decimal("0.10")
_CANDIDATE = "Candidate"
_DENIED = {"PolicyDenied"}
_CANCELLED = "Cancelled"
_TASK = Language(task=Type.OBJECT)


@dataclass(frozen=True)
class Measure:
    """One metric of the comparison, with the indicator by which it judges a task."""

    name: str
    margin: Decimal
    indicator: Indicator
    step_margin: Decimal | None = None

    @property
    def metric(self) -> Metric:
        """As the statistics know it."""
        kind = Kind.SCORE if self.indicator.type is IndicatorType.TOOL_SUCCESS else Kind.BINARY
        lesser = None if self.step_margin is None else float(self.step_margin)
        return Metric(self.name, float(self.margin), kind, step_margin=lesser)


@dataclass(frozen=True)
class Ledger:
    """The evidence of one revision, as it is kept."""

    upgrade: str
    """The id of the upgrade that it was last added to by."""
    measures: tuple[Measure, ...]
    capital: Capital


def measures_of(spec: AgentSpec) -> tuple[Measure, ...]:
    """What is compared: the objectives that the analysis names, or else the share of successes."""
    by_name = {each.name: each.indicator for each in spec.slos}
    named = (each for each in spec.rollout.analysis.metrics if each.name in by_name)
    lesser = spec.rollout.analysis.step_margin
    found = tuple(Measure(each.name, each.margin, by_name[each.name], lesser) for each in named)
    return found or (Measure(SUCCESS, _MARGIN, Indicator(type=IndicatorType.TASK_SUCCESS), lesser),)


def ledger_of(kept: Manifest | None, upgrade: Upgrade, spec: AgentSpec) -> Ledger:
    """The evidence with which the upgrade goes on.

    Evidence of the same candidate against the same stable revision is continued, whatever came between: a retry that
    began with nothing would get a bad candidate through in the end. Raises UnreadableError for what cannot be read.
    """
    data = (kept or {}).get("data", {})
    if data.get("stable") != upgrade.stable:
        measures = measures_of(spec)
        return Ledger(upgrade.id, measures, Capital.begin(each.metric for each in measures))
    measures = tuple(_measure(each) for each in json.loads(data["measures"]))
    capital = record.load(data["capital"])
    if data.get("upgrade") != upgrade.id:
        capital = retried(capital, float(spec.rollout.analysis.alpha))
    return Ledger(upgrade.id, measures, capital)


def added(ledger: Ledger, outcomes: Outcomes, spec: AgentSpec) -> Ledger:
    """With the tasks that the gateway told of."""
    seen = observations(outcomes.items, ledger.measures, spec)
    return Ledger(ledger.upgrade, ledger.measures, fold(ledger.capital, seen, outcomes.as_of))


def observations(items: Iterable[OutcomeItem], measures: tuple[Measure, ...], spec: AgentSpec) -> list[Observation]:
    """The tasks for whose revision lots were drawn."""
    return [
        _observation(each, measures, spec) for each in items if each.arm is not None and each.propensity is not None
    ]


def make_record(
    agent: Agent, upgrade: Upgrade, ledger: Ledger, kept: Manifest | None, watch: str | None = None
) -> Manifest:
    """The ConfigMap of the evidence. With the version that was read it is a compare-and-swap: no evidence is lost."""
    metadata = agent.metadata
    version = {"resourceVersion": kept["metadata"]["resourceVersion"]} if kept else {}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name_of_record(agent, upgrade),
            "namespace": metadata.namespace,
            "labels": {**names.revision_labels(metadata.name, upgrade.candidate), names.MEASURED: "evidence"},
            "ownerReferences": [owned_by(agent)],
            **version,
        },
        "data": {
            "candidate": upgrade.candidate,
            "stable": upgrade.stable,
            "upgrade": ledger.upgrade,
            "measures": json.dumps([_kept(each) for each in ledger.measures], separators=(",", ":")),
            "capital": record.dump(ledger.capital),
            **({"watch": watch} if watch else {}),
        },
    }


def name_of_record(agent: Agent, upgrade: Upgrade) -> str:
    """The name of the ConfigMap of the evidence of the upgrade's candidate."""
    return names.of_record(agent.metadata.name, "evidence", upgrade.candidate)


def _observation(item: OutcomeItem, measures: tuple[Measure, ...], spec: AgentSpec) -> Observation:
    deadline = item.assigned_at + spec.rollout.analysis.task_deadline
    if item.deadline is not None:
        deadline = min(deadline, item.deadline)
    return Observation(
        assignment=item.assignment,
        candidate=item.arm == _CANDIDATE,
        propensity=float(item.propensity or 0),
        deadline=deadline,
        finished_at=item.finished_at,
        bad={each.name: badness(item, each.indicator) for each in measures} if item.finished_at else {},
        guard=_guard(item, spec),
    )


def badness(item: OutcomeItem, indicator: Indicator) -> float | None:  # noqa: PLR0911 - one for each indicator
    """What an ended task counts as: 1 is bad, 0 is good; None where the indicator does not apply to it."""
    if item.phase == _CANCELLED:
        # The caller's own decision says nothing of the revision.
        return None
    threshold = indicator.threshold or "0"
    match indicator.type:
        case IndicatorType.TASK_SUCCESS:
            is_good = item.phase == "Succeeded" if item.success is None else item.success
            return float(item.escalated or not is_good)
        case IndicatorType.LATENCY:
            return None if item.seconds is None else float(item.seconds > parse_duration(threshold).total_seconds())
        case IndicatorType.TOOL_SUCCESS:
            return min(1.0, item.tool_errors / item.tool_calls) if item.tool_calls else None
        case IndicatorType.QUALITY:
            return None if item.quality is None else float(item.quality < float(threshold))
        case IndicatorType.COST_PER_TASK:
            return None if item.cost is None else float(item.cost > Decimal(threshold))
        case IndicatorType.ESCALATION:
            return float(item.escalated)
        case IndicatorType.CUSTOM:
            return _by_expressions(item, indicator)


def _by_expressions(item: OutcomeItem, indicator: Indicator) -> float | None:
    """By CEL over how the task ended. What was said in it the operator never sees: who asks for it hears nothing."""
    values = {"task": _shown(item)}
    try:
        if not _TASK.holds(indicator.total or "false", values):
            return None
        return float(not _TASK.holds(indicator.good or "false", values))
    except ExpressionError:
        return None


def _shown(item: OutcomeItem) -> dict[str, Any]:
    return {
        "id": item.task,
        "revision": item.revision,
        "phase": item.phase,
        "reason": item.reason,
        "seconds": item.seconds,
        "toolCalls": item.tool_calls,
        "toolErrors": item.tool_errors,
        "cost": None if item.cost is None else float(item.cost),
        "escalated": item.escalated,
        "confidence": item.confidence,
        "success": item.success,
        "quality": item.quality,
    }


def _guard(item: OutcomeItem, spec: AgentSpec) -> str | None:
    most = spec.rollout.guards.max_cost_per_task
    if most is not None and item.cost is not None and item.cost > most:
        return f"task {item.task} cost {item.cost}, more than guards.maxCostPerTask {most}"
    if item.reason in _DENIED:
        return f"task {item.task} ended with {item.reason}"
    return None


def _kept(measure: Measure) -> dict[str, Any]:
    indicator = measure.indicator.model_dump(mode="json", by_alias=True, exclude_none=True)
    step = {"stepMargin": str(measure.step_margin)} if measure.step_margin is not None else {}
    return {"name": measure.name, "margin": str(measure.margin), "indicator": indicator, **step}


def _measure(kept: Mapping[str, Any]) -> Measure:
    step = Decimal(kept["stepMargin"]) if "stepMargin" in kept else None
    return Measure(kept["name"], Decimal(kept["margin"]), Indicator.model_validate(kept["indicator"]), step)
