"""What a task may still take, what a call costs, how fast a connector is asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.api.agent import Limits
from proctor.api.connector import Price
from proctor_gateway.rules.calls import Kind
from proctor_gateway.rules.limits import Pace, cost_of, exceeded
from proctor_gateway.rules.tasks import Usage

T0 = datetime(2026, 11, 22, 12, tzinfo=UTC)
LIMITS = Limits.model_validate({"timeout": "60s", "maxSteps": 3})
FREE = Limits.model_validate({"timeout": "60s"})

CASES = {
    "nothing used": (Kind.MODEL, Usage(), LIMITS, 30, None),
    "one step is left": (Kind.MODEL, Usage(steps=2), LIMITS, 30, None),
    "no step is left": (Kind.MODEL, Usage(steps=3), LIMITS, 30, "LimitExceeded"),
    "steps are model calls": (Kind.TOOL, Usage(steps=3), LIMITS, 30, None),
    "money and tokens are another matter": (Kind.MODEL, Usage(input_tokens=10**9, cost=None), LIMITS, 30, None),
    "the time is up": (Kind.TOOL, Usage(), FREE, 0, "Timeout"),
}


@pytest.mark.parametrize(("kind", "usage", "limits", "seconds", "reason"), CASES.values(), ids=CASES)
def test_limits(kind, usage, limits, seconds, reason):
    """A call that would begin beyond a limit is denied."""
    fault = exceeded(kind, usage, limits, T0 + timedelta(seconds=seconds), T0)
    assert (fault.reason if fault else None) == reason


PRICE = Price.model_validate({"model": "m", "inputPerMillion": "0.25", "outputPerMillion": "2"})
CACHED = Price.model_validate(
    {"model": "m", "inputPerMillion": "0.25", "outputPerMillion": "2", "cachedInputPerMillion": "0.025"}
)

COSTS = {
    "input and output": (PRICE, 1000, 100, 0, "0.00045"),
    "cached input without a price of its own": (PRICE, 1000, 100, 1000, "0.00045"),
    "cached input": (CACHED, 1000, 0, 400, "0.00016"),
    "more cached than there was": (CACHED, 100, 0, 400, "0.0000025"),
    "nothing": (PRICE, 0, 0, 0, "0"),
    "no price": (None, 1000, 100, 0, None),
    "no usage": (PRICE, None, 100, 0, None),
}


@pytest.mark.parametrize(("price", "tokens_in", "tokens_out", "cached", "cost"), COSTS.values(), ids=COSTS)
def test_costs_are_exact(price, tokens_in, tokens_out, cached, cost):
    """Money is counted in decimals; what cannot be known is unknown, not zero."""
    assert cost_of(price, tokens_in, tokens_out, cached) == (Decimal(cost) if cost is not None else None)


@given(
    rps=st.integers(1, 50),
    gaps=st.lists(st.floats(0, 2, allow_nan=False).map(lambda seconds: timedelta(seconds=seconds)), max_size=60),
)
def test_a_pace_lets_no_more_through_than_it_says(rps, gaps):
    """In no second start more than twice as many calls as a second's share: the share and one burst."""
    pace, now, starts = Pace(T0 - timedelta(days=1)), T0, []
    for gap in gaps:
        now += gap
        wait, pace = pace.next(rps, now)
        assert wait >= timedelta(0)
        starts.append(now + wait)
    for start in starts:
        within = [other for other in starts if start <= other < start + timedelta(seconds=1)]
        assert len(within) <= 2 * rps
