"""Durations, decimals and schedules: what is read, what is written, and what is refused."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from proctor.api.cron import CRON
from proctor.api.fields import (
    Chance,
    Duration,
    Number,
    Percent,
    Ratio,
    Span,
    Time,
    Window,
    format_duration,
    parse_duration,
)

DURATIONS = {
    "0s": timedelta(0),
    "500ms": timedelta(milliseconds=500),
    "90s": timedelta(seconds=90),
    "1h30m": timedelta(minutes=90),
    "28d": timedelta(days=28),
    "1d2h3m4s5ms": timedelta(days=1, hours=2, minutes=3, seconds=4, milliseconds=5),
}


@pytest.mark.parametrize("text", DURATIONS)
def test_a_duration_is_read(text: str) -> None:
    """Units are d, h, m, s and ms, the greatest first."""
    assert parse_duration(text) == DURATIONS[text]


@pytest.mark.parametrize(
    "text", ["", "10", "s", "1.5h", "-1s", "1m1h", "10s ", "10s\n", "1 h", "1w", "123456d", 10, None]
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    """The refusal shows what a duration looks like."""
    with pytest.raises(ValueError, match="such as 90s"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=99_999 * 86_400_000))
def test_a_duration_is_read_as_it_was_written(milliseconds: int) -> None:
    """Whatever can be written can be read, to the millisecond."""
    duration = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(duration)) == duration


@given(st.from_regex(r"\A([0-9]{1,5}d)?([0-9]{1,6}h)?([0-9]{1,8}m)?([0-9]{1,9}s)?([0-9]{1,9}ms)?\Z").filter(bool))
def test_no_duration_is_too_long_for_a_date(text: str) -> None:
    """The digits are bounded, so that no deadline leaves the calendar."""
    assert parse_duration(text) < timedelta(days=700 * 365)


ACCEPTED = {
    "a number": (Number, ["0", "0.20", "1000000", "1" * 32]),
    "a ratio": (Ratio, ["0", "0.0", "0.95", "1", "1.00"]),
    "a chance": (Chance, ["0.05", "0.999", "0.0001"]),
    "a percentage": (Percent, ["99", "99.95", "0.5", "1", "10.0"]),
    "a span": (Span, ["1ms", "0h1m", "28d"]),
    "a window": (Window, ["1h", "90d", "2160h", "89d24h", "36h"]),
}
REFUSED = {
    "a number": (Number, ["", "-1", "1e3", ".5", "1.", "1,5", "NaN", 1, 0.2, None]),
    "a ratio": (Ratio, ["1.01", "2", "-0.1", "01"[1:] + ".1", "10"]),
    "a chance": (Chance, ["0", "0.0", "1", "1.0", "5"]),
    "a percentage": (Percent, ["0", "0.0", "100", "100.0", "101"]),
    "a span": (Span, ["0s", "0d0h", ""]),
    "a window": (Window, ["0h", "91d", "2161h", "90d1h", "59m"]),
}


@pytest.mark.parametrize("what", ACCEPTED)
def test_a_text_in_the_right_form_is_accepted(what: str) -> None:
    """And written again it says the same."""
    form, texts = ACCEPTED[what]
    adapter: TypeAdapter[object] = TypeAdapter(form)
    for text in texts:
        value = adapter.validate_python(text)
        assert adapter.validate_python(adapter.dump_python(value, mode="json")) == value


@pytest.mark.parametrize("what", REFUSED)
def test_a_text_in_another_form_is_refused(what: str) -> None:
    """A value that means nothing never becomes one that does."""
    form, texts = REFUSED[what]
    adapter: TypeAdapter[object] = TypeAdapter(form)
    for text in texts:
        with pytest.raises(ValidationError):
            adapter.validate_python(text)


@given(st.decimals(min_value=0, max_value=10**9, places=9))
def test_no_digit_of_a_decimal_is_lost(number: Decimal) -> None:
    """A small amount is not written with an exponent, which would be refused."""
    adapter = TypeAdapter(Number)
    assert adapter.validate_python(adapter.dump_python(number, mode="json")) == number


@given(
    st.timedeltas(min_value=timedelta(milliseconds=1), max_value=timedelta(days=90)).map(
        lambda each: each - timedelta(microseconds=each.microseconds % 1000)
    )
)
def test_a_duration_that_a_model_writes_a_model_reads(duration: timedelta) -> None:
    """Also through pydantic, as JSON."""
    adapter = TypeAdapter(Duration)
    assert adapter.validate_json(adapter.dump_json(duration)) == duration


def test_a_time_needs_a_zone() -> None:
    """A time without one means another moment to each reader."""
    adapter = TypeAdapter(Time)
    assert (
        adapter.dump_python(adapter.validate_python("2026-11-22T20:00:00+02:00"), mode="json") == "2026-11-22T18:00:00Z"
    )
    with pytest.raises(ValidationError):
        adapter.validate_python("2026-11-22T20:00:00")


@pytest.mark.parametrize(
    "text", ["* * * * *", "*/15 6-18 1,15 JAN-DEC MON-FRI", "0 0 31 12 7", "05 05 05 05 5", "59 23 * * SUN", "@daily"]
)
def test_a_schedule_is_accepted(text: str) -> None:
    """Five fields with numbers, ranges, steps, lists and names; or a common schedule's name."""
    assert re.fullmatch(CRON, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "*/0 * * * *",
        "@reboot",
        "a * * * *",
        "* * * * MON ",
    ],
)
def test_a_schedule_that_never_comes_is_refused(text: str) -> None:
    """A field out of its range is a typing error, not a schedule."""
    assert not re.fullmatch(CRON, text)
