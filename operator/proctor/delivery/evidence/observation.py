"""What is known of one task that an upgrade's evidence is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite


@dataclass(frozen=True)
class Observation:
    """One task, or one conversation if those keep to an arm: what was drawn for it, and what became of it.

    Raises ValueError for a propensity or a value outside [0, 1], NaN included: such a number would poison all capital.
    """

    assignment: int
    """Its place in the order in which arms were drawn."""
    candidate: bool
    """The arm."""
    propensity: float
    """The chance that it had to get the candidate, at the moment of the draw."""
    deadline: datetime
    """When it counts as bad if it has not ended."""
    finished_at: datetime | None = None
    """When it ended; None while it is open."""
    bad: Mapping[str, float | None] = field(default_factory=dict)
    """By metric: 1 is bad, 0 is good, or a share between; None where the metric does not apply to this task."""
    guard: str | None = None
    """What it broke that needs no statistics, such as a cost above the cap; counts on the candidate's arm only."""

    def __post_init__(self) -> None:
        """See the class."""
        for name, value in (("propensity", self.propensity), *self.bad.items()):
            if value is not None and not (isfinite(value) and 0 <= value <= 1):
                raise ValueError(f"task {self.assignment}: {name} is {value}, which is not between 0 and 1")

    def is_settled(self, now: datetime) -> bool:
        """Whether nothing that happens later can change what it counts as."""
        return now >= self.deadline or self.is_in_time

    @property
    def is_in_time(self) -> bool:
        """Whether it ended by its deadline."""
        return self.finished_at is not None and self.finished_at <= self.deadline

    @property
    def is_compared(self) -> bool:
        """Whether it could have gone to either arm; only then does it tell one from the other."""
        return 0 < self.propensity < 1

    def value(self, metric: str) -> float | None:
        """What it counts as once it is settled.

        A task that was late counts as bad even if its answer came in the end: otherwise what it counts as would depend
        on when one looks, and a candidate that fails fast would look worse than a stable revision that fails slowly.
        """
        return self.bad.get(metric) if self.is_in_time else 1.0
