"""Workflow: a durable graph of agents, tools and people, and what starts it."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from proctor.api.actions import Values
from proctor.api.agent import Access, Owner
from proctor.api.cron import CronSchedule, TimeZone
from proctor.api.fields import OPEN, Expression, Name, Number, Span, Text, Time, by, rules
from proctor.api.meta import Object, OneOf, Report, Spec, Status
from proctor.api.steps import BodyStep, Step, in_order


class Params(Spec):
    """What a run is given."""

    schema_: Annotated[dict[str, Any], Field(alias="schema", json_schema_extra=OPEN)]
    """JSON Schema of the parameters."""


class SpendingLimit(Spec):
    """What a run may spend at most."""

    model_config = ConfigDict(
        json_schema_extra=rules(("has(self.cost) || has(self.tokens)", "at least one of cost and tokens must be set"))
    )
    cost: Number | None = None
    """In the installation's currency."""
    tokens: Annotated[int, Field(ge=1, le=1_000_000_000_000)] | None = None
    """In and out."""


class WorkflowLimits(Spec):
    """What one run may take at most."""

    deadline: Span = timedelta(days=1)
    """From start to end; approvals count."""
    parallelism: Annotated[int, Field(ge=1, le=1000)] = 10
    """Steps at the same time."""
    max_steps: Annotated[int, Field(ge=1, le=10000)] = 1000
    """Steps in all, with items and turns."""
    budget: SpendingLimit | None = None
    """What it may spend."""


class ConcurrencyPolicy(StrEnum):
    """What becomes of a run that would be one too many."""

    QUEUE = "Queue"
    FORBID = "Forbid"
    REPLACE = "Replace"
    ALLOW = "Allow"


class Concurrency(Spec):
    """How many runs there may be at the same time, for each value of the key."""

    key: Text | None = None
    """Such as `$(params.customer)`. Absent: one key for all."""
    policy: ConcurrencyPolicy = ConcurrencyPolicy.QUEUE
    """What becomes of one too many."""
    max: Annotated[int, Field(ge=1, le=1000)] = 1
    """Runs at the same time."""


class DedupePolicy(StrEnum):
    """What becomes of a repeated start."""

    RETURN_EXISTING = "ReturnExisting"
    REJECT = "Reject"


class Dedupe(Spec):
    """Which starts are the same."""

    key: Text
    """Such as `$(params.order)`."""
    window: Span = timedelta(days=1)
    """How long a start is remembered."""
    policy: DedupePolicy = DedupePolicy.RETURN_EXISTING
    """What becomes of a repeated start."""


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
    """Five cron fields, or @hourly, @daily, @weekly, @monthly, @yearly."""
    time_zone: TimeZone = "Etc/UTC"
    """Of the schedule."""
    dst: Dst = Dst.RUN_ONCE
    """What becomes of a time that happens twice or not at all."""
    catch_up: CatchUp = CatchUp.LATEST
    """Which missed times are made up for."""
    max_catch_up: Annotated[int | None, Field(ge=1, le=100)] = None
    """The latest ones. Absent: 10."""
    starting_deadline: Span | None = None
    """A time missed for longer is not made up for."""
    jitter: Span | None = None
    """Runs start up to this much later, always by the same."""


class EventTrigger(Spec):
    """When an event arrives."""

    type: Annotated[str, Field(pattern="^[!-~]+$", min_length=1, max_length=256)]
    """CloudEvents type."""
    source: Annotated[str | None, Field(max_length=1024)] = None
    """CloudEvents source. Absent: any."""
    when: Expression | None = None
    """CEL over event."""


class A2ATrigger(Spec):
    """When another agent asks for a skill by A2A."""

    skill: Name
    """The skill's name."""


class Trigger(OneOf):
    """What starts runs."""

    CHOICES = ("cron", "event", "a2a")
    name: Name
    """Its name in the run's spec."""
    cron: CronTrigger | None = None
    """A schedule."""
    event: EventTrigger | None = None
    """An event."""
    a2a: Annotated[A2ATrigger | None, Field(alias="a2a")] = None  # the generator would call it a2A
    """A request by A2A."""
    params: Values = Field(default_factory=dict)
    """With expressions over trigger."""


class TimeToLive(Spec):
    """How long finished runs are kept."""

    succeeded: Span = timedelta(days=7)
    """Of runs that succeeded."""
    failed: Span = timedelta(days=30)
    """Of all others."""


class Retention(Spec):
    """What is kept of finished runs."""

    ttl: TimeToLive = TimeToLive()
    """How long finished runs are kept."""
    archive: bool = False
    """Keep a run in the gateway's store when its object is deleted."""


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
    """Who answers for the workflow."""
    description: Annotated[str, Field(max_length=4096)] = ""
    """What it is for."""
    version: Annotated[str, Field(pattern=r"^[0-9A-Za-z]([-+._0-9A-Za-z]*[0-9A-Za-z])?$", min_length=1, max_length=63)]
    """The version of the definition, in words of your own."""
    suspend: bool = False
    """No run is started; those that run go on."""
    params: Params | None = None
    """What a run is given."""
    outputs: Annotated[dict[str, Text], Field(max_length=32)] = Field(default_factory=dict)
    """What a run gives back: names and expressions."""
    limits: WorkflowLimits = WorkflowLimits()
    """What one run may take at most."""
    concurrency: Concurrency | None = None
    """How many runs there may be at the same time."""
    dedupe: Dedupe | None = None
    """Which starts are the same."""
    access: Access = Access()
    """Who may start runs by HTTP and A2A."""
    triggers: Annotated[tuple[Trigger, ...], Field(max_length=16, json_schema_extra=by("name"))] = ()
    """What starts runs."""
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=128, json_schema_extra=by("name"))]
    """What is done."""
    finally_: Annotated[tuple[BodyStep, ...], Field(alias="finally", max_length=16, json_schema_extra=by("name"))] = ()
    """Steps that run in the end, whatever became of the others."""
    retention: Retention = Retention()
    """What is kept of finished runs."""


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

    digest: str | None = None
    """Of the definition that new runs get."""
    active: int | None = None
    """Runs that have begun and not ended."""
    queued: int | None = None
    """Runs that wait to begin."""
    last_run: LastRun | None = None
    """How the latest run stands."""
    next_runs: Annotated[tuple[NextRun, ...], Field(max_length=16, json_schema_extra=by("trigger"))] = ()
    """When the triggers start runs."""


class Workflow(Object):
    """A durable graph of agents, tools and people."""

    api_version: Literal["proctor.dev/v1alpha1"] = "proctor.dev/v1alpha1"
    kind: Literal["Workflow"] = "Workflow"
    spec: WorkflowSpec
    status: WorkflowStatus = WorkflowStatus()
