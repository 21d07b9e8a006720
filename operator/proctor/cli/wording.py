"""How values are put in words: ages, amounts, times; and text of others made safe to show."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_UNITS = (("y", 365 * 86_400), ("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))
_FINE_BELOW = {"d": 8, "h": 8, "m": 10}
"""Below so many of a unit, the next finer one is shown too, as kubectl does: 5m12s, 3h4m, 2d3h."""
UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""The characters that command a terminal (all controls but tab and line break) or turn its reading direction."""


def printable(text: object) -> str:
    """Text of others without the characters that command a terminal or turn its reading direction.

    What an agent, a tool or a pod says reaches a person's terminal through this alone: an escape sequence in it could
    hide lines, or say something in our name.
    """
    return UNSAFE.sub(lambda found: f"\\x{ord(found[0]):02x}", str(text).replace("\r\n", "\n"))


def one_line(text: object) -> str:
    """Printable text whose line breaks are spaces."""
    return " ".join(printable(text).split())


def short(text: object, longest: int) -> str:
    """One line of at most so many characters."""
    line = one_line(text)
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def age(since: datetime | None, now: datetime) -> str:
    """How long ago, as kubectl writes it: 12s, 5m12s, 3h, 8d. A dash if it never was."""
    return span(now - since) if since else "-"


def span(duration: timedelta) -> str:
    """A duration in at most two units."""
    seconds = max(0, int(duration.total_seconds()))
    for index, (unit, size) in enumerate(_UNITS):
        count, rest = divmod(seconds, size)
        if not count:
            continue
        if count < _FINE_BELOW.get(unit, 0):
            finer, finer_size = _UNITS[index + 1]
            return f"{count}{unit}{rest // finer_size}{finer}" if rest // finer_size else f"{count}{unit}"
        return f"{count}{unit}"
    return "0s"


def seconds(amount: float | None) -> str:
    """A measured time: 12ms, 3.2s, 4m05s. A dash if it was not measured."""
    if amount is None:
        return "-"
    if amount < 1:
        return f"{amount * 1000:.0f}ms"
    minutes, rest = divmod(amount, 60)
    return f"{int(minutes)}m{int(rest):02d}s" if minutes else f"{rest:.1f}s"


def counted(number: int, thing: str) -> str:
    """`1 pod`, `2 pods`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def moment(text: object) -> datetime | None:
    """The time in an object's RFC 3339 text; None if there is none, or none that can be read."""
    if not isinstance(text, str):
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
