"""How often a candidate that is no worse is rolled back, looking after every task; and that these tests can fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from math import log, log1p, pi, sin, sqrt

import pytest

from proctor.delivery.evidence import Capital, Observation, attribution, betting, fold
from proctor.delivery.evidence.mixture import Logs
from tests.delivery.worlds import World, dice, rolled_back, rolled_back_live, upgrade

ALPHA, RUNS = 0.05, 50
STEPS = ((0, 0.1), (60, 0.25), (160, 0.5))


def too_many(runs: int) -> float:
    """Above this share the chance is not at most alpha: three standard errors more."""
    return ALPHA + 3 * sqrt(ALPHA * (1 - ALPHA) / runs)


def waves(index: int) -> float:
    """Tasks get harder and easier by turns, nineteen to one."""
    return 1 + 0.9 * sin(2 * pi * index / 90)


def harder_when_exposed(index: int) -> float:
    """Tasks get harder just when the candidate gets more of them."""
    return 0.4 if index < 60 else 2.5


NULLS = {
    "alike, even split": World(0.05, 0.05),
    "alike, by steps, difficulty in waves": World(0.1, 0.1, STEPS, waves),
    "alike, harder as the weight rises": World(0.1, 0.1, STEPS, harder_when_exposed),
    "better": World(0.2, 0.1, STEPS),
}


@pytest.mark.parametrize("name", NULLS)
def test_a_candidate_that_is_no_worse_is_seldom_rolled_back(name: str) -> None:
    """Looking after each of 180 tasks, at most alpha of all runs are rolled back, within three standard errors."""
    assert rolled_back(NULLS[name], RUNS, 180, seed=11) <= too_many(RUNS)


SLOW = World(0.1, 0.1, slow_to_fail=3600)


def test_a_stable_revision_that_fails_slowly_does_not_make_the_candidate_look_worse() -> None:
    """Both fail as often, stable an hour after its deadline: looking every five minutes, at most alpha roll back."""
    assert rolled_back_live(SLOW, 30, 150, seed=12) <= too_many(RUNS)


def without_denominator(propensity: float, candidate: bool) -> Logs:
    """A likelihood ratio that forgets its normalisation: every failure of the candidate counts in full."""
    return tuple((log(ratio) if candidate else 0.0) - 0 * log1p(propensity) for ratio in attribution.RATIOS)


def without_losses(capital: Logs, gain: float) -> Logs:
    """A bet that is paid when it wins and not when it loses."""
    return tuple(value + log1p(stake * max(gain, 0.0)) for value, stake in zip(capital, betting.STAKES, strict=True))


@pytest.mark.parametrize(
    ("module", "name", "mutant"),
    [(attribution, "factors", without_denominator), (betting, "_staked", without_losses)],
)
def test_a_term_that_is_dropped_is_noticed(
    module: object, name: str, mutant: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one term of a logarithm the share of false rollbacks is far above what the test above allows."""
    monkeypatch.setattr(module, name, mutant)
    assert rolled_back(World(0.1, 0.1), 10, 100, seed=11) > too_many(RUNS)


def forgetful(capital: Capital, tasks: Sequence[Observation], now: datetime) -> Capital:
    """A fold that counts again what it has counted."""
    return fold(replace(capital, watermark=-1), tasks, now)


def impatient(capital: Capital, tasks: Sequence[Observation], now: datetime) -> Capital:
    """A fold that neither waits for open tasks nor counts them as bad: it takes what has ended."""
    return fold(capital, [task for task in tasks if task.finished_at is not None], now)


@pytest.mark.parametrize("mutant", [forgetful, impatient])
def test_a_watermark_or_a_deadline_that_is_dropped_is_noticed(mutant: object) -> None:
    """Without them the test of slow failures sees far more false rollbacks than it allows."""
    assert rolled_back_live(SLOW, 8, 150, seed=12, fold=mutant) > too_many(RUNS)  # type: ignore[arg-type]


def test_a_candidate_that_is_much_worse_is_always_caught() -> None:
    """5 % against 30 %, by steps of 10, 25 and 50 percent: every run is rolled back, the median within 20 exposed."""
    chance = dice(13)
    runs = [upgrade(World(0.05, 0.3, STEPS), chance, 800) for _ in range(15)]
    assert {run.verdict for run in runs} == {"rollback"}
    assert sorted(run.exposed for run in runs)[7] <= 25


def test_a_candidate_that_is_alike_is_promoted() -> None:
    """5 % against 5 %: nearly every run ends with a promotion within 800 tasks."""
    chance = dice(14)
    runs = [upgrade(World(0.05, 0.05, STEPS), chance, 800) for _ in range(15)]
    assert sum(run.verdict == "promote" for run in runs) >= 13


def test_a_candidate_that_is_worse_by_the_margin_is_seldom_promoted() -> None:
    """5 % against 15 % at a margin of 10 points: promotions are at most beta, within three standard errors."""
    chance = dice(15)
    promoted = sum(upgrade(World(0.05, 0.15), chance, 250).verdict == "promote" for _ in range(25)) / 25
    assert promoted <= 0.1 + 3 * sqrt(0.1 * 0.9 / 25)
