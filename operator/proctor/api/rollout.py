"""How a change becomes the stable revision: the steps, and the errors that are accepted on the way."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from proctor.api.fields import (
    ATOMIC,
    SET,
    Chance,
    Duration,
    Name,
    Number,
    ObjectName,
    Span,
    Text,
    by,
    rules,
)
from proctor.api.meta import Spec


class EvalStep(Spec):
    """All required suites of `spec.evals`, before any traffic."""


class ReplayStep(Spec):
    """Finished tasks run again on both revisions."""

    tasks: Annotated[int, Field(ge=1, le=100_000)] = 100
    """How many tasks are run again."""


class MirrorStep(Spec):
    """Copies of live tasks whose effects are stubbed and whose answers are dropped."""

    percent: Annotated[int, Field(ge=1, le=100)] = 100
    """The share of live tasks that are copied."""
    min_tasks: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """Copies that must have been seen."""


class Until(Spec):
    """What must have been seen at a weight before the next step."""

    min_tasks: Annotated[int, Field(ge=0, le=1_000_000)] = 20
    """Tasks of the candidate."""
    min_duration: Duration = timedelta(minutes=10)
    """Time at this weight."""


class PauseStep(Spec):
    """A wait: for a duration, or without one until a person promotes."""

    duration: Span | None = None
    """How long. Absent: until a person promotes."""


class ApprovalStep(Spec):
    """A question to people before the step begins."""

    groups: Annotated[tuple[Text, ...], Field(min_length=1, max_length=16, json_schema_extra=SET)]
    """Any member of one of these groups may approve."""
    timeout: Span = timedelta(hours=24)
    """How long an answer is waited for."""


class Step(Spec):
    """One step of an upgrade. A weight may be combined with an approval; every other step stands alone."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[has(self.evals), has(self.replay), has(self.mirror), has(self.weight), has(self.pause)]"
                ".filter(x, x).size() == (has(self.approval) && !has(self.weight) ? 0 : 1)",
                "exactly one of evals, replay, mirror, weight, pause and approval must be set; "
                "approval may accompany weight",
            ),
            ("!has(self.until) || has(self.weight)", "until needs weight"),
        )
    )
    evals: EvalStep | None = None
    """Run the exam."""
    replay: ReplayStep | None = None
    """Run finished tasks again."""
    mirror: MirrorStep | None = None
    """Copy live tasks."""
    weight: Annotated[int, Field(ge=1, le=100)] | None = None
    """The share of tasks, in percent, that the candidate gets."""
    until: Until | None = None
    """What must have been seen at this weight."""
    pause: PauseStep | None = None
    """Wait."""
    approval: ApprovalStep | None = None
    """Ask people before the step begins."""


class RolloutMetric(Spec):
    """An SLO whose worsening counts against a candidate, and by how much it may be worse."""

    name: Name
    """One of spec.slos."""
    margin: Chance
    """By how much the share of bad events may be higher."""


class OnInconclusive(StrEnum):
    """What happens when the evidence runs out undecided."""

    HOLD = "Hold"
    REPLAY = "Replay"
    """Finished tasks are run again on both revisions; what that shows decides, or it holds."""
    ROLLBACK = "Rollback"
    PROMOTE = "Promote"
    REQUIRE_APPROVAL = "RequireApproval"


class Exposure(Spec):
    """How much of the live traffic may meet a revision that is not proven."""

    max_candidate_tasks: Annotated[int, Field(ge=1, le=10_000_000)] = 200
    """Tasks of the candidate after which the rollout holds until there is a verdict, or a person promotes."""
    max_extra_failures: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    """Bad tasks more than stable would have had, as estimated, after which it holds. Absent: any number."""


