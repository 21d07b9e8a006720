"""Live tasks as evidence: what each counts as, and how the sum is kept."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from proctor.api.agent import AgentSpec
from proctor.api.objectives import Indicator
from proctor.delivery.evidence.record import UnreadableError
from proctor.delivery.phases import Upgrade
from proctor.plan import comparison
from proctor.plan.comparison import SUCCESS, Measure
from proctor.plan.said import OutcomeItem, Outcomes
from tests.plan import examples
from tests.plan.examples import T0, after

UPGRADE = Upgrade("u-1", "a" * 10, "b" * 10, "0123456789", T0)


def spec(**rollout: Any) -> AgentSpec:
    """The spec of an Agent with these rules of upgrades."""
    return examples.agent(rollout=rollout).spec


def item(number: int = 1, **more: Any) -> OutcomeItem:
    """A task of the candidate that succeeded."""
    facts: dict[str, Any] = {
        "assignment": number,
        "task": f"t{number}",
        "revision": UPGRADE.candidate,
        "arm": "Candidate",
        "propensity": Decimal("0.5"),
        "assigned_at": T0,
        "deadline": after(seconds=60),
        "finished_at": after(seconds=2),
        "phase": "Succeeded",
        "seconds": 2.0,
        "cost": Decimal("0.02"),
    }
    return OutcomeItem(**{**facts, **more})


OWN = {"type": "Custom", "good": "task.seconds < 5.0", "total": "task.toolCalls > 0"}
COUNTS: dict[str, tuple[dict[str, Any], dict[str, Any], float | None]] = {
    "a success": ({"type": "TaskSuccess"}, {}, 0.0),
    "a failure": ({"type": "TaskSuccess"}, {"phase": "Failed"}, 1.0),
    "a success that somebody said was none": ({"type": "TaskSuccess"}, {"success": False}, 1.0),
    "a failure that somebody said was none": ({"type": "TaskSuccess"}, {"phase": "Failed", "success": True}, 0.0),
    "what the caller cancelled": ({"type": "TaskSuccess"}, {"phase": "Cancelled"}, None),
    "fast": ({"type": "Latency", "threshold": "2s"}, {}, 0.0),
    "slow": ({"type": "Latency", "threshold": "2s"}, {"seconds": 2.1}, 1.0),
    "cheap": ({"type": "CostPerTask", "threshold": "0.02"}, {}, 0.0),
    "dear": ({"type": "CostPerTask", "threshold": "0.02"}, {"cost": Decimal("0.021")}, 1.0),
    "cost unknown": ({"type": "CostPerTask", "threshold": "0.02"}, {"cost": None}, None),
    "no tool was called": ({"type": "ToolSuccess"}, {}, None),
    "one tool call of four failed": ({"type": "ToolSuccess"}, {"tool_calls": 4, "tool_errors": 1}, 0.25),
    "good": ({"type": "Quality", "threshold": "0.8"}, {"quality": 0.8}, 0.0),
    "poor": ({"type": "Quality", "threshold": "0.8"}, {"quality": 0.79}, 1.0),
    "not judged": ({"type": "Quality", "threshold": "0.8"}, {}, None),
    "a success that went to somebody else": ({"type": "TaskSuccess"}, {"escalated": True}, 1.0),
    "good by an expression": (OWN, {"tool_calls": 1}, 0.0),
    "bad by an expression": (OWN, {"tool_calls": 1, "seconds": 9.0}, 1.0),
    "not meant by the expression": (OWN, {}, None),
    "an expression over what was said": ({**OWN, "good": "task.output.ok"}, {"tool_calls": 1}, None),
    "escalated": ({"type": "Escalation"}, {"escalated": True}, 1.0),
}


@pytest.mark.parametrize(("indicator", "facts", "expected"), COUNTS.values(), ids=list(COUNTS))
def test_what_a_task_counts_as(indicator: dict[str, Any], facts: dict[str, Any], expected: float | None) -> None:
    """By each indicator: bad, good, or nothing."""
    measure = Measure("m", Decimal("0.1"), Indicator.model_validate(indicator))
    seen = comparison.observations([item(**facts)], (measure,), spec())
    assert seen[0].bad["m"] == expected


def test_only_drawn_tasks_are_evidence() -> None:
    """A tester's task, or one that found no pod of the candidate, was not drawn."""
    assert comparison.observations([item(arm=None), item(2, propensity=None)], (), spec()) == []


