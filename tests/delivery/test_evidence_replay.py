"""Replayed pairs, blocks of a split that is not ours, and the watch after a promotion."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product
from math import comb, exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.delivery.evidence import Tally
from proctor.delivery.evidence.blocks import Blocks, log_block, nearest_null
from proctor.delivery.evidence.replay import (
    Pair,
    Replay,
    Run,
    log_no_worse,
    log_replay_harm,
    replayed,
)
from proctor.delivery.evidence.watch import Watch
from tests.delivery.worlds import T0, dice

counts = st.integers(0, 30)


@given(candidate=counts, stable=counts)
def test_the_evidence_of_pairs_is_the_mean_likelihood_ratio(candidate: int, stable: int) -> None:
    """The closed form is the integral of p^x (1-p)^(n-x) over (1/2, 1), against one half."""
    n, parts = candidate + stable, 4000
    points = (0.5 + (i + 0.5) * 0.5 / parts for i in range(parts))
    integral = sum(p**candidate * (1 - p) ** stable for p in points) * 0.5 / parts
    assert exp(log_replay_harm(candidate, stable)) == pytest.approx(2 ** (n + 1) * integral, rel=1e-3)


@given(candidate=counts, stable=counts)
def test_one_more_differing_pair_is_a_fair_bet(candidate: int, stable: int) -> None:
    """If a pair that differs is as likely to be either's failure, the evidence is a martingale."""
    expected = (exp(log_replay_harm(candidate + 1, stable)) + exp(log_replay_harm(candidate, stable + 1))) / 2
    assert expected == pytest.approx(exp(log_replay_harm(candidate, stable)), rel=1e-9)


@given(
    pairs=st.integers(0, 40), candidate=st.integers(0, 15), stable=st.integers(0, 15), m=st.sampled_from([0.05, 0.3])
)
def test_one_more_pair_at_the_margin_is_a_fair_bet(pairs: int, candidate: int, stable: int, m: float) -> None:
    """If the candidate fails more of the pairs by just the margin, the evidence is expected to stay as it is."""
    n = pairs + candidate + stable
    before = exp(log_no_worse(n, candidate, stable, m))
    for worse, better in ((m, 0.0), (m + 0.2, 0.2), (0.5 + m / 2, 0.5 - m / 2)):
        after = worse * exp(log_no_worse(n + 1, candidate + 1, stable, m))
        after += better * exp(log_no_worse(n + 1, candidate, stable + 1, m))
        after += (1 - worse - better) * exp(log_no_worse(n + 1, candidate, stable, m))
        assert after == pytest.approx(before, rel=1e-9)


def test_pairs_without_a_difference_show_no_worse() -> None:
    """By ten points after some fifty, at a promised error of one in ten; a lost pair takes some more."""
    assert Replay(pairs=40).log_no_worse(0.1) < log(10) < Replay(pairs=55).log_no_worse(0.1)
    assert Replay(pairs=45, candidate_only=1).log_no_worse(0.1) < Replay(pairs=45).log_no_worse(0.1)
    assert Replay(pairs=200, candidate_only=30).log_no_worse(0.1) < 0


def a_run(*, bad: bool = False, minutes: float | None = 0) -> Run:
    """A run that may take a minute."""
    return Run(bad, None if minutes is None else T0 + timedelta(minutes=minutes), T0 + timedelta(minutes=1))


def test_pairs_are_counted_in_their_order_up_to_the_first_open_one() -> None:
    """A pair of which one run still has time holds up those behind it; at its deadline the run is bad."""
    pairs = [Pair(a_run(), a_run(bad=True)), Pair(a_run(), a_run(minutes=None)), Pair(a_run(bad=True), a_run())]
    assert replayed(pairs, T0).pairs == 1
    done = replayed(pairs, T0 + timedelta(minutes=1))
    assert (done.pairs, done.candidate_only, done.stable_only, done.both_bad) == (3, 2, 1, 0)


def test_a_late_run_is_bad_on_both_sides() -> None:
    """A good answer after the deadline is bad, whichever revision gave it."""
    late = a_run(minutes=2)
    replay = replayed([Pair(late, a_run()), Pair(a_run(), late), Pair(late, late)], T0 + timedelta(hours=1))
    assert (replay.stable_only, replay.candidate_only, replay.both_bad) == (1, 1, 1)


