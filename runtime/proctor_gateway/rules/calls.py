"""A call: one question of a task to a model or a tool, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from proctor.api import digest
from proctor.api.connector import Effect
from proctor_gateway.rules.tasks import Fault, instant, money


class Kind(StrEnum):
    """Whom the call asks."""

    MODEL = "Model"
    TOOL = "Tool"


class CallState(StrEnum):
    """Started was written before anything was sent; Unknown means that nobody can say whether it happened.

    Waiting is for people, who have to agree before it is sent.
    """

    WAITING = "Waiting"
    STARTED = "Started"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    DENIED = "Denied"
    UNKNOWN = "Unknown"


@dataclass(frozen=True)
class Intent:
    """A call that an agent wants to make."""

    task: str
    attempt: int
    kind: Kind
    connector: str
    name: str
    effect: Effect
    arguments: Any
    digest: str | None = None
    """Of all that is asked, where `arguments` is not all of it."""

    @property
    def content(self) -> str:
        """The digest of what is asked: the same for the same. JSON-RPC ids, headers and `_meta` do not count."""
        return self.digest or digest.sha256([self.kind, self.connector, self.name, self.arguments])


@dataclass(frozen=True)
class Outcome:
    """What became of a call. `touched` is False only if it is certain that the other side did nothing.

    `billed` says that the other side may charge for it; then a cost of None makes the task's cost unknown.
    """

    state: CallState
    touched: bool = True
    billed: bool = False
    result: Any = None
    fault: Fault | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: Decimal | None = None
    resolved: str | None = None
    """The model that says it answered, which may be another than was asked."""


@dataclass(frozen=True)
class Call:
    """A call as the store keeps it."""

    id: str
    sequence: int
    intent: Intent
    outcome: Outcome
    started_at: datetime
    duration: timedelta | None
    occurrence: int = 0
    seen: int = 1
    answered: bool = False

    @property
    def may_have_changed_something(self) -> bool:
        """Whether repeating it could do something twice. A Read never could."""
        if self.intent.effect is Effect.READ or self.outcome.state in {CallState.DENIED, CallState.WAITING}:
            return False
        return self.outcome.touched

    @property
    def is_open(self) -> bool:
        """Whether nobody knows (yet) what became of it."""
        return self.outcome.state in {CallState.STARTED, CallState.UNKNOWN}


def shown(call: Call) -> dict[str, Any]:
    """The call as callers read it."""
    intent, outcome = call.intent, call.outcome
    fault = outcome.fault
    return {
        "id": call.id,
        "attempt": intent.attempt,
        "sequence": call.sequence,
        "kind": intent.kind,
        "connector": intent.connector,
        "name": intent.name,
        "effect": intent.effect,
        "arguments": intent.arguments,
        "result": outcome.result,
        "state": outcome.state,
        "error": {"reason": fault.reason, "message": fault.message} if fault else None,
        "inputTokens": outcome.input_tokens,
        "outputTokens": outcome.output_tokens,
        "cost": money(outcome.cost),
        "startedAt": instant(call.started_at),
        "durationSeconds": None if call.duration is None else round(call.duration.total_seconds(), 6),
    }
