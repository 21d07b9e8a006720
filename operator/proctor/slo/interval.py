"""Where the true share of good events lies, for someone who may look at any time."""

from __future__ import annotations

from collections.abc import Callable
from math import log, log1p

from proctor.evidence.beta import log_beta
from proctor.slo.counts import Counts
from proctor.slo.paging import SURE

_HALVINGS = 24
"""Until the boundary is known to seven digits; four are shown."""


def interval(counts: Counts) -> tuple[float, float]:
    """The shares against which the counts are no evidence of 20: an interval of 95 %; from 0 to 1 without events.

    It is a confidence sequence while events are only added. Source: Robbins, Ann. Math. Statist. 41 (1970), section 3:
    the mixture of the likelihood over a uniform prior, divided by the likelihood of the share.
    """
    if not counts.total:
        return (0.0, 1.0)
    mixture = log_beta(counts.good + 1, counts.bad + 1)

    def is_refuted(share: float) -> bool:
        return mixture - _log_power(share, counts.good) - _log_power(1 - share, counts.bad) >= SURE

    seen = counts.good / counts.total
    return (_boundary(is_refuted, 0.0, seen), _boundary(is_refuted, 1.0, seen))


def _log_power(base: float, exponent: int) -> float:
    if not exponent:
        return 0.0
    if base <= 0:
        return float("-inf")
    return exponent * (log(base) if base < 0.5 else log1p(base - 1))  # noqa: PLR2004 - half


def _boundary(is_refuted: Callable[[float], bool], outer: float, inner: float) -> float:
    """Where what is refuted at `outer` begins to be possible on the way to `inner`, which is possible."""
    if not is_refuted(outer):
        return outer
    for _ in range(_HALVINGS):
        middle = (outer + inner) / 2
        if is_refuted(middle):
            outer = middle
        else:
            inner = middle
    return inner
