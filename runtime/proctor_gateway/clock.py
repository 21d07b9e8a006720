"""Time, chance and identity come from here alone, so that everything else can be run again with the same ones."""

from __future__ import annotations

import os
import secrets
import time
from datetime import UTC, datetime
from typing import Protocol

_MILLIS = 48
_VERSION = 0x7
_VARIANT = 0b10
_CHANCE = 1024


class Clock(Protocol):
    """Where the gateway takes time and chance from."""

    def now(self) -> datetime:
        """The time in UTC."""

    def task_id(self) -> str:
        """A new id that sorts by time: a UUID of version 7 (RFC 9562)."""

    def trace_id(self) -> str:
        """32 hex characters."""

    def span_id(self) -> str:
        """16 hex characters."""


class SystemClock:
    """The machine's clock and the system's randomness."""

    def __init__(self) -> None:
        self._chance = b""

    def now(self) -> datetime:
        """The time in UTC."""
        return datetime.now(UTC)

    def task_id(self) -> str:
        """A new id that sorts by time: a UUID of version 7 (RFC 9562)."""
        millis = time.time_ns() // 1_000_000
        chance = secrets.randbits(74)
        value = (millis & ((1 << _MILLIS) - 1)) << 80 | _VERSION << 76 | (chance >> 62) << 64
        value |= _VARIANT << 62 | (chance & ((1 << 62) - 1))
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def trace_id(self) -> str:
        """32 hex characters."""
        return self._taken(16).hex()

    def span_id(self) -> str:
        """16 hex characters."""
        return self._taken(8).hex()

    def _taken(self, size: int) -> bytes:
        """So many bytes of chance. They are fetched for many at once: to ask the system takes longer than the rest."""
        if len(self._chance) < size:
            self._chance = os.urandom(_CHANCE)
        taken, self._chance = self._chance[:size], self._chance[size:]
        return taken


def instance_name() -> str:
    """The name of this process's life: no two starts share one, so that a restarted pod is not taken for its past."""
    return f"{os.uname().nodename[:40]}-{secrets.token_hex(6)}"
