"""The one-sample test and the beta distribution under it."""

from __future__ import annotations

from math import comb, exp, isfinite, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.evidence.beta import log_above, log_below
from proctor.evidence.breach import one_sample

shares = st.floats(0.001, 0.999)


def binomial_tail(x: float, a: int, b: int) -> float:
    """P(Beta(a, b) <= x) for whole parameters, by its binomial sum."""
    n = a + b - 1
    return sum(comb(n, k) * x**k * (1 - x) ** (n - k) for k in range(a, n + 1))


@given(x=shares, a=st.integers(1, 60), b=st.integers(1, 60))
def test_the_beta_distribution_is_its_binomial_sum(x: float, a: int, b: int) -> None:
    """For whole parameters the incomplete beta function is a binomial tail."""
    assert exp(log_below(x, a, b)) == pytest.approx(binomial_tail(x, a, b), rel=1e-9, abs=1e-280)


@given(x=shares, a=st.floats(0.5, 5000), b=st.floats(0.5, 5000))
def test_what_lies_below_and_above_is_everything(x: float, a: float, b: float) -> None:
    """Both sides of a point add up to one, and neither logarithm exceeds zero."""
    below, above = log_below(x, a, b), log_above(x, a, b)
    assert max(below, above) <= 0
    assert exp(below) + exp(above) == pytest.approx(1, abs=1e-9)


def test_a_tail_far_out_is_finite() -> None:
    """A probability that no float can hold still has a logarithm."""
    assert -60_000 < log_above(0.5, 1, 50_000) < -30_000
    assert log_above(0.05, 1, 1_000_001) == pytest.approx(1_000_001 * log(0.95), rel=1e-9)


@pytest.mark.parametrize(("x", "a", "b"), [(-0.1, 1, 1), (1.1, 1, 1), (0.5, 0, 1), (0.5, 1, -1), (float("nan"), 1, 1)])
def test_what_is_no_beta_distribution_is_refused(x: float, a: float, b: float) -> None:
    """Parameters outside the domain are an error, not a number."""
    with pytest.raises(ValueError, match="no beta distribution"):
        log_below(x, a, b)


def integral(bad: int, n: int, bound: float) -> float:
    """The mixture by the midpoint rule."""
    parts = 20_000
    width = (1 - bound) / parts
    points = (bound + (i + 0.5) * width for i in range(parts))
    ratio = sum((t / bound) ** bad * ((1 - t) / (1 - bound)) ** (n - bad) for t in points)
    return ratio * width / (1 - bound)


@pytest.mark.parametrize(
    ("bad", "n", "bound"), [(0, 0, 0.05), (1, 1, 0.05), (0, 30, 0.1), (7, 20, 0.05), (3, 60, 0.5), (20, 20, 0.9)]
)
def test_the_evidence_is_the_mean_likelihood_ratio(bad: int, n: int, bound: float) -> None:
    """The closed form is the integral over all rates above the bound."""
    assert exp(one_sample(bad, n, bound)) == pytest.approx(integral(bad, n, bound), rel=1e-5)


@given(n=st.integers(0, 12), bound=st.floats(0.01, 0.9), part=st.floats(0, 1))
def test_at_or_below_the_bound_it_expects_at_most_one(n: int, bound: float, part: float) -> None:
    """Over all outcomes of n events whose rate keeps the bound, the evidence has an expectation of at most one."""
    rate = bound * part
    mean = sum(comb(n, x) * rate**x * (1 - rate) ** (n - x) * exp(one_sample(x, n, bound)) for x in range(n + 1))
    assert mean <= 1 + 1e-9


@given(bad=st.integers(0, 40), good=st.integers(0, 40), bound=shares)
def test_one_more_event_is_a_fair_bet_at_the_bound(bad: int, good: int, bound: float) -> None:
    """At the bound itself the evidence is a martingale: what is expected next is what there is."""
    n = bad + good
    worse, better = one_sample(bad + 1, n + 1, bound), one_sample(bad, n + 1, bound)
    expected = bound * exp(worse) + (1 - bound) * exp(better)
    assert expected == pytest.approx(exp(one_sample(bad, n, bound)), rel=1e-8)


def test_a_month_of_events_is_still_a_number() -> None:
    """A million events neither overflow nor take long."""
    assert isfinite(one_sample(1_000, 1_000_000, 0.05))
    assert one_sample(60_000, 1_000_000, 0.05) > log(20)


@pytest.mark.parametrize(("bad", "n", "bound"), [(-1, 1, 0.1), (2, 1, 0.1), (0, 1, 0.0), (0, 1, 1.0)])
def test_what_is_no_sample_is_refused(bad: int, n: int, bound: float) -> None:
    """More bad events than events, or a bound that is none, are an error."""
    with pytest.raises(ValueError, match="no sample"):
        one_sample(bad, n, bound)
