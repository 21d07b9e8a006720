"""Where an upgrade is: all that a restarted operator, the gateway and a person need to know of it.

Figures of tests are texts of decimals, such as "1.83": a status holds no floating-point numbers.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from proctor.api.fields import ATOMIC, SET, Time, by
from proctor.api.meta import Report

Figure = Annotated[str, Field(max_length=32)]
"""A decimal as a text, or `inf`."""


class Phase(StrEnum):
    """Where an upgrade is. `status.rollout` holds what belongs to it."""

    INITIAL = "Initial"
    """Nothing has served yet."""
    SETTLED = "Settled"
    """The stable revision is what is wanted."""
    PROGRESSING = "Progressing"
    """The candidate's pods are brought up; it has no traffic."""
    EXAMINING = "Examining"
    """The candidate takes its exam; it has no traffic."""
    REPLAYING = "Replaying"
    """Finished tasks are run again on both revisions."""
    MIRRORING = "Mirroring"
    """Copies of live tasks are run on the candidate."""
    COLLECTING = "Collecting"
    """The candidate has a share of the live tasks, and evidence is collected."""
    PAUSED = "Paused"
    """A pause, of the spec or of a person's."""
    AWAITING_APPROVAL = "AwaitingApproval"
    """People are asked."""
    HELD = "Held"
    """The evidence ran out undecided, or a limit of exposure was reached: a person or more evidence decides."""
    PROMOTING = "Promoting"
    """The candidate is proven and gets all its pods before it is stable."""
    ABORTING = "Aborting"
    """The candidate is withdrawn: weight 0, verified, drained, scaled down."""
    WATCHING = "Watching"
    """The promoted revision is watched for a while."""
    REVERTING = "Reverting"
    """The watch raised an alarm: the former stable revision is brought back."""
    FAILED = "Failed"
    """The candidate is refused until the spec changes, or a person says `retry`."""


class OutcomeType(StrEnum):
    """How an upgrade ended."""

    PROMOTED = "Promoted"
    ROLLED_BACK = "RolledBack"
    """By evidence, a guard or the watch."""
    ABORTED = "Aborted"
    """By a person, or by silence where an approval was needed."""
    FAILED = "Failed"
    """It never got ready, or failed its exam: it had no traffic."""
    SUPERSEDED = "Superseded"
    CANCELLED = "Cancelled"
    """The spec went back to the stable revision."""


class ImageStatus(Report):
    """Which image a revision runs."""

    revision: str
    image: str
    """As it is declared."""
    digest: str | None = None
    """Of what the first ready pod ran."""
    pinned: bool = False
    """Whether its pods are made by that digest, whatever becomes of the tag."""


class RevisionStatus(Report):
    """Which revisions serve, are tried, and are refused until the spec changes."""

    stable: str | None = None
    """The revision that serves."""
    candidate: str | None = None
    """The revision that is tried."""
    blocked: Annotated[tuple[str, ...], Field(max_length=16, json_schema_extra=SET)] = ()
    """Revisions that failed: refused until the spec changes, or a person says `retry`."""
    previous: str | None = None
    """The revision that was stable before."""
    served: Annotated[tuple[str, ...], Field(max_length=16, json_schema_extra=ATOMIC)] = ()
    """Revisions that have been stable, the latest first."""
    images: Annotated[tuple[ImageStatus, ...], Field(max_length=4, json_schema_extra=by("revision"))] = ()
    """Which images the stable revision and the candidate run."""
    undone_to: str | None = None
    """The recorded revision that is wanted instead of the spec's, since somebody said `undo`."""
    undone_from: str | None = None
    """The spec's own revision at that time: with another one, the spec holds again."""


class Test(Report):
    """An e-value and what it takes: at the threshold and above it is decided, however often one looks."""

    e: Figure
    threshold: Figure
    eta_tasks: int | None = None
    """How many more tasks it takes at this rate, if that can be told."""


class Arm(Report):
    """What one revision did."""

    bad: Figure
    """Bad tasks; parts of tasks where the metric is a score."""
    tasks: int


class MetricVerdict(Report):
    """One metric of the comparison."""

    name: str
    state: str = "Undecided"
    """Harmful, NotWorse or Undecided."""
    candidate: Arm | None = None
    stable: Arm | None = None
    e: Figure | None = None
    """Against \"no worse than stable\"."""
    promotion: Figure | None = None
    """Against \"worse by the margin\"."""
    margin: Figure | None = None


