"""An agent with objectives, in a cluster in which the gateway goes and operators die."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.sim import agents
from tests.sim.agent_scenarios import BARE
from tests.sim.cluster.kinds import Body, Ref
from tests.sim.rollout_scenarios import SCENARIOS, instruct, when, with_tasks
from tests.sim.scenario import Deed
from tests.sim.test_rollouts import played
from tests.sim.world import World

SLOS = [{"name": "answered", "indicator": {"type": "TaskSuccess"}, "target": "99"}]


def settled(world: World) -> None:
    """The agent serves, and its objective was measured."""
    world.load(BARE())
    world.start_operator()
    world.create(agents.agent(slos=SLOS))
    world.run_for(90)
    assert state(world) == "Met"


def the_status(world: World) -> Body:
    """What the Agent's status says."""
    body = world.store.get(agents.AGENT)
    assert body is not None
    status: Body = body["status"]
    return status


def state(world: World) -> str:
    """The state of the objective."""
    return str(the_status(world)["slos"][0]["state"])


def statuses(world: World) -> int:
    """How often the Agent's status was written."""
    return sum(write.ref == agents.AGENT and write.subresource == "status" for write in world.story.writes)


def told(world: World) -> list[str]:
    """The Events about objectives."""
    events = [write.request.body for write in world.story.writes if write.ref.kind == "Event"]
    return [each["reason"] for each in events if each["reason"].startswith("SLO")]


def test_an_hour_of_the_same_is_one_status() -> None:
    """240 measurements that say the same are not written."""
    with World() as world:
        settled(world)
        before = statuses(world)
        world.run_for(3600)
        assert statuses(world) == before


def test_tasks_that_go_well_are_written_every_five_minutes() -> None:
    """One task more at each look: counts are kept fresh, at the price of a write in twenty looks."""
    with World() as world:
        settled(world)
        before = statuses(world)
        for number in range(120):
            world.gateway.counted = (1000 + number, 1000 + number)
            world.run_for(15)
        assert 6 <= statuses(world) - before <= 8


def test_a_course_of_states_is_told_once_each() -> None:
    """At risk, breached, met again: an Event and a status for each, within two looks."""
    with World() as world:
        settled(world)
        for counted, expected in (((992, 1000), "AtRisk"), ((900, 1000), "Breached"), ((4000, 4000), "Met")):
            world.gateway.counted = counted
            world.run_for(31)
            assert state(world) == expected
            world.run_for(300)
        assert told(world) == ["SLOAtRisk", "SLOBreached", "SLORecovered"]


def test_a_gateway_that_is_away_for_a_moment_is_nothing_to_tell() -> None:
    """As during its restart."""
    with World() as world:
        settled(world)
        before = statuses(world)
        world.gateway.go()
        world.run_for(40)
        world.gateway.come_back()
        world.run_for(60)
        assert (state(world), statuses(world)) == ("Met", before)


def test_a_gateway_that_is_away_makes_stale_once() -> None:
    """Told once when it is gone and once when it is back; what was measured stays as it was."""
    with World() as world:
        settled(world)
        seen = the_status(world)["slos"][0]
        world.gateway.go()
        world.run_for(600)
        stale = the_status(world)["slos"][0]
        assert (stale["state"], stale["good"], stale["asOf"]) == ("Stale", seen["good"], seen["asOf"])
        world.gateway.come_back()
        world.run_for(60)
        assert state(world) == "Met"
        written = [
            write.request.body["status"]["slos"][0]
            for write in world.story.writes
            if write.ref == agents.AGENT and write.subresource == "status" and write.request.body["status"].get("slos")
        ]
        turns = [each["state"] for old, each in pairwise(written) if old["state"] != each["state"]]
        assert (turns, told(world)) == (["Met", "Stale", "Met"], [])


