"""What is known of a task when it wants to make a call: whose words it holds, what it has seen, what it has done."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from proctor.api.connector import Effect
from proctor.policy.planning import Plan


@dataclass(frozen=True)
class ModelCall:
    """A question to a model."""

    connector: str
    labels: Mapping[str, str]
    """The Connector's."""
    model: str
    texts: tuple[str, ...] = ()
    """What would be sent."""


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool, with what its Connector declares of the tool."""

    connector: str
    tool: str
    effect: Effect
    data: tuple[str, ...]
    arguments: Mapping[str, Any]


Call = ModelCall | ToolCall


@dataclass(frozen=True)
class Answered:
    """A tool's answer that the agent has got."""

    connector: str
    tool: str
    trusted: bool
    data: tuple[str, ...]
    text: str
    vouched: str = ""
    """Of an answer that is not trusted: what nobody outside can have written."""
    named: bool = False
    """Whether who may be trusted chose what was asked for, so that the answer is where they wanted to look."""
    secluded: bool = False
    """Whether the agent got nothing of it but values of a declared form."""


@dataclass(frozen=True)
class TaskFacts:
    """What a task holds. Everything here only ever grows: what an agent has read it cannot forget."""

    user: str = ""
    """What the caller said."""
    operator: str = ""
    """The instructions."""
    trusted: tuple[str, ...] = ()
    """What trusted tools answered, and what is vouched for of the answers of others."""
    named: tuple[str, ...] = ()
    """What was found where the caller, or a trusted tool, said to look. Strangers may have written it."""
    untrusted: tuple[str, ...] = ()
    """The tools from which untrusted content came, in the order in which it came."""
    secluded: tuple[str, ...] = ()
    """The tools of whose answers only values of a declared form were shown."""
    labels: frozenset[str] = frozenset()
    """The data classes of what was read."""
    plan: Plan | None = None
    """What the task was going to do, where a rule asks for a plan."""
    made: tuple[Mapping[str, Any], ...] = ()
    """The arguments of the calls of this tool that were made before in this task."""
    repeated: int = 0
    """How often exactly this call was made before in this task."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """The task as expressions see it."""

    @property
    def tainted(self) -> bool:
        """Whether somebody whom nobody trusts may have written what the agent now does."""
        return bool(self.untrusted)

    @property
    def holds_foreign_values(self) -> bool:
        """Whether a value may be a stranger's, even if no stranger could say what to do with it."""
        return self.tainted or bool(self.secluded)

    def having_read(self, answer: Answered) -> TaskFacts:
        """The facts after the agent has got the answer."""
        name = f"{answer.connector}/{answer.tool}"
        known = answer.text if answer.trusted else answer.vouched
        return replace(
            self,
            trusted=tuple(dict.fromkeys((*self.trusted, *([known] if known else [])))),
            named=(*self.named, answer.text) if answer.named and not answer.trusted else self.named,
            untrusted=_with(self.untrusted, name, when=not answer.trusted and not answer.secluded),
            secluded=_with(self.secluded, name, when=answer.secluded),
            labels=self.labels | set(answer.data),
        )


def _with(names: tuple[str, ...], name: str, *, when: bool) -> tuple[str, ...]:
    return (*names, name) if when and name not in names else names


def values_at(arguments: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """Every single value below the path of an argument, as text; nothing if it is not there."""
    found: Any = arguments
    for name in path.split("."):
        if isinstance(found, list):
            found = [each[name] for each in found if isinstance(each, Mapping) and name in each]
        elif isinstance(found, Mapping) and name in found:
            found = found[name]
        else:
            return ()
    return tuple(dict.fromkeys(leaves(found)))


_LINK: Final = re.compile(
    r"(?:[a-z][a-z0-9+.-]*://|www\.)[^\s<>\"'()]+|[\w.%+-]+@[\w-]+(?:\.[\w-]+)+|(?<![\w@.])(?:[\w-]+\.)+[a-z]{2,24}/[^\s<>\"'()]*",
    re.IGNORECASE,
)


def links_in(text: str) -> tuple[str, ...]:
    """The links and e-mail addresses in a text, each once, without what only ends the sentence."""
    return tuple(dict.fromkeys(each.group().rstrip(".,;:!?") for each in _LINK.finditer(text)))


def leaves(value: Any) -> Iterator[str]:
    """Every single value, as text."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from leaves(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from leaves(each)
    elif isinstance(value, bool):
        yield json.dumps(value)
    elif value is not None:
        yield str(value)
