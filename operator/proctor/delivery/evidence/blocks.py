"""Harm between arms that somebody else splits, such as a Service over the pods of both revisions: tested by blocks.

A block is some outcomes of each arm, taken at the same time; within it the arms must be alike but for the revision.
There is no propensity here, so nothing protects from arms that get different tasks. Source: Turner, Ly & Grünwald,
Generic e-variables for exact sequential k-sample tests, J. Stat. Plan. Inference 2024, arXiv:2106.02693.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, log

from proctor.delivery.evidence.capital import Tally

_HALVINGS = 60


@dataclass(frozen=True)
class Blocks:
    """What the blocks have come to, against "the candidate's rate is at most the stable revision's plus `margin`"."""

    margin: float = 0.0
    stable: Tally = field(default_factory=Tally)
    candidate: Tally = field(default_factory=Tally)
    log_e: float = 0.0
    peak: float = 0.0

    def after(self, stable: Tally, candidate: Tally) -> Blocks:
        """With one more block of outcomes, which are whole numbers."""
        expected = (_rate(self.stable), _rate(self.candidate))
        log_e = self.log_e + log_block(stable, candidate, expected, self.margin)
        return Blocks(
            self.margin,
            Tally(self.stable.n + stable.n, self.stable.bad + stable.bad),
            Tally(self.candidate.n + candidate.n, self.candidate.bad + candidate.bad),
            log_e,
            max(self.peak, log_e),
        )


def log_block(stable: Tally, candidate: Tally, expected: tuple[float, float], margin: float) -> float:
    """The logarithm of a block's e-variable, where `expected` are the rates (stable, candidate) before it."""
    null = nearest_null(expected, stable.n, candidate.n, margin)
    if null == expected:
        return 0.0
    return _likelihood(stable, expected[0], null[0]) + _likelihood(candidate, expected[1], null[1])


def nearest_null(expected: tuple[float, float], stable: int, candidate: int, margin: float) -> tuple[float, float]:
    """The rates of the null hypothesis from which a block of these sizes is hardest to tell from the expected ones.

    They minimise `stable * KL(expected || .) + candidate * KL(expected || .)`: only for these is the e-variable valid.
    """
    if expected[1] <= expected[0] + margin:
        return expected
    low, high = 0.0, 1.0 - margin
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        slope = stable * _slope(expected[0], middle) + candidate * _slope(expected[1], middle + margin)
        low, high = (middle, high) if slope < 0 else (low, middle)
    rate = (low + high) / 2
    return rate, rate + margin


def _slope(expected: float, rate: float) -> float:
    """The derivative of KL(expected || rate) by the rate."""
    if rate <= 0:
        return -inf
    if rate >= 1:
        return inf
    return (rate - expected) / (rate * (1 - rate))


def _rate(past: Tally) -> float:
    """What the past lets one expect, by a Beta(1/2, 1/2) prior."""
    return (past.bad + 0.5) / (past.n + 1)


def _likelihood(block: Tally, rate: float, null: float) -> float:
    good = block.n - block.bad
    return (block.bad * log(rate / null) if block.bad else 0.0) + (good * log((1 - rate) / (1 - null)) if good else 0.0)
