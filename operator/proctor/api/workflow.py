"""Workflow: a durable graph of agents, tools and people, and what starts it."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from proctor.api.agent import Access, Owner
from proctor.api.cron import CronSchedule, TimeZone
from proctor.api.fields import OPEN, Expression, Name, Number, Span, Text, Time, by, rules
from proctor.api.meta import Object, OneOf, Report, Spec, Status
from proctor.api.steps import BodyStep, Step, Values, in_order


class Params(Spec):
    """What a run is given."""

    schema_: Annotated[dict[str, Any], Field(alias="schema", json_schema_extra=OPEN)]


class SpendingLimit(Spec):
    """What a run may spend at most."""

    model_config = ConfigDict(
        json_schema_extra=rules(("has(self.cost) || has(self.tokens)", "at least one of cost and tokens must be set"))
    )
    cost: Number | None = None
    tokens: Annotated[int, Field(ge=1, le=1_000_000_000_000)] | None = None


class WorkflowLimits(Spec):
    """What one run may take at most."""

    deadline: Span = timedelta(days=1)
    parallelism: Annotated[int, Field(ge=1, le=1000, description="Steps at the same time.")] = 10
    max_steps: Annotated[int, Field(ge=1, le=10_000, description="Steps in all, with items and turns.")] = 1000
    budget: SpendingLimit | None = None


class ConcurrencyPolicy(StrEnum):
    """What becomes of a run that would be one too many."""

    QUEUE = "Queue"
    FORBID = "Forbid"
    REPLACE = "Replace"
    ALLOW = "Allow"


class Concurrency(Spec):
    """How many runs there may be at the same time, for each value of the key."""

    key: Annotated[Text | None, Field(description="Such as `$(params.customer)`. Absent: one key for all.")] = None
    policy: ConcurrencyPolicy = ConcurrencyPolicy.QUEUE
    max: Annotated[int, Field(ge=1, le=1000)] = 1


class DedupePolicy(StrEnum):
    """What becomes of a repeated start."""

    RETURN_EXISTING = "ReturnExisting"
    REJECT = "Reject"


class Dedupe(Spec):
    """Which starts are the same."""

    key: Annotated[Text, Field(description="Such as `$(params.order)`.")]
    window: Span = timedelta(days=1)
    policy: DedupePolicy = DedupePolicy.RETURN_EXISTING


class Dst(StrEnum):
    """What becomes of a time that daylight saving makes happen twice or not at all."""

    RUN_ONCE = "RunOnce"
    RUN_TWICE = "RunTwice"
    SKIP = "Skip"


class CatchUp(StrEnum):
    """Which missed times are made up for."""

    LATEST = "Latest"
    ALL = "All"
    NONE = "None"


class CronTrigger(Spec):
    """At the times of a schedule. The run's name holds the minute, so no time starts two runs."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.maxCatchUp) || (has(self.catchUp) && self.catchUp == 'All')",
                "maxCatchUp needs catchUp All",
                ".maxCatchUp",
            )
        )
    )
    schedule: CronSchedule
    time_zone: TimeZone = "Etc/UTC"
    dst: Dst = Dst.RUN_ONCE
    catch_up: CatchUp = CatchUp.LATEST
    max_catch_up: Annotated[int | None, Field(ge=1, le=100, description="The latest ones. Absent: 10.")] = None
    starting_deadline: Annotated[Span | None, Field(description="A time missed for longer is not made up for.")] = None
    jitter: Annotated[Span | None, Field(description="Runs start up to this much later, always by the same.")] = None


class EventTrigger(Spec):
    """When an event arrives."""

    type: Annotated[str, Field(pattern=r"^[!-~]+$", min_length=1, max_length=256, description="CloudEvents type.")]
    source: Annotated[str | None, Field(max_length=1024, description="CloudEvents source. Absent: any.")] = None
    when: Annotated[Expression | None, Field(description="CEL over event.")] = None


class A2ATrigger(Spec):
    """When another agent asks for a skill by A2A."""

    skill: Name


class Trigger(OneOf):
    """What starts runs."""

    CHOICES = ("cron", "event", "a2a")
    name: Name
    cron: CronTrigger | None = None
    event: EventTrigger | None = None
    a2a: Annotated[A2ATrigger | None, Field(alias="a2a")] = None  # the generator would call it a2A
    params: Annotated[Values, Field(description="With expressions over trigger.")] = Field(default_factory=dict)


class TimeToLive(Spec):
    """How long finished runs are kept."""

    succeeded: Span = timedelta(days=7)
    failed: Span = timedelta(days=30)


class Retention(Spec):
    """What is kept of finished runs."""

    ttl: TimeToLive = TimeToLive()
    archive: Annotated[bool, Field(description="Keep a run in the gateway's store when its object is deleted.")] = False


class WorkflowSpec(Spec):
    """What is done, in which order, and what starts it."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            in_order("steps", "steps"),
            in_order("finally", "finally"),
            (
                "!has(self.finally) || self.finally.all(f, !self.steps.exists(s, s.name == f.name))",
                "finally and steps must not share a name: rename the step",
                ".finally",
            ),
        )
    )
    owner: Owner
    description: Annotated[str, Field(max_length=4096)] = ""
    version: Annotated[str, Field(pattern=r"^[0-9A-Za-z]([-+._0-9A-Za-z]*[0-9A-Za-z])?$", min_length=1, max_length=63)]
    suspend: Annotated[bool, Field(description="No run is started; those that run go on.")] = False
    params: Params | None = None
    outputs: Annotated[dict[str, Text], Field(max_length=32)] = Field(default_factory=dict)
    limits: WorkflowLimits = WorkflowLimits()
    concurrency: Concurrency | None = None
    dedupe: Dedupe | None = None
    access: Annotated[Access, Field(description="Who may start runs by HTTP and A2A.")] = Access()
    triggers: Annotated[tuple[Trigger, ...], Field(max_length=16, json_schema_extra=by("name"))] = ()
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=128, json_schema_extra=by("name"))]
    finally_: Annotated[
        tuple[BodyStep, ...],
        Field(
            alias="finally",
            max_length=16,
            json_schema_extra=by("name"),
            description="Steps that run in the end, whatever became of the others.",
        ),
    ] = ()
    retention: Retention = Retention()


class NextRun(Report):
    """When a trigger starts a run."""

    trigger: str
    at: Time


class LastRun(Report):
    """How the latest run ended or stands."""

    name: str
    phase: str
    at: Time


class WorkflowStatus(Status):
    """What runs, what ran, and what will."""

    digest: Annotated[str | None, Field(description="Of the definition that new runs get.")] = None
    active: int | None = None
    queued: int | None = None
    last_run: LastRun | None = None
    next_runs: Annotated[tuple[NextRun, ...], Field(max_length=16, json_schema_extra=by("trigger"))] = ()


class Workflow(Object):
    """A durable graph of agents, tools and people."""

    api_version: Literal["proctor.dev/v1alpha1"] = "proctor.dev/v1alpha1"
    kind: Literal["Workflow"] = "Workflow"
    spec: WorkflowSpec
    status: WorkflowStatus = WorkflowStatus()
