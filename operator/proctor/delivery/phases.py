"""Where a rollout can be: one type for each phase, with exactly what belongs to it.

What can be computed from the steps of the spec, such as the weight, is not kept here: it could contradict them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from proctor.api.progress import OutcomeType


@dataclass(frozen=True)
class Upgrade:
    """One attempt to make a candidate stable by steps."""

    id: str
    """Another one for each attempt: arms are drawn by it."""
    stable: str
    candidate: str
    steps_hash: str
    """Of the steps by which an index counts."""
    begun: datetime
    attempts: int = 0
    """How often the candidate was retried before."""


@dataclass(frozen=True)
class Place:
    """A step of an upgrade."""

    upgrade: Upgrade
    step: int
    since: datetime
    """When the step began."""
    offset: int = 0
    """Tasks of the candidate that counted when it began."""


@dataclass(frozen=True)
class Initial:
    """Nothing has served yet; the candidate serves as soon as it is ready."""

    candidate: str
    since: datetime | None
    """When the deadline began to run; None while no pods are asked for, for then nothing can get ready."""


@dataclass(frozen=True)
class Settled:
    """The stable revision is what is wanted."""

    stable: str


@dataclass(frozen=True)
class Progressing:
    """The candidate is being brought up beside the stable revision, and serves in its place when it is ready."""

    stable: str
    candidate: str
    since: datetime | None
    """As of Initial."""


@dataclass(frozen=True)
class Starting:
    """The candidate is being brought up; its steps begin when it is ready. It has no traffic."""

    upgrade: Upgrade
    since: datetime | None
    """As of Initial."""


@dataclass(frozen=True)
class Examining:
    """The candidate takes its exam. It has no traffic of its own."""

    place: Place


@dataclass(frozen=True)
class Replaying:
    """Finished tasks are run again on both revisions."""

    place: Place
    is_about_evidence: bool = False
    """Whether they are because the evidence of live tasks ran out undecided; the weight stays meanwhile."""


@dataclass(frozen=True)
class Mirroring:
    """Copies of live tasks are run on the candidate."""

    place: Place


@dataclass(frozen=True)
class Collecting:
    """The candidate has a share of the live tasks, until enough is known."""

    place: Place


@dataclass(frozen=True)
class Paused:
    """A pause of the spec's: until its time is over, or a person promotes."""

    place: Place
    until: datetime | None


@dataclass(frozen=True)
class Stopped:
    """A person said `pause`; the weight stays. `resume` begins the step again."""

    place: Place


@dataclass(frozen=True)
class AwaitingApproval:
    """People are asked before the step begins; the weight of the step before stays."""

    place: Place
    is_about_evidence: bool = False
    """Whether they are asked because the evidence ran out undecided, not because a step says so."""


@dataclass(frozen=True)
class Unanswered:
    """Nobody answered in time; the weight of the step before stays. `resume` asks again."""

    place: Place


@dataclass(frozen=True)
class Held:
    """The evidence ran out undecided, or the exposure is spent: the weight stays."""

    place: Place
    reason: str
    message: str


@dataclass(frozen=True)
class Promoting:
    """The candidate is proven, and gets all its pods before it takes the place of the stable revision."""

    place: Place
    message: str


class Stage(StrEnum):
    """How far a candidate is withdrawn, in this order."""

    WITHDRAWING = "Withdrawing"
    """Its weight is 0; not all gateways are known to know it."""
    DRAINING = "Draining"
    """Its tasks end."""
    SCALING_DOWN = "ScalingDown"
    """Its pods stay a little longer."""


@dataclass(frozen=True)
class Cause:
    """Why a candidate is withdrawn."""

    type: OutcomeType
    reason: str
    message: str

    @property
    def blocks(self) -> bool:
        """Whether the candidate may not be tried again by itself."""
        return self.type not in {OutcomeType.SUPERSEDED, OutcomeType.CANCELLED}


@dataclass(frozen=True)
class Aborting:
    """The candidate is withdrawn: weight 0, verified, drained, and then its pods go."""

    upgrade: Upgrade
    stage: Stage
    since: datetime
    """When the stage began."""
    cause: Cause


