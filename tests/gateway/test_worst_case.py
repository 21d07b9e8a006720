"""What a call can cost at most."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.api.connector import Price
from proctor_gateway.rules.limits import cost_of
from proctor_gateway.rules.worst_case import NOTHING, Ask, bounded, of_model, of_tool

PRICE = Price.model_validate({"model": "m", "inputPerMillion": "1", "outputPerMillion": "10"})
CEILED = Price.model_validate(
    {"model": "m", "inputPerMillion": "1", "outputPerMillion": "10", "maxInputTokens": 500, "maxOutputTokens": 900}
)
MESSAGES = [{"role": "user", "content": "hello"}]
PICTURE = [{"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {}}]}]

CASES = {
    "nothing bounds the answer: the gateway will": ({}, PRICE, (1000, 4096, 256, 1)),
    "the request bounds it": ({"max_tokens": 50}, PRICE, (1000, 50, None, 1)),
    "by its newer name": ({"max_completion_tokens": 60}, PRICE, (1000, 60, None, 1)),
    "by both: who knows which counts": ({"max_tokens": 50, "max_completion_tokens": 60}, PRICE, (1000, 60, None, 1)),
    "the model bounds it": ({}, CEILED, (500, 900, 256, 1)),
    "the model bounds it more than the request": ({"max_tokens": 10**9}, CEILED, (500, 900, None, 1)),
    "a bound that is none": ({"max_tokens": None}, PRICE, (1000, 4096, 256, 1)),
    "a bound of nothing": ({"max_tokens": 0, "max_completion_tokens": 9}, PRICE, (1000, 4096, 256, 1)),
    "a bound in words": ({"max_tokens": "50"}, PRICE, (1000, 4096, 256, 1)),
    "a bound that is true": ({"max_tokens": True}, PRICE, (1000, 4096, 256, 1)),
    "several choices": ({"max_tokens": 50, "n": 3}, PRICE, (1000, 50, None, 3)),
    "choices in words": ({"max_tokens": 50, "n": "3"}, PRICE, (1000, 50, None, 3)),
    "choices that are none": ({"max_tokens": 50, "n": -1}, PRICE, (1000, 50, None, 1)),
    "a picture": ({"max_tokens": 50, "messages": PICTURE}, PRICE, (1000 + 16384, 50, None, 1)),
}


@pytest.mark.parametrize(("more", "price", "expected"), CASES.values(), ids=CASES)
def test_the_most_that_a_model_can_take(more, price, expected):
    """The input is no longer than its bytes, the answer no longer than whoever bounds it says."""
    ask = of_model({"messages": MESSAGES, **more}, 1000, price, 4096, 256)
    assert (ask.input_tokens, ask.output_tokens, ask.least_output, ask.choices) == expected


def test_a_price_that_is_not_known_is_a_cost_that_is_not_known():
    """Not zero: a limit on money cannot be kept with it."""
    assert of_model({"messages": MESSAGES}, 1000, None, 4096, 256).cost(1) is None


def test_a_tool_costs_its_price():
    """One without a price costs nothing."""
    assert of_tool(Decimal("0.05")).cost(0) == Decimal("0.05")
    assert of_tool(None) is NOTHING


def test_what_is_read_from_a_dear_cache_is_reckoned_dear():
    """The worst case is the dearer of the two ways to read."""
    dear = Price.model_validate(
        {"model": "m", "inputPerMillion": "1", "outputPerMillion": "0", "cachedInputPerMillion": "3"}
    )
    assert Ask(1_000_000, 0, price=dear).cost(0) == 3


def test_a_bound_replaces_every_other():
    """No second name of the bound is left that a model might heed instead."""
    found = bounded({"model": "m", "max_tokens": "9", "max_completion_tokens": None}, 7)
    assert found == {"model": "m", "max_completion_tokens": 7}


@given(
    text=st.text(max_size=200),
    output=st.integers(1, 5000),
    read=st.floats(0, 1),
    written=st.floats(0, 1),
    prices=st.tuples(*[st.decimals(0, 100, places=4)] * 2),
    choices=st.integers(1, 4),
)
def test_no_call_costs_more_than_its_worst_case(text, output, read, written, prices, choices):
    """Whatever a model reads of the request's bytes and writes within its bound, the worst case has room for."""
    body = {"messages": [{"role": "user", "content": text}], "max_tokens": output, "n": choices}
    price = Price(model="m", input_per_million=prices[0], output_per_million=prices[1])
    size = len(json.dumps(body, ensure_ascii=False).encode())
    ask = of_model(body, size, price, 4096, 256)
    tokens_in, tokens_out = int(size * read), int(output * choices * written)
    cost = cost_of(price, tokens_in, tokens_out)
    assert cost is not None
    assert cost <= ask.cost(ask.output_tokens)
    assert tokens_in + tokens_out <= ask.tokens(ask.output_tokens)


@given(
    money=st.decimals(0, 1, places=7),
    read=st.integers(0, 100_000),
    output=st.integers(0, 100_000),
    choices=st.integers(1, 4),
    prices=st.tuples(*[st.decimals(0, 100, places=3)] * 2),
)
def test_what_is_affordable_can_be_paid_and_one_more_cannot(money, read, output, choices, prices):
    """The bound that money sets is the highest that fits."""
    price = Price(model="m", input_per_million=prices[0], output_per_million=prices[1])
    ask = Ask(read, output, 1, choices, price)
    most = ask.affordable(money)
    if most < 0:
        assert ask.cost(0) > money
    else:
        assert ask.cost(most) <= money
        assert most == output or ask.cost(most + 1) > money
