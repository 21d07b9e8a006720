"""Upgrades whose tasks an HTTPRoute splits: its weights follow the status, and precede what rests on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.sim.agents import AGENT, NAMESPACE
from tests.sim.cluster.kinds import Body, Ref
from tests.sim.cluster.store import Change
from tests.sim.faults import OnWrite, WriteFault
from tests.sim.rollout_scenarios import RULES, SCENARIOS, Upgrading, _furnish
from tests.sim.scenario import staged
from tests.sim.test_rollouts import FAULTS, Told, played
from tests.sim.world import World

ROUTE = Ref("HTTPRoute", NAMESPACE, "refunds")
_DOORS = ("proctor-gateway-stable", "proctor-gateway-candidate")
_RESTORED_SECONDS = 5.0


def _route() -> Body:
    backends = [{"name": door, "namespace": "proctor-system", "port": 8080, "weight": 1} for door in _DOORS]
    tap = {"name": "tap", "port": 80, "weight": 5}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": ROUTE.name, "namespace": NAMESPACE},
        "spec": {"hostnames": ["agents.example.com"], "rules": [{"name": "tasks", "backendRefs": [*backends, tap]}]},
    }


def _furnish_routed(world: World) -> None:
    world.create(_route())
    _furnish(world)
    world.edit(AGENT, {"spec": {"rollout": {**RULES, "traffic": {"httpRoute": {"name": ROUTE.name}}}}})


def weights(world: World) -> tuple[int, int, int]:
    """Those of stable, the candidate, and what is none of ours."""
    stable, candidate, tap = (world.store.get(ROUTE) or {})["spec"]["rules"][0]["backendRefs"]
    return stable["weight"], candidate["weight"], tap["weight"]


def _meddle(world: World) -> None:
    """Somebody applies the route as it is in a repository, and goes on doing so."""

    def apply(times: int) -> None:
        rules: list[Any] = _route()["spec"]["rules"]
        world.edit(ROUTE, {"spec": {"rules": rules}})
        if times:
            world.timeline.call_later(7.0, apply, times - 1)

    world.timeline.call_later(3.0, apply, 5)


class Follower:
    """What must hold of the route at every change of it and of the Agent."""

    def __init__(self, world: World) -> None:
        self.found: list[str] = []
        self.seen: set[int] = set()
        self._world = world
        self._told = {0}
        world.store.listeners.append(self._see)

    def _see(self, change: Change) -> None:
        if change.ref == AGENT and change.type != "DELETED":
            rollout = change.body.get("status", {}).get("rollout", {})
            self._told.add(rollout.get("weight", 0))
            before = (change.before or {}).get("status", {}).get("rollout", {})
            if rollout.get("stage") == "Draining" and before.get("stage") != "Draining":
                self.found += self._drained_at_0()
        if change.ref == ROUTE and change.by.startswith("operator"):
            self.seen.add(weights(self._world)[1])
            self.found += self._was_told()

    def _drained_at_0(self) -> Iterator[str]:
        if weights(self._world)[1] and not self._is_meddled_with:
            yield f"I12 drained while the route gave the candidate {weights(self._world)[1]}"

    def _was_told(self) -> Iterator[str]:
        if weights(self._world)[1] not in self._told:
            yield f"I12 the route gives the candidate {weights(self._world)[1]}, the status never did"

    _is_meddled_with = False


def routed(scenario: Upgrading, *, meddled: bool = False) -> tuple[Upgrading, list[Follower]]:
    """The scenario with a route; its end asks for the route's weights, too."""
    followers: list[Follower] = []

    def act(world: World) -> None:
        followers.append(Follower(world))
        followers[0]._is_meddled_with = meddled
        if meddled:
            _meddle(world)
        scenario.act(world)

    def broken(world: World) -> Iterator[str]:
        yield from scenario.broken(world)
        if weights(world) != (100, 0, 5):
            yield f"I1 weights {weights(world)}"

    return replace(scenario, stage=SERVING, act=act, broken=broken), followers


SERVING = staged(_furnish_routed)
BY_NAME = {each.name: each for each in SCENARIOS}
NAMES = ("good candidate", "fails live tasks", "aborted by a person")


def _findings(told: Told, followers: list[Follower]) -> list[str]:
    return [*told.findings, *(finding for each in followers for finding in each.found)]


@pytest.mark.parametrize("name", NAMES)
def test_the_route_follows(name: str) -> None:
    """Step by step, and back to nothing for the candidate; what is none of ours stays."""
    scenario, followers = routed(BY_NAME[name])
    assert not _findings(played(scenario), followers)
    assert followers[0].seen >= {0, 20}


def test_what_somebody_else_writes_is_mended() -> None:
    """Again and again, in the middle of an upgrade; it ends as it would have."""
    scenario, followers = routed(BY_NAME["good candidate"], meddled=True)
    assert not _findings(played(scenario), followers)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=[f"{type(each).__name__}{number}" for number, each in enumerate(FAULTS)])
def test_one_fault(fault: WriteFault) -> None:
    """Also at the writes to the route itself."""
    scenario, _ = routed(BY_NAME["fails live tasks"])
    writes = played(scenario).writes
    for index in range(0, writes, 4):
        again, followers = routed(BY_NAME["fails live tasks"])
        found = _findings(played(again, (OnWrite(index, fault),)), followers)
        assert not found, f"at write {index}: {found}"
