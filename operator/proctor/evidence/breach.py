"""Whether a share of bad events is above a bound, whenever one looks."""

from __future__ import annotations

from math import log, log1p

from proctor.evidence.beta import log_above, log_beta


def one_sample(bad: int, n: int, bound: float) -> float:
    """The logarithm of the evidence that more than `bound` of all events are bad, after `bad` of `n` were.

    An e-process against "each event is bad with a chance of at most `bound`, given those before it": the chance that it
    ever reaches log(1/alpha) is then at most alpha. With no events it is 0. It is the mixture of the likelihood ratios
    against `bound` over a uniform prior on (bound, 1). The order of the events does not matter, the count does: events
    may be added, never dropped, so a sliding window is no such process.

    Raises ValueError unless 0 <= bad <= n and 0 < bound < 1. Source: Robbins, Ann. Math. Statist. 41 (1970), section 3.
    """
    if not (0 <= bad <= n and 0 < bound < 1):
        raise ValueError(f"no sample: {bad} bad of {n} against a bound of {bound}")
    good = n - bad
    mixture = log_beta(bad + 1, good + 1) + log_above(bound, bad + 1, good + 1) - log1p(-bound)
    return mixture - bad * log(bound) - good * log1p(-bound)
