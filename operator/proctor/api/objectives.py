"""Service-level objectives: what counts as good, and how much of it must be."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final

from pydantic import ConfigDict, Field, WithJsonSchema

from proctor.api.fields import (
    ATOMIC,
    DECIMAL,
    DURATION,
    RATIO,
    Duration,
    Expression,
    Name,
    Number,
    Percent,
    Ratio,
    Time,
    Window,
    form,
    rules,
)
from proctor.api.meta import Report, Spec


class IndicatorType(StrEnum):
    """What an SLO counts as good."""

    TASK_SUCCESS = "TaskSuccess"
    LATENCY = "Latency"
    TOOL_SUCCESS = "ToolSuccess"
    QUALITY = "Quality"
    COST_PER_TASK = "CostPerTask"
    ESCALATION = "Escalation"
    CUSTOM = "Custom"


class Indicator(Spec):
    """A service-level indicator; its threshold is a duration, an amount or a ratio, as the type says."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.threshold) == (self.type in ['Latency', 'Quality', 'CostPerTask'])",
                "threshold is needed for Latency, Quality and CostPerTask, and for no other type",
            ),
            (
                "self.type != 'Latency' || !has(self.threshold) || "
                f"self.threshold.matches('{DURATION}') && self.threshold.matches('[1-9]')",
                "threshold of Latency must be a duration such as 10s",
            ),
            (
                f"self.type != 'CostPerTask' || !has(self.threshold) || self.threshold.matches(r'{DECIMAL}')",
                'threshold of CostPerTask must be a decimal in quotes such as "0.05"',
            ),
            (
                f"self.type != 'Quality' || !has(self.threshold) || self.threshold.matches(r'{RATIO}')",
                'threshold of Quality must be a decimal in quotes from "0" to "1"',
            ),
            (
                "(has(self.good) && has(self.total)) == (self.type == 'Custom')",
                "good and total are needed for Custom, and for no other type",
            ),
        )
    )
    type: IndicatorType
    """What counts as good."""
    threshold: Annotated[str, Field(min_length=1, max_length=32)] | None = None
    """A duration for Latency, an amount for CostPerTask, a ratio for Quality."""
    good: Expression | None = None
    """CEL over `task`: whether the task was good."""
    total: Expression | None = None
    """CEL over `task`: whether the task counts."""


_STRETCH: Final = r"^([0-9]{1,2}d)?([0-9]{1,4}h)?([0-9]{1,6}m)?$"


def _minutes(field: str) -> str:
    parts = (("d", 1440), ("h", 60), ("m", 1))
    return " + ".join(f"int('0' + {field}.find('[0-9]+{unit}').replace('{unit}', '')) * {size}" for unit, size in parts)


Stretch = Annotated[
    Duration,
    Field(ge=timedelta(minutes=1), le=timedelta(days=90)),
    WithJsonSchema(
        form(
            "duration",
            _STRETCH,
            "must be days, hours and minutes such as 1h or 6h30m",
            16,
            (f"{_minutes('self')} >= 1", "must be at least 1m"),
        )
    ),
]
"""A time over which the rate of bad events is looked at: whole minutes."""


class Severity(StrEnum):
    """How soon somebody should look."""

    PAGE = "Page"
    TICKET = "Ticket"


