"""Which hour, day or month a time falls into."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.api.bounds import Period
from proctor_gateway.rules.periods import window


def utc(text: str) -> datetime:
    """The time."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


CASES = {
    "an hour": (Period.HOUR, "Etc/UTC", "2026-11-22T21:42:17", "2026-11-22T21:00", "2026-11-22T22:00"),
    "an hour of UTC anywhere": (
        Period.HOUR,
        "Asia/Kolkata",
        "2026-11-22T21:42",
        "2026-11-22T21:00",
        "2026-11-22T22:00",
    ),
    "a day": (Period.DAY, "Etc/UTC", "2026-11-22T21:42", "2026-11-22T00:00", "2026-11-23T00:00"),
    "its first moment": (Period.DAY, "Etc/UTC", "2026-11-22T00:00", "2026-11-22T00:00", "2026-11-23T00:00"),
    "a day elsewhere": (Period.DAY, "Europe/Berlin", "2026-11-22T23:30", "2026-11-22T23:00", "2026-11-23T23:00"),
    "a day of 23 hours": (Period.DAY, "Europe/Berlin", "2026-03-29T12:00", "2026-03-28T23:00", "2026-03-29T22:00"),
    "a day of 25 hours": (Period.DAY, "Europe/Berlin", "2026-10-25T12:00", "2026-10-24T22:00", "2026-10-25T23:00"),
    "a month": (Period.MONTH, "Etc/UTC", "2026-11-22T21:42", "2026-11-01T00:00", "2026-12-01T00:00"),
    "the last month of a year": (Period.MONTH, "Etc/UTC", "2026-12-31T23:59", "2026-12-01T00:00", "2027-01-01T00:00"),
    "a leap February": (Period.MONTH, "Etc/UTC", "2028-02-29T12:00", "2028-02-01T00:00", "2028-03-01T00:00"),
    "a month elsewhere": (Period.MONTH, "Europe/Berlin", "2026-10-31T23:30", "2026-10-31T23:00", "2026-11-30T23:00"),
    "a zone that nobody knows": (Period.DAY, "No/Where", "2026-11-22T21:42", "2026-11-22T00:00", "2026-11-23T00:00"),
}


@pytest.mark.parametrize(("per", "zone", "at", "start", "end"), CASES.values(), ids=CASES)
def test_windows(per, zone, at, start, end):
    """A period is one of the calendar."""
    found = window(per, zone, utc(at))
    assert (found.start, found.end) == (utc(start), utc(end))


@given(
    days=st.floats(0, 7000, allow_nan=False),
    per=st.sampled_from([Period.HOUR, Period.DAY, Period.MONTH]),
    zone=st.sampled_from(["Etc/UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Auckland"]),
)
def test_every_time_is_in_one_window(days, per, zone):
    """Windows follow one another without a gap and without a moment in two of them."""
    now = utc("2020-01-01") + timedelta(days=days)
    found = window(per, zone, now)
    assert found.start <= now < found.end
    assert window(per, zone, found.start) == found
    assert window(per, zone, found.end).start == found.end
    assert window(per, zone, found.end - timedelta(microseconds=1)) == found
