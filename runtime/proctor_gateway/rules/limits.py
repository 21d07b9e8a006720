"""What may one task still take, and how fast may a connector be asked?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from proctor.api.agent import Limits
from proctor.api.connector import Price
from proctor_gateway.rules.calls import Kind
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Fault, Usage

_MILLION = Decimal(1_000_000)


def exceeded(kind: Kind, usage: Usage, limits: Limits, deadline: datetime, now: datetime) -> Fault | None:
    """The limit that this call would break, or None. What it costs is the matter of `budgets.py`."""
    if now >= deadline:
        return Fault(Reason.TIMEOUT, f"the task's time ({limits.timeout.total_seconds():g} s) is used up")
    if kind is Kind.MODEL and usage.steps >= limits.max_steps:
        return Fault(Reason.LIMIT_EXCEEDED, f"{usage.steps} of {limits.max_steps} steps (model calls) are used up")
    return None


def cost_of(
    price: Price | None, input_tokens: int | None, output_tokens: int | None, cached: int = 0
) -> Decimal | None:
    """What a model call costs, or None if its price or its usage is not known."""
    if price is None or input_tokens is None or output_tokens is None:
        return None
    cached = min(cached, input_tokens) if price.cached_input_per_million is not None else 0
    cached_price = price.cached_input_per_million or Decimal(0)
    total = (input_tokens - cached) * price.input_per_million + cached * cached_price
    return ((total + output_tokens * price.output_per_million) / _MILLION).normalize() + Decimal(0)


@dataclass(frozen=True)
class Pace:
    """The time at which the next call to a connector may start. One pace a connector and a process."""

    free_at: datetime

    def next(self, rps: int, now: datetime) -> tuple[timedelta, Pace]:
        """How long to wait for a turn, and the pace after it was taken. A burst of one second is let through."""
        step = timedelta(seconds=1) / rps
        earliest = max(self.free_at, now - timedelta(seconds=1) + step)
        return max(earliest - now, timedelta(0)), Pace(earliest + step)