def test_seven_failures_of_the_candidate_alone_are_enough() -> None:
    """Without a failure of stable alone, seven pairs that differ refuse a candidate at alpha 0.05; six do not."""
    replay = Replay()
    verdicts = []
    for _ in range(7):
        replay = replay.after(stable=False, candidate=True)
        verdicts.append(replay.is_worse(0.05))
    assert verdicts == [False] * 6 + [True]
    assert "7 failed by the candidate alone" in replay.words(0.05)


def test_what_was_shown_at_any_pair_stays_shown() -> None:
    """Pairs that end well afterwards do not undo it."""
    replay = Replay()
    for _ in range(8):
        replay = replay.after(stable=False, candidate=True)
    for _ in range(40):
        replay = replay.after(stable=True, candidate=False)
    assert replay.log_harm < 0
    assert replay.is_worse(0.05)


@pytest.mark.parametrize("margin", [0.0, 0.1])
@pytest.mark.parametrize("expected", [(0.1, 0.5), (0.05, 0.3), (0.4, 0.9), (0.3, 0.2)])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 2), (6, 1)])
def test_a_block_is_an_e_variable_everywhere_in_the_null(
    margin: float, expected: tuple[float, float], n: int, m: int
) -> None:
    """Over all outcomes of a block and all rates of the null hypothesis its expectation is at most one."""
    grid = [i / 20 for i in range(21)]
    for stable, candidate in product(grid, grid):
        if candidate > stable + margin:
            continue
        mean = sum(
            binomial(x, n, stable)
            * binomial(y, m, candidate)
            * exp(log_block(Tally(n, x), Tally(m, y), expected, margin))
            for x in range(n + 1)
            for y in range(m + 1)
        )
        assert mean <= 1 + 1e-9


def binomial(x: int, n: int, rate: float) -> float:
    """The chance of x bad outcomes of n."""
    return float(comb(n, x) * rate**x * (1 - rate) ** (n - x))


def test_the_nearest_null_of_equal_blocks_is_between_the_rates() -> None:
    """With as many outcomes of each arm it is their mean, by symmetry."""
    stable, candidate = nearest_null((0.2, 0.8), 3, 3, 0.0)
    assert stable == pytest.approx(0.5)
    assert candidate == pytest.approx(0.5)


def test_blocks_find_a_worse_candidate_and_leave_an_equal_one() -> None:
    """Blocks of four and one: 10 % against 60 % is found in a hundred blocks, 10 % against 10 % is not."""
    chance = dice(4)

    def after(candidate: float) -> Blocks:
        blocks = Blocks()
        for _ in range(100):
            stable_bad = sum(chance.random() < 0.1 for _ in range(4))
            blocks = blocks.after(Tally(4, stable_bad), Tally(1, chance.random() < candidate))
        return blocks

    assert after(0.6).peak > log(20)
    assert after(0.1).peak < log(20)


@given(bound=st.floats(0.01, 0.9), past=st.lists(st.booleans(), max_size=40), part=st.floats(0, 1))
def test_a_watch_is_not_expected_to_gain_while_the_bound_is_kept(bound: float, past: list[bool], part: float) -> None:
    """After any past the next task multiplies what is above one by at most one, on average."""
    watch = Watch.begin(bound)
    for bad in past:
        watch = watch.after(bad=bad)
    base = sum(max(exp(value), 1.0) for value in watch.logs) / len(watch.logs)
    rate = bound * part
    mean = rate * exp(watch.after(bad=True).log_evidence) + (1 - rate) * exp(watch.after(bad=False).log_evidence)
    assert mean <= base * (1 + 1e-9)


def test_a_watch_alarms_soon_after_a_change_and_not_before() -> None:
    """A thousand good days do not blind it: ten bad tasks in a row are enough whatever came before."""
    watch = Watch.begin(0.05)
    for index in range(1000):
        watch = watch.after(bad=index % 20 == 0)
        assert not watch.alarms(1000)
    for _ in range(10):
        watch = watch.after(bad=True)
    assert watch.alarms(1000)


def test_a_bound_is_a_share() -> None:
    """Nothing is above a bound of one, and everything above a bound of nothing."""
    for bound in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="no bound"):
            Watch.begin(bound)
    assert replace(Watch.begin(0.5)).rates[0] > 0.5
