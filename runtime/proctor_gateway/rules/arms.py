"""Which revision does a new task begin on while an upgrade is tried? Pure.

The arm is a hash of the conversation (or of the task) and of the upgrade, so every replica draws alike, and a
conversation that is drawn again falls on the same side (docs/gateway.md, "Upgrades"; the tests that read these records
need the true propensity of each draw: Karampatziakis, Mineiro and Ramdas, ICML 2021).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from proctor.api.agent import Agent
from proctor_gateway.rules.dispatch import Pod

_WHOLE = 100


class Arm(StrEnum):
    """Which of the two revisions that are compared."""

    STABLE = "Stable"
    CANDIDATE = "Candidate"


@dataclass(frozen=True)
class Split:
    """What an Agent's status says of the upgrade under way. Weight and mirror are percentages."""

    rollout: str
    stable: str
    candidate: str
    weight: int
    mirror: int
    is_routed: bool = False
    """Whether an HTTPRoute draws the arms, by what door it sends a task in."""


@dataclass(frozen=True)
class Entry:
    """What an HTTPRoute drew for a task when it came in: in which upgrade, at which weight, and which arm."""

    rollout: str
    weight: int
    arm: Arm

    def __str__(self) -> str:
        return f"{self.arm}/{self.weight}/{self.rollout}"

    @classmethod
    def parse(cls, text: str) -> Entry:
        """From its text."""
        arm, weight, rollout = text.split("/", 2)
        return cls(rollout, int(weight), Arm(arm))


def split_of(agent: Agent) -> Split | None:
    """The upgrade under way, or None: without a candidate or a name for the upgrade there is nothing to draw."""
    revision, rollout = agent.status.revision, agent.status.rollout
    if rollout is None or not (rollout.id and revision.stable and revision.candidate):
        return None
    if revision.candidate == revision.stable or revision.candidate in revision.blocked:
        return None
    is_routed = agent.spec.rollout.traffic is not None
    return Split(rollout.id, revision.stable, revision.candidate, rollout.weight or 0, rollout.mirror or 0, is_routed)


def share_of(rollout: str, unit: str) -> float:
    """A number in [0, 1) that is the same for the same upgrade and unit, in every process."""
    first = hashlib.sha256(f"{rollout}/{unit}".encode()).digest()[:8]
    return int.from_bytes(first) / 2**64


def drawn(split: Split, unit: str) -> Arm:
    """The arm of a conversation or task at the present weight. Weight 0 never draws the candidate."""
    return Arm.CANDIDATE if share_of(split.rollout, unit) < split.weight / _WHOLE else Arm.STABLE


def is_mirrored(split: Split, task: str) -> bool:
    """Whether a copy of the task goes to the candidate. Drawn apart from the arm, so that neither tells the other."""
    return share_of(f"{split.rollout}/mirror", task) < split.mirror / _WHOLE


def propensity(weight: int) -> str:
    """The candidate's chance at that weight, as it is recorded: "0.10"."""
    return f"{Decimal(weight) / _WHOLE:.2f}"


@dataclass(frozen=True)
class Stay:
    """The arm on which a conversation began, and the candidate's chance then."""

    rollout: str
    arm: Arm | None
    """None: it began on stable without a draw, and stays there."""
    propensity: str


@dataclass(frozen=True)
class Draw:
    """How a task came to its revision during an upgrade. Without an arm it is no evidence."""

    split: Split
    arm: Arm | None
    propensity: str


@dataclass(frozen=True)
class Beginning:
    """The revision that a task begins on, and the draw if an upgrade is under way."""

    revision: str
    draw: Draw | None = None


class Room(Protocol):
    """Which pods would take one certain task now."""

    def pod(self, revision: str) -> Pod | None:
        """The pod of the revision that would take it, or None."""

    def is_ready(self, revision: str) -> bool:
        """Whether the revision has a ready pod, be it free or busy."""


def begin(
    split: Split, unit: str, stay: Stay | None, room: Room, entry: Entry | None = None
) -> tuple[Pod, Beginning] | None:
    """Where a new task begins now; None while it has to wait.

    The arm is drawn only at a moment at which a pod of either revision would take the task. So neither the draw nor
    the wait depends on the arm, and the recorded propensity is the true one: had we drawn first and waited for the
    drawn revision's pod, a candidate that is slow, full or gone would lose just those tasks that were drawn to it.
    While the candidate takes none, tasks go to stable without an arm: nobody waits for a candidate, and they are
    no evidence. The candidate never takes a task in stable's stead, or it would get more than its weight.

    Where an HTTPRoute draws, the door by which the task came in stands for the draw, and the rest is the same. What
    came in by none of its doors was not drawn: it goes to stable, and is no evidence.
    """
    if stay is not None and stay.rollout == split.rollout and split.weight:
        return _stayed(split, stay, room)
    stable = room.pod(split.stable)
    if stable is None:
        return None
    chance = propensity(split.weight)
    candidate = room.pod(split.candidate) if split.weight else None
    if candidate is None:
        return stable, Beginning(split.stable, Draw(split, None, chance))
    arm: Arm | None = drawn(split, unit)
    if split.is_routed:
        is_drawn = entry is not None and entry.rollout == split.rollout
        arm, chance = (entry.arm, propensity(entry.weight)) if entry is not None and is_drawn else (None, chance)
    if arm is not Arm.CANDIDATE:
        return stable, Beginning(split.stable, Draw(split, arm, chance))
    return candidate, Beginning(split.candidate, Draw(split, arm, chance))


def _stayed(split: Split, stay: Stay, room: Room) -> tuple[Pod, Beginning] | None:
    """What a conversation was told by one revision is not continued by the other, unless that one is not there.

    Its chance stays that of its start, at whatever weight that was.
    """
    if stay.arm is Arm.CANDIDATE and room.is_ready(split.candidate):
        pod = room.pod(split.candidate)
        beginning = Beginning(split.candidate, Draw(split, Arm.CANDIDATE, stay.propensity))
    else:
        arm = None if stay.arm is Arm.CANDIDATE else stay.arm
        pod, beginning = room.pod(split.stable), Beginning(split.stable, Draw(split, arm, stay.propensity))
    return (pod, beginning) if pod else None
