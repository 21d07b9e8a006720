"""Tags that move: whatever is pushed, whoever is killed, a revision's pods run what its first ready pod ran."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.sim import agents
from tests.sim.agent_scenarios import BARE, instruct, scale
from tests.sim.agents import AGENT, NAMESPACE
from tests.sim.cluster.kinds import Ref, labels_of
from tests.sim.cluster.store import Change
from tests.sim.faults import Ambiguous, Crash, Fail, Lag, OnWrite, Plan, StaleRestart, WriteFault
from tests.sim.injector import attacked
from tests.sim.world import World

TAG = "registry.example/mine:1"
_REVISION = "proctor.dev/revision"
_IMAGE = "proctor.dev/image"


def _push(world: World) -> None:
    """Something else is pushed under the tag."""
    world.nature.pushes[TAG] = world.nature.pushes.get(TAG, 0) + 1


def _evict(world: World) -> None:
    """The agent's pods go, as with their node."""
    for body in world.store.all("Pod"):
        if labels_of(body).get("proctor.dev/agent") == AGENT.name:
            world.delete(Ref("Pod", NAMESPACE, body["metadata"]["name"]))


def _go_back(world: World) -> None:
    first = next(each for each in world.store.all("ControllerRevision") if each["revision"] == 1)
    command = f"undo@{labels_of(first)[_REVISION]}/n1"
    world.edit(AGENT, {"metadata": {"annotations": {"proctor.dev/command": command}}})


STORY: tuple[Callable[[World], None], ...] = (
    _push,
    _evict,
    _push,
    scale(3),
    instruct("Others."),
    _push,
    _go_back,
    _evict,
)


def _stable(world: World) -> str:
    revision: str = (world.store.get(AGENT) or {})["status"]["revision"]["stable"]
    return revision


class Watcher:
    """Looks at every pod that gets ready while its revision is the stable one."""

    def __init__(self, world: World) -> None:
        self.found: list[str] = []
        self.ran: dict[str, set[str]] = {}
        self._world = world
        world.store.listeners.append(self._see)

    def _see(self, change: Change) -> None:
        if change.ref.kind in {"Agent", "Pod"}:
            self.found += self._is_itself()

    def _is_itself(self) -> Iterator[str]:
        stable = (self._world.store.get(AGENT) or {}).get("status", {}).get("revision", {}).get("stable")
        pods = (each for each in self._world.store.all("Pod") if labels_of(each).get(_REVISION) == stable)
        containers = (each for pod in pods for each in pod.get("status", {}).get("containerStatuses", ()))
        for each in containers:
            if stable and each.get("ready"):
                ran = self.ran.setdefault(stable, set())
                ran.add(each["imageID"])
                if len(ran) > 1:
                    yield f"{stable} has served with {sorted(ran)}"


def _upgraded(plan: Plan = ()) -> tuple[int, list[str]]:
    """How many writes an upgrade to a tag took that has a minute to get ready, and what was wrong with it."""
    with attacked(plan) as (world, injector):
        world.load(BARE())
        world.start_operator()
        rules = {"progressDeadline": "60s", "steps": [{"weight": 50, "until": {"minTasks": 1}}]}
        world.create(agents.agent(runtime={"image": TAG, "replicas": 2}, rollout=rules))
        world.run_for(60)
        injector.arm()
        instruct("Others.")(world)
        world.run_for(90)
        phase = (world.store.get(AGENT) or {})["status"]["rollout"]["phase"]
        return injector.writes, [] if phase == "Collecting" else [f"it is {phase}"]


def _played(plan: Plan = ()) -> tuple[int, list[str]]:
    """How many writes the story took, and what was wrong with it."""
    with attacked(plan) as (world, injector):
        world.load(BARE())
        world.start_operator()
        world.run_for(1)
        watcher = Watcher(world)
        injector.arm()
        world.create(agents.agent(runtime={"image": TAG, "replicas": 2}))
        world.run_for(60)
        first = _stable(world)
        for deed in STORY:
            deed(world)
            world.run_for(60)
        if _stable(world) != first:
            watcher.found.append(f"{_stable(world)} serves, not {first}")
        if set(watcher.ran) < {first} or len(watcher.ran) != 2:
            watcher.found.append(f"served were {watcher.ran}")
        kept = world.store.get(Ref("ControllerRevision", NAMESPACE, f"{AGENT.name}-{first}")) or {}
        if {kept["metadata"]["annotations"][_IMAGE]} != watcher.ran[first]:
            watcher.found.append(f"kept is {kept['metadata']['annotations'][_IMAGE]}")
        return injector.writes, watcher.found


def test_a_tag_that_moves_changes_no_revision() -> None:
    """New nodes, more pods, another revision and back: each revision served with one image, the first with its own."""
    assert not _played()[1]


_FAULTS: tuple[WriteFault, ...] = (
    Crash(after=True),
    Crash(after=False),
    Ambiguous(),
    Fail(409),
    StaleRestart(8),
    Lag(8),
)


@pytest.mark.slow
@pytest.mark.parametrize("fault", _FAULTS, ids=[type(each).__name__ + str(index) for index, each in enumerate(_FAULTS)])
def test_whatever_goes_wrong_meanwhile(fault: WriteFault) -> None:
    """One fault at every third write."""
    writes, _ = _played()
    for index in range(0, writes, 3):
        _, found = _played((OnWrite(index, fault),))
        assert not found, f"at write {index}: {found}"


@pytest.mark.parametrize("times", [1, 4])
def test_a_write_that_is_refused_for_a_moment_fails_no_revision(times: int) -> None:
    """Also with a minute to get ready, in which the first pod starts, is looked at and is made anew by its digest."""
    writes, found = _upgraded()
    assert not found
    for index in range(writes):
        _, found = _upgraded((OnWrite(index, Fail(403, times)),))
        assert not found, f"refused at write {index}: {found}"
