"""What the stage "admit" of the call path may answer: yes, no, or that people are to be asked before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from proctor.api.approval import Asking
from proctor_gateway.rules.tasks import Fault


@dataclass(frozen=True)
class Allow:
    """The call may be made. `labels` are those of the data that its answer discloses."""

    labels: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Refuse:
    """The call may not be made, and this is why."""

    fault: Fault


@dataclass(frozen=True)
class Ask:
    """People have to agree before. `asking` is whom to ask; None: those of the installation."""

    question: str
    asking: Asking | None = None
    rule: str = ""
    """Which rules of policies want it asked."""


Verdict = Allow | Refuse | Ask


@dataclass(frozen=True)
class ToolCall:
    """A tool that an agent wants to call."""

    connector: str
    tool: str
    arguments: Mapping[str, Any]
