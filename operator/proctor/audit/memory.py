"""What is remembered of each log where its writer cannot reach it, as text: the data of the ConfigMap `proctor-record`.

For each log one entry with its last good checkpoint and those before it, and, if the log was ever found to be not what
it was, another with the alarm. An alarm never changes what was remembered.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from proctor.audit.anchors import Alarm, Anchor
from proctor.audit.notes import BadNote, Checkpoint, Verifier, unbase64, unchecked

_KEPT: Final = 100
"""Older anchors are thinned out: the newest proves the same, the first shows since when."""
_ALARM: Final = ".alarm"


@dataclass(frozen=True)
class Seen:
    """A size and a root, and when they were seen."""

    size: int
    root: bytes
    at: str

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        return {"size": self.size, "root": base64.b64encode(self.root).decode(), "at": self.at}


@dataclass(frozen=True)
class Memory:
    """One log as it is remembered: its last good checkpoint, and what was seen of it before."""

    log: str
    verifier: str
    note: str
    history: tuple[Seen, ...]
    is_closed: bool = False

    @property
    def checkpoint(self) -> Checkpoint:
        """The last good checkpoint."""
        return unchecked(self.note)

    def advanced(self, note: str, now: str, *, is_closed: bool) -> Memory:
        """With a newer checkpoint."""
        new = unchecked(note)
        history = (*self.history, Seen(new.size, new.root, now))
        kept = history if len(history) <= _KEPT else (history[0], *history[-_KEPT + 1 :])
        return replace(self, note=note, history=kept, is_closed=is_closed)

    def dump(self) -> str:
        """The text of the entry."""
        body = {
            "verifier": self.verifier,
            "checkpoint": self.note,
            "closed": self.is_closed,
            "history": [each.dump() for each in self.history],
        }
        return json.dumps(body, indent=1)

    def anchors(self, where: str) -> Iterator[Anchor]:
        """What a verifier holds a log against."""
        origin = self.checkpoint.origin
        for each in self.history:
            yield Anchor(origin, each.size, each.root, datetime.fromisoformat(each.at), where)


def first(log: str, verifier: str, note: str, now: str, *, is_closed: bool) -> Memory:
    """A log that was not known before. Raises BadNote if the key or the checkpoint is none."""
    Verifier.parse(verifier)
    new = unchecked(note)
    return Memory(log, verifier, note, (Seen(new.size, new.root, now),), is_closed)


def load(data: Mapping[str, str]) -> dict[str, Memory]:
    """All logs that are remembered. Raises BadNote if an entry is not as it was written."""
    return {log: _memory(log, text) for log, text in sorted(data.items()) if not log.endswith(_ALARM)}


def alarms(data: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The alarms by log."""
    return {key.removesuffix(_ALARM): json.loads(text) for key, text in sorted(data.items()) if key.endswith(_ALARM)}


def entry(memory: Memory) -> tuple[str, str]:
    """The name and the text under which a log is remembered."""
    return memory.log, memory.dump()


def alarm_entry(log: str, alarm: Alarm, note: str, now: str) -> tuple[str, str]:
    """The name and the text of an alarm, with the checkpoint that raised it as evidence."""
    body = {"reason": alarm.reason, "message": alarm.message, "at": now, "checkpoint": note}
    return f"{log}{_ALARM}", json.dumps(body, indent=1)


def _memory(log: str, text: str) -> Memory:
    try:
        body = json.loads(text)
        seen = tuple(Seen(int(each["size"]), unbase64(each["root"]), str(each["at"])) for each in body["history"])
        memory = Memory(log, str(body["verifier"]), str(body["checkpoint"]), seen, bool(body["closed"]))
        Verifier.parse(memory.verifier)
        unchecked(memory.note)
    except (ValueError, KeyError, TypeError) as exc:
        raise BadNote(f"the memory of log {log} cannot be read") from exc
    return memory
