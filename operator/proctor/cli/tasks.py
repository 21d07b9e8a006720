"""A task and its calls, as the gateway tells them to the one who sent it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pydantic import AwareDatetime, Field

from proctor.api.meta import Report


class Phase(StrEnum):
    """Where a task stands."""

    QUEUED = "Queued"
    RUNNING = "Running"
    INPUT_REQUIRED = "InputRequired"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    INDETERMINATE = "Indeterminate"


ENDED = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.INDETERMINATE})


class Fault(Report):
    """Why there is no good answer."""

    reason: str
    message: str = ""


class Usage(Report):
    """What the task has taken. The cost is None when the price of a call is not known."""

    steps: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = None

    @property
    def tokens(self) -> int:
        """Input and output together, as `limits.maxTokens` counts them."""
        return self.input_tokens + self.output_tokens


class Reference(Report):
    """Whose task it is."""

    namespace: str
    name: str


class Question(Report):
    """What people were asked about a call."""

    name: str
    decision: str | None = None


class Task(Report):
    """One task."""

    id: str
    agent: Reference
    phase: Phase
    revision: str | None = None
    purpose: str = "Live"
    served_by: str | None = None
    """Who answers instead of the agent, if a fallback does."""
    arm: str | None = None
    """Of an upgrade that was under way when it began."""
    input: Any = None
    output: Any = None
    error: Fault | None = None
    attempts: int = 0
    usage: Usage = Usage()
    caller: str = ""
    conversation: str | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    trace_id: str | None = None
    created_at: AwareDatetime
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    deadline: AwareDatetime | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it stays as it is."""
        return self.phase in ENDED

    def seconds(self, now: datetime) -> float:
        """From its creation to its end, or until now."""
        return ((self.finished_at or now) - self.created_at).total_seconds()


class Call(Report):
    """One question of a task to a model or a tool."""

    id: str
    sequence: int
    attempt: int = 1
    kind: str
    connector: str
    name: str
    effect: str = ""
    arguments: Any = None
    result: Any = None
    state: str
    approval: Question | None = None
    error: Fault | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: Decimal | None = None
    started_at: AwareDatetime | None = None
    duration_seconds: float | None = None