def test_the_earlier_deadline_counts() -> None:
    """The task's own, or the analysis' one."""
    rules = spec(analysis={"taskDeadline": "10s"})
    short = comparison.observations([item(finished_at=after(seconds=20), phase="Succeeded")], (), rules)[0]
    assert short.deadline == after(seconds=10)
    assert not short.is_in_time
    assert comparison.observations([item()], (), spec())[0].deadline == after(seconds=60)


@pytest.mark.parametrize(
    ("facts", "words"), [({"cost": Decimal("0.31")}, "maxCostPerTask"), ({"reason": "PolicyDenied"}, "PolicyDenied")]
)
def test_a_broken_guard_is_named(facts: dict[str, Any], words: str) -> None:
    """The task and the limit."""
    rules = spec(guards={"maxCostPerTask": "0.30"})
    guard = comparison.observations([item(7, **facts)], (), rules)[0].guard
    assert guard is not None
    assert words in guard
    assert "t7" in guard


def test_without_metrics_success_is_compared() -> None:
    """An analysis that names nothing does not promote on nothing."""
    assert [each.name for each in comparison.measures_of(spec())] == [SUCCESS]


def kept_after(
    *items: OutcomeItem, upgrade: Upgrade = UPGRADE, kept: Any = None, rules: AgentSpec | None = None
) -> Any:
    """The ConfigMap after these tasks, as it comes back."""
    agent = examples.agent()
    ledger = comparison.ledger_of(kept, upgrade, rules or agent.spec)
    ledger = comparison.added(ledger, Outcomes(items=items, as_of=after(minutes=5)), agent.spec)
    made = comparison.make_record(agent, upgrade, ledger, kept)
    return {**made, "metadata": {**made["metadata"], "resourceVersion": "7"}}


def test_what_was_counted_counts_once_and_comes_back() -> None:
    """A restart goes on with the same evidence, and a task that is told of again changes nothing."""
    first = kept_after(item(1), item(2, arm="Stable"))
    again = kept_after(item(1), item(2, arm="Stable"), kept=first)
    assert again["data"] == first["data"]
    ledger = comparison.ledger_of(first, UPGRADE, spec())
    assert (ledger.capital.candidate_tasks, ledger.capital.stable_tasks) == (1, 1)


def test_the_record_is_written_onto_what_was_read() -> None:
    """With the version that it was read at, so that two writers cannot lose each other's evidence."""
    agent = examples.agent()
    first = kept_after(item(1))
    ledger = comparison.ledger_of(first, UPGRADE, agent.spec)
    assert comparison.make_record(agent, UPGRADE, ledger, first)["metadata"]["resourceVersion"] == "7"
    assert "resourceVersion" not in comparison.make_record(agent, UPGRADE, ledger, None)["metadata"]


def test_a_retry_goes_on_with_the_evidence() -> None:
    """Another upgrade of the same candidate against the same stable revision continues; against another it begins."""
    first = kept_after(*(item(number, phase="Failed") for number in range(1, 4)))
    retried = comparison.ledger_of(first, replace(UPGRADE, id="u-2", attempts=1), spec())
    assert retried.capital.candidate_tasks == 3
    other = comparison.ledger_of(first, replace(UPGRADE, id="u-3", stable="c" * 10), spec())
    assert other.capital.candidate_tasks == 0


def test_objectives_that_change_meanwhile_change_nothing() -> None:
    """What is compared was fixed when the comparison began."""
    first = kept_after(item(1))
    objectives = [{"name": "fast", "indicator": {"type": "Latency", "threshold": "1s"}, "target": "99"}]
    changed = examples.agent(slos=objectives, rollout={"analysis": {"metrics": [{"name": "fast", "margin": "0.1"}]}})
    assert [each.name for each in comparison.ledger_of(first, UPGRADE, changed.spec).measures] == [SUCCESS]


def test_evidence_that_cannot_be_read_is_not_forgotten() -> None:
    """To begin anew would be a second chance."""
    first = kept_after(item(1))
    broken = {**first, "data": {**first["data"], "capital": "{}"}}
    with pytest.raises(UnreadableError):
        comparison.ledger_of(broken, UPGRADE, spec())
