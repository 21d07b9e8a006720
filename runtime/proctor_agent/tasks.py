"""A task as it comes with `POST /invoke`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from proctor_agent.failures import TaskFailure

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


class Task(BaseModel):
    """What is to be done, until when."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    attempt: int
    deadline: AwareDatetime
    input: Any
    conversation: str | None = None

    @property
    def prompt(self) -> str:
        """The input as the user's message: a text as it is, anything else as JSON.

        The same input gives the same bytes, whatever order a store has brought its fields into: the gateway
        finds the recorded answer of a repeated call by what is sent.
        """
        if isinstance(self.input, str):
            return self.input
        return json.dumps(self.input, ensure_ascii=False, sort_keys=True, indent=2)

    def seconds_left(self, now: datetime) -> float:
        """The seconds until the deadline; negative when it has passed."""
        return (self.deadline - now).total_seconds()


@dataclass(frozen=True)
class Assignment:
    """A task with the two things that go along with all its calls: its token and its trace."""

    task: Task
    token: str
    traceparent: str | None

    @property
    def trace_id(self) -> str | None:
        """The trace this task belongs to, or None."""
        found = _TRACEPARENT.fullmatch(self.traceparent or "")
        return found["trace"] if found else None

    def __repr__(self) -> str:
        # The token must not reach a log or a traceback by way of a printed value.
        return f"Assignment(task={self.task.id!r}, attempt={self.task.attempt})"


class _Envelope(BaseModel):
    task: Task


def parse(headers: Mapping[str, str], body: bytes) -> Assignment:
    """The assignment in a request; header names are lower case.

    Raises:
        TaskFailure: `Unauthorized` without a token, `InvalidRequest` if the body is not a task.
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise TaskFailure("Unauthorized", "the request carries no task token")
    try:
        envelope = _Envelope.model_validate_json(body)
    except ValidationError as exc:
        fields = ", ".join(".".join(map(str, error["loc"])) or "body" for error in exc.errors())
        raise TaskFailure("InvalidRequest", f"not a task: {fields}") from None
    return Assignment(envelope.task, token.strip(), headers.get("traceparent"))


def response_body(output: Any) -> dict[str, Any]:
    """The answer to `/invoke`; a number between 0 and 1 under `confidence` in the output is told as such."""
    confidence = output.get("confidence") if isinstance(output, Mapping) else None
    if isinstance(confidence, bool) or not isinstance(confidence, int | float) or not 0 <= confidence <= 1:
        return {"output": output}
    return {"output": output, "confidence": confidence}


def utc_now() -> datetime:
    """The time now; only deadlines ask for it, never a prompt."""
    return datetime.now(UTC)
