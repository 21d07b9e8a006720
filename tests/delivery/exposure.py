"""Was the candidate ever given more than its step allowed? Judged from what the gateway recorded of each task.

Beside it stands what the Agent's status said, and when it was seen to say so. A step's `since` is the time of the
decision, cut to the second, and nobody can act on a decision before it is made: up to a second is not told apart. That
a withdrawal is verified is written after it was, and seen after it was written: what begins later is one too many.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

_SERVING = {"Watching", "Reverting"}
_WITHDRAWN = {"Draining", "ScalingDown"}
_OVER = {"Failed", "Settled"}
_WHOLE = 100


@dataclass(frozen=True)
class Stage:
    """What one state of an upgrade allows its candidate."""

    name: str
    since: datetime
    """Not after the decision."""
    seen: datetime
    """Not before it was written."""
    share: int
    """Of the new tasks, in percent."""
    closes: bool = False
    """Whether all gateways are known to give it nothing any more."""


@dataclass(frozen=True)
class Begun:
    """A live task, as the gateway recorded it when it was bound to a revision."""

    task: str
    at: datetime
    on_candidate: bool
    arm: str | None = None
    weight: int | None = None
    """By which the arm was drawn; None if no upgrade was known."""


def stage_of(status: Mapping[str, Any], candidate: str, seen: datetime) -> Stage | None:
    """What a status of an Agent allows the revision; None if it tells of no upgrade to it."""
    rollout, revision = status.get("rollout") or {}, status.get("revision") or {}
    phase, stage = rollout.get("phase"), rollout.get("stage")
    since = rollout.get("since")
    at = datetime.fromisoformat(since) if since else seen
    if revision.get("stable") == candidate and phase in _SERVING | _OVER:
        return Stage(phase, at, seen, _WHOLE)
    if phase in _OVER:
        return Stage(phase, at, seen, 0, closes=True)
    if revision.get("candidate") != candidate:
        return None
    name = f"{phase}/{stage}" if stage else f"{phase}/{rollout['step']}" if "step" in rollout else phase
    return Stage(name, at, seen, rollout.get("weight") or 0, closes=stage in _WITHDRAWN)


def allowed(stages: Sequence[Stage], at: datetime) -> tuple[int, str]:
    """The largest share that the candidate may have had at that time, and the stage that gave it."""
    most, by = 0, "no step"
    for stage in stages:
        if stage.closes and stage.seen <= at:
            most, by = 0, stage.name
        elif stage.since <= at and stage.share >= most:
            most, by = stage.share, stage.name
    return most, by


def excesses(rollout: str, stages: Sequence[Stage], begun: Sequence[Begun]) -> Iterator[str]:
    """What the candidate had that it may not have had, a sentence each."""
    for each in begun:
        most, by = allowed(stages, each.at)
        when = f"task {each.task} at {each.at:%H:%M:%S.%f}, in {by}"
        if each.weight is not None and each.weight > most and most < _WHOLE:
            yield f"{when}: drawn by weight {each.weight}, allowed were {most}"
        if each.on_candidate and not most:
            yield f"{when}: it began on the candidate, which may have none"
        if most < _WHOLE:
            yield from (f"{when}: {fault}" for fault in _dishonest(rollout, each))


def _dishonest(rollout: str, begun: Begun) -> Iterator[str]:
    """What contradicts the draw: the hash of the task and of the upgrade, below the weight or not."""
    if begun.on_candidate and begun.arm != "Candidate":
        yield f"it began on the candidate with arm {begun.arm}"
    if begun.arm is None or begun.weight is None:
        return
    share = int.from_bytes(sha256(f"{rollout}/{begun.task}".encode()).digest()[:8]) / 2**64
    fair = "Candidate" if share < begun.weight / _WHOLE else "Stable"
    if begun.arm != fair:
        yield f"arm {begun.arm}, but its hash is {share:.4f} and the weight {begun.weight}"
