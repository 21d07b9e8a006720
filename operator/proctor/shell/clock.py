"""The time of the real world."""

from __future__ import annotations

from datetime import UTC, datetime


class SystemClock:
    """The machine's clock, in UTC."""

    def now(self) -> datetime:
        """The time in UTC."""
        return datetime.now(UTC)
