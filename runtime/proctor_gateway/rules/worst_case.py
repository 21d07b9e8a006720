"""What may a call cost at most, before anybody knows what it costs? Pure.

A token stands for at least one byte of what a request says, so a request has no more tokens than bytes; what a model
writes is bounded by the request itself, by the model, or by a bound that the gateway puts into the request.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from proctor.api.connector import Price

_MILLION: Final = Decimal(1_000_000)
_BOUNDS: Final = ("max_completion_tokens", "max_tokens")
_OF_A_PICTURE: Final = 16_384
"""Tokens of a part that is no text: more than any of the common models reads of one picture or minute of sound."""
_TEXTS: Final = {"text", "refusal"}


@dataclass(frozen=True, slots=True)
class Ask:
    """The most that a call can take. A cost that is not known is None.

    `least_output` says how far the gateway may lower `output_tokens` to what is left; None: not at all, because the
    bound is the agent's own. A call of a tool has a `fee` and no tokens.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    least_output: int | None = None
    choices: int = 1
    price: Price | None = None
    is_priced: bool = True
    fee: Decimal = Decimal(0)

    @property
    def least(self) -> int:
        """The output that it cannot do without."""
        return self.output_tokens if self.least_output is None else self.least_output

    def tokens(self, output: int) -> int:
        """All tokens, if each choice has so many."""
        return self.input_tokens + output * self.choices

    def cost(self, output: int) -> Decimal | None:
        """The cost, if each choice has so many tokens."""
        if not self.is_priced:
            return None
        if self.price is None:
            return self.fee
        written = output * self.choices * self.price.output_per_million
        return (self.input_tokens * _dearest(self.price) + written) / _MILLION

    def affordable(self, cost: Decimal) -> int:
        """The most tokens that each choice may have for this money; negative if not even the input can be paid."""
        if self.price is None:
            return self.output_tokens if cost >= self.fee else -1
        left = cost * _MILLION - self.input_tokens * _dearest(self.price)
        if left < 0:
            return -1
        each = self.price.output_per_million * self.choices
        return self.output_tokens if not each else min(self.output_tokens, int(left // each))


NOTHING: Final = Ask()
"""What a call takes that has no price."""


def of_tool(price: Decimal | None) -> Ask:
    """A call of a tool."""
    return NOTHING if price is None else Ask(fee=price)


def of_model(body: Mapping[str, Any], size: int, price: Price | None, usual_output: int, least_output: int) -> Ask:
    """A request of so many bytes to a model of this price. `usual_output` bounds one that nothing else bounds."""
    read = size + _OF_A_PICTURE * sum(1 for _ in _pictures(body))
    if price is not None and price.max_input_tokens is not None:
        read = min(read, price.max_input_tokens)
    said = bound_of(body)
    ceiling = price.max_output_tokens if price is not None else None
    if said is not None:
        output, least = said if ceiling is None else min(said, ceiling), None
    else:
        output = usual_output if ceiling is None else ceiling
        least = min(least_output, output)
    return Ask(read, output, least, _choices(body.get("n")), price, is_priced=price is not None)


def bound_of(body: Mapping[str, Any]) -> int | None:
    """The most tokens that the request itself allows each choice, or None. What is no positive number bounds nothing.

    A request with both names of the bound is believed in the larger: which of them a model heeds is not known.
    """
    said = [each for each in map(body.get, _BOUNDS) if isinstance(each, int) and not isinstance(each, bool)]
    if any(each < 1 for each in said):
        return None
    return max(said, default=None)


def bounded(body: Mapping[str, Any], output: int) -> dict[str, Any]:
    """The request with a bound of the gateway's own."""
    rest = {key: value for key, value in body.items() if key not in _BOUNDS}
    return {**rest, "max_completion_tokens": output}


def _choices(said: object) -> int:
    # Some servers take "2" and 2.0 for 2: so do we, or an agent could have more choices than were paid for.
    try:
        return max(1, math.ceil(float(str(said))))
    except (ValueError, OverflowError):
        return 1


def _dearest(price: Price) -> Decimal:
    """What a million tokens read cost at most."""
    cached = price.cached_input_per_million
    return price.input_per_million if cached is None else max(price.input_per_million, cached)


def _pictures(body: Mapping[str, Any]) -> Iterator[Any]:
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            if not isinstance(part, dict) or part.get("type") not in _TEXTS:
                yield part
