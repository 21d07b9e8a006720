"""When was, and when will be, a moment of a cron schedule? Five fields, in a named zone, to the minute.

A time that a change of the clocks skips is not; one that it repeats is its first. Day of the month and day of the
week together mean either, as in cron(5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

_NAMED: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_FARTHEST: Final = 366 * 4 + 1
"""Days: 29 February comes within them."""


@dataclass(frozen=True)
class _Cron:
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    is_either: bool

    def is_on(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        by_date, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return by_date or by_weekday if self.is_either else by_date and by_weekday


def last(schedule: str, zone: ZoneInfo, now: datetime) -> datetime | None:
    """The latest moment of the schedule that is not after now, in UTC; None if there was none for four years."""
    return next((each for each in _moments(schedule, zone, now, -1) if each <= now), None)


def following(schedule: str, zone: ZoneInfo, now: datetime) -> datetime | None:
    """The first moment of the schedule after now, in UTC; None if there is none for four years."""
    return next((each for each in _moments(schedule, zone, now, 1) if each > now), None)


def _moments(schedule: str, zone: ZoneInfo, now: datetime, direction: int) -> Iterator[datetime]:
    cron, today = _parsed(schedule), now.astimezone(zone).date()
    for offset in range(-1, _FARTHEST):
        day = today + timedelta(days=offset * direction)
        if cron.is_on(day):
            yield from sorted(_of_day(cron, day, zone), reverse=direction < 0)


def _of_day(cron: _Cron, day: date, zone: ZoneInfo) -> Iterator[datetime]:
    for hour in cron.hours:
        for minute in cron.minutes:
            moment = datetime.combine(day, time(hour, minute), zone).astimezone(UTC)
            # A wall-clock time that is skipped comes back as another one.
            if moment.astimezone(zone).time() == time(hour, minute):
                yield moment


@lru_cache(maxsize=256)
def _parsed(schedule: str) -> _Cron:
    minute, hour, day, month, weekday = _NAMED.get(schedule, schedule).split(" ")
    return _Cron(
        minutes=_values(minute, 0, 59, int),
        hours=_values(hour, 0, 23, int),
        days=_values(day, 1, 31, int),
        months=_values(month, 1, 12, lambda text: _MONTHS.index(text) + 1 if text in _MONTHS else int(text)),
        weekdays=frozenset(
            each % 7 for each in _values(weekday, 0, 7, lambda text: _DAYS.index(text) if text in _DAYS else int(text))
        ),
        is_either=not day.startswith("*") and not weekday.startswith("*"),
    )


def _values(field: str, lowest: int, highest: int, number: Callable[[str], int]) -> frozenset[int]:
    found: set[int] = set()
    for item in field.split(","):
        span, _, step = item.partition("/")
        low, _, high = span.partition("-")
        first = lowest if low == "*" else number(low)
        # `5/10` means from 5 on, as `5-59/10` does.
        end = number(high) if high else (highest if low == "*" or step else first)
        found.update(range(first, end + 1, int(step or 1)))
    return frozenset(found)
