"""An upgrade that asks people, and goes another way before they answer: nobody is asked in vain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.sim.agents import AGENT
from tests.sim.faults import OnWrite, WriteFault
from tests.sim.rollout_scenarios import RULES, STEPS, Upgrading, _furnish, _refused, instruct, say, when, with_tasks
from tests.sim.scenario import staged
from tests.sim.test_rollouts import FAULTS, played
from tests.sim.world import World

_ASKING = [*STEPS[3:4], {**STEPS[4], "approval": {"groups": ["sre"]}}]


def _furnish_asking(world: World) -> None:
    _furnish(world)
    world.edit(AGENT, {"spec": {"rollout": {**RULES, "steps": _ASKING}}})


def _open(world: World) -> Iterator[str]:
    told = [each.get("status", {}) for each in world.store.all("Approval")]
    if not told:
        yield "I1 nobody was asked"
    for status in told:
        ready = next((each for each in status.get("conditions", ()) if each["type"] == "Ready"), {})
        if (status.get("phase"), ready.get("reason")) != ("Withdrawn", "Withdrawn"):
            yield f"I1 people are still asked: {status}"


def _broken(world: World) -> Iterator[str]:
    yield from _refused("Better.", "Aborted", "Aborted", 60)(world)
    yield from _open(world)


ABORTED = Upgrading(
    "aborted while people are asked",
    staged(_furnish_asking),
    with_tasks((0, instruct("Better.")), (5, when("AwaitingApproval", say("abort")))),
    _broken,
    seconds=20,
)


def test_the_question_is_withdrawn() -> None:
    """As the upgrade is; and whoever was asked is told."""
    assert not played(ABORTED).findings


def test_with_its_agent_it_is_gone() -> None:
    """Nothing of an Agent that is deleted asks anybody."""

    def delete(world: World) -> None:
        world.delete(AGENT)

    def left(world: World) -> Iterator[str]:
        yield from (str(each["metadata"]["name"]) for each in world.store.all("Approval"))

    act = with_tasks((0, instruct("Better.")), (5, when("AwaitingApproval", delete)))
    assert not played(replace(ABORTED, act=act, broken=left)).findings


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=[f"{type(each).__name__}{number}" for number, each in enumerate(FAULTS)])
def test_one_fault(fault: WriteFault) -> None:
    """Also at the withdrawal itself."""
    writes = played(ABORTED).writes
    for index in range(writes // 2, writes, 3):
        found = played(ABORTED, (OnWrite(index, fault),)).findings
        assert not found, f"at write {index}: {found}"
