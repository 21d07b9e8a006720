"""The field types that the kinds share: durations, decimals, names, expressions; each with its OpenAPI form."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import AwareDatetime, BeforeValidator, Field, PlainSerializer, WithJsonSchema

_UNITS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_DURATION: Final = r"^([0-9]+(ms|d|h|m|s))+$"
_PART: Final = re.compile(r"([0-9]+)(ms|d|h|m|s)")
_DECIMAL: Final = r"^[0-9]+(\.[0-9]+)?$"
_LABEL: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"


def parse_duration(text: object) -> timedelta:
    """A duration from text such as `90s`, `1h30m`, `28d`, `500ms`. Raises ValueError for anything else."""
    if isinstance(text, timedelta):
        return text
    if not isinstance(text, str) or not re.match(_DURATION, text):
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
    if isinstance(text, str) and re.match(_DECIMAL, text):
        return Decimal(text)
    if isinstance(text, Decimal):
        return text
    msg = f'{text!r} is not a decimal in quotes such as "0.20"'
    raise ValueError(msg)


def format_time(time: datetime) -> str:
    """RFC 3339 in UTC with whole seconds, as Kubernetes writes times."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


JSONValue = Any

Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _DURATION, "maxLength": 32}),
]
Number = Annotated[
    Decimal,
    BeforeValidator(_parse_decimal),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _DECIMAL, "maxLength": 32}),
]
"""A non-negative decimal, written as a string so that no reader rounds it."""

Ratio = Annotated[
    Decimal,
    BeforeValidator(_parse_decimal),
    Field(ge=0, le=1),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^(0(\.[0-9]+)?|1(\.0+)?)$", "maxLength": 32}),
]
"""A decimal from 0 to 1, written as a string."""

Percent = Annotated[
    Decimal,
    BeforeValidator(_parse_decimal),
    Field(gt=0, lt=100),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^([0-9]|[1-9][0-9])(\.[0-9]+)?$", "maxLength": 32}),
]
"""A percentage above 0 and below 100, written as a string: 100 % leaves no error budget."""

Time = Annotated[
    AwareDatetime,
    PlainSerializer(format_time, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]

Name = Annotated[str, Field(pattern=_LABEL, min_length=1, max_length=63)]
"""The name of an object or of an item in a list: a DNS label (RFC 1123)."""

ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", min_length=1, max_length=253)]
"""The name of a Kubernetes object of any kind: a DNS subdomain (RFC 1123)."""

Key = Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$", min_length=1, max_length=253)]
"""A key in a ConfigMap or a Secret."""

ToolName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$", min_length=1, max_length=128)]
"""A tool's name, as MCP 2026-07-28 allows it."""

Text = Annotated[str, Field(min_length=1, max_length=1024)]
Expression = Annotated[str, Field(min_length=1, max_length=2048)]
"""A CEL expression."""

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71)]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$", min_length=1, max_length=63)]
"""A data class or another free word of the platform's own vocabulary."""


def by(*keys: str) -> dict[str, JSONValue]:
    """A list whose items are told apart by these keys, for the API server as for server-side apply."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


def rules(*validations: tuple[str, str]) -> dict[str, JSONValue]:
    """CEL rules that the API server checks: pairs of an expression and the message shown when it is false."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in validations]}


SET: Final[dict[str, JSONValue]] = {"x-kubernetes-list-type": "set"}
ATOMIC: Final[dict[str, JSONValue]] = {"x-kubernetes-list-type": "atomic"}
OPEN: Final[dict[str, JSONValue]] = {"x-kubernetes-preserve-unknown-fields": True}
