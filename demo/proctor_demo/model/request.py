"""A chat/completions request as the rules look at it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from proctor_demo.model.templates import Unfilled


class InvalidRequest(Exception):  # noqa: N818 - it names what happened
    """The body is not a chat/completions request; the message is for its sender."""


@dataclass(frozen=True)
class Seen:
    """What a request shows: the conversation so far, and the tools offered."""

    body: Mapping[str, Any]
    model: str
    messages: tuple[Mapping[str, Any], ...]

    @cached_property
    def digest(self) -> str:
        """A hash of the whole body, whatever the order of its fields."""
        canonical = json.dumps(self.body, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    @cached_property
    def system(self) -> str:
        """The instructions: all system and developer messages."""
        return "\n".join(text_of(m) for m in self.messages if m.get("role") in ("system", "developer"))

    @cached_property
    def first_user(self) -> str:
        """The first message of the user: the task, also when a framework has put words of its own behind it."""
        return next((text_of(m) for m in self.messages if m.get("role") == "user"), "")

    @cached_property
    def last_user(self) -> str:
        """The last message of the user."""
        return next((text_of(m) for m in reversed(self.messages) if m.get("role") == "user"), "")

    @cached_property
    def tools(self) -> tuple[str, ...]:
        """The names of the tools offered."""
        return tuple(tool["function"]["name"] for tool in self.body.get("tools") or ())

    @cached_property
    def turn(self) -> int:
        """How often the model has spoken."""
        return sum(m.get("role") == "assistant" for m in self.messages)

    @cached_property
    def results(self) -> dict[str, list[Any]]:
        """What each tool answered, in order: parsed where it is JSON, else the text."""
        names = {
            call["id"]: call["function"]["name"]
            for m in self.messages
            for call in m.get("tool_calls") or ()
            if call.get("id")
        }
        found: dict[str, list[Any]] = {}
        for message in self.messages:
            if message.get("role") == "tool":
                name = names.get(message.get("tool_call_id", ""), "unknown")
                found.setdefault(name, []).append(_parsed(text_of(message)))
        return found

    def results_of(self, tool: str) -> list[Any]:
        """What a tool answered; `tool` is a whole name, or the part behind the last `__`."""
        return next((found for name, found in self.results.items() if is_tool(name, tool)), [])

    def last_result(self, tool: str) -> Any:
        """The last answer of a tool.

        Raises:
            Unfilled: it has not answered.
        """
        found = self.results_of(tool)
        if not found:
            raise Unfilled(f"{tool} has not answered yet")
        return found[-1]

    def offered(self, tool: str) -> str | None:
        """The offered name of a tool, or None if it is not offered."""
        return next((name for name in self.tools if is_tool(name, tool)), None)

    @property
    def wants_json_content(self) -> bool:
        """Whether `response_format` asks for JSON in the content."""
        return (self.body.get("response_format") or {}).get("type") in ("json_schema", "json_object")


def parse(body: Any) -> Seen:
    """The request in a parsed JSON body.

    Raises:
        InvalidRequest: it is none.
    """
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        raise InvalidRequest("`model` must be a string")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        raise InvalidRequest("`messages` must be a list of at least one message")
    seen = Seen(body, body["model"], tuple(messages))
    try:
        _ = seen.tools, seen.results
    except (KeyError, TypeError, AttributeError) as exc:
        raise InvalidRequest(f"`tools` or `tool_calls` lack a name or an id: {exc!r}") from exc
    return seen


def is_tool(name: str, wanted: str) -> bool:
    """Whether the offered tool `name` is the one a rule calls `wanted`."""
    return name == wanted or name.rpartition("__")[2] == wanted


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message, whether a string or a list of parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
