"""The field types that the kinds share: durations, decimals, names, expressions; each with its OpenAPI form."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import AwareDatetime, BeforeValidator, Field, PlainSerializer, WithJsonSchema

_UNITS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
# The digits of each unit are bounded so that no sum leaves what `timedelta` and a date can hold (some 600 years).
DURATION: Final = r"^([0-9]{1,5}d)?([0-9]{1,6}h)?([0-9]{1,8}m)?([0-9]{1,9}s)?([0-9]{1,9}ms)?$"
_PART: Final = re.compile(r"([0-9]+)(ms|d|h|m|s)")
DECIMAL: Final = r"^[0-9]+(\.[0-9]+)?$"
RATIO: Final = r"^(0(\.[0-9]+)?|1(\.0+)?)$"
_WINDOW: Final = r"^([0-9]{1,4}d)?([0-9]{1,5}h)?$"
_HOURS: Final = (
    "(int('0' + self.find('^[0-9]+d').replace('d', '')) * 24 + int('0' + self.find('[0-9]+h$').replace('h', '')))"
)
_TIME: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})$"
_LABEL: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"


def parse_duration(text: object) -> timedelta:
    """A duration from text such as `90s`, `1h30m`, `28d`, `500ms`. Raises ValueError for anything else."""
    if isinstance(text, timedelta):
        return text
    # `fullmatch`, for `$` also matches before a newline at the end, where the API server's expressions do not.
    if not isinstance(text, str) or not text or not re.fullmatch(DURATION, text):
        msg = f"{text!r} is not a duration such as 90s, 10m, 1h30m or 28d"
        raise ValueError(msg)
    return timedelta(milliseconds=sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(text)))


def format_duration(duration: timedelta) -> str:
    """The shortest text that `parse_duration` reads back to the same duration."""
    rest = round(duration / timedelta(milliseconds=1))
    parts = []
    for unit, size in _UNITS.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _parse_decimal(text: object) -> object:
    if isinstance(text, str) and re.fullmatch(DECIMAL, text):
        return Decimal(text)
    if isinstance(text, Decimal):
        return text
    msg = f'{text!r} is not a decimal in quotes such as "0.20"'
    raise ValueError(msg)


def format_decimal(number: Decimal) -> str:
    """The number without an exponent, as `Number` reads it back."""
    return format(number, "f")


def format_time(time: datetime) -> str:
    """RFC 3339 in UTC with whole seconds, as Kubernetes writes times."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


JSONValue = Any


