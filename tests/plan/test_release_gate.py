"""What error budgets do to upgrades."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from proctor.api.agent import Agent
from proctor.api.bounds import BudgetGate
from proctor.api.objectives import ReleaseState
from proctor.plan import wish
from proctor.plan.agent import plan_agent
from proctor.plan.indications import Indications, Subject
from proctor.plan.objectives import release_gate
from proctor.plan.world import World
from tests.plan import examples
from tests.plan.examples import T0
from tests.plan.test_objectives import SLOS, measured

STEPS = {"steps": [{"weight": 10, "until": {"minTasks": 20, "minDuration": "10m"}}]}
STABLE = "aaaaaaaaaa"
SPENT, LITTLE, ENOUGH = (30, 100), (8, 1000), (0, 1000)


def the_agent(**more: Any) -> Agent:
    """One that serves another revision than its spec says, with steps to go through."""
    status = {"revision": {"stable": STABLE}, "rollout": {"phase": "Settled"}, "observedGeneration": 1}
    return examples.agent(status=more.pop("status", status), slos=SLOS, rollout=STEPS, **more)


def the_world(agent: Agent, counts: tuple[int, int]) -> World:
    """With so many bad of so many tasks."""
    return examples.world(agent, indications=measured(agent, answered=counts))


@pytest.mark.parametrize(
    ("counts", "frozen", "patience"),
    [(ENOUGH, False, 1), (LITTLE, False, 2), (SPENT, True, 2)],
    ids=["enough is left", "little is left", "spent"],
)
def test_the_budget_decides_how_upgrades_go(counts: tuple[int, int], frozen: bool, patience: int):
    """As usual, with twice the patience, or not at all; a candidate that is tried never gets more by it."""
    wanted = wish.wish_of(the_world(the_agent(), counts), T0).wanted
    assert (wanted.freeze is not None, wanted.patience) == (frozen, patience)


def test_a_frozen_upgrade_is_not_begun_and_says_why():
    """What serves goes on serving; the status names the objective and the budget."""
    plan = plan_agent(the_world(the_agent(), SPENT), T0)
    assert plan.status is not None
    assert plan.status["rollout"]["phase"] == "Settled"
    assert plan.status["revision"].get("candidate") is None
    found = next(each for each in plan.status["conditions"] if each["type"] == "Reconciling")
    assert (found["status"], found["reason"]) == ("True", "UpgradesFrozen")
    assert "answered has -2900 % of its error budget left" in found["message"]


def test_with_budget_the_upgrade_begins():
    """The same agent, but nothing is frozen."""
    plan = plan_agent(the_world(the_agent(), ENOUGH), T0)
    assert plan.status is not None
    assert plan.status["revision"].get("candidate")


def test_without_steps_nothing_is_held_up():
    """Who asked for no care in upgrades gets none: a change that mends the breach goes out at once."""
    agent = examples.agent(slos=SLOS)
    assert wish.wish_of(the_world(agent, SPENT), T0).wanted.freeze is None


def test_policies_may_demand_more():
    """Of several bounds the most careful, also for an objective that holds up nothing by itself."""
    agent = examples.agent(slos=[{**SLOS[0], "gate": {"rollout": False}}])
    known = measured(agent, answered=LITTLE)
    floor = BudgetGate(freeze_below=Decimal("0.3"), slow_below=Decimal("0.5"))
    assert release_gate(Subject.of(agent), known).state is ReleaseState.NORMAL
    assert release_gate(Subject.of(agent), known, floor).state is ReleaseState.FREEZE


def test_nothing_known_is_nothing_held_up():
    """A new agent gets its first upgrade, and an outage of the gateway freezes nothing by itself."""
    agent = the_agent()
    assert release_gate(Subject.of(agent), Indications()).state is ReleaseState.NORMAL
