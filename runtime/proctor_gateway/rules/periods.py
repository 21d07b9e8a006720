"""Which hour, day or month does a time fall into? By the calendar, never by a timer: a clock may jump."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, assert_never
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from proctor.api.bounds import Period

_A_DAY: Final = timedelta(days=1)
_INTO_NEXT_MONTH: Final = timedelta(days=32)
_UTC_NAMES: Final = {"UTC", "Etc/UTC"}


@dataclass(frozen=True, slots=True)
class Window:
    """From a moment, included, to another, excluded. Both in UTC."""

    start: datetime
    end: datetime


ALWAYS: Final = Window(datetime(2000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC))


def window(per: Period, zone: str, at: datetime) -> Window:
    """The period that the time falls into, by the calendar of the zone. A zone that is not known is taken for UTC.

    An hour is one of UTC. A day on which clocks change has 23 or 25 hours. A task's period has no bounds.
    """
    at = at.astimezone(UTC)
    match per:
        case Period.TASK:
            return ALWAYS
        case Period.HOUR:
            start = at.replace(minute=0, second=0, microsecond=0)
            return Window(start, start + timedelta(hours=1))
        case Period.DAY | Period.MONTH:
            local = _zone(zone)
            first = at.astimezone(local).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
            if per is Period.MONTH:
                first = first.replace(day=1)
            # Arithmetic on a local time keeps the wall clock: midnight is followed by midnight.
            after = first + (_A_DAY if per is Period.DAY else _INTO_NEXT_MONTH)
            if per is Period.MONTH:
                after = after.replace(day=1)
            return Window(first.astimezone(UTC), after.astimezone(UTC))
        case _:
            assert_never(per)


def is_utc(zone: str) -> bool:
    """Whether the zone's calendar is that of UTC."""
    return zone in _UTC_NAMES


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")
