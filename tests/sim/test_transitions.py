"""From one declared state to another: the way there leaves no trace in where one arrives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sim import agents, ending
from tests.sim.agent_scenarios import BARE
from tests.sim.cluster.kinds import Ref
from tests.sim.ending import Ending
from tests.sim.world import World

_QUICK = settings(
    max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
_NOWHERE = {"model": {"connector": "nowhere", "name": "gpt-5"}}

SPECS: dict[str, dict[str, Any]] = {
    "plain": {},
    "without tools": {"tools": []},
    "without pods": {"runtime": {"replicas": 0}},
    "with many pods": {"runtime": {"replicas": 4}},
    "a program of its own": {"runtime": {"image": "registry.example/mine:1", "command": ["serve"], "args": ["-x"]}},
    "an environment": {"runtime": {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": ""}]}},
    "resources in odd words": {"runtime": {"resources": {"requests": {"cpu": "0.1"}, "limits": {"memory": "1024Mi"}}}},
    "hardened": {"sandbox": {"profile": "Hardened"}},
    "suspended": {"suspend": True},
    "parameters": {"model": {"connector": "llm", "name": "gpt-5", "parameters": {"temperature": 0.5, "stop": ["a"]}}},
    "short limits": {"limits": {"timeout": "1ms", "maxSteps": 1, "maxTokens": 1, "maxCost": "0"}},
    "long limits": {"limits": {"timeout": "30d", "maxSteps": 1000, "maxTokens": 100_000_000, "maxCost": "999999"}},
    "an output": {"output": {"schema": {"type": "object", "properties": {"a": {"enum": ["x", None]}}}}},
    "callers": {"access": {"callers": [{"group": "support"}]}},
    "no history": {"rollout": {"historyLimit": 1, "progressDeadline": "60s"}},
    "objectives": {"slos": [{"name": "answered", "indicator": {"type": "TaskSuccess"}, "target": "99"}]},
}
BAD_SPECS: dict[str, dict[str, Any]] = {
    "no such connector": _NOWHERE,
    "no such runtime class": {"sandbox": {"profile": "Isolated", "runtimeClassName": "none"}},
    "a broken image": {"runtime": {"image": "registry.example/broken:1", "replicas": 2}},
    "unreadable": {"model": "a string"},
}
RESTING = {"suspended", "without pods"}
"""Without pods a rollout rests where it was, so where one arrives tells where one came from."""
NAMES = st.sampled_from(sorted(SPECS))
LASTING = st.sampled_from(sorted(SPECS.keys() - RESTING))


def _declare(world: World, spec: dict[str, Any]) -> None:
    """Somebody replaces the whole spec."""
    body = world.store.get(agents.AGENT)
    if body is None:
        world.create(agents.agent(**spec))
    else:
        world.store.update({**body, "spec": agents.agent(**spec)["spec"]}, "kubectl")


def arrive(*steps: dict[str, Any], seconds: float = 30.0) -> Ending:
    """Where one arrives after these specs, each of them carried out before the next."""
    with World() as world:
        world.load(BARE())
        world.nature.images["registry.example/broken:1"] = "no-image"
        world.start_operator()
        for spec in steps:
            _declare(world, spec)
            world.run_for(seconds)
        faults = list(ending.disorder(world))
        assert not faults, faults
        return ending.of(world, with_history=False)


@pytest.mark.slow
@_QUICK
@given(start=LASTING, detour=NAMES, end=LASTING)
def test_one_arrives_at_the_same_place_by_any_way(start: str, detour: str, end: str) -> None:
    """There and back again is as if one had never left, and a detour as if one had come straight."""
    straight = arrive(SPECS[end])
    assert list(ending.differences(straight, arrive(SPECS[end], SPECS[detour], SPECS[end]))) == []
    assert list(ending.differences(straight, arrive(SPECS[start], SPECS[detour], SPECS[end]))) == []


@pytest.mark.slow
@pytest.mark.parametrize("bad", BAD_SPECS)
def test_one_comes_back_from_a_bad_place(bad: str) -> None:
    """The last good spec brings back all that it declared."""
    assert list(ending.differences(arrive({}), arrive({}, BAD_SPECS[bad], {}, seconds=90))) == []


@pytest.mark.slow
@pytest.mark.parametrize("bad", BAD_SPECS)
def test_a_bad_place_leaves_alone_what_serves(bad: str) -> None:
    """Its pods go on serving meanwhile."""
    with World() as world:
        world.load(BARE())
        world.nature.images["registry.example/broken:1"] = "no-image"
        world.start_operator()
        _declare(world, {})
        world.run_for(30)
        served = {body["metadata"]["uid"] for body in world.store.all("Pod")}
        _declare(world, BAD_SPECS[bad])
        world.run_for(120)
        agent = world.store.get(Ref("Agent", agents.NAMESPACE, agents.AGENT.name))
        assert agent is not None
        conditions = {each["type"]: each["status"] for each in agent["status"]["conditions"]}
        assert served <= {body["metadata"]["uid"] for body in world.store.all("Pod")}
        assert (conditions["Stalled"], conditions["Available"]) == ("True", "True")
