"""All that can go wrong once in a scenario, one after the other; and the table of what came of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from proctor.shell.lease import PERIOD
from tests.sim.faults import (
    Act,
    Ambiguous,
    Blind,
    Crash,
    Fail,
    Lag,
    Late,
    LeaseTaken,
    OnDelivery,
    OnWrite,
    Partition,
    Plan,
    Sigterm,
    Slow,
    StaleRestart,
    WriteFault,
)
from tests.sim.run import Result, Setting, reference, run
from tests.sim.scenario import Scenario

_ON_ONE: tuple[WriteFault, ...] = (
    Crash(after=False),
    Crash(after=True),
    Ambiguous(),
    Ambiguous(seconds=6),
    Late(seconds=5.5),
    Slow(seconds=4),
    *(Fail(status, times) for status in (409, 422, 500) for times in (1, 3, 20)),
    *(Fail(status, times) for status in (403, 429) for times in (1, 3)),
    Fail(503),
    Fail(404),
    Sigterm(),
    Blind(seconds=1),
    Lag(seconds=8),
    Lag(seconds=3, of_kind="Pod"),
    Lag(seconds=3, of_kind="Agent"),
    StaleRestart(versions=3),
    StaleRestart(versions=20),
)
"""What can happen to a write while one operator runs."""

_ON_TWO: tuple[WriteFault, ...] = (
    Crash(after=False),
    Crash(after=True),
    Sigterm(),
    Partition(seconds=30),
)
"""What can happen to a write while another operator waits to lead."""

_DELIVERIES = ((), (0.0, 0.01), (3.0,))
"""Dropped, doubled, late."""


@dataclass(frozen=True)
class Trial:
    """A run to make: how it is set up, what goes wrong, and which run it must end like."""

    setting: Setting
    plan: Plan
    like: Setting
    with_history: bool = True

    @property
    def kind(self) -> str:
        """The class of faults."""
        return " + ".join(f"{each.kind}{', two operators' if self.setting.operators > 1 else ''}" for each in self.plan)

    def run(self) -> Result:
        """Makes the run, and judges it."""
        wanted = reference(self.like, with_history=self.with_history)
        result = run(self.setting, self.plan, wanted.ending, with_history=self.with_history)
        found = [*result.findings]
        if not any(result.struck for _ in self.plan):
            found.append("no fault struck: the run before it was another one")
        if self.setting is self.like and self.with_history:
            found += _made_again(wanted, result)
        found += _too_many_writes(wanted, result)
        return replace(result, findings=tuple(found))


def single_faults(scenario: Scenario) -> Iterator[Trial]:
    """Every fault of every class at every place of the scenario where it can strike."""
    alone = Setting(scenario)
    calm = reference(alone)
    for index in range(calm.writes):
        for fault in _ON_ONE:
            yield Trial(alone, (OnWrite(index, fault),), alone)
    for index in range(calm.events):
        for delays in _DELIVERIES:
            yield Trial(alone, (OnDelivery(index, delays),), alone)
    yield from _with_standby(scenario)
    yield from _with_people(scenario, calm.writes)


def _with_standby(scenario: Scenario) -> Iterator[Trial]:
    pair = Setting(scenario, operators=2)
    robbed = replace(pair, fence_seconds=PERIOD + 0.1)
    for index in range(reference(pair).writes):
        for fault in _ON_TWO:
            yield Trial(pair, (OnWrite(index, fault),), pair)
        yield Trial(robbed, (OnWrite(index, LeaseTaken()),), pair)


def _with_people(scenario: Scenario, writes: int) -> Iterator[Trial]:
    """What somebody does in between must end as if it had been done when all was at rest."""
    alone = Setting(scenario)
    for name, act in (scenario.acts or {}).items():
        later = Setting(scenario, later=act)
        for index in range(writes):
            yield Trial(alone, (OnWrite(index, Act(name, act)),), later, with_history=False)
    if scenario.recreate is not None:
        later = Setting(scenario, later=scenario.recreate)
        for index in range(writes):
            unseen = Act("recreates it unseen", scenario.recreate, blind_seconds=1)
            yield Trial(alone, (OnWrite(index, unseen),), later, with_history=False)


def _made_again(wanted: Result, result: Result) -> Iterator[str]:
    for name in sorted({*wanted.creates, *result.creates}):
        if result.creates[name] > wanted.creates[name]:
            yield f"I3 {name} was made {result.creates[name]} times, without faults {wanted.creates[name]} times"


def _too_many_writes(wanted: Result, result: Result) -> Iterator[str]:
    limit = 3 * len(wanted.story.writes) + 60
    if len(result.story.writes) > limit:
        yield f"I11 {len(result.story.writes)} writes, without faults {len(wanted.story.writes)}"


@dataclass
class Table:
    """What was tried, by scenario and class of faults, and what was found."""

    tried: Counter[tuple[str, str]] = field(default_factory=Counter)
    found: defaultdict[tuple[str, str], list[Result]] = field(default_factory=lambda: defaultdict(list))

    def add(self, kind: str, result: Result) -> None:
        """Takes a run into account."""
        self.tried[result.scenario, kind] += 1
        if result.findings:
            self.found[result.scenario, kind].append(result)

    def __str__(self) -> str:
        """Scenarios in rows, classes of faults in columns: plans tried, and violations if there were any."""
        rows = [f"{'scenario':24} {'fault':34} {'plans':>6} {'violations':>10}"]
        for (scenario, kind), count in sorted(self.tried.items()):
            rows.append(f"{scenario:24} {kind:34} {count:6} {len(self.found[scenario, kind]):10}")
        violations = sum(map(len, self.found.values()))
        rows.append(f"{'all':24} {'':34} {sum(self.tried.values()):6} {violations:10}")
        return "\n".join(rows)


def attack(trials: Iterable[Trial], table: Table) -> list[Result]:
    """Makes all runs; those that broke an invariant."""
    bad = []
    for trial in trials:
        result = trial.run()
        table.add(trial.kind, result)
        if result.findings:
            bad.append(result)
    return bad
