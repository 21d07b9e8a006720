"""What a policy bounds: limits of tasks, budgets, sandboxes, and the care of upgrades."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from proctor.api.agent import Profile
from proctor.api.approval import Asking
from proctor.api.cron import CronSchedule, TimeZone
from proctor.api.fields import (
    SET,
    Chance,
    Duration,
    Name,
    Number,
    Ratio,
    Span,
    Text,
    Time,
    by,
    rules,
)
from proctor.api.meta import OneOf, Spec
from proctor.api.rollout import OnInconclusive


class Period(StrEnum):
    """How long a budget lasts until it is full again."""

    TASK = "Task"
    HOUR = "Hour"
    DAY = "Day"
    MONTH = "Month"


class BudgetScope(StrEnum):
    """Who shares a budget."""

    AGENT = "Agent"
    TEAM = "Team"
    """All agents of the same `owner.team`: of a Policy those in its namespace, of a ClusterPolicy all."""
    NAMESPACE = "Namespace"


class Overrun(StrEnum):
    """What becomes of a call that a budget cannot pay, mildest first."""

    WARN = "Warn"
    """The call is made, and the overrun is told."""
    THROTTLE = "Throttle"
    """Refused for now: 429 with Retry-After, and no new task until the budget has room."""
    DEGRADE = "Degrade"
    """Refused with BudgetExhausted, so that a fallback after that cause answers."""
    PAUSE = "Pause"
    DENY = "Deny"


class Budget(Spec):
    """What may be spent in a period. Of several policies' budgets of one period and scope the smallest holds."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.cost) || has(self.tokens) || has(self.tasks)",
                "at least one of cost, tokens and tasks must be set",
            ),
            ("!has(self.tasks) || self.per != 'Task'", "tasks needs a period longer than Task", ".tasks"),
            (
                "!has(self.scope) || self.scope == 'Agent' || self.per != 'Task'",
                "a budget per Task cannot be shared: leave scope out",
                ".scope",
            ),
        )
    )
    name: Name
    """Its name in findings and exceptions."""
    per: Period
    """The period."""
    scope: BudgetScope = BudgetScope.AGENT
    """Who shares it."""
    cost: Number | None = None
    """In the installation's currency."""
    tokens: Annotated[int, Field(ge=1, le=1_000_000_000_000)] | None = None
    """In and out."""
    tasks: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """Tasks begun."""
    action: Overrun = Overrun.DENY
    """What becomes of what it cannot pay."""
    time_zone: TimeZone = "Etc/UTC"
    """Where a day or a month begins."""


class SandboxBounds(Spec):
    """How strongly agents must at least be fenced in."""

    minimum_profile: Profile = Profile.STANDARD
    """The weakest profile that is allowed."""
    require_verified_isolation: bool = False
    """Refuse tasks while the network's isolation was not measured."""


class RequiredStep(StrEnum):
    """A kind of step that every upgrade must contain."""

    EVALS = "Evals"
    REPLAY = "Replay"
    MIRROR = "Mirror"
    WEIGHT = "Weight"
    APPROVAL = "Approval"


class OnceFreeze(Spec):
    """From one moment until another."""

    model_config = ConfigDict(
        json_schema_extra=rules(("timestamp(self.from) < timestamp(self.until)", "until must be after from", ".until"))
    )
    from_: Annotated[Time, Field(alias="from")]
    """Its beginning."""
    until: Time
    """Its end."""


class RecurringFreeze(Spec):
    """From each moment of a schedule, for a while."""

    schedule: CronSchedule
    """When each begins."""
    duration: Span
    """How long each lasts."""
    time_zone: TimeZone = "Etc/UTC"
    """Of the schedule."""


class FreezeWindow(OneOf):
    """A time in which no upgrade begins or moves on: once, or again and again. A rollback is always possible."""

    CHOICES = ("once", "recurring")
    name: Name
    """Its name in findings."""
    reason: Text
    """What those who wait are told."""
    once: OnceFreeze | None = None
    """One span of time."""
    recurring: RecurringFreeze | None = None
    """Spans of time by a schedule."""


class BudgetGate(Spec):
    """What the error budget that is left means for upgrades."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "double(self.freezeBelow) <= double(self.slowBelow)",
                "freezeBelow must not exceed slowBelow",
                ".freezeBelow",
            )
        )
    )
    freeze_below: Ratio
    """No new upgrade below this share."""
    slow_below: Ratio
    """Half of each weight, for twice the tasks and the time, below this share."""


class RolloutBounds(Spec):
    """How careful every upgrade must be."""

    require_steps: Annotated[tuple[RequiredStep, ...], Field(max_length=5, json_schema_extra=SET)] = ()
    """Kinds of steps that must be there."""
    max_initial_weight: Annotated[int, Field(ge=1, le=100)] | None = None
    """Of the first step with a weight."""
    max_weight_step: Annotated[int, Field(ge=1, le=100)] | None = None
    """By how much a weight may rise."""
    min_duration: Duration | None = None
    """How long each weight must be held."""
    min_tasks: Annotated[int, Field(ge=1, le=1000000)] | None = None
    """Tasks seen at each weight."""
    max_alpha: Chance | None = None
    """The highest alpha of an analysis."""
    max_beta: Chance | None = None
    """The highest beta of an analysis."""
    max_margin: Chance | None = None
    """The highest margin of a metric."""
    on_inconclusive: Annotated[
        tuple[OnInconclusive, ...] | None, Field(min_length=1, max_length=5, json_schema_extra=SET)
    ] = None
    """What an Agent may choose. Absent: any."""
    approval: Asking | None = None
    """Who must approve the last step before promotion."""
    freeze: Annotated[tuple[FreezeWindow, ...], Field(max_length=32, json_schema_extra=by("name"))] = ()
    """When no upgrade begins or moves on."""
    budget_gate: BudgetGate | None = None
    """What the error budget that is left means for upgrades."""


class LimitBounds(Spec):
    """The highest limits of one task that an agent may declare."""

    max_timeout: Span | None = None
    """The highest timeout."""
    max_steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    """The highest maxSteps."""
    max_cost: Number | None = None
    """The highest maxCost; an agent must then declare one."""
    max_tokens: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """The highest maxTokens; an agent must then declare one."""
