"""What a status says of objectives: as measured, only what is news, and nothing that nobody knows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from proctor.api.agent import Agent
from proctor.api.objectives import ObjectiveState, ReleaseState
from proctor.plan.agent import plan_agent
from proctor.plan.indications import Indications, Subject
from proctor.plan.objectives import STALE_AFTER, Reported, release_gate, report
from proctor.plan.world import Plan
from proctor.slo.counts import Counts, Measured
from proctor.slo.standing import windows_of
from tests.plan import examples
from tests.plan.examples import T0, after

SLOS = [{"name": "answered", "indicator": {"type": "TaskSuccess"}, "target": "99"}]
TWO = [*SLOS, {"name": "fast", "indicator": {"type": "Latency", "threshold": "10s"}, "target": "95", "window": "7d"}]
GATEWAY_AWAY = Indications(silent_since=T0)


def measured(agent: Agent, at: datetime = T0, newest: datetime | None = T0, **counts: tuple[int, int]) -> Indications:
    """So many bad of so many tasks for each objective, all of them just now."""
    objectives = agent.spec.slos
    found = {
        each.name: {
            window: Counts(counts[each.name][1] - counts[each.name][0], counts[each.name][1])
            for window in windows_of([each])
        }
        for each in objectives
        if each.name in counts
    }
    return Indications(Measured(objectives, at, found, found, newest))


def told(agent: Agent, said: Reported) -> Agent:
    """The agent after its status was written."""
    status = {
        "slos": [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in said.slos],
        "sloCompliance": said.compliance,
        "releaseGate": said.gate.model_dump(mode="json", by_alias=True, exclude_none=True) if said.gate else None,
    }
    return examples.agent(status=status, slos=agent.model_dump(mode="json", by_alias=True)["spec"]["slos"])


def said(agent: Agent, known: Indications, now: datetime = T0) -> Reported:
    """What its status should say."""
    return report(Subject.of(agent), known, now)


def test_an_agent_without_objectives_says_nothing():
    """No condition, no column: there is nothing to comply with."""
    assert said(examples.agent(), Indications()) == Reported()


def test_what_was_not_measured_yet_is_unknown():
    """A new agent is neither compliant nor not."""
    found = said(examples.agent(slos=SLOS), Indications())
    assert [each.state for each in found.slos] == [ObjectiveState.INSUFFICIENT_DATA]
    assert (found.findings[0].status, found.findings[0].reason) == ("Unknown", "InsufficientData")
    assert (found.compliance, found.budget, found.gate) == ("0/1", None, None)


def test_a_measurement_is_told_with_its_time():
    """All that a person asks of an objective: share, interval, budget in events and in time, rates."""
    agent = examples.agent(slos=SLOS)
    found = said(agent, measured(agent, answered=(4, 1000))).slos[0]
    assert found.model_dump(mode="json", by_alias=True, exclude_none=True) == {
        "name": "answered",
        "state": "Met",
        "message": "4 bad of 1000 in 28d; 99 % are to be good",
        "target": "0.99",
        "window": "28d",
        "sli": "0.996",
        "interval": ["0.9818", "0.9998"],
        "good": 996,
        "total": 1000,
        "budgetRemaining": "0.6",
        "eventsLeft": 6,
        "burnRates": {"5m": "0.4", "1h": "0.4", "6h": "0.4", "3d": "0.4"},
        "timeToExhaustion": "28d",
        "alertsFiring": [],
        "alertsLeftOut": [],
        "evidence": "0",
        "asOf": "2026-11-02T08:00:00Z",
    }


COMPLIANCE = {
    "both are met": ((0, 100), (0, 100), "True", "Met", "2/2", "100%"),
    "one is at risk": ((0, 100), (4, 100), "True", "AtRisk", "2/2", "20%"),
    "one is breached": ((30, 100), (0, 100), "False", "Breached", "1/2", "-2900%"),
    "of one too little is known": ((0, 100), (0, 3), "Unknown", "InsufficientData", "1/2", "100%"),
    "a breach is worse than not to know": ((30, 100), (0, 3), "False", "Breached", "0/2", "-2900%"),
}


@pytest.mark.parametrize(
    ("answered", "fast", "status", "reason", "share", "budget"), COMPLIANCE.values(), ids=COMPLIANCE
)
def test_the_condition_and_the_columns(answered, fast, status, reason, share, budget):
    """The worst of all objectives, and how many are not missed."""
    agent = examples.agent(slos=TWO)
    found = said(agent, measured(agent, answered=answered, fast=fast))
    assert (found.findings[0].status, found.findings[0].reason) == (status, reason)
    assert (found.compliance, found.budget) == (share, budget)


def test_a_task_more_is_not_written():
    """Nobody acts on it; the time stands still with the values."""
    agent = examples.agent(slos=SLOS)
    first = said(agent, measured(agent, answered=(0, 1000)))
    again = said(told(agent, first), measured(agent, after(minutes=1), answered=(0, 1001)), after(minutes=1))
    assert (again.slos, again.gate) == (first.slos, first.gate)


def test_many_tasks_more_are_written_after_a_while():
    """Counts are never older than five minutes while tasks come in."""
    agent = examples.agent(slos=SLOS)
    first = said(agent, measured(agent, answered=(0, 1000)))
    later = after(minutes=5)
    again = said(told(agent, first), measured(agent, later, answered=(0, 1300)), later)
    assert (again.slos[0].total, again.slos[0].as_of) == (1300, later)


def test_the_same_values_keep_their_time():
    """However often they are measured."""
    agent = examples.agent(slos=SLOS)
    first = said(agent, measured(agent, answered=(0, 1000)))
    again = said(told(agent, first), measured(agent, after(days=1), answered=(0, 1000)), after(days=1))
    assert again.slos == first.slos


def test_what_somebody_would_act_on_is_written_at_once():
    """Another state, another percent of the budget."""
    agent = examples.agent(slos=SLOS)
    first = said(agent, measured(agent, answered=(0, 1000)))
    again = said(told(agent, first), measured(agent, after(seconds=15), answered=(1, 1001)), after(seconds=15))
    assert (again.slos[0].budget_remaining, again.slos[0].as_of) == ("0.9", after(seconds=15))


def test_a_silent_gateway_makes_stale_and_nothing_else():
    """Not before a minute, and the values stay as they were, with their time."""
    agent = examples.agent(slos=SLOS)
    first = said(agent, measured(agent, answered=(30, 100)))
    reported = told(agent, first)
    assert said(reported, GATEWAY_AWAY, T0 + STALE_AFTER - timedelta(seconds=1)).slos == first.slos
    stale = said(reported, GATEWAY_AWAY, T0 + STALE_AFTER)
    assert (stale.slos[0].state, stale.slos[0].good, stale.slos[0].as_of) == (ObjectiveState.STALE, 70, T0)
    assert (stale.findings[0].status, stale.findings[0].reason) == ("Unknown", "Stale")
    assert said(told(agent, stale), GATEWAY_AWAY, after(days=1)).slos == stale.slos


def test_a_restart_changes_nothing():
    """Before the first measurement of a new process, the status says what it said."""
    agent = examples.agent(slos=SLOS)
    first = said(agent, measured(agent, answered=(30, 100)))
    reported = told(agent, first)
    again = said(reported, Indications(), after(minutes=1))
    assert (again.slos, again.gate) == (first.slos, first.gate)
    assert release_gate(Subject.of(reported), Indications()).state is ReleaseState.FREEZE


def test_a_measurement_of_other_objectives_is_not_one_of_these():
    """The spec changed after the gateway was asked: the old counts say nothing about the new target."""
    old = examples.agent(slos=SLOS)
    reported = told(old, said(old, measured(old, answered=(0, 100))))
    new = examples.agent(
        status=reported.model_dump(mode="json", by_alias=True, exclude_none=True)["status"],
        slos=[{**SLOS[0], "target": "99.9"}],
    )
    found = said(new, measured(old, answered=(0, 100)))
    assert (found.slos[0].state, found.slos[0].target, found.slos[0].total) == ("InsufficientData", "0.999", 0)


def planned(agent: Agent, known: Indications, now: datetime = T0) -> Plan:
    """The plan for the agent."""
    return plan_agent(examples.world(agent, indications=known), now)


def with_status(agent: Agent, plan: Plan) -> Agent:
    """The agent with the status that was planned."""
    spec: dict[str, Any] = agent.model_dump(mode="json", by_alias=True, exclude_none=True)["spec"]
    return examples.agent(status=plan.status or agent.status.dump(), slos=spec["slos"])


def test_events_tell_of_turns_alone():
    """At risk, breached, recovered: once each; the same state again is no news."""
    agent, events, status = examples.agent(slos=SLOS), [], None
    course = [(0, 1000), (8, 1000), (8, 1001), (60, 1200), (61, 1201), (0, 2000), (0, 2001)]
    for minute, counts in enumerate(course):
        plan = planned(agent, measured(agent, after(minutes=minute), answered=counts), after(minutes=minute))
        events += [(each.reason, each.type) for each in plan.events if each.reason.startswith("SLO")]
        agent = with_status(agent, plan)
        status = agent.status
    assert events == [("SLOAtRisk", "Warning"), ("SLOBreached", "Warning"), ("SLORecovered", "Normal")]
    assert status is not None
    condition = status.condition("SLOCompliant")
    assert condition is not None
    assert condition.status == "True"


def test_a_plan_with_the_same_measurement_writes_nothing():
    """Whatever wakes the agent, and however late."""
    agent = examples.agent(slos=TWO)
    known = measured(agent, answered=(8, 1000), fast=(3, 900))
    agent = with_status(agent, planned(agent, known))
    again = planned(agent, known, after(seconds=5))
    assert [each.reason for each in again.events if each.reason.startswith("SLO")] == []
    assert again.status is None or again.status["slos"] == agent.status.dump()["slos"]


def test_the_gate_goes_by_what_is_not_the_candidates():
    """A candidate that fails spends the users' budget, but does not freeze its own successor."""
    agent = examples.agent(slos=SLOS)
    all_of_it = measured(agent, answered=(30, 100)).measured
    assert all_of_it is not None
    stable = {name: dict.fromkeys(windows, Counts(70, 70)) for name, windows in all_of_it.counts.items()}
    known = Indications(Measured(all_of_it.objectives, T0, all_of_it.counts, stable, T0))
    assert said(agent, known).slos[0].state is ObjectiveState.BREACHED
    assert release_gate(Subject.of(agent), known).state is ReleaseState.NORMAL


def test_tasks_that_stopped_are_told_from_scores_that_never_came():
    """The first is Stale; the second is too little data, for tasks do come in."""
    agent = examples.agent(slos=[{**SLOS[0], "window": "7d"}])
    gone = said(agent, measured(agent, newest=after(days=-8), answered=(0, 0)))
    none = said(agent, measured(agent, newest=T0, answered=(0, 0)))
    assert (gone.slos[0].state, none.slos[0].state) == (ObjectiveState.STALE, ObjectiveState.INSUFFICIENT_DATA)