def by(*keys: str) -> dict[str, JSONValue]:
    """A list whose items are told apart by these keys, for the API server as for server-side apply."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


def rules(*validations: tuple[str, str] | tuple[str, str, str]) -> dict[str, JSONValue]:
    """CEL rules that the API server checks: an expression, the message shown when it is false, and perhaps a field.

    The field is the path (`.from`) below the object which the message points at, when not the object itself.
    """
    words = ("rule", "message", "fieldPath")
    return {"x-kubernetes-validations": [dict(zip(words, each, strict=False)) for each in validations]}


def form(title: str, pattern: str, fault: str, longest: int, *more: tuple[str, str]) -> dict[str, JSONValue]:
    """The schema of a text in a form of its own. A rule says what is wrong; `pattern` would only show the pattern."""
    held = rules((f"self.matches({json.dumps(pattern)})", fault), *more)
    return {"type": "string", "title": title, "minLength": 1, "maxLength": longest} | held


def _decimal(pattern: str, which: str) -> dict[str, JSONValue]:
    return form("decimal", pattern, f"must be a decimal {which}", 32)


_DURATION_FAULT: Final = "must be a duration such as 90s, 10m, 1h30m or 28d"
_ABOVE_ZERO: Final = ("self.matches('[1-9]')", "must be longer than zero")

Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(form("duration", DURATION, _DURATION_FAULT, 32)),
]
"""A time span such as `90s`, `1h30m` or `28d`; zero is allowed."""

Span = Annotated[
    Duration, Field(gt=timedelta(0)), WithJsonSchema(form("duration", DURATION, _DURATION_FAULT, 32, _ABOVE_ZERO))
]
"""A time span above zero, such as `90s`, `1h30m` or `28d`."""

Window = Annotated[
    Duration,
    Field(ge=timedelta(hours=1), le=timedelta(days=90)),
    WithJsonSchema(
        form(
            "duration",
            _WINDOW,
            "must be days and hours such as 28d or 36h",
            16,
            (f"{_HOURS} >= 1 && {_HOURS} <= 2160", "must be from 1h to 90d"),
        )
    ),
]
"""The time over which an objective is judged, from `1h` to `90d`, without minutes."""

Number = Annotated[
    Decimal,
    BeforeValidator(_parse_decimal),
    PlainSerializer(format_decimal, return_type=str),
    WithJsonSchema(_decimal(DECIMAL, 'in quotes such as "0.20"')),
]
"""A non-negative decimal, written as a string so that no reader rounds it."""

Ratio = Annotated[Number, Field(ge=0, le=1), WithJsonSchema(_decimal(RATIO, 'from "0" to "1"'))]
"""A decimal from 0 to 1, written as a string."""

Chance = Annotated[
    Number,
    Field(gt=0, lt=1),
    WithJsonSchema(_decimal(r"^0\.[0-9]*[1-9][0-9]*$", 'above "0" and below "1", such as "0.05"')),
]
"""A decimal above 0 and below 1, written as a string."""

Percent = Annotated[
    Number,
    Field(gt=0, lt=100),
    WithJsonSchema(
        _decimal(
            r"^(0\.[0-9]*[1-9][0-9]*|[1-9][0-9]?(\.[0-9]+)?)$",
            'above "0" and below "100", such as "99.5": 100 % leaves no error budget',
        )
    ),
]
"""A percentage above 0 and below 100, written as a string: 100 % leaves no error budget."""

Time = Annotated[
    AwareDatetime,
    PlainSerializer(format_time, return_type=str),
    # The pattern narrows what the format lets through; the API server hands a rule a timestamp, so none can.
    WithJsonSchema({"type": "string", "title": "time", "format": "date-time", "pattern": _TIME, "maxLength": 32}),
]

Name = Annotated[str, Field(title="name", pattern=_LABEL, min_length=1, max_length=63)]
"""The name of an object or of an item in a list: a DNS label (RFC 1123)."""

ObjectName = Annotated[
    str, Field(title="object name", pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", min_length=1, max_length=253)
]
"""The name of a Kubernetes object of any kind: a DNS subdomain (RFC 1123)."""

Key = Annotated[str, Field(title="key", pattern=r"^[-._a-zA-Z0-9]+$", min_length=1, max_length=253)]
"""A key in a ConfigMap or a Secret."""

ToolName = Annotated[str, Field(title="tool name", pattern=r"^[A-Za-z0-9_.-]+$", min_length=1, max_length=128)]
"""A tool's name, as MCP 2026-07-28 allows it."""

ModelName = Annotated[str, Field(title="model name", pattern=r"^[!-~]+$", min_length=1, max_length=256)]
"""A model's name, as its endpoint knows it."""

_IMAGE: Final = r"^[A-Za-z0-9][-A-Za-z0-9._:/]*(@sha256:[0-9a-f]{64})?$"
Image = Annotated[
    str,
    Field(pattern=_IMAGE, min_length=1, max_length=512),
    WithJsonSchema(form("image", _IMAGE, "must be an image such as registry.example.com/agent:1.4@sha256:…", 512)),
]
"""A container image; with a digest it can never become another one."""

Text = Annotated[str, Field(min_length=1, max_length=1024)]
Expression = Annotated[str, Field(title="CEL", min_length=1, max_length=2048)]
"""A CEL expression."""

Digest = Annotated[str, Field(title="digest", pattern=r"^sha256:[0-9a-f]{64}$", max_length=71)]
Label = Annotated[
    str, Field(title="label", pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$", min_length=1, max_length=63)
]
"""A data class or another free word of the platform's own vocabulary."""


SET: Final[dict[str, JSONValue]] = {"x-kubernetes-list-type": "set"}
ATOMIC: Final[dict[str, JSONValue]] = {"x-kubernetes-list-type": "atomic"}
OPEN: Final[dict[str, JSONValue]] = {"x-kubernetes-preserve-unknown-fields": True}
