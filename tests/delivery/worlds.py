"""Worlds in which two revisions answer tasks: the chance that each task is bad is known, so verdicts can be checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import log
from random import Random

from proctor.delivery.evidence import Analysis, Capital, Metric, Observation, fold

T0 = datetime(2026, 3, 1, tzinfo=UTC)
BETWEEN = timedelta(seconds=60)
DEADLINE = timedelta(minutes=15)
METRIC = "answered"

Fold = Callable[[Capital, Sequence[Observation], datetime], Capital]


def dice(seed: int) -> Random:
    """Chance that falls the same way every time."""
    return Random(seed)  # noqa: S311 - a simulation


@dataclass(frozen=True)
class World:
    """Two revisions, and how tasks are split between them."""

    stable: float
    """The chance that a task is bad on the stable revision."""
    candidate: float
    weights: tuple[tuple[int, float], ...] = ((0, 0.5),)
    """From which task on the candidate gets which share."""
    difficulty: Callable[[int], float] | None = None
    """What both chances are multiplied by, from task to task."""
    slow_to_fail: float = 1.0
    """Seconds that a bad task takes on the stable revision; anything else takes a second."""

    def weight(self, index: int) -> float:
        """The share of the candidate at a task."""
        return next(share for begin, share in reversed(self.weights) if index >= begin)

    def tasks(self, chance: Random, count: int) -> Iterator[Observation]:
        """Tasks a minute apart, as they are known once all have ended."""
        for index in range(count):
            rho = self.weight(index)
            candidate = chance.random() < rho
            factor = self.difficulty(index) if self.difficulty else 1.0
            bad = chance.random() < factor * (self.candidate if candidate else self.stable)
            seconds = self.slow_to_fail if bad and not candidate else 1.0
            assigned = T0 + index * BETWEEN
            yield Observation(
                index, candidate, rho, assigned + DEADLINE, assigned + timedelta(seconds=seconds), {METRIC: float(bad)}
            )


def as_known(tasks: Sequence[Observation], now: datetime) -> list[Observation]:
    """The tasks that have begun by now, as one knows them then: an open task has neither end nor value."""
    begun = [task for task in tasks if task.deadline - DEADLINE <= now]
    return [task if _has_ended(task, now) else replace(task, finished_at=None, bad={}) for task in begun]


def _has_ended(task: Observation, now: datetime) -> bool:
    return task.finished_at is not None and task.finished_at <= now


def after_all(world: World, chance: Random, count: int, margin: float = 0.1) -> Capital:
    """The capital after so many tasks, each looked at once it has ended."""
    return fold(Capital.begin([Metric(METRIC, margin)]), world.tasks(chance, count), T0 + timedelta(days=365))


def rolled_back(world: World, runs: int, count: int, seed: int, analysis: Analysis | None = None) -> float:
    """The share of runs in which the candidate was rolled back at some task."""
    threshold = -log((analysis or Analysis()).alpha)
    chance = dice(seed)
    return sum(after_all(world, chance, count).peak >= threshold for _ in range(runs)) / runs


def rolled_back_live(world: World, runs: int, count: int, seed: int, *, fold: Fold = fold) -> float:
    """The same, looking every five minutes at what is known then."""
    chance, threshold = dice(seed), -log(Analysis().alpha)
    caught = 0
    for _ in range(runs):
        tasks, capital = list(world.tasks(chance, count)), Capital.begin([Metric(METRIC, 0.1)])
        for minute in range(0, count + 20, 5):
            now = T0 + timedelta(minutes=minute)
            recent = tasks[max(0, minute - 40) : minute + 1]
            capital = fold(capital, as_known(recent, now), now)
        caught += capital.peak >= threshold
    return caught / runs


@dataclass(frozen=True)
class Run:
    """How one upgrade ended."""

    verdict: str
    tasks: int
    exposed: int
    """Tasks that the candidate was given."""


def stepwise(world: World, chance: Random, most: int, step_margin: float | None) -> Run:
    """One upgrade that leaves a weight after 20 tasks of the candidate, once the step's margin is shown, if any."""
    analysis, capital, weights = (
        Analysis(),
        Capital.begin([Metric(METRIC, 0.1, step_margin=step_margin)]),
        world.weights,
    )
    at, entered = 0, 0
    for index in range(most):
        task = next(replace(world, weights=((0, weights[at][1]),)).tasks(chance, 1))
        capital = fold(capital, [replace(task, assignment=index)], task.deadline)
        verdict = _verdict(capital, analysis, 20)
        if verdict == "rollback" or (verdict and at == len(weights) - 1):
            return Run(verdict, capital.tasks, capital.candidate_tasks)
        account = capital.accounts[METRIC]
        may_rise = account.log_step is None or max(account.log_step, account.log_noninferior) >= -log(analysis.beta)
        if at < len(weights) - 1 and capital.candidate_tasks - entered >= 20 and may_rise:
            at, entered = at + 1, capital.candidate_tasks
    return Run("undecided", capital.tasks, capital.candidate_tasks)


def upgrade(world: World, chance: Random, most: int, margin: float = 0.1, min_tasks: int = 20) -> Run:
    """One upgrade, looked at after every task, until there is a verdict or there have been so many tasks."""
    analysis = Analysis()
    capital = Capital.begin([Metric(METRIC, margin)])
    for task in world.tasks(chance, most):
        capital = fold(capital, [task], task.deadline)
        verdict = _verdict(capital, analysis, min_tasks)
        if verdict:
            return Run(verdict, capital.tasks, capital.candidate_tasks)
    return Run("undecided", capital.tasks, capital.candidate_tasks)


def _verdict(capital: Capital, analysis: Analysis, min_tasks: int) -> str | None:
    if capital.peak >= -log(analysis.alpha):
        return "rollback"
    if capital.candidate_tasks < min_tasks:
        return None
    shown = all(account.log_noninferior >= -log(analysis.beta) for account in capital.accounts.values())
    return "promote" if shown else None
