"""Server-sent events of a model's stream: cut into events, and the usage taken out of them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LONGEST_EVENT = 4 << 20
_TEXT = re.compile(rb'"(?:content|reasoning_content|reasoning|refusal|arguments)"\s*:\s*"(?!")')


class StreamError(ValueError):
    """The stream is not one of server-sent events of a sane size."""


@dataclass
class Cutter:
    """Gives back whole events, byte for byte as they came."""

    _rest: bytes = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that are whole by now, each with its blank line. Raises StreamError for an endless one."""
        self._rest += chunk
        events, start = [], 0
        for end in _END.finditer(self._rest):
            events.append(self._rest[start : end.end()])
            start = end.end()
        self._rest = self._rest[start:]
        if len(self._rest) > _LONGEST_EVENT:
            raise StreamError(f"an event has more than {_LONGEST_EVENT} bytes")
        return events

    def rest(self) -> bytes:
        """What came after the last whole event."""
        return self._rest


def data_of(event: bytes) -> bytes:
    """What the event says."""
    return b"\n".join(line[5:].strip() for line in event.splitlines() if line.startswith(b"data:"))


@dataclass
class Tally:
    """Reads along. `usage` is what the stream said last; `done` that it was ended as it should be.

    `pieces` counts the events with some text of an answer in them: each is a token at least.
    """

    usage: dict[str, Any] | None = None
    done: bool = False
    finish_reasons: set[str] = field(default_factory=set)
    error: bool = False
    pieces: int = 0
    model: str | None = None
    """Who says it answers, in a chunk that says more than words."""

    @property
    def written(self) -> int:
        """So many tokens were written at least: as many as the stream says, or one for each piece."""
        said = (self.usage or {}).get("completion_tokens")
        return said if isinstance(said, int) else self.pieces

    def read(self, event: bytes) -> bool:
        """Take note of one event. Whether it carries nothing but usage."""
        data = data_of(event)
        if data == b"[DONE]":
            self.done = True
            return False
        self.pieces += _TEXT.search(data) is not None
        if not any(word in data for word in (b'"usage"', b'"finish_reason"', b'"error"')):
            return False
        try:
            chunk = json.loads(data)
        except ValueError:
            return False
        return self._note(chunk) if isinstance(chunk, dict) else False

    def _note(self, chunk: dict[str, Any]) -> bool:
        choices = chunk.get("choices") or []
        self.finish_reasons |= {each["finish_reason"] for each in choices if each.get("finish_reason")}
        self.error = self.error or "error" in chunk
        if isinstance(chunk.get("model"), str):
            self.model = chunk["model"]
        if not isinstance(chunk.get("usage"), dict):
            return False
        self.usage = chunk["usage"]
        return not choices
