"""What the operator said to a person's command, as its Events tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from proctor.cli.wording import moment
from proctor.plan.world import Manifest

_DONE = {"CommandDone", "Undone", "RolloutAborted"}
_REFUSED = "CommandRefused"
_CLOCKS_DIFFER = timedelta(seconds=2)
"""Events have whole seconds, and another machine's clock."""


@dataclass(frozen=True)
class Answer:
    """One answer."""

    is_refusal: bool
    message: str


def to_command(events: Iterable[Manifest], agent: str, since: datetime) -> Answer | None:
    """The newest answer to a command of this agent that is not older than it; None if there is none."""
    found = [
        (at, each)
        for each in events
        if each["involvedObject"].get("kind") == "Agent"
        and each["involvedObject"].get("name") == agent
        and each.get("reason") in {*_DONE, _REFUSED}
        and (at := _at(each)) is not None
        and at >= since - _CLOCKS_DIFFER
    ]
    if not found:
        return None
    _, newest = max(found, key=lambda pair: pair[0])
    return Answer(newest.get("reason") == _REFUSED, newest.get("message", ""))


def _at(event: Manifest) -> datetime | None:
    series = event.get("series") or {}
    at = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    return moment(at or event["metadata"].get("creationTimestamp"))
