"""Freezes: a policy's window, an objective's spent budget, a policy's gate. Each holds an upgrade wherever it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from proctor.plan.agent import plan_agent
from proctor.plan.standing import stand
from proctor.plan.wish import wish_of
from proctor.plan.world import World
from proctor.policy.selection import AnyPolicy
from tests.plan import examples
from tests.plan.examples import T0, after
from tests.plan.test_agent import carried_out, with_spec
from tests.plan.test_objectives import measured
from tests.plan.test_upgrade import Upgraded
from tests.policy import examples as policies

SLOS = [{"name": "answered", "indicator": {"type": "TaskSuccess"}, "target": "90"}]
UNGATED = [{**SLOS[0], "gate": {"rollout": False}}]
CHRISTMAS = {"name": "christmas", "reason": "nobody is here", "once": {"from": T0, "until": after(days=9)}}
WINDOW = policies.policy(rollout={"freeze": [CHRISTMAS]})
CAREFUL = policies.cluster_policy(rollout={"budgetGate": {"freezeBelow": "0.5", "slowBelow": "0.8"}})
ENOUGH, HALF, LITTLE, SPENT = (0, 1000), (60, 1000), (80, 1000), (300, 1000)

Freeze = Callable[[World], World]


def standing(world: World, *found: AnyPolicy) -> World:
    """With these policies."""
    agent = world.agent
    isolation = world.isolation.state
    return replace(world, standing=stand(agent, world.connectors, found, {}, (), isolation, after(hours=1)))


def counted(world: World, counts: tuple[int, int]) -> World:
    """With so many bad of so many tasks of the stable revision."""
    return replace(world, indications=measured(world.agent, answered=counts))


FREEZES: dict[str, tuple[list[dict[str, Any]], Freeze, str]] = {
    "a policy's window": ([], lambda it: standing(it, WINDOW), "nobody is here"),
    "an objective's budget": (SLOS, lambda it: counted(it, SPENT), "answered has"),
    "a policy's gate": (UNGATED, lambda it: standing(counted(it, HALF), CAREFUL), "answered has 40 %"),
}
EVERY_FREEZE = pytest.mark.parametrize(("slos", "freeze", "words"), FREEZES.values(), ids=list(FREEZES))


def thawed(world: World) -> World:
    """Without policies, and with all the budget."""
    return standing(counted(world, ENOUGH) if world.agent.spec.slos else world)


def upgraded(slos: list[dict[str, Any]]) -> Upgraded:
    """An upgrade of an agent with these objectives, which have all their budget."""
    it = Upgraded()
    it.world = thawed(with_spec(it.world, slos=slos))
    return it


def reconciling(it: Upgraded) -> dict[str, Any]:
    """The condition that says what is going on."""
    return dict(next(each for each in it.status["conditions"] if each["type"] == "Reconciling"))


@EVERY_FREEZE
def test_no_upgrade_begins(slos: list[dict[str, Any]], freeze: Freeze, words: str) -> None:
    """What is wanted waits, and the status says for what; when the freeze is over, it begins."""
    it = upgraded(slos)
    it.world = freeze(it.world)
    it.step()
    assert (it.phase, it.status["revision"].get("candidate")) == ("Settled", None)
    assert reconciling(it)["reason"] == "UpgradesFrozen"
    assert words in reconciling(it)["message"]
    it.world = thawed(it.world)
    it.until("Collecting")


@EVERY_FREEZE
def test_no_upgrade_goes_on(slos: list[dict[str, Any]], freeze: Freeze, words: str) -> None:
    """It stays at its step, whatever the evidence says; the status says why; then it goes on where it was."""
    it = upgraded(slos)
    it.until("Collecting")
    it.serve(10)
    it.world = freeze(it.world)
    it.step(30)
    assert (it.phase, it.status["rollout"]["weight"]) == ("Collecting", 10 if slos else 20)
    assert reconciling(it)["reason"] == "UpgradesFrozen"
    assert words in reconciling(it)["message"]
    it.world = thawed(it.world)
    it.until("AwaitingApproval")
    assert reconciling(it)["reason"] == "CanaryInProgress"


@EVERY_FREEZE
def test_nothing_is_promoted(slos: list[dict[str, Any]], freeze: Freeze, words: str) -> None:
    """Not even what was proven just before."""
    it = upgraded(slos)
    it.until("Collecting")
    it.serve(10)
    it.until("AwaitingApproval")
    it.answer("Approve")
    it.step()
    it.serve(150)
    it.world = freeze(it.world)
    stable = it.status["revision"]["stable"]
    for _ in range(5):
        it.step(30)
    assert it.status["revision"]["stable"] == stable
    assert words in reconciling(it)["message"]


@EVERY_FREEZE
def test_a_candidate_that_does_harm_is_withdrawn_all_the_same(
    slos: list[dict[str, Any]], freeze: Freeze, words: str
) -> None:
    """A freeze blocks a promotion, never a rollback."""
    it = upgraded(slos)
    it.until("Collecting")
    it.world = freeze(it.world)
    it.serve(20, bad=True)
    it.step()
    assert it.phase == "Aborting"
    assert words


@EVERY_FREEZE
def test_no_command_brings_it_on(slos: list[dict[str, Any]], freeze: Freeze, words: str) -> None:
    """To promote is refused, with the reason; to abort is not."""
    it = upgraded(slos)
    it.until("Collecting")
    it.world = freeze(it.world)
    candidate = it.status["revision"]["candidate"]
    plan = said(it, f"promote-full@{candidate}/1")
    refused = next(each for each in plan.events if each.reason == "CommandRefused")
    assert words in refused.message
    assert it.phase == "Collecting"
    said(it, f"abort@{candidate}/2")
    assert it.phase == "Aborting"


@EVERY_FREEZE
def test_to_go_back_is_free(slos: list[dict[str, Any]], freeze: Freeze, words: str) -> None:
    """`undo` to a revision that served is what ends a breach; to one that never served it is an upgrade."""
    it = upgraded(slos)
    it.until("Collecting")
    candidate, first = it.status["revision"]["candidate"], it.status["revision"]["stable"]
    it.world = freeze(it.world)
    said(it, f"undo@{first}/1")
    assert wish_of(it.world, it.now).wanted.freeze is None
    said(it, f"undo@{candidate}/2")
    assert words in (wish_of(it.world, it.now).wanted.freeze or "")


def test_little_budget_halves_the_weight_and_takes_no_pod() -> None:
    """Whichever step it is at, and back when there is budget again; its tasks go on where they are."""
    it = upgraded(SLOS)
    it.until("Collecting")
    candidate = it.status["revision"]["candidate"]
    it.serve(10)
    it.until("AwaitingApproval")
    it.answer("Approve")
    seen = []
    for counts in (ENOUGH, LITTLE, SPENT, ENOUGH):
        it.world = counted(it.world, counts)
        it.step()
        seen.append((it.phase, it.status["rollout"]["weight"], it.sizes()[candidate]))
    assert seen == [("Collecting", weight, 2) for weight in (50, 25, 25, 50)]


def test_an_obstacle_gives_a_slowed_candidate_no_more() -> None:
    """A spec that cannot be carried out changes nothing of the weight."""
    it = upgraded(SLOS)
    it.until("Collecting")
    it.world = replace(counted(it.world, LITTLE), connectors={})
    it.step()
    assert reconciling(it)["reason"] == "Blocked"
    assert it.status["rollout"]["weight"] == 10


def said(it: Upgraded, command: str) -> Any:
    """Somebody says so."""
    metadata = it.world.agent.metadata.model_copy(update={"annotations": {"proctor.dev/command": command}})
    it.world = replace(it.world, agent=it.world.agent.model_copy(update={"metadata": metadata}))
    return it.step()


STEPLESS: dict[str, tuple[list[dict[str, Any]], Freeze, bool]] = {
    "its own budget, which it asked no care for": (SLOS, lambda it: counted(it, SPENT), False),
    "a policy's gate": (UNGATED, lambda it: standing(counted(it, HALF), CAREFUL), True),
    "a policy's gate, with enough left": (SLOS, lambda it: standing(counted(it, ENOUGH), CAREFUL), False),
    "a policy's window": ([], lambda it: standing(it, WINDOW), True),
}


@pytest.mark.parametrize(("slos", "freeze", "holds"), STEPLESS.values(), ids=list(STEPLESS))
@pytest.mark.parametrize("is_begun", [False, True])
def test_a_policy_s_freeze_holds_without_steps_too(
    slos: list[dict[str, Any]], freeze: Freeze, holds: bool, is_begun: bool
) -> None:
    """Who declares no steps is let through by its own budget, but not by what the platform demands."""
    world = examples.world(examples.agent(slos=slos))
    for _ in range(2):
        world = carried_out(world, plan_agent(world, T0))
    stable = world.agent.status.revision.stable
    world = with_spec(world, instructions="Others.")
    now = T0 + timedelta(seconds=2)
    if is_begun:
        world = carried_out(world, plan_agent(world, now), ready=False)
    world = freeze(world)
    for _ in range(4):
        world = carried_out(world, plan_agent(world, now))
    assert (world.agent.status.revision.stable == stable) is holds
