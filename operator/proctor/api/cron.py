"""Schedules: cron expressions of five fields, in a named time zone."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field, WithJsonSchema

from proctor.api.fields import form

_MONTHS: Final = "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC"
_DAYS: Final = "SUN|MON|TUE|WED|THU|FRI|SAT"


def _field(value: str) -> str:
    item = f"([*]|({value})(-({value}))?)(/[1-9][0-9]?)?"
    return f"{item}(,{item})*"


CRON: Final = "^({} {} {} {} {}|@(hourly|daily|weekly|monthly|yearly))$".format(
    _field("[0-5]?[0-9]"),
    _field("[01]?[0-9]|2[0-3]"),
    _field("0?[1-9]|[12][0-9]|3[01]"),
    _field(f"0?[1-9]|1[0-2]|{_MONTHS}"),
    _field(f"[0-7]|{_DAYS}"),
)
"""Minute, hour, day of the month, month, day of the week; or one of the five names for common schedules."""

_FAULT: Final = "must be a cron expression of five fields such as '30 6 * * MON-FRI', or @hourly, @daily, @weekly, …"


def _cron(text: str) -> str:
    if not re.fullmatch(CRON, text):
        raise ValueError(_FAULT)
    return text


CronSchedule = Annotated[
    str,
    AfterValidator(_cron),
    Field(min_length=1, max_length=128),
    WithJsonSchema(form("cron", CRON, _FAULT, 128)),
]
_ZONE: Final = r"^(UTC|[A-Z][A-Za-z]+(/[A-Z][-A-Za-z0-9_+]*){1,2})$"
TimeZone = Annotated[
    str,
    Field(pattern=_ZONE, min_length=1, max_length=64),
    WithJsonSchema(form("time zone", _ZONE, "must be a time zone's IANA name such as Europe/Berlin", 64)),
]
"""A name of the IANA time zone database such as `Europe/Berlin`. An unknown one makes the object not Ready."""
