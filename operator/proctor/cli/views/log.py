"""A line of a log: whose it is, when, how grave, and what it says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from proctor.cli.views.tone import Tone
from proctor.cli.wording import moment

_MESSAGE = ("message", "event", "msg")
_TIME = ("timestamp", "time", "ts")
_LEVEL = ("level", "severity", "levelname")
_TASK = ("task", "task_id", "taskId")
_SAID_BY_THE_PREFIX = frozenset({"agent", "namespace", "revision"})
_LEVELS = {
    "debug": Tone.QUIET,
    "info": Tone.GOOD,
    "warning": Tone.WARN,
    "warn": Tone.WARN,
    "error": Tone.BAD,
    "critical": Tone.BAD,
}


@dataclass(frozen=True)
class LogLine:
    """One line of one pod. `fields` is None for a line that is no JSON object."""

    pod: str
    at: datetime | None
    raw: str
    fields: Mapping[str, Any] | None = None

    @property
    def level(self) -> str:
        """`info`, `error`, …; empty where the line does not say."""
        return str(_first(self.fields, _LEVEL) or "").lower()

    @property
    def tone(self) -> Tone:
        """How grave the line is."""
        return _LEVELS.get(self.level, Tone.QUIET)

    @property
    def message(self) -> str:
        """What it says: its message, or all of it."""
        return self.raw if self.fields is None else str(_first(self.fields, _MESSAGE) or "")

    @property
    def rest(self) -> dict[str, Any]:
        """The fields that are neither the message nor said by the line's prefix."""
        shown = {*_MESSAGE, *_TIME, *_LEVEL, *_SAID_BY_THE_PREFIX}
        return {key: value for key, value in (self.fields or {}).items() if key not in shown}

    def is_about(self, task: str | None) -> bool:
        """Whether the line belongs to the task; every line does if none is asked for."""
        if task is None:
            return True
        if self.fields is None:
            return task in self.raw
        return any(self.fields.get(key) == task for key in _TASK)


def parse(pod: str, line: str) -> LogLine:
    """A line as the kubelet sends it with timestamps: the time, a blank, and what the program wrote."""
    time, _, rest = line.partition(" ")
    at = moment(time)
    raw = rest if at else line
    try:
        fields = json.loads(raw)
    except ValueError:
        return LogLine(pod, at, raw)
    return LogLine(pod, at, raw, fields if isinstance(fields, dict) else None)


def _first(fields: Mapping[str, Any] | None, keys: tuple[str, ...]) -> Any:
    return next((fields[key] for key in keys if fields and key in fields), None)
