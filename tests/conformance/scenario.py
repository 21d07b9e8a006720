"""What the acting gateway does for one task: the model's turns, the tools' answers, and what it saw."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class CallTool:
    """The model calls tools, each (`<connector>__<tool>`, arguments)."""

    calls: Sequence[tuple[str, Mapping[str, Any]]]
    with_ids: bool = True


@dataclass(frozen=True)
class Answer:
    """The model gives its final answer, in the form the agent asked for."""

    value: Any


@dataclass(frozen=True)
class Refuse:
    """The gateway refuses the model call."""

    status: int
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Hang:
    """The model does not answer within any test's patience."""

    seconds: float = 30


@dataclass(frozen=True)
class Drop:
    """The gateway closes the connection instead of answering."""


Turn = CallTool | Answer | Refuse | Hang | Drop


@dataclass(frozen=True)
class ModelCall:
    """A request to the model as it came over the wire."""

    body: bytes
    headers: Mapping[str, str]

    @property
    def document(self) -> dict[str, Any]:
        """The body, parsed."""
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed

    @property
    def tools(self) -> list[str]:
        """The names of the tools offered to the model."""
        return [tool["function"]["name"] for tool in self.document.get("tools", ())]


@dataclass(frozen=True)
class ToolCall:
    """A tools/call that reached a connector."""

    connector: str
    tool: str
    arguments: Mapping[str, Any]


@dataclass
class Scenario:
    """One task's share of the gateway, found by the task's token; the last turn is repeated without end."""

    turns: Sequence[Turn]
    tool_error: str | None = None
    tool_refusal: Refuse | None = None
    tool_seconds: float = 0
    token: str = field(default_factory=lambda: f"task-{secrets.token_hex(8)}")
    model_calls: list[ModelCall] = field(default_factory=list)
    tool_calls: list[ToolCall] = field(default_factory=list)
    tool_overlaps: list[tuple[str, ...]] = field(default_factory=list)
    """For each tool call, which tools were under way when it began, itself included."""
    tools_under_way: list[str] = field(default_factory=list)
    open_calls: int = 0
    dropped_calls: int = 0

    def next_turn(self) -> Turn:
        """The turn of the model call that was recorded last."""
        return self.turns[min(len(self.model_calls), len(self.turns)) - 1]