class BurnRate(Spec):
    """A row of a multiwindow alert (Google's SRE Workbook, chapter 5): both windows must burn faster than the rate."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (f"{_minutes('self.short')} < {_minutes('self.long')}", "short must be shorter than long", ".short"),
        )
    )
    long: Stretch
    """The window that shows that it matters."""
    short: Stretch
    """The window that shows that it still goes on; a twelfth of the long one is usual."""
    rate: Annotated[
        Number,
        Field(gt=0),
        WithJsonSchema(
            form("decimal", r"^([0-9]*[1-9][0-9]*(\.[0-9]+)?|0\.[0-9]*[1-9][0-9]*)$", 'must be a decimal above "0"', 32)
        ),
    ]
    """How many times faster than allowed the error budget is spent."""
    severity: Severity = Severity.PAGE
    """How soon somebody should look."""


class Alerting(Spec):
    """When the spending of the error budget is an alarm."""

    burn_rates: Annotated[tuple[BurnRate, ...], Field(min_length=1, max_length=8, json_schema_extra=ATOMIC)]
    """Instead of the usual rows: at a window of 28d, 2 % of the budget in 1h, 5 % in 6h, 10 % in 1d and 10 % in 3d."""


class BudgetGate(Spec):
    """What an error budget that is nearly spent means for upgrades of the agent. A rollback is never held up."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                # In an item of a list the API server writes no defaults.
                "double(has(self.freezeBelow) ? self.freezeBelow : '0') <= "
                "double(has(self.slowBelow) ? self.slowBelow : '0.25')",
                "freezeBelow must not be above slowBelow",
                ".freezeBelow",
            ),
        )
    )
    rollout: bool = True
    """Whether this objective holds up upgrades at all."""
    freeze_below: Ratio = Decimal(0)
    """With less of the budget left than this share, no new upgrade begins and none is promoted."""
    slow_below: Ratio = Decimal("0.25")
    """With less than this share left, upgrades go at half of each weight and take longer; the objective is at risk."""


class Objective(Spec):
    """A service-level objective: which share of events must be good within the window."""

    name: Name
    """Its name in status, metrics and rollout.analysis."""
    indicator: Indicator
    """What is counted."""
    target: Percent
    """The share of good events in percent, such as "99.5"."""
    window: Window = timedelta(days=28)
    """The time over which it is judged."""
    min_events: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """With fewer events it is neither met nor missed."""
    alerting: Alerting | None = None
    """When the spending of its error budget is an alarm. Absent: by the usual rows, scaled to the window."""
    gate: BudgetGate = BudgetGate()
    """What an error budget that is nearly spent means for upgrades."""


class ObjectiveState(StrEnum):
    """How an objective stands. Without data it is neither met nor breached."""

    MET = "Met"
    AT_RISK = "AtRisk"
    BREACHED = "Breached"
    INSUFFICIENT_DATA = "InsufficientData"
    STALE = "Stale"


class ObjectiveStatus(Report):
    """How an objective stands, as last measured."""

    name: str
    """The objective, as in spec.slos."""
    state: ObjectiveState
    message: str | None = None
    """The state in words and numbers."""
    target: str
    """The share of good events that is wanted, such as 0.99."""
    window: str
    """The time over which it is judged."""
    revision: str | None = None
    """The revision that served when this was measured."""
    sli: str | None = None
    """The share of good events."""
    interval: Annotated[tuple[str, ...], Field(max_length=2, json_schema_extra=ATOMIC)] = ()
    """Where the true share lies with 95 % confidence, however often one looks."""
    good: int = 0
    """Good events within the window."""
    total: int = 0
    """Events within the window."""
    budget_remaining: str | None = None
    """The share of the error budget that is left; below zero it is overspent."""
    events_left: int | None = None
    """How many more bad events the budget allows now."""
    burn_rates: dict[str, str] = Field(default_factory=dict)
    """How many times faster than allowed the budget was spent, by window."""
    time_to_exhaustion: str | None = None
    """When the budget is spent if the last hour's rate goes on."""
    alerts_firing: Annotated[tuple[str, ...], Field(max_length=8, json_schema_extra=ATOMIC)] = ()
    """The rows of the alerting table that are true."""
    alerts_left_out: Annotated[tuple[str, ...], Field(max_length=8, json_schema_extra=ATOMIC)] = ()
    """The rows that cannot be true for this target and window, each with the reason."""
    evidence: str | None = None
    """The e-value against "the share of bad events is as allowed"; from 20 on it is not chance."""
    as_of: Time | None = None
    """When these values were measured; a newer measurement that changes nothing does not move it."""


class ReleaseState(StrEnum):
    """What the error budgets mean for upgrades."""

    NORMAL = "Normal"
    SLOW = "Slow"
    FREEZE = "Freeze"


class ReleaseGate(Report):
    """What the error budgets of the stable revision mean for upgrades, and because of which objective."""

    state: ReleaseState
    objective: str | None = None
    """The objective that has spent the most of its budget."""
    message: str | None = None
    override: str | None = None
    """The Approval by which an upgrade goes on all the same, as it does when it is Slow."""
    override_until: Time | None = None
