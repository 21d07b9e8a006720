"""The arithmetic of error budgets."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.slo.budget import allowed, budget, burn_rate, time_to_exhaustion
from proctor.slo.counts import Counts
from proctor.slo.interval import interval

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

LEFT = {
    "nothing spent": ("99", 0, 1000, 1.0, 10),
    "half spent": ("99", 5, 1000, 0.5, 5),
    "just spent": ("99", 10, 1000, 0.0, 0),
    "overspent": ("99", 15, 1000, -0.5, -5),
    "a hundredth of a hundred is one event": ("99", 0, 100, 1.0, 1),
    "less than one event": ("99", 0, 99, 1.0, 0),
    "no events": ("99", 0, 0, 1.0, 0),
}


@pytest.mark.parametrize(("target", "bad", "total", "remaining", "events"), LEFT.values(), ids=LEFT)
def test_what_is_left_of_a_budget(target, bad, total, remaining, events):
    """As a share of what is allowed, and in events."""
    left = budget(Counts(total - bad, total), allowed(Decimal(target)))
    assert (left.remaining, left.events_left) == (pytest.approx(remaining), events)


@given(bad=st.integers(0, 500), good=st.integers(0, 500), target=st.decimals("0.5", "99.9", places=1))
def test_events_left_are_those_that_the_budget_bears(bad: int, good: int, target: Decimal):
    """One more bad event than that, of as many events, and the budget is overspent."""
    share, total = allowed(target), bad + good
    events = budget(Counts(good, total), share).events_left
    assert bad + events <= share * total < bad + events + 1


def test_a_burn_rate_of_one_spends_the_budget_in_the_window():
    """Twice as fast in half the time; no events, no rate."""
    share = allowed(Decimal(99))
    assert burn_rate(Counts(99, 100), share) == pytest.approx(1)
    assert burn_rate(Counts(98, 100), share) == pytest.approx(2)
    assert burn_rate(Counts(0, 0), share) is None


EXHAUSTION = {
    "at the allowed rate": (1.0, 1.0, 28 * DAY),
    "twice as fast": (1.0, 2.0, 14 * DAY),
    "half is left": (0.5, 1.0, 14 * DAY),
    "slower than allowed": (1.0, 0.1, 28 * DAY),
    "not at all": (1.0, 0.0, None),
    "not known": (1.0, None, None),
    "spent already": (0.0, 1.0, None),
}


@pytest.mark.parametrize(("remaining", "burn", "expected"), EXHAUSTION.values(), ids=EXHAUSTION)
def test_when_the_budget_is_spent(remaining, burn, expected):
    """Never beyond the window: what is spent today is given back when it leaves it."""
    assert time_to_exhaustion(remaining, 28 * DAY, burn) == expected


@given(good=st.integers(0, 300), bad=st.integers(0, 300))
def test_the_interval_holds_what_was_seen(good: int, bad: int):
    """And is never wider than everything."""
    low, high = interval(Counts(good, good + bad))
    assert 0 <= low <= high <= 1
    if good + bad:
        assert low <= good / (good + bad) <= high


def test_the_interval_narrows_with_the_events():
    """It is wider than that of the normal approximation, which holds only for one look."""
    few, many = interval(Counts(19, 20)), interval(Counts(1900, 2000))
    assert many[1] - many[0] < (few[1] - few[0]) / 4
    assert few[0] < 0.95 - 1.96 * (0.95 * 0.05 / 20) ** 0.5
    assert interval(Counts(0, 0)) == (0.0, 1.0)