@pytest.mark.parametrize("is_up", [True, False], ids=["gateway there", "gateway away"])
def test_a_new_process_says_what_the_old_one_said(is_up: bool) -> None:
    """A breach is still one after a crash, is not told again, and is not written again."""
    with World() as world:
        settled(world)
        world.gateway.counted = (900, 1000)
        world.run_for(60)
        before, events = statuses(world), told(world)
        if not is_up:
            world.gateway.go()
        world.operator.crash()
        world.run_for(45)
        assert (state(world), told(world)) == ("Breached", events)
        assert statuses(world) == before


def _left(good: int) -> Deed:
    """So many good tasks of ten thousand are counted of the stable revision, and the operator has looked."""

    def deed(world: World) -> None:
        world.gateway.counted = (good, 10_000)
        world.run_for(16)

    return deed


def test_an_upgrade_goes_at_half_of_its_weights_while_little_budget_is_left() -> None:
    """Slow at first, as usual later: no weight above its step's, no step back, and promoted on the same evidence."""

    def broken(world: World) -> Iterator[str]:
        yield from scenario.broken(world)
        told = (each.request.body["status"] for each in world.story.writes if each.subresource == "status")
        weights = {each.get("rollout", {}).get("weight") for each in told}
        if not {10, 50} <= weights:
            yield f"I1 the candidate had weights {weights}"

    scenario = next(each for each in SCENARIOS if each.name == "good candidate")
    act = with_tasks((0, _left(9_920)), (0, instruct("Better.")), (0, when("Collecting", _left(10_000))))
    assert not played(replace(scenario, act=act, broken=broken)).findings


RULE = Ref("PrometheusRule", agents.NAMESPACE, "agent-refunds")


async def _yes() -> bool:
    return True


def where_rules_are(world: World) -> None:
    """The operator's process finds that the cluster has PrometheusRules."""
    collector = world.operator._inside.collector
    assert collector is not None
    collector._has_rules = _yes


def test_rules_come_and_go_with_objectives() -> None:
    """Written once; written anew when somebody else changes them and the hour is over; gone with the objectives."""
    with World() as world:
        world.load(BARE())
        world.start_operator()
        where_rules_are(world)
        world.create(agents.agent(slos=SLOS))
        world.run_for(90)
        rule = world.store.get(RULE)
        assert rule is not None
        assert len(rule["spec"]["groups"]) == 3
        world.run_for(7200)
        assert sum(write.ref == RULE for write in world.story.writes) == 1

        world.edit(RULE, {"spec": {"groups": []}})
        world.run_for(3700)
        mended = world.store.get(RULE)
        assert mended is not None
        assert len(mended["spec"]["groups"]) == 3

        world.edit(agents.AGENT, {"spec": {"slos": []}})
        world.run_for(40)
        assert world.store.get(RULE) is None
        assert "slos" not in the_status(world)
        assert "SLOCompliant" not in {each["type"] for each in the_status(world)["conditions"]}


def test_another_target_is_another_rule_at_once() -> None:
    """Within two looks."""
    with World() as world:
        world.load(BARE())
        world.start_operator()
        where_rules_are(world)
        world.create(agents.agent(slos=SLOS))
        world.run_for(60)
        world.edit(agents.AGENT, {"spec": {"slos": [{**SLOS[0], "target": "95"}]}})
        world.run_for(31)
        rule = world.store.get(RULE)
        assert rule is not None
        assert "vector(0.95)" in str(rule["spec"])


def test_a_rule_of_somebody_else_is_left_alone() -> None:
    """It has the name by chance; the agent is none the worse for it."""
    theirs = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "spec": {"groups": []}}
    with World() as world:
        world.load(BARE())
        world.start_operator()
        where_rules_are(world)
        world.create({**theirs, "metadata": {"name": RULE.name, "namespace": RULE.namespace}})
        world.create(agents.agent(slos=SLOS))
        world.run_for(120)
        rule = world.store.get(RULE)
        assert rule is not None
        assert rule["spec"] == {"groups": []}
        ready = next(each for each in the_status(world)["conditions"] if each["type"] == "Ready")
        assert ready["status"] == "True"
