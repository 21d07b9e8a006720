"""What a record holds: its fields, its types, and the line it is written as.

A record tells who did what, when, under which decision. It holds names, numbers and hashes, and never what was said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

from proctor.audit import canonical
from proctor.audit.canonical import NotCanonical
from proctor.audit.tiles import LARGEST_ENTRY

VERSION: Final = 1
NO_RECORD: Final = "0" * 64
"""What the first record of a log has as the hash of the one before."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ROOM: Final = 1024
"""Bytes of a line that the log's own fields may take."""
_LONGEST_TEXT: Final = 512
_POSITION: Final = ("v", "log", "seq", "ts", "prev", "type")


class EventType(StrEnum):
    """What happened."""

    RUN_START = "run.start"
    RUN_END = "run.end"
    LLM_CALL = "llm.call"
    TOOL_REQUEST = "tool.request"
    TOOL_RESULT = "tool.result"
    POLICY_DECISION = "policy.decision"
    APPROVAL_REQUESTED = "approval.requested"
    APPROVAL_DECIDED = "approval.decided"
    FALLBACK = "fallback"
    BUDGET_EXCEEDED = "budget.exceeded"
    CONFIG_CHANGED = "config.changed"
    ROLLOUT_STEP = "rollout.step"
    ROLLOUT_ROLLBACK = "rollout.rollback"
    ROLLOUT_PROMOTE = "rollout.promote"
    STATE_CHANGED = "state.changed"
    WORKFLOW_TRANSITION = "workflow.transition"
    SUSPEND = "suspend"
    KILL = "kill"
    SUBJECT_ERASED = "subject.erased"
    LOG_OPEN = "log.open"
    LOG_CLOSE = "log.close"
    LOG_RECOVERED = "log.recovered"
    LOG_DEGRADED = "log.degraded"


FIELDS: Final = frozenset(
    {
        "id",
        "source",
        "agent",
        "run",
        "principal",
        "subject",
        "trigger",
        "model",
        "tool",
        "call",
        "labels",
        "decision",
        "approval",
        "fallback",
        "budget",
        "usage",
        "redactions",
        "change",
        "rollout",
        "state",
        "workflow",
        "result",
        "payload",
        "key",
        "previous",
        "dropped",
        "verified",
        "period",
        "ai_disclosed",
    }
)


# The names of fields are ASCII, so that their order in UTF-16 is the order of the texts.
_NAMES: Final = [(name, b'"%b":' % name.encode()) for name in sorted({*FIELDS, *_POSITION})]


def spelling(fields: Mapping[str, Any]) -> Mapping[str, bytes]:
    """Each field's one spelling. Raises NotCanonical."""
    return {key: canonical.encode(value) for key, value in fields.items()}


@dataclass(frozen=True)
class Draft:
    """A record before it has a place in a log. Of two with the same `id` only the first is kept."""

    type: EventType
    at: datetime
    fields: Mapping[str, Any]
    id: str | None = None
    spelt: Mapping[str, bytes] = field(default_factory=dict)
    """The spelling of fields that many records have in common, by `spelling`: they need not be spelt again."""

    @cached_property
    def parts(self) -> Mapping[str, bytes]:
        """Each field's one spelling. It is spelt once, when it is checked, and then only put in its place."""
        known = self.spelt
        return {key: known.get(key) or canonical.encode(value) for key, value in self.fields.items()}

    def checked(self) -> Draft:
        """The draft itself. Raises NotCanonical if it can never be written: a float, an unknown field, too long."""
        unknown = self.fields.keys() - FIELDS
        if unknown:
            raise NotCanonical(f"a record has no field {min(unknown)!r}")
        length = sum(map(len, self.parts.values()))
        if length > LARGEST_ENTRY - _ROOM:
            raise NotCanonical(f"{length} bytes are too many for a record: payloads are kept apart")
        return self


@dataclass(frozen=True)
class Place:
    """Where in which log a record goes, and the hash of the line before."""

    log: str
    seq: int
    prev: str


@dataclass(frozen=True)
class Record:
    """A record as a log holds it."""

    place: Place
    type: str
    at: datetime
    fields: Mapping[str, Any]

    @classmethod
    def parse(cls, line: bytes) -> Record:
        """The record of a line. Raises NotCanonical if the line is none, or is spelt in another way."""
        value = canonical.decode(line)
        if not isinstance(value, dict) or value.get("v") != VERSION:
            raise NotCanonical(f"not a record of version {VERSION}")
        match value:
            case {"log": str(log), "seq": int(seq), "prev": str(prev), "type": str(kind), "ts": int(millis)}:
                rest = {key: each for key, each in value.items() if key not in _POSITION}
                return cls(Place(log, seq, prev), kind, _EPOCH + timedelta(milliseconds=millis), rest)
        raise NotCanonical("a record has log, seq, prev, type and ts")


def line(draft: Draft, place: Place) -> bytes:
    """The record's line: canonical JSON, no newline. Raises NotCanonical."""
    millis = (draft.at - _EPOCH) // timedelta(milliseconds=1)
    parts = {
        **draft.parts,
        "v": b"%d" % VERSION,
        "log": canonical.encode(place.log),
        "seq": b"%d" % place.seq,
        "ts": b"%d" % millis,
        "prev": canonical.encode(place.prev),
        "type": canonical.encode(draft.type),
    }
    if draft.id is not None:
        parts["id"] = canonical.encode(draft.id)
    return b"{" + b",".join([name + parts[key] for key, name in _NAMES if key in parts]) + b"}"


def line_hash(written: bytes) -> str:
    """What the next record holds as `prev`."""
    return hashlib.sha256(written).hexdigest()


def present(**fields: Any) -> dict[str, Any]:
    """The fields that have a value; texts are cut, so that nobody can make a record that cannot be written."""
    found = {}
    for key, each in fields.items():
        if each is None:
            continue
        is_short = type(each) is str and len(each) <= _LONGEST_TEXT and each.isascii()
        found[key] = each if is_short else _bounded(each)
    return found


def _bounded(value: Any) -> Any:
    if isinstance(value, str):
        text = str(value) if len(value) <= _LONGEST_TEXT else value[:_LONGEST_TEXT] + "…"
        # Half of a surrogate pair has no UTF-8, and an agent may send one.
        return text.encode("utf-8", "replace").decode()
    return value
