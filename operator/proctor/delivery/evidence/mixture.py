"""Averages of evidence, in logarithms. The average of e-processes is an e-process, whatever their dependence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import exp, log

Logs = tuple[float, ...]
"""Logarithms of the capital of several strategies that began with 1 each."""


def log_mean(values: Sequence[float]) -> float:
    """The logarithm of the mean of what has these finite logarithms. An empty sequence is no evidence: 0."""
    if not values:
        return 0.0
    top = max(values)
    return top + log(sum([exp(value - top) for value in values]) / len(values))


def log_weighted(parts: Iterable[tuple[float, float]]) -> float:
    """The logarithm of the mean by weight, from pairs of a weight and a logarithm. Raises ValueError without weight."""
    pairs = [(weight, value) for weight, value in parts if weight > 0]
    if not pairs:
        raise ValueError("nothing has any weight")
    top = max(value for _, value in pairs)
    total = sum(weight for weight, _ in pairs)
    return top + log(sum(weight * exp(value - top) for weight, value in pairs) / total)
