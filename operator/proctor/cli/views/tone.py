"""How good or bad something is, apart from how that is drawn."""

from __future__ import annotations

from enum import StrEnum

from proctor.api.meta import Condition, ConditionStatus, Status


class Tone(StrEnum):
    """The few states that a person tells apart at a glance."""

    GOOD = "good"
    BUSY = "busy"
    BAD = "bad"
    WARN = "warn"
    OFF = "off"
    UNKNOWN = "unknown"
    QUIET = "quiet"


_SAYS_LITTLE_WHEN_FALSE = {"Reconciling", "Stalled"}
_BY_READY = {
    ConditionStatus.TRUE: Tone.GOOD,
    ConditionStatus.FALSE: Tone.BAD,
    ConditionStatus.UNKNOWN: Tone.UNKNOWN,
}
_ONLY_A_WARNING = {"ActedOn", "Isolated", "DefinitionsPinned", "SLOCompliant", "ImagePinned", "TrafficRouted"}


def of_condition(condition: Condition) -> Tone:
    """How the condition bears on the object: `Stalled=False` is nothing to look at, `Ready=False` is."""
    if condition.status is ConditionStatus.UNKNOWN:
        return Tone.UNKNOWN
    is_true = condition.status is ConditionStatus.TRUE
    if condition.type in _SAYS_LITTLE_WHEN_FALSE:
        if not is_true:
            return Tone.QUIET
        return Tone.BUSY if condition.type == "Reconciling" else Tone.BAD
    if is_true:
        return Tone.GOOD
    return Tone.WARN if condition.type in _ONLY_A_WARNING else Tone.BAD


def of_status(status: Status, generation: int, *, is_off: bool = False) -> Tone:
    """The tone of a whole object. What was said of an older spec counts as unknown."""
    ready = status.condition("Ready")
    if ready is None or status.observed_generation < generation:
        return Tone.UNKNOWN
    if is_off:
        return Tone.OFF
    if _is_true(status, "Reconciling") and not _is_true(status, "Stalled"):
        return Tone.BUSY
    return _BY_READY[ready.status] if not _is_true(status, "Stalled") else Tone.BAD


def _is_true(status: Status, type_: str) -> bool:
    condition = status.condition(type_)
    return condition is not None and condition.status is ConditionStatus.TRUE
