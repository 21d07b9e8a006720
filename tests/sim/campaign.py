"""All that can go wrong once in a scenario, one after the other; and the table of what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

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
    Outage,
    Partition,
    Plan,
    Sigterm,
    Slow,
    StaleRestart,
    WriteFault,
)
from tests.sim.run import Result, Setting, reference, run
from tests.sim.scenario import Scenario

ON_ONE: tuple[WriteFault, ...] = (
    Crash(after=False),
    Crash(after=True),
    Ambiguous(),
    Late(seconds=5.5),
    *(Fail(status) for status in (404, 409, 422, 429, 500)),
    Fail(403, 3),
    Sigterm(),
    Blind(seconds=1),
    Lag(seconds=8),
    Lag(seconds=3, of_kind="Agent"),
    StaleRestart(versions=20),
    Outage(seconds=30),
)
"""What can happen to a write with one operator. Of errors to which the client reacts alike, one stands for all."""

STAGGERED_ON_ONE: tuple[WriteFault, ...] = tuple(Fail(status, times) for status in (422, 500) for times in (3, 20))
"""What is the same but for its length."""

ALSO_ON_ONE: tuple[WriteFault, ...] = (
    Ambiguous(seconds=6),
    Slow(seconds=4),
    *(Fail(status, times) for status in (403, 503) for times in (1, 3, 20)),
    *(Fail(status, times) for status in (404, 409, 429) for times in (3, 20)),
    Lag(seconds=3, of_kind="Pod"),
    Lag(seconds=3, of_kind="Deployment"),
    StaleRestart(versions=3),
    StaleRestart(versions=8),
    Outage(seconds=120),
)
"""The rest of the grid."""

ON_TWO: tuple[WriteFault, ...] = (Crash(after=True), Crash(after=False), Sigterm(), Partition(seconds=30))
"""What can happen to a write while another operator waits to lead."""

_Fault = TypeVar("_Fault")
_DROPPED, _DOUBLED, _LATE = (), (0.0, 0.01), (3.0,)
_TURNS = 2
"""A fault may stall something, and then not any more."""

_EVERY = 3
"""In the short run, what is staggered strikes every third place only, each fault beginning with another one."""


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
        several = ", two operators" if self.setting.operators > 1 else ""
        return " + ".join(f"{each.kind}{several}" for each in self.plan)

    def run(self) -> Result:
        """Makes the run, and judges it."""
        wanted = reference(self.like, with_history=self.with_history)
        result = run(self.setting, self.plan, wanted.ending, with_history=self.with_history)
        found = [*result.findings]
        if not result.struck:
            found.append("no fault struck: the run before it was another one")
        if self.with_history:
            found += _made_again(wanted, result)
        found += _too_many_writes(wanted, result)
        if result.turns > wanted.turns + _TURNS * len(self.plan):
            found.append(f"I7 Stalled turned {result.turns} times, without faults {wanted.turns} times")
        return replace(result, findings=tuple(found))


def single_faults(scenario: Scenario, *, thorough: bool = False) -> Iterator[Trial]:
    """Every fault of every class at every place of the scenario where it can strike."""
    alone = Setting(scenario)
    calm = reference(alone)
    for index in range(calm.writes):
        staggered = _staggered(STAGGERED_ON_ONE, index, thorough=thorough)
        for fault in (*ON_ONE, *staggered, *(ALSO_ON_ONE if thorough else ())):
            yield Trial(alone, (OnWrite(index, fault),), alone, not scenario.is_stepped)
    for index in range(calm.events):
        for delays in (_DROPPED, _LATE, *_staggered((_DOUBLED,), index, thorough=thorough)):
            yield Trial(alone, (OnDelivery(index, delays),), alone, not scenario.is_stepped)
    yield from _with_standby(scenario, thorough=thorough)
    yield from _with_people(scenario, calm.writes, thorough=thorough)


def _staggered(faults: Sequence[_Fault], index: int, *, thorough: bool) -> list[_Fault]:
    return [fault for number, fault in enumerate(faults) if thorough or (index + number) % _EVERY == 0]


def _with_standby(scenario: Scenario, *, thorough: bool) -> Iterator[Trial]:
    pair = Setting(scenario, operators=2)
    robbed = replace(pair, fence_seconds=PERIOD + 0.1)
    for index in range(reference(pair).writes):
        for fault in _staggered((*ON_TWO, LeaseTaken()), index, thorough=thorough):
            setting = robbed if isinstance(fault, LeaseTaken) else pair
            yield Trial(setting, (OnWrite(index, fault),), pair, not scenario.is_stepped)


def _with_people(scenario: Scenario, writes: int, *, thorough: bool) -> Iterator[Trial]:
    """What somebody does in between must end as if it had been done when all was at rest."""
    alone = Setting(scenario)
    deeds = [Act(name, act) for name, act in scenario.acts.items()]
    if scenario.recreate is not None:
        deeds.append(Act("recreates it unseen", scenario.recreate, blind_seconds=1))
    deeds = [each for each in deeds if not (scenario.is_stepped and each.name in scenario.overruling)]
    laters = {deed.name: Setting(scenario, later=deed.act) for deed in deeds}
    for index in range(writes):
        for deed in _staggered(deeds, index, thorough=thorough):
            yield Trial(alone, (OnWrite(index, deed),), laters[deed.name], with_history=False)


def _made_again(wanted: Result, result: Result) -> Iterator[str]:
    for name in sorted(result.creates):
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
    found: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, kind: str, result: Result) -> None:
        """Takes a run into account."""
        self.tried[result.scenario, kind] += 1
        if result.findings:
            self.found[result.scenario, kind] += 1

    def rows(self) -> list[tuple[str, str, int, int]]:
        """The counts, in a form that can be sent to another process."""
        return [(*key, count, self.found[key]) for key, count in self.tried.items()]

    def take(self, rows: Iterable[Sequence[Any]]) -> None:
        """Adds what another process tried."""
        for scenario, kind, tried, found in rows:
            self.tried[scenario, kind] += tried
            self.found[scenario, kind] += found

    def lines(self) -> Iterator[str]:
        """Scenarios in rows, classes of faults in columns: plans tried, and after a `!` how many broke an invariant."""
        columns = sorted({_column(kind) for _, kind in self.tried})
        yield f"{'scenario':22}" + "".join(f"{each:>11}" for each in columns) + f"{'all':>11}"
        for scenario in dict.fromkeys(scenario for scenario, _ in self.tried):
            cells = [self._cell(scenario, each) for each in columns]
            yield f"{scenario:22}" + "".join(f"{each:>11}" for each in cells) + f"{self._cell(scenario, None):>11}"
        cells = [self._cell(None, each) for each in [*columns, None]]
        yield f"{'all':22}" + "".join(f"{each:>11}" for each in cells)

    def _cell(self, scenario: str | None, column: str | None) -> str:
        keys = [key for key in self.tried if scenario in {None, key[0]} and column in {None, _column(key[1])}]
        tried, found = sum(self.tried[key] for key in keys), sum(self.found[key] for key in keys)
        return f"{tried}!{found}" if found else str(tried)


def _column(kind: str) -> str:
    if "two operators" in kind:
        return "two"
    if kind.startswith("person"):
        return "people"
    return kind.removeprefix("event ").split(maxsplit=1)[0]


def attack(trials: Iterable[Trial], table: Table) -> list[Result]:
    """Makes all runs; those that broke an invariant."""
    bad = []
    for trial in trials:
        result = trial.run()
        table.add(trial.kind, result)
        if result.findings:
            bad.append(result)
    return bad
