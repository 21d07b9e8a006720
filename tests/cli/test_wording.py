"""How values are put in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from proctor.cli import wording


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0s"),
        (0.9, "0s"),
        (12, "12s"),
        (60, "1m"),
        (312, "5m12s"),
        (601, "10m"),
        (3600, "1h"),
        (3 * 3600 + 240, "3h4m"),
        (10 * 3600 + 59, "10h"),
        (2 * 86_400 + 3 * 3600, "2d3h"),
        (30 * 86_400, "30d"),
        (400 * 86_400, "1y"),
        (-5, "0s"),
    ],
)
def test_an_age_reads_as_kubectl_writes_it(seconds: float, words: str) -> None:
    """Two units while the larger one is small, else one; a clock that is ahead makes no negative age."""
    assert wording.span(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("amount", "words"), [(None, "-"), (0.0123, "12ms"), (3.21, "3.2s"), (59.94, "59.9s"), (245, "4m05s")]
)
def test_a_measured_time_has_the_precision_that_a_person_can_use(amount: float | None, words: str) -> None:
    """Milliseconds below a second, tenths below a minute; a dash for what was not measured."""
    assert wording.seconds(amount) == words


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 漢 🙂", "plain ü 漢 🙂"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("windows\r\nline", "windows\nline"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("\x9b31mred", "\\x9b31mred"),
        ("over\rwritten", "over\\x0dwritten"),
        ("\u202egnp.exe", "\\x202egnp.exe"),
        ("bell\x07 and delete\x7f", "bell\\x07 and delete\\x7f"),
    ],
)
def test_text_of_others_cannot_command_the_terminal(text: str, shown: str) -> None:
    """Controls and marks of reading direction are shown as codes; everything else stays as it is."""
    assert wording.printable(text) == shown


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-22T12:00:00Z", datetime(2026, 11, 22, 12, tzinfo=UTC)),
        ("2026-11-22T12:00:00.123456789Z", datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)),
        ("yesterday", None),
        (None, None),
        (12, None),
    ],
)
def test_a_time_that_cannot_be_read_is_none(text: object, time: datetime | None) -> None:
    """RFC 3339 with any precision is read, everything else is no time and no error."""
    assert wording.moment(text) == time
