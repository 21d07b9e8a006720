"""Harm and non-inferiority by betting on the difference of two arms, task by task.

`Z` is an unbiased estimate of the difference (candidate minus stable) of the chances that this very task is bad,
whatever happened before: augmented inverse propensity weighting. Each strategy stakes a fixed part of what it may stake
without ever going broke. Sources: Waudby-Smith & Ramdas, arXiv:2010.09686; Karampatziakis, Mineiro & Ramdas, ICML 2021;
Waudby-Smith et al., arXiv:2210.10768.
"""

from __future__ import annotations

from math import exp, log, log1p

from proctor.delivery.evidence.mixture import Logs

_COUNT, _SMALLEST, _LARGEST = 24, 0.01, 0.95
STAKES: Logs = tuple(exp(log(_SMALLEST) + j * (log(_LARGEST) - log(_SMALLEST)) / (_COUNT - 1)) for j in range(_COUNT))
"""The parts of what may be staked; below 1, so that no single task can ruin a strategy."""

BEGIN: Logs = (0.0,) * _COUNT


def difference(bad: float, *, candidate: bool, propensity: float, expected: float) -> float:
    """`Z` of one task, where `expected` is what was known of the mean before it."""
    residual = bad - expected
    return residual / propensity if candidate else -residual / (1 - propensity)


def after_harm(capital: Logs, z: float, *, propensity: float, expected: float) -> Logs:
    """The capital against "the candidate is no worse" after one task."""
    worst = max(expected / propensity, (1 - expected) / (1 - propensity))
    return _staked(capital, z / worst)


def after_noninferior(capital: Logs, z: float, *, propensity: float, expected: float, margin: float) -> Logs:
    """The capital against "the candidate is worse by `margin` or more" after one task. `margin` is below 1."""
    # At least 1 whatever the propensity, so what may be lost is always more than nothing.
    worst = max((1 - expected) / propensity, expected / (1 - propensity))
    return _staked(capital, (margin - z) / (worst - margin))


def _staked(capital: Logs, gain: float) -> Logs:
    # At least -1 but for rounding, so that every factor is positive.
    return tuple([value + log1p(stake * gain) for value, stake in zip(capital, STAKES, strict=True)])