class Verdict(Report):
    """What the evidence says so far."""

    state: str
    """Undecided, Harmful, NotWorse, or Inconclusive when the evidence ran out."""
    text: str = ""
    """In a word for `kubectl get`, such as `Collecting 34/60`."""
    tasks: int = 0
    """Tasks that count, of both revisions."""
    harm: Test | None = None
    """At its threshold: rollback."""
    non_inferior: Test | None = None
    """At its threshold: promotion. Of several metrics the one that is farthest from it."""
    metrics: Annotated[tuple[MetricVerdict, ...], Field(max_length=16, json_schema_extra=by("name"))] = ()
    as_of: Time | None = None


class ExamStatus(Report):
    """How the candidate did in one suite."""

    name: str
    state: str
    """Running, Passed, Failed or Unknown."""
    passed: int = 0
    cases: int = 0
    baseline: Figure | None = None
    """The share that the stable revision passed, of the same version of the suite."""
    regressed: Annotated[
        tuple[Annotated[str, Field(max_length=128)], ...], Field(max_length=16, json_schema_extra=ATOMIC)
    ] = ()
    """The first cases that pass on the stable revision and fail on the candidate."""
    chance: Figure | None = None
    """How likely so many wrong answers fall on a candidate that is no worse than stable."""
    message: str | None = None


class ReplayStatus(Report):
    """Finished tasks, run again on both revisions: only pairs on which they differ tell something."""

    state: str
    """Running, Passed, Failed or Undecided."""
    pairs: int = 0
    """Pairs that count."""
    unusable: int = 0
    """Pairs of which a half could not be run as it was."""
    candidate_only: int = 0
    """Pairs in which only the candidate failed."""
    stable_only: int = 0
    """Pairs in which only the stable revision failed."""
    test: Test | None = None


class TrafficStatus(Report):
    """What the gateways were seen to do."""

    verified: bool = False
    """Whether all of them know the weight that is asked for."""
    in_flight: int = 0
    """Tasks that the candidate has now."""
    as_of: Time | None = None


class LastOutcome(Report):
    """How the last upgrade ended, for people and for CI."""

    type: OutcomeType
    revision: str
    reason: str
    message: str = ""
    metric: str | None = None
    """The metric that weighed most."""
    e: Figure | None = None
    """Its evidence."""
    exposed: int = 0
    """Live tasks that met the revision."""
    at: Time


class RolloutStatus(Report):
    """Where the upgrade is. The facts here are all that a restarted operator needs to go on."""

    phase: Phase
    id: str | None = None
    """Names this upgrade; the gateway draws its arms by it."""
    started_at: Time | None = None
    """When the upgrade began; without steps, when its deadline began to run."""
    since: Time | None = None
    """When the phase, or the stage of it, began."""
    step: Annotated[int, Field(ge=0, le=32)] | None = None
    """The index of the step in spec.rollout.steps."""
    steps_hash: str | None = None
    """Of the steps by which the index counts: with other steps it begins again."""
    weight: Annotated[int, Field(ge=0, le=100)] | None = None
    """The share of new tasks and conversations, in percent, that begin on the candidate. Absent: none."""
    mirror: Annotated[int, Field(ge=0, le=100)] | None = None
    """The share of live tasks, in percent, that are copied to the candidate. Absent: none."""
    stage: str | None = None
    """Of Aborting: Withdrawing, Draining or ScalingDown; of Watching: Retiring while the revision before has pods."""
    until: Time | None = None
    """When the pause or the watch ends by itself."""
    cause: OutcomeType | None = None
    """Of Aborting: what it will have been."""
    exposed: int = 0
    """Live tasks that the candidate has begun."""
    offset: int | None = None
    """Tasks of the candidate that had been counted when the step began."""
    reason: str | None = None
    message: str | None = None
    exams: Annotated[tuple[ExamStatus, ...], Field(max_length=16, json_schema_extra=by("name"))] = ()
    replay: ReplayStatus | None = None
    verdict: Verdict | None = None
    traffic: TrafficStatus | None = None
    approval: str | None = None
    """The Approval that is waited for."""
    evidence_ref: str | None = None
    """The ConfigMap with the whole of the evidence."""
    attempts: int | None = None
    """How often the revision was retried."""
    last_outcome: LastOutcome | None = None
