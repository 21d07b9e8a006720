"""Service-level objectives: what counts as good, and how much of it must be."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from proctor.api.fields import (
    DECIMAL,
    DURATION,
    RATIO,
    Expression,
    Name,
    Percent,
    Window,
    rules,
)
from proctor.api.meta import Spec


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
