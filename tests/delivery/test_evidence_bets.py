"""The capital of single metrics: closed forms, enumeration, and what no bet may do."""

from __future__ import annotations

from itertools import product
from math import exp, isfinite, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.delivery.evidence import Capital, Kind, Metric, Observation, attribution, betting, fold
from proctor.delivery.evidence.mixture import log_mean, log_weighted
from tests.delivery.worlds import METRIC, T0

shares = st.floats(0.02, 0.98)


def observed(index: int, *, candidate: bool, bad: float, rho: float) -> Observation:
    """A task that ended in time."""
    return Observation(index, candidate, rho, T0, T0, {METRIC: bad})


def capital_of(
    outcomes: list[tuple[bool, float]], rho: float, kind: Kind = Kind.BINARY, margin: float = 0.1
) -> Capital:
    """The capital after these outcomes."""
    tasks = [observed(i, candidate=arm, bad=bad, rho=rho) for i, (arm, bad) in enumerate(outcomes)]
    return fold(Capital.begin([Metric(METRIC, margin, kind)]), tasks, T0)


def expectation(value: str, rates: list[tuple[float, float]], rho: float) -> float:
    """The mean of a capital over all arms and outcomes of as many tasks as there are rates (stable, candidate)."""
    total = 0.0
    for outcomes in product([(arm, bad) for arm in (False, True) for bad in (0.0, 1.0)], repeat=len(rates)):
        chance = 1.0
        for (arm, bad), rate in zip(outcomes, rates, strict=True):
            chance *= (rho if arm else 1 - rho) * (rate[arm] if bad else 1 - rate[arm])
        account = capital_of(list(outcomes), rho).accounts[METRIC]
        total += chance * exp(getattr(account, value))
    return total


@pytest.mark.parametrize("rho", [0.1, 0.5, 0.8])
@pytest.mark.parametrize(
    "rates",
    [
        [(0.1, 0.1)] * 4,
        [(0.5, 0.5), (0.02, 0.02), (0.9, 0.9), (0.3, 0.3)],
        [(0.2, 0.1), (0.9, 0.9), (1.0, 0.0), (0.5, 0.5)],
    ],
)
def test_no_candidate_that_is_no_worse_is_expected_to_raise_the_evidence_of_harm(
    rates: list[tuple[float, float]], rho: float
) -> None:
    """Over all outcomes of four tasks, however hard each is, the capital has an expectation of at most one."""
    assert expectation("log_harm", rates, rho) <= 1 + 1e-9


