"""W3C Trace Context: the caller's trace goes on through the gateway to the agent and to the systems behind it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_HEADER = re.compile(r"^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$")


@dataclass(frozen=True)
class Span:
    """A place in a trace."""

    trace_id: str
    span_id: str

    @property
    def traceparent(self) -> str:
        """The header that names this place."""
        return f"00-{self.trace_id}-{self.span_id}-01"

    def child(self, span_id: str) -> Span:
        """A place below this one."""
        return Span(self.trace_id, span_id)


def parse(header: str | None) -> Span | None:
    """The place that a `traceparent` header names, or None: a malformed one is as good as none."""
    found = _HEADER.match(header.strip()) if header else None
    return Span(found.group(1), found.group(2)) if found else None
