"""What a rollout is decided on: what is wanted, what is seen, and what a person has said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from proctor.api import digest
from proctor.api.rollout import Rollout as Rules
from proctor.api.rollout import Step
from proctor.delivery.decision import Outcome
from proctor.delivery.evidence import Capital


@dataclass(frozen=True)
class Wanted:
    """What the spec asks for, or a person who said `undo`."""

    revision: str
    rules: Rules = field(default_factory=Rules)
    replicas: int = 1
    """Pods asked for. Without any, as when the agent is suspended, a rollout rests: nothing is proven or refused."""
    skips_steps: bool = False
    """Whether it served before, so lately that its steps need not be gone through again."""
    freeze: str | None = None
    """Why no upgrade may begin or go on at present. A rollback always may."""
    patience: int = 1
    """How many times the tasks and the time of the spec each weight takes, and of how many parts of it the candidate
    has one: more while little error budget is left."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps to go through."""
        return () if self.skips_steps else self.rules.steps

    @property
    def steps_hash(self) -> str:
        """Of the steps: with other steps, an index means something else."""
        return steps_hash(self.steps)

    def since(self, begun: datetime | None, now: datetime) -> datetime | None:
        """When the deadline began to run for what was begun then, or is begun now."""
        return (begun or now) if self.replicas else None

    def weight_at(self, step: int) -> int:
        """The weight in force at a step: that of the last step with one, up to it; less of it with patience."""
        declared = next((each.weight for each in reversed(self.steps[: step + 1]) if each.weight is not None), 0)
        return -(-declared // self.patience)

    def is_last_weight(self, step: int) -> bool:
        """Whether no later step has a weight."""
        return all(each.weight is None for each in self.steps[step + 1 :])

    @property
    def approvers(self) -> tuple[str, ...]:
        """The groups that the steps name: those who are asked where the evidence is undecided."""
        found = (group for each in self.steps if each.approval for group in each.approval.groups)
        return tuple(sorted(set(found)))

    def asks_people_after(self, step: int) -> bool:
        """Whether people are to be asked before one of the later steps."""
        return any(each.approval is not None for each in self.steps[step + 1 :])


def steps_hash(steps: tuple[Step, ...]) -> str:
    """The digest of a list of steps."""
    return digest.short([each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in steps])


@dataclass(frozen=True)
class Seen:
    """What is known of one revision's pods."""

    wanted: int
    ready: int
    is_current: bool
    problem: str | None = None
    """What the first unhappy pod says of itself, e.g. `ImagePullBackOff: …`."""
    away_since: datetime | None = None
    """Since when none of its pods has been ready; None if one is, or if nobody can say."""

    @property
    def all_ready(self) -> bool:
        """Whether every pod that should exist is ready, by a report that is not older than the request."""
        return self.is_current and self.ready >= self.wanted

    @property
    def is_proven(self) -> bool:
        """Whether there were pods to get ready, and all of them did."""
        return self.all_ready and self.wanted > 0

    @property
    def is_crashing(self) -> bool:
        """Whether a pod crashes again and again."""
        return self.problem is not None and self.problem.startswith("CrashLoopBackOff")


class Result(StrEnum):
    """How an exam or a replay stands."""

    RUNNING = "Running"
    PASSED = "Passed"
    FAILED = "Failed"
    UNDECIDED = "Undecided"
    """It is over, and says neither."""


@dataclass(frozen=True)
class Trial:
    """What came of an exam, a replay or a mirror so far."""

    result: Result
    message: str = ""
    told: tuple[Outcome, ...] = ()
    """What people should know of it beside."""


@dataclass(frozen=True)
class Traffic:
    """What the gateways were seen to do with the candidate of the rollout that is under way."""

    is_withdrawn: bool
    """Whether all of them know that it gets no new task."""
    in_flight: int
    begun: int
    """Live tasks that it was given."""


class Answer(StrEnum):
    """What people said."""

    APPROVED = "Approved"
    REJECTED = "Rejected"
    TIMED_OUT = "TimedOut"


class Verb(StrEnum):
    """What a person can say to a rollout."""

    PROMOTE = "promote"
    PROMOTE_FULL = "promote-full"
    ABORT = "abort"
    RETRY = "retry"
    PAUSE = "pause"
    RESUME = "resume"
    UNDO = "undo"


@dataclass(frozen=True)
class Command:
    """What a person said, and of which revision."""

    verb: Verb
    revision: str
    by: str = "somebody"
    """Who said it, where it is told."""


@dataclass(frozen=True)
class Evidence:
    """All that is known. What is None is not known now: nothing is concluded from it."""

    revisions: Mapping[str, Seen] = field(default_factory=dict)
    """What is known of every revision that has pods."""
    capital: Capital | None = None
    """What the live tasks have come to; None if that cannot be read."""
    outage: str | None = None
    """Why nothing new can be known of the tasks at present."""
    traffic: Traffic | None = None
    exam: Trial | None = None
    replay: Trial | None = None
    mirror: Trial | None = None
    answer: Answer | None = None
    alarm: str | None = None
    """What the watch over a promoted revision has to say against it."""

    def of(self, revision: str) -> Seen | None:
        """What is known of the revision's pods; None if it has none."""
        return self.revisions.get(revision)

    def is_ready(self, revision: str) -> bool:
        """Whether all pods of the revision are ready. A revision never seen is not, nor is one without pods."""
        seen = self.of(revision)
        return seen is not None and seen.is_proven

    def is_away(self, revision: str) -> bool:
        """Whether the revision should have pods, and none of them is ready."""
        seen = self.of(revision)
        return seen is not None and seen.is_current and seen.wanted > 0 and seen.ready == 0

    def is_down(self, revision: str, patience: timedelta, now: datetime) -> bool:
        """Whether it has been away for so long that this is no restart of a pod any more."""
        seen = self.of(revision)
        since = seen.away_since if seen is not None and self.is_away(revision) else None
        return since is not None and now - since >= patience