@pytest.mark.parametrize("rho", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("rates", [[(0.1, 0.2)] * 4, [(0.0, 0.1), (0.5, 0.6), (0.9, 1.0), (0.1, 0.9)]])
def test_no_candidate_that_is_worse_by_the_margin_is_expected_to_be_shown_no_worse(
    rates: list[tuple[float, float]], rho: float
) -> None:
    """The same for a promotion, with a candidate whose tasks are bad more often by the margin or more."""
    assert expectation("log_noninferior", rates, rho) <= 1 + 1e-9


def test_the_enumeration_would_show_a_candidate_that_is_worse() -> None:
    """The expectation does rise above one where the null hypothesis is wrong."""
    assert expectation("log_harm", [(0.05, 0.6)] * 4, 0.5) > 1.1
    assert expectation("log_noninferior", [(0.05, 0.05)] * 4, 0.5) > 1.05


def test_attribution_with_one_propensity_is_a_binomial_mixture() -> None:
    """Only the bad outcomes count: x of n on the candidate's arm, against a share of rho."""
    rho, x, n = 0.2, 5, 7
    outcomes = [(i < x, 1.0) for i in range(n)] + [(True, 0.0)] * 9 + [(False, 0.0)] * 30
    mixture = 0.0
    for ratio in attribution.RATIOS:
        p = rho * ratio / (rho * ratio + 1 - rho)
        mixture += (p / rho) ** x * ((1 - p) / (1 - rho)) ** (n - x) / len(attribution.RATIOS)
    assert exp(log_mean(capital_of(outcomes, rho).accounts[METRIC].attribution)) == pytest.approx(mixture)


def test_attribution_does_not_ask_how_hard_tasks_are() -> None:
    """A thousand good outcomes more, on whichever arm, leave the attribution as it is."""
    few = capital_of([(True, 1.0), (False, 1.0)], 0.3)
    many = capital_of([(True, 1.0), (False, 1.0), *[(True, 0.0)] * 100], 0.3)
    assert few.accounts[METRIC].attribution == many.accounts[METRIC].attribution


@given(
    rho=shares, bad=st.floats(0, 1), expected=st.floats(0, 1), candidate=st.booleans(), margin=st.floats(0.001, 0.99)
)
def test_no_task_can_ruin_a_stake(rho: float, bad: float, expected: float, candidate: bool, margin: float) -> None:
    """Whatever one task brings, every strategy keeps at least the twentieth part that it did not stake."""
    z = betting.difference(bad, candidate=candidate, propensity=rho, expected=expected)
    harm = betting.after_harm(betting.BEGIN, z, propensity=rho, expected=expected)
    noninferior = betting.after_noninferior(betting.BEGIN, z, propensity=rho, expected=expected, margin=margin)
    assert min(*harm, *noninferior) >= log(0.05) - 1e-6
    assert all(isfinite(value) for value in (*harm, *noninferior))


@given(stable=st.floats(0, 1), candidate=st.floats(0, 1), rho=shares, expected=st.floats(0, 1))
def test_the_estimate_of_a_difference_has_no_bias(stable: float, candidate: float, rho: float, expected: float) -> None:
    """The mean of Z over both arms is the difference itself, whatever was expected."""
    of_candidate = betting.difference(candidate, candidate=True, propensity=rho, expected=expected)
    of_stable = betting.difference(stable, candidate=False, propensity=rho, expected=expected)
    assert rho * of_candidate + (1 - rho) * of_stable == pytest.approx(candidate - stable, abs=1e-9)


def test_scores_between_good_and_bad_are_compared() -> None:
    """A score that is lower by a third on every task of the candidate is found; equal scores are not."""
    worse = capital_of([(i % 2 == 0, 0.6 if i % 2 == 0 else 0.25) for i in range(120)], 0.5, Kind.SCORE)
    alike = capital_of([(i % 2 == 0, 0.25 + (i % 7) / 20) for i in range(120)], 0.5, Kind.SCORE)
    assert worse.peak > log(20)
    assert alike.peak < log(5)


def test_a_binary_metric_has_no_halves() -> None:
    """A value between good and bad is refused where the test counts failures."""
    with pytest.raises(ValueError, match="either good or bad"):
        capital_of([(True, 0.5)], 0.5)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
def test_what_is_no_share_is_no_observation(value: float) -> None:
    """A number outside of [0, 1] never reaches the capital."""
    with pytest.raises(ValueError, match="not between 0 and 1"):
        observed(7, candidate=True, bad=value, rho=0.5)
    with pytest.raises(ValueError, match="propensity"):
        observed(7, candidate=True, bad=1.0, rho=value)


@pytest.mark.parametrize(("margin", "weight"), [(0.0, 1.0), (1.0, 1.0), (0.1, 0.0), (0.1, float("inf"))])
def test_a_metric_needs_a_margin_and_a_weight(margin: float, weight: float) -> None:
    """A margin of nothing can never be shown, a weight of nothing never speaks."""
    with pytest.raises(ValueError, match="margin"):
        Metric("any", margin, weight=weight)


@given(st.lists(st.floats(-700, 700), min_size=1, max_size=20))
def test_a_mean_lies_between_its_parts(values: list[float]) -> None:
    """Also where the numbers themselves would overflow."""
    assert min(values) - 1e-9 <= log_mean(values) <= max(values) + 1e-9


def test_a_mean_by_weight_needs_weight() -> None:
    """Nothing to average is an error, not evidence."""
    with pytest.raises(ValueError, match="weight"):
        log_weighted([(0.0, 1.0)])
    assert log_weighted([(1.0, log(2)), (3.0, log(6))]) == pytest.approx(log(5))
