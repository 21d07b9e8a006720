"""Conditions as kstatus reads them: built without a time, dated when they are merged with what was there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from proctor.api.meta import Condition, ConditionStatus


@dataclass(frozen=True)
class Finding:
    """What is true of an object now."""

    type: str
    status: ConditionStatus
    reason: str
    message: str = ""


def true(type_: str, reason: str, message: str = "") -> Finding:
    """It is so."""
    return Finding(type_, ConditionStatus.TRUE, reason, message)


def false(type_: str, reason: str, message: str = "") -> Finding:
    """It is not so."""
    return Finding(type_, ConditionStatus.FALSE, reason, message)


def unknown(type_: str, reason: str, message: str = "") -> Finding:
    """It was not measured."""
    return Finding(type_, ConditionStatus.UNKNOWN, reason, message)


def merge(
    before: Iterable[Condition], findings: Iterable[Finding], generation: int, now: datetime
) -> tuple[Condition, ...]:
    """The findings as conditions. A time moves only when its status does: otherwise we would wake ourselves."""
    old = {each.type: each for each in before}
    return tuple(_dated(finding, old.get(finding.type), generation, now) for finding in findings)


def _dated(finding: Finding, old: Condition | None, generation: int, now: datetime) -> Condition:
    since = old.last_transition_time if old and old.status == finding.status else now
    return Condition(
        type=finding.type,
        status=finding.status,
        reason=finding.reason,
        message=finding.message,
        observed_generation=generation,
        last_transition_time=since,
    )