@dataclass(frozen=True)
class Watching:
    """A revision was promoted by steps and is watched for a while; at first the one before it keeps its pods."""

    upgrade: Upgrade
    """Whose candidate is the stable revision now."""
    since: datetime
    until: datetime
    keeps_previous: bool
    """Whether the revision before still has pods."""


@dataclass(frozen=True)
class Reverting:
    """The watch raised an alarm: the revision before is brought back; the bad one serves until it is ready."""

    upgrade: Upgrade
    since: datetime
    cause: Cause


@dataclass(frozen=True)
class Failed:
    """What was wanted is refused. Without a stable revision its pods stay, and may yet recover."""

    stable: str | None
    blocked: str
    since: datetime
    reason: str
    message: str
    attempts: int = 0
    """How often it was retried."""


OnStep = (
    Examining | Replaying | Mirroring | Collecting | Paused | Stopped | AwaitingApproval | Unanswered | Held | Promoting
)
"""The phases of an upgrade that is at a step."""

Rollout = Initial | Settled | Progressing | Starting | OnStep | Aborting | Watching | Reverting | Failed


def upgrade_of(rollout: Rollout) -> Upgrade | None:
    """The upgrade by steps that is under way, being withdrawn, or watched."""
    match rollout:
        case Initial() | Settled() | Progressing() | Failed():
            return None
        case Starting(upgrade=upgrade) | Aborting(upgrade=upgrade):
            return upgrade
        case Watching(upgrade=upgrade) | Reverting(upgrade=upgrade):
            return upgrade
        case _:
            return rollout.place.upgrade


def place_of(rollout: Rollout) -> Place | None:
    """The step that the upgrade is at."""
    match rollout:
        case Initial() | Settled() | Progressing() | Failed() | Starting() | Aborting() | Watching() | Reverting():
            return None
        case _:
            return rollout.place


def stable_of(rollout: Rollout) -> str | None:
    """The revision that serves."""
    match rollout:
        case Settled(stable=stable) | Progressing(stable=stable) | Failed(stable=stable):
            return stable
        case Initial():
            return None
        case Watching(upgrade=upgrade) | Reverting(upgrade=upgrade):
            return upgrade.candidate
        case Starting(upgrade=upgrade) | Aborting(upgrade=upgrade):
            return upgrade.stable
        case _:
            return rollout.place.upgrade.stable


def candidate_of(rollout: Rollout) -> str | None:
    """The revision that is being tried, or withdrawn."""
    match rollout:
        case Initial(candidate=candidate) | Progressing(candidate=candidate):
            return candidate
        case Settled() | Failed() | Watching():
            return None
        case Reverting(upgrade=upgrade):
            return upgrade.stable
        case Starting(upgrade=upgrade) | Aborting(upgrade=upgrade):
            return upgrade.candidate
        case _:
            return rollout.place.upgrade.candidate


def previous_of(rollout: Rollout) -> str | None:
    """The revision that was stable before the one that is watched."""
    match rollout:
        case Watching(upgrade=upgrade):
            return upgrade.stable
        case _:
            return None


def blocked_of(rollout: Rollout) -> str | None:
    """The revision that is refused until the spec changes or a person says `retry`."""
    match rollout:
        case Failed(blocked=blocked):
            return blocked
        case _:
            # One that is withdrawn is named as the candidate until it is gone: by that the gateways' word is verified.
            return None


def since_of(rollout: Rollout) -> datetime | None:
    """When the phase began, or its deadline began to run."""
    match rollout:
        case Settled():
            return None
        case Initial(since=since) | Progressing(since=since) | Starting(since=since):
            return since
        case Aborting(since=since) | Watching(since=since) | Reverting(since=since) | Failed(since=since):
            return since
        case Examining() | Replaying() | Mirroring() | Collecting() | Paused() | Stopped():
            return rollout.place.since
        case AwaitingApproval() | Unanswered() | Held() | Promoting():
            return rollout.place.since
        case _:
            assert_never(rollout)


def live_revisions(rollout: Rollout) -> tuple[str, ...]:
    """The revisions whose pods must exist, the serving one first."""
    match rollout:
        case Failed(stable=stable, blocked=blocked):
            return (stable or blocked,)
        case Watching(upgrade=upgrade, keeps_previous=True):
            return (upgrade.candidate, upgrade.stable)
        case _:
            return tuple(each for each in (stable_of(rollout), candidate_of(rollout)) if each)
