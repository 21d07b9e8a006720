"""One run of a scenario under a plan of faults, and the judgement on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from tests.sim import ending
from tests.sim.cluster.kinds import Body
from tests.sim.ending import Ending
from tests.sim.faults import Fail, OnDelivery, OnWrite, Plan
from tests.sim.guard import Guard
from tests.sim.injector import Injector, attacked
from tests.sim.scenario import Deed, Scenario
from tests.sim.world import Story, World

QUIET_SECONDS = 30.0
HORIZON_SECONDS = 420.0
"""Within which all is well again: a regular list comes every five minutes, and shows what a watch did not."""
_STEP_SECONDS = 5.0


@dataclass(frozen=True)
class Result:
    """What came of a run."""

    scenario: str
    plan: Plan
    story: Story
    ending: Ending
    writes: int
    events: int
    struck: int
    creates: Counter[str]
    """How often operators made each object."""
    turns: int
    """How often a condition Stalled turned."""
    findings: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        lines = [f"{self.scenario}: {'; '.join(map(str, self.plan)) or 'no fault'}", *self.findings]
        lines += ["writes:", *(f"  {each}" for each in self.story.writes[-60:])]
        lines += [f"  {each}" for each in self.story.logs[-20:]]
        return "\n".join(lines)


@dataclass(frozen=True)
class Setting:
    """How a run is set up."""

    scenario: Scenario
    operators: int = 1
    """More than one: they elect a leader."""
    fence_seconds: float = 0.0
    """For how long after the lease was taken from it a process may still write, because it cannot know."""
    later: Deed | None = None
    """What somebody does when all has come to rest."""


def run(setting: Setting, plan: Plan = (), expected: Ending | None = None, *, with_history: bool = True) -> Result:
    """Runs the scenario to its rest. With `expected`, until it ends like that or the horizon is reached."""
    scenario = setting.scenario
    with attacked(plan, elects=setting.operators > 1) as (world, injector):
        world.load(scenario.stage())
        guard = Guard(world, secrets=scenario.secrets, fence_seconds=setting.fence_seconds)
        for _ in range(setting.operators):
            world.start_operator()
            world.run_for(1)
        return _play(setting, plan, expected, with_history, world, injector, guard)


def _play(
    setting: Setting,
    plan: Plan,
    expected: Ending | None,
    with_history: bool,
    world: World,
    injector: Injector,
    guard: Guard,
) -> Result:
    begin = world.timeline.time()
    first = world.store.version
    injector.arm()
    setting.scenario.act(world)
    horizon = _horizon(plan)
    _rest(world, setting.scenario.seconds, horizon)
    if setting.later is not None:
        setting.later(world)
        _rest(world, max(setting.scenario.seconds, QUIET_SECONDS), horizon)
    findings = _settle(world, expected, begin + horizon, with_history)
    creates = Counter(
        str(change.ref)
        for change in world.store.log
        if change.version > first
        and change.type == "ADDED"
        and change.by.startswith("operator")
        and change.ref.kind != "Event"
    )
    return Result(
        scenario=setting.scenario.name,
        plan=plan,
        story=world.story,
        ending=ending.of(world, with_history=with_history),
        writes=injector.writes,
        events=injector.events,
        struck=injector.struck,
        creates=creates,
        turns=_turns(world, first),
        findings=(*guard.end(), *findings),
    )


def _turns(world: World, first: int) -> int:
    """How often operators said that something is stalled, or that it is not any more."""
    told = [
        (change.ref, _stalled(change.before), _stalled(change.body))
        for change in world.store.log
        if change.version > first
    ]
    return sum(1 for _, was, is_now in told if was is not None and is_now is not None and was != is_now)


def _stalled(body: Body | None) -> str | None:
    conditions = (body or {}).get("status", {}).get("conditions", ())
    return next((each["status"] for each in conditions if each["type"] == "Stalled"), None)


def _horizon(plan: Plan) -> float:
    """A write that fails twenty times is tried at growing intervals of up to a minute.

    What a watch is silent about shows in the next regular list; what follows from that, in the one after it.
    """
    faults = (each.fault for each in plan if isinstance(each, OnWrite))
    patience = sum(70.0 * each.times for each in faults if isinstance(each, Fail) and each.times > 1)
    lists = sum(isinstance(each, OnDelivery) and not each.delays for each in plan)
    return HORIZON_SECONDS * max(lists, 1) + patience


def _rest(world: World, seconds: float, horizon: float) -> None:
    """Until nothing was written for a while, and no less than so long."""
    world.run_for(seconds)
    deadline = world.timeline.time() + horizon
    while world.timeline.time() < world.story.last_write + QUIET_SECONDS and world.timeline.time() < deadline:
        world.run_for(_STEP_SECONDS)


def _settle(world: World, expected: Ending | None, end: float, with_history: bool) -> list[str]:
    while True:
        faults = list(_faults(world, expected, with_history))
        if not faults:
            return []
        if world.timeline.time() > end:
            return faults
        world.run_for(QUIET_SECONDS)
        _rest(world, 0, HORIZON_SECONDS)


def _faults(world: World, expected: Ending | None, with_history: bool) -> Iterator[str]:
    yield from ending.disorder(world)
    if expected is not None:
        yield from ending.differences(expected, ending.of(world, with_history=with_history))
    if world.timeline.time() < world.story.last_write + QUIET_SECONDS:
        yield "I2 the operator does not come to rest"


@cache
def reference(setting: Setting, *, with_history: bool = True) -> Result:
    """The run without faults: what all others are compared to."""
    return run(setting, with_history=with_history)
