"""A task: what was asked, by whom, and where it stands. One type for each state; a state never goes back.

Waiting ──► Running ──► Ended        Waiting ──► Ended (cancelled, suspended, no pod in time)
             │   ▲
             ▼   │
             Paused ──► Ended (cancelled)

A task that is dispatched again stays Running: its attempt counts up, its deadline does not move. While it is Paused it
waits for people, and its time stands still.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, assert_never

from proctor_gateway.rules.arms import Entry
from proctor_gateway.rules.reasons import Reason


class Phase(StrEnum):
    """What a caller sees of the state."""

    QUEUED = "Queued"
    RUNNING = "Running"
    INPUT_REQUIRED = "InputRequired"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    INDETERMINATE = "Indeterminate"


class Purpose(StrEnum):
    """What a task is for. Only a live one may change anything outside, and only live ones are counted as served."""

    LIVE = "Live"
    MIRROR = "Mirror"
    REPLAY = "Replay"
    EVALS = "Evals"


OPEN = (Phase.QUEUED, Phase.RUNNING, Phase.INPUT_REQUIRED)
"""The phases in which work is still owed."""

DRIVEN = (Phase.QUEUED, Phase.RUNNING)
"""The phases in which a gateway drives the task. In the third open one it waits for people and needs nothing."""


@dataclass(frozen=True)
class Fault:
    """Why there is no good answer."""

    reason: Reason
    message: str
    rule: str = field(default="", compare=False)
    """The policies' rules, or the budget, by which a call is stopped: told in the record, kept nowhere else."""


@dataclass(frozen=True)
class Usage:
    """What the task has taken so far. The cost is None as soon as one call had no known price."""

    steps: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = Decimal(0)

    @property
    def tokens(self) -> int:
        """Input and output together, as `limits.maxTokens` counts them."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True)
class Request:
    """What was asked. It never changes."""

    id: str
    namespace: str
    agent: str
    principal: str
    input: Any
    created_at: datetime
    trace_id: str
    parent_span: str
    conversation: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    purpose: Purpose = Purpose.LIVE
    pinned: str | None = None
    """The revision that it was asked to begin on, if not by its agent's status."""
    entry: Entry | None = None
    """What an HTTPRoute drew for it, if it came in by one of its doors during an upgrade."""


@dataclass(frozen=True)
class Waiting:
    """Accepted, not yet given to a pod. The revision is the one that it would begin on now."""

    revision: str


@dataclass(frozen=True)
class Running:
    """Begun. `attempts` counts the dispatches, the present one included; revision and deadline stay."""

    revision: str
    attempts: int
    started_at: datetime
    deadline: datetime


@dataclass(frozen=True)
class Paused:
    """A call of it waits for people. No pod works on it."""

    revision: str
    attempts: int
    started_at: datetime
    deadline: datetime


@dataclass(frozen=True)
class Ended:
    """Over for good. `output` may be there although the phase is not Succeeded: what the agent said is kept."""

    phase: Phase
    revision: str
    attempts: int
    started_at: datetime | None
    finished_at: datetime
    deadline: datetime | None
    output: Any
    fault: Fault | None


State = Waiting | Running | Paused | Ended


@dataclass(frozen=True)
class Leg:
    """The fallback that works on a task, counted from 1; its agent and revision, if it is another agent."""

    number: int
    name: str
    agent: str | None = None
    revision: str | None = None


@dataclass(frozen=True)
class Task:
    """A request, its state and what it has taken."""

    request: Request
    state: State
    usage: Usage = Usage()
    arm: str | None = None
    """The arm of an upgrade that was drawn for it."""
    leg: Leg | None = None
    """The fallback that works on it or has ended it, if it is not the agent itself."""

    @property
    def phase(self) -> Phase:
        """The state as a caller sees it."""
        match self.state:
            case Waiting():
                return Phase.QUEUED
            case Running():
                return Phase.RUNNING
            case Paused():
                return Phase.INPUT_REQUIRED
            case Ended(phase=phase):
                return phase
            case _:
                assert_never(self.state)


def shown(task: Task) -> dict[str, Any]:
    """The task as callers read it. Money is a string, times are RFC 3339 in UTC with milliseconds."""
    request, state = task.request, task.state
    begun = state if isinstance(state, Running | Paused | Ended) else None
    ended = state if isinstance(state, Ended) else None
    fault = ended.fault if ended else None
    return {
        "id": request.id,
        "agent": {"namespace": request.namespace, "name": request.agent},
        "revision": state.revision,
        "purpose": request.purpose,
        "arm": task.arm,
        "servedBy": task.leg.name if task.leg else None,
        "phase": task.phase,
        "input": request.input,
        "output": ended.output if ended else None,
        "error": {"reason": fault.reason, "message": fault.message} if fault else None,
        "attempts": begun.attempts if begun else 0,
        "usage": {
            "steps": task.usage.steps,
            "toolCalls": task.usage.tool_calls,
            "inputTokens": task.usage.input_tokens,
            "outputTokens": task.usage.output_tokens,
            "cost": money(task.usage.cost),
        },
        "caller": request.principal,
        "conversation": request.conversation,
        "metadata": request.metadata,
        "traceId": request.trace_id,
        "createdAt": instant(request.created_at),
        "startedAt": instant(begun.started_at if begun else None),
        "finishedAt": instant(ended.finished_at if ended else None),
        "deadline": instant(begun.deadline if begun else None),
    }


def money(amount: Decimal | None) -> str | None:
    """An amount without an exponent, so that every reader sees the same digits; None stays unknown."""
    return None if amount is None else f"{amount:f}"


def instant(time: datetime | None) -> str | None:
    """RFC 3339 in UTC with milliseconds."""
    if time is None:
        return None
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