class Analysis(Spec):
    """The errors that are accepted: alpha of rolling back a good candidate, beta of promoting a worse one."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.stepMargin) || !has(self.metrics) || "
                "self.metrics.all(m, double(m.margin) <= double(self.stepMargin))",
                "stepMargin must not be below the margins of metrics: what suffices to promote suffices for a step",
                ".stepMargin",
            )
        )
    )
    alpha: Chance = Decimal("0.05")
    """The accepted chance of rolling back a candidate that is no worse."""
    beta: Chance = Decimal("0.10")
    """The accepted chance of promoting one that is worse by the margin."""
    metrics: Annotated[tuple[RolloutMetric, ...], Field(max_length=16, json_schema_extra=by("name"))] = ()
    """The objectives that are compared."""
    step_margin: Chance | None = None
    """Before a weight is raised, the share of bad events must be shown higher by less than this. Absent: no need."""
    max_tasks: Annotated[int, Field(ge=1, le=10_000_000)] = 2000
    """After so many tasks without a verdict, onInconclusive holds."""
    max_duration: Span = timedelta(days=7)
    """So long after the upgrade began without a verdict, onInconclusive holds."""
    task_deadline: Span = timedelta(minutes=15)
    """A task that has not ended so long after it was begun counts as bad, so that slowness cannot hide a failure."""
    exposure: Exposure = Exposure()
    """How much of the live traffic may meet a revision that is not proven."""
    on_inconclusive: OnInconclusive = OnInconclusive.HOLD
    """What happens then."""


class Guards(Spec):
    """Limits that need no statistics: a candidate that breaks one is rolled back at once."""

    max_cost_per_task: Number | None = None
    """The most that one task of the candidate may cost, in the installation's currency."""


class Watch(Spec):
    """How long a promoted revision is watched, and how rare a false alarm must be."""

    for_: Annotated[Duration, Field(alias="for")] = timedelta(hours=48)
    """How long after its promotion a revision is watched; zero: not at all."""
    run_length: Annotated[int, Field(ge=100, le=1_000_000)] = 5000
    """Tasks between two false alarms, on average."""


class Rollback(Spec):
    """How far back one gets fast, and what brings one back."""

    window: Annotated[int, Field(ge=0, le=100)] = 3
    """`undo` to one of so many revisions before the stable one skips the steps: they served before."""
    watch: Watch = Watch()
    """How long a promoted revision is watched. An alarm rolls it back."""
    drain: Duration = timedelta(minutes=10)
    """The longest that tasks of a candidate that is withdrawn may still take to end."""


class HTTPRouteReference(Spec):
    """An HTTPRoute (gateway.networking.k8s.io/v1) in the agent's namespace, and which of its rules."""

    name: ObjectName
    """Its name."""
    rule_name: ObjectName | None = None
    """The `name` of its one rule that is weighted. Absent: every rule that has both of proctor's Services."""


class BudgetOverride(Spec):
    """People who may let an upgrade go on although the agent's error budget is spent."""

    groups: Annotated[tuple[Text, ...], Field(min_length=1, max_length=16, json_schema_extra=SET)]
    """Any member of one of these groups may, by an Approval of that revision, with a reason."""
    for_: Annotated[Span, Field(alias="for")] = timedelta(hours=24)
    """How long it goes on from that answer on; then people are asked again."""


class TrafficRouting(Spec):
    """New tasks are split by an HTTPRoute, whose weights proctor writes, instead of by proctor's gateway."""

    http_route: HTTPRouteReference
    """Its weights of the Services proctor-gateway-stable and proctor-gateway-candidate are written, nothing else."""


class Rollout(Spec):
    """How a change becomes the stable revision."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.steps) || self.steps.filter(s, has(s.weight)).map(s, s.weight).isSorted()",
                "weights must not fall from one step to the next: sort the steps",
                ".steps",
            )
        )
    )
    steps: Annotated[tuple[Step, ...], Field(max_length=32, json_schema_extra=ATOMIC)] = ()
    """The way of a candidate to be stable. Empty: at once, when its pods are ready."""
    traffic: TrafficRouting | None = None
    """What splits the tasks between the revisions. Absent: proctor's gateway."""
    analysis: Analysis = Analysis()
    """How candidate and stable are compared."""
    progress_deadline: Span = timedelta(minutes=10)
    """A candidate that makes no progress for so long has failed; approvals, pauses and evidence do not count."""
    guards: Guards = Guards()
    """Limits that need no statistics."""
    budget_override: BudgetOverride | None = None
    """Who is asked when an objective's spent error budget freezes an upgrade. Absent: nobody, and it waits."""
    rollback: Rollback = Rollback()
    """How far back one gets fast, and what brings one back."""
    scale_down_delay: Duration = timedelta(seconds=30)
    """How long the former stable revision keeps its pods after a promotion by steps. Without steps they go at once."""
    abort_scale_down_delay: Duration = timedelta(seconds=30)
    """How long a withdrawn candidate keeps its pods after its last task."""
    history_limit: Annotated[int, Field(ge=1, le=100)] = 10
    """Revisions that are kept."""
