"""Whether a call fits into what is left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.api.bounds import BudgetScope, Overrun, Period
from proctor.api.connector import Price
from proctor_gateway.rules.spending import Allowance, Balance, Exceeded, Granted, Purse, judge, judge_intake
from proctor_gateway.rules.worst_case import Ask

T0 = datetime(2026, 11, 22, 12, tzinfo=UTC)
RESET = T0 + timedelta(hours=12)
PRICE = Price.model_validate({"model": "m", "inputPerMillion": "1", "outputPerMillion": "10"})
FIXED = Ask(1000, 100, None, price=PRICE)
ELASTIC = Ask(1000, 4000, 250, price=PRICE)
UNPRICED = Ask(1000, 100, None, is_priced=False)
TOOL = Ask(fee=Decimal("0.05"))


def purse(used="0", held="0", action=Overrun.DENY, *, per=Period.DAY, **limits) -> Purse:
    """A limit and what is used of it."""
    limits = {key: Decimal(value) if key == "cost" else value for key, value in limits.items()}
    allowance = Allowance(f"budget {action}", per, BudgetScope.AGENT, "s", "a", action, **limits)
    return Purse(allowance, Balance(Decimal(used), Decimal(held), int(Decimal(used)), int(Decimal(held))), RESET)


GRANTS = {
    "no limit": (FIXED, [], 100),
    "it fits exactly": (FIXED, [purse("0.998", cost="1")], 100),
    "an answer is cut to what is left": (ELASTIC, [purse("0.99", cost="1")], 900),
    "to the least of several": (ELASTIC, [purse("0.99", cost="1"), purse("8000", tokens=9800)], 800),
    "tokens are shared by choices": (Ask(0, 4000, 250, 2, PRICE), [purse(tokens=1000)], 500),
    "a limit on tokens needs no price": (UNPRICED, [purse(tokens=1100)], 100),
    "a tool has no tokens": (TOOL, [purse("1000", tokens=1000)], 0),
    "a tool's price fits": (TOOL, [purse("0.95", cost="1")], 0),
    "a limit that warns stops nothing": (FIXED, [purse("2", action=Overrun.WARN, cost="1")], 100),
}


@pytest.mark.parametrize(("ask", "purses", "output"), GRANTS.values(), ids=GRANTS)
def test_what_fits_is_granted(ask, purses, output):
    """With as much output as every limit has room for."""
    found = judge(ask, purses, T0)
    assert isinstance(found, Granted)
    assert found.output_tokens == output


REFUSALS = {
    "a token too much": (FIXED, [purse("0.998001", cost="1")], "BudgetExhausted", "budget Deny", None),
    "what is reserved counts": (FIXED, [purse("0.9", "0.099", cost="1")], "BudgetExhausted", "budget Deny", None),
    "too little left to cut to": (ELASTIC, [purse("0.9966", cost="1")], "BudgetExhausted", "budget Deny", None),
    "tokens": (FIXED, [purse("8901", tokens=10000)], "BudgetExhausted", "budget Deny", None),
    "tokens of a task": (FIXED, [purse(per=Period.TASK, tokens=1099)], "LimitExceeded", "budget Deny", None),
    "a price that nobody knows": (UNPRICED, [purse(cost="1")], "PriceUnknown", "budget Deny", None),
    "a tool's price": (TOOL, [purse("0.951", cost="1")], "BudgetExhausted", "budget Deny", None),
    "the strictest answers": (
        FIXED,
        [
            purse("1", action=Overrun.THROTTLE, cost="1"),
            purse("1", cost="1"),
            purse("1", action=Overrun.WARN, cost="1"),
        ],
        "BudgetExhausted",
        "budget Deny",
        None,
    ),
    "who throttles says when": (
        FIXED,
        [purse("1", action=Overrun.THROTTLE, cost="1")],
        "BudgetExhausted",
        "budget Throttle",
        timedelta(hours=12),
    ),
    "soon, if only reserves are in the way": (
        FIXED,
        [purse("0.1", "0.9", action=Overrun.THROTTLE, cost="1")],
        "BudgetExhausted",
        "budget Throttle",
        timedelta(seconds=1),
    ),
    "who degrades does not say wait": (
        FIXED,
        [purse("1", action=Overrun.DEGRADE, cost="1")],
        "BudgetExhausted",
        "budget Degrade",
        None,
    ),
}


@pytest.mark.parametrize(("ask", "purses", "reason", "name", "wait"), REFUSALS.values(), ids=REFUSALS)
def test_what_does_not_fit_is_refused(ask, purses, reason, name, wait):
    """By the strictest limit that it breaks, in words that name it and the numbers."""
    found = judge(ask, purses, T0)
    assert isinstance(found, Exceeded)
    assert (found.fault.reason, found.retry_after) == (reason, wait)
    assert name in found.fault.message


def test_a_limit_that_warns_is_told_of():
    """What it would have stopped is named with the grant."""
    mild = purse("1", action=Overrun.WARN, cost="1")
    assert judge(FIXED, [mild, purse(cost="9")], T0) == Granted(100, (mild,))


INTAKES = {
    "there is room": ([purse(tasks=1)], True),
    "the number is reached": ([Purse(purse(tasks=3).allowance, Balance(tasks=3), RESET)], False),
    "money is gone, and a fallback may be free": ([purse("1", cost="1")], True),
    "money is gone, and it pauses": ([purse("1", action=Overrun.PAUSE, cost="1")], False),
    "money is gone, and it throttles": ([purse("1", action=Overrun.THROTTLE, cost="1")], False),
    "money is only reserved": ([purse("0", "1", action=Overrun.THROTTLE, cost="1")], True),
    "tokens are gone, and it throttles": ([purse("9", action=Overrun.THROTTLE, tokens=9)], False),
    "it only warns": ([purse("1", action=Overrun.WARN, cost="1", tasks=0)], True),
}


@pytest.mark.parametrize(("purses", "granted"), INTAKES.values(), ids=INTAKES)
def test_tasks_begin_while_their_budgets_let_them(purses, granted):
    """The number of tasks bounds them; money only where waiting for it is what the budget says."""
    assert isinstance(judge_intake(purses, T0), Granted) == granted


AMOUNTS = st.decimals(0, 2, places=6)
PURSES = st.lists(
    st.builds(
        purse,
        AMOUNTS.map(str),
        AMOUNTS.map(str),
        st.sampled_from([Overrun.DENY, Overrun.THROTTLE, Overrun.DEGRADE]),
        cost=AMOUNTS.map(str),
        tokens=st.one_of(st.none(), st.integers(0, 9000)),
    ),
    max_size=4,
)


@given(
    purses=PURSES,
    ask=st.builds(
        Ask, st.integers(0, 5000), st.integers(250, 5000), st.sampled_from([None, 1, 250]), price=st.just(PRICE)
    ),
)
def test_what_is_granted_fits_into_every_limit(purses, ask):
    """Whatever the limits and whatever is used of them: spent, reserved and the new call together exceed none."""
    found = judge(ask, purses, T0)
    if isinstance(found, Exceeded):
        return
    assert found.output_tokens >= ask.least
    for each in purses:
        assert each.balance.cost + ask.cost(found.output_tokens) <= each.allowance.cost
        if each.allowance.tokens is not None:
            assert each.balance.tokens + ask.tokens(found.output_tokens) <= each.allowance.tokens
