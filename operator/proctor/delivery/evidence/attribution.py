"""Harm by attribution: does the candidate take more than its share of the bad outcomes?

Given that a task was bad, the chance that it was the candidate's depends on the risk ratio and on the propensity
only. How hard the tasks are, and how that changes over time, cancels out. Valid for "at every task the candidate's risk
is at most the stable revision's". Source: Lindon & Malek, Anytime-valid inference for multinomial count data, NeurIPS
2022, arXiv:2011.03567; written for Bernoulli propensities that change from task to task.
"""

from __future__ import annotations

from functools import lru_cache
from math import exp, log, log1p

from proctor.delivery.evidence.mixture import Logs

_COUNT, _LOWEST, _HIGHEST = 60, 1.05, 30.0
RATIOS: Logs = tuple(exp(log(_LOWEST) + k * (log(_HIGHEST) - log(_LOWEST)) / (_COUNT - 1)) for k in range(_COUNT))
"""The risk ratios that are bet on, in equal parts."""

BEGIN: Logs = (0.0,) * _COUNT


@lru_cache(maxsize=256)
def factors(propensity: float, candidate: bool) -> Logs:
    """The logarithm of what one bad outcome on this arm multiplies the capital by, for each ratio."""
    return tuple((log(ratio) if candidate else 0.0) - log1p(propensity * (ratio - 1)) for ratio in RATIOS)


def after(capital: Logs, *, propensity: float, candidate: bool, bad: bool) -> Logs:
    """The capital after one task. A good outcome changes nothing."""
    if not bad:
        return capital
    return tuple(map(float.__add__, capital, factors(propensity, candidate)))
