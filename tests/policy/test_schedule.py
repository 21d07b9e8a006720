"""When a cron schedule is due: by table, and against every minute of some days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proctor.policy import schedule

BERLIN, UTC_ZONE = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")


def at(text: str) -> datetime:
    """A time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


MOMENTS = {
    "a weekend in Berlin": ("0 18 * * FRI", BERLIN, "2026-11-21T12:00", "2026-11-20T17:00", "2026-11-27T17:00"),
    "summer time": ("0 18 * * FRI", BERLIN, "2026-07-04T12:00", "2026-07-03T16:00", "2026-07-10T16:00"),
    "at the moment itself": ("0 18 * * FRI", BERLIN, "2026-11-20T17:00", "2026-11-20T17:00", "2026-11-27T17:00"),
    "every quarter": ("*/15 * * * *", UTC_ZONE, "2026-11-21T12:07", "2026-11-21T12:00", "2026-11-21T12:15"),
    "from five on": ("5/20 9-10 * * *", UTC_ZONE, "2026-11-21T09:30", "2026-11-21T09:25", "2026-11-21T09:45"),
    "the last of a year": ("0 0 31 DEC *", UTC_ZONE, "2026-11-21T00:00", "2025-12-31T00:00", "2026-12-31T00:00"),
    "a leap day": ("0 0 29 2 *", UTC_ZONE, "2026-11-21T00:00", "2024-02-29T00:00", "2028-02-29T00:00"),
    "a date or a weekday": ("0 0 13 * FRI", UTC_ZONE, "2026-11-14T00:00", "2026-11-13T00:00", "2026-11-20T00:00"),
    "sunday by either number": ("0 0 * * 7", UTC_ZONE, "2026-11-23T00:00", "2026-11-22T00:00", "2026-11-29T00:00"),
    "by name": ("@monthly", UTC_ZONE, "2026-11-21T00:00", "2026-11-01T00:00", "2026-12-01T00:00"),
    "an hour that is skipped": ("30 2 * * *", BERLIN, "2026-03-29T12:00", "2026-03-28T01:30", "2026-03-30T00:30"),
    "an hour that comes twice": ("30 2 * * *", BERLIN, "2026-10-25T12:00", "2026-10-25T00:30", "2026-10-26T01:30"),
}


@pytest.mark.parametrize(("cron", "zone", "now", "last", "following"), MOMENTS.values(), ids=MOMENTS)
def test_moments_of_a_schedule(cron, zone, now, last, following):
    """The latest that is not after now, and the first after it, in the schedule's own zone."""
    assert schedule.last(cron, zone, at(now)) == at(last)
    assert schedule.following(cron, zone, at(now)) == at(following)


FIELDS = st.tuples(
    st.sampled_from(["0", "*/20", "7,37", "50-59/3"]),
    st.sampled_from(["*", "6", "22-23", "*/5"]),
    st.sampled_from(["*", "1", "28-31", "15"]),
    st.sampled_from(["*", "2", "MAR-NOV"]),
    st.sampled_from(["*", "MON-FRI", "0", "6,7"]),
)


@settings(max_examples=40, deadline=None)
@given(FIELDS, st.integers(0, 525_599))
def test_no_moment_is_missed(fields, minutes):
    """Between the latest and the next there is none; each next is the latest from then on."""
    cron, now = " ".join(fields), at("2026-01-01T00:00") + timedelta(minutes=minutes)
    last, following = schedule.last(cron, BERLIN, now), schedule.following(cron, BERLIN, now)
    assert last is not None
    assert following is not None
    assert last <= now < following
    assert schedule.following(cron, BERLIN, last) == following
    assert schedule.last(cron, BERLIN, following - timedelta(minutes=1)) == last
