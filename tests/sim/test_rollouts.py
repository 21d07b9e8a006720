"""Upgrades by steps, with tasks that come all the while: whatever goes wrong once, they end as they must."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from tests.sim.agents import AGENT
from tests.sim.cluster.kinds import labels_of
from tests.sim.cluster.store import Change
from tests.sim.faults import (
    Ambiguous,
    Blind,
    Crash,
    Fail,
    Lag,
    OnWrite,
    Outage,
    Plan,
    Sigterm,
    StaleRestart,
    WriteFault,
)
from tests.sim.guard import Guard
from tests.sim.injector import attacked
from tests.sim.rollout_scenarios import SCENARIOS, Upgrading
from tests.sim.world import World

_PATIENCE_SECONDS = 400.0
_STEP_SECONDS = 10.0
FAULTS: tuple[WriteFault, ...] = (
    Crash(after=True),
    Crash(after=False),
    Ambiguous(),
    Fail(409),
    Fail(500, 3),
    StaleRestart(versions=8),
    Blind(seconds=1),
    Lag(seconds=8),
    Sigterm(),
    Outage(seconds=20),
)
_PER_SCENARIO = 5
_REVISION = "proctor.dev/revision"


@dataclass
class Careful:
    """What must hold at every moment of an upgrade: looked at with every change."""

    world: World
    found: list[str] = field(default_factory=list)
    _steps: set[tuple[str, int]] = field(default_factory=set)

    def see(self, change: Change) -> None:
        """Looks at a change."""
        if change.ref == AGENT and change.type != "DELETED" and change.by.startswith("operator"):
            self.found += self._weight_is_of_its_step(change)
        if change.ref.kind == "Pod" and change.type == "ADDED":
            self.found += self._pods_are_few()

    def _weight_is_of_its_step(self, change: Change) -> Iterator[str]:
        status = change.body["status"]
        rollout = status.get("rollout", {})
        weight, step = rollout.get("weight", 0), rollout.get("step")
        steps = change.body["spec"]["rollout"]["steps"]
        most = max((each.get("weight", 0) for each in steps[: step + 1]), default=0) if step is not None else 0
        if weight > most:
            yield f"I12 weight {weight} at step {step} in phase {rollout.get('phase')}"
        before = (change.before or {}).get("status", {}).get("rollout", {})
        if before.get("id") == rollout.get("id") and step is not None and step < before.get("step", 0):
            yield f"I5 step {before.get('step')} was gone back to {step}"
        if weight and before.get("phase") == "Aborting":
            yield f"I12 a candidate that is withdrawn got weight {weight}"

    def _pods_are_few(self) -> Iterator[str]:
        pods = [each for each in self.world.store.all("Pod") if labels_of(each).get("proctor.dev/agent") == AGENT.name]
        alive = [each for each in pods if not each["metadata"].get("deletionTimestamp")]
        # Two of the stable revision, two of the candidate, and one more while a Deployment rolls.
        if len(alive) > 5:
            yield f"I4 {len(alive)} pods of one agent"


@dataclass(frozen=True)
class Told:
    """What came of a run."""

    writes: int
    findings: tuple[str, ...]


def played(
    scenario: Upgrading,
    plan: Plan = (),
    *,
    gateway_away: tuple[float, float] | None = None,
    patience: float = _PATIENCE_SECONDS,
    operators: int = 1,
) -> Told:
    """Runs the scenario under a plan of faults, until it has ended as it must or patience does."""
    with attacked(plan, elects=operators > 1) as (world, injector):
        world.load(scenario.stage())
        guard, careful = Guard(world, secrets=scenario.secrets), Careful(world)
        world.store.listeners.append(careful.see)
        for _ in range(operators):
            world.start_operator()
            world.run_for(1)
        injector.arm()
        if gateway_away:
            world.timeline.call_later(gateway_away[0], world.gateway.go)
            world.timeline.call_later(sum(gateway_away), world.gateway.come_back)
        scenario.act(world)
        broken = _wait(world, scenario, patience)
        live = world.gateway.live(AGENT)
        return Told(injector.writes, (*guard.end(), *careful.found, *dict.fromkeys(live.found), *broken))


def _wait(world: World, scenario: Upgrading, patience: float) -> list[str]:
    world.run_for(scenario.seconds)
    waited = 0.0
    while (broken := list(scenario.broken(world))) and waited < patience:
        world.run_for(_STEP_SECONDS)
        waited += _STEP_SECONDS
    return broken


def plans(writes: int, seed: int) -> Iterator[Plan]:
    """One fault at each of a few writes, spread over the scenario."""
    for number in range(_PER_SCENARIO):
        index = (number * writes + seed * 3) // _PER_SCENARIO % writes
        yield (OnWrite(index, FAULTS[(number + seed * _PER_SCENARIO) % len(FAULTS)]),)


EVERY_SCENARIO: Callable[[Callable[..., None]], Callable[..., None]] = pytest.mark.parametrize(
    "scenario", SCENARIOS, ids=[each.name for each in SCENARIOS]
)


@EVERY_SCENARIO
def test_without_faults(scenario: Upgrading) -> None:
    """Each scenario ends as it must, and no invariant is broken on the way."""
    assert not played(scenario).findings


@EVERY_SCENARIO
@pytest.mark.slow
def test_one_fault(scenario: Upgrading) -> None:
    """A crash, a lost answer, a refusal, a stale restart: the upgrade goes on where it was."""
    calm = played(scenario)
    for plan in plans(calm.writes, SCENARIOS.index(scenario)):
        told = played(scenario, plan)
        assert not told.findings, f"{'; '.join(map(str, plan))}: {told.findings}"


@EVERY_SCENARIO
@pytest.mark.slow
@pytest.mark.nightly
def test_one_fault_thoroughly(scenario: Upgrading) -> None:
    """Every fault at every write."""
    calm = played(scenario)
    for plan in ((OnWrite(index, fault),) for index in range(calm.writes) for fault in FAULTS):
        told = played(scenario, plan)
        assert not told.findings, f"{'; '.join(map(str, plan))}: {told.findings}"


@pytest.mark.parametrize("scenario", SCENARIOS[:3], ids=[each.name for each in SCENARIOS[:3]])
def test_the_gateway_is_away_for_a_while(scenario: Upgrading) -> None:
    """Nothing is promoted, refused or withdrawn to the end meanwhile; afterwards it goes on."""
    assert not played(scenario, gateway_away=(12.0, 60.0)).findings


@pytest.mark.parametrize("scenario", SCENARIOS[:2], ids=[each.name for each in SCENARIOS[:2]])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_another_operator_takes_over(scenario: Upgrading, share: float) -> None:
    """The leader dies in the middle of the upgrade: the one that waits goes on where it was."""
    calm = played(scenario, operators=2)
    told = played(scenario, (OnWrite(int(calm.writes * share), Crash(after=True)),), operators=2)
    assert not told.findings
