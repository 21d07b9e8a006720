"""What the operator may write when nothing goes wrong: reads are cheap, writes are what an API server has few of."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.sim import agents
from tests.sim.agent_scenarios import BARE, SCENARIOS, SETTLED
from tests.sim.run import Result, Setting, reference
from tests.sim.scenario import staged
from tests.sim.world import World

CHILDREN = {"ServiceAccount": 1, "NetworkPolicy": 1, "PodDisruptionBudget": 1}
REVISION = {"ControllerRevision": 1, "ConfigMap": 1, "Deployment": 1}
PROBE = {"NetworkPolicy": 1, "Pod": 1}


def written(name: str) -> Counter[str]:
    """How often an object of each kind was written in a scenario; statuses and deletions apart, without Events."""
    scenario = next(each for each in SCENARIOS if each.name == name)
    return _counted(reference(Setting(scenario)))


def _counted(result: Result) -> Counter[str]:
    found: Counter[str] = Counter()
    for write in result.story.writes:
        verb = "delete " if write.method == "DELETE" else ""
        if write.ref.kind != "Event":
            found[f"{verb}{write.ref.kind}{'.status' if write.subresource else ''}"] += 1
    return found


BUDGETS: dict[str, Counter[str]] = {
    "first deploy": Counter(CHILDREN) + Counter(REVISION) + Counter(PROBE) + Counter({"Agent.status": 3}),
    # The disruption budget follows whoever serves.
    "new instructions": Counter(REVISION)
    + Counter({"Agent.status": 2, "PodDisruptionBudget": 1, "delete Deployment": 1, "delete ConfigMap": 1}),
    # Observed, one more pod, one more ready.
    "scale": Counter({"Deployment": 1, "Agent.status": 3}),
    "suspend": Counter({"Deployment": 1, "Agent.status": 2}),
    "delete": Counter(),
    "namespace goes": Counter(),
}


@pytest.mark.parametrize("name", BUDGETS)
def test_writes_are_as_few_as_they_can_be(name: str) -> None:
    """Each child once, and a status for each turn that a person would want to know of."""
    assert written(name) == BUDGETS[name]


def test_another_agent_costs_its_children_and_two_statuses() -> None:
    """The probe of the namespace's network is there already."""
    with World() as world:
        world.load(SETTLED())
        world.start_operator()
        world.run_for(1)
        world.create(agents.agent("orders"))
        world.run_for(60)
        written = Counter(write.ref.kind for write in world.story.writes if write.ref.kind != "Event")
    assert written == Counter(CHILDREN) + Counter(REVISION) + Counter({"Agent": 2})


def _many(world: World) -> None:
    world.create(*(agents.agent(f"agent-{index:02}") for index in range(40)))


MANY = staged(_many, onto=BARE, seconds=60)


@pytest.mark.parametrize("stage", [BARE, SETTLED, MANY])
def test_a_restart_writes_nothing(stage: object) -> None:
    """A new process finds all as it should be, and goes on finding it so but for new measurements."""
    with World() as world:
        assert callable(stage)
        world.load(stage())
        world.start_operator()
        world.run_for(240)
        assert all(write.renews for write in world.story.writes)


def test_an_idle_operator_writes_nothing_but_measurements() -> None:
    """An hour of looks at what has not changed."""
    with World() as world:
        world.load(SETTLED())
        world.start_operator()
        world.run_for(3600)
        assert all(write.renews for write in world.story.writes)
