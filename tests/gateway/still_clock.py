"""A clock that stands still until it is moved."""

from __future__ import annotations

from datetime import UTC, datetime

from proctor_gateway.clock import SystemClock

T0 = datetime(2026, 11, 22, 12, tzinfo=UTC)


class StillClock(SystemClock):
    """Time is what the test says it is; ids are still new each time."""

    def __init__(self) -> None:
        self.time = T0

    def now(self) -> datetime:
        """The time."""
        return self.time
