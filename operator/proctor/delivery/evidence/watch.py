"""The watch after a promotion: has the revision become worse than it may be?

Where a test decides once, a watch runs for as long as one likes: what it promises is not a chance but the mean time
between false alarms. Source: Shin, Ramdas & Rinaldo, E-detectors, arXiv:2203.03532.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, log1p

from proctor.delivery.evidence.mixture import Logs, log_mean

_COUNT, _LOWEST = 16, 1.25


@dataclass(frozen=True)
class Watch:
    """An average of CUSUMs, one for each rate that is watched for. With `log_evidence` at log(A) or above it alarms.

    While no task is bad with a chance above `bound`, given those before it, the mean number of tasks to an alarm is at
    least A.
    """

    bound: float
    rates: Logs
    """The rates that are watched for."""
    logs: Logs
    """The evidence for each, since the moment that looks most like the beginning of a change."""
    tasks: int = 0
    bad: int = 0

    @classmethod
    def begin(cls, bound: float) -> Watch:
        """Before the first task. Raises ValueError unless 0 < bound < 1."""
        if not 0 < bound < 1:
            raise ValueError(f"no bound of a failure rate: {bound}")
        return cls(bound, _rates(bound), (0.0,) * _COUNT)

    def after(self, *, bad: bool) -> Watch:
        """After one more task."""
        bound = self.bound
        gains = [log(rate / bound) if bad else log1p(-rate) - log1p(-bound) for rate in self.rates]
        logs = tuple(max(value, 0.0) + gain for value, gain in zip(self.logs, gains, strict=True))
        return Watch(bound, self.rates, logs, self.tasks + 1, self.bad + bad)

    @property
    def log_evidence(self) -> float:
        """The evidence of a change, as a logarithm."""
        return log_mean(self.logs)

    def alarms(self, run_length: float) -> bool:
        """Whether it alarms, if false alarms may come once in so many tasks."""
        return self.log_evidence >= log(run_length)


def _rates(bound: float) -> Logs:
    """Rates above the bound, evenly on the scale of odds, from a quarter more up to odds of nine to one."""
    odds = bound / (1 - bound)
    low, high = log(odds * _LOWEST), log(max(9.0, odds * 4))
    steps = [exp(low + (high - low) * k / (_COUNT - 1)) for k in range(_COUNT)]
    return tuple(odd / (1 + odd) for odd in steps)
