"""What was counted: good events of all events, within windows that end now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from proctor.api.objectives import Objective


@dataclass(frozen=True)
class Counts:
    """Good events of all events."""

    good: int = 0
    total: int = 0

    @property
    def bad(self) -> int:
        """The others."""
        return self.total - self.good


Windows = Mapping[timedelta, Counts]
"""The counts of each window that ends now."""

NOTHING = Counts()


@dataclass(frozen=True)
class Measured:
    """What the gateway counted of one agent at one time."""

    objectives: tuple[Objective, ...]
    """What was asked for: a measurement of other objectives says nothing about these."""
    as_of: datetime
    counts: Mapping[str, Windows] = field(default_factory=dict)
    """By objective: all live tasks."""
    stable: Mapping[str, Windows] = field(default_factory=dict)
    """By objective, without the tasks that were given to a candidate."""
    newest: datetime | None = None
    """When the newest event of all was; None if there was none yet."""
