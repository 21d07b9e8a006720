"""May requests come here?"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Readiness:
    """What must be there before requests may come. Each word is taken off when it is."""

    _missing: set[str] = field(default_factory=lambda: {"store", "keys", "cluster", "listeners"})

    def have(self, what: str) -> None:
        """It is there."""
        self._missing.discard(what)

    def lack(self, what: str) -> None:
        """It is not there any more, or not any longer wanted."""
        self._missing.add(what)

    def missing(self) -> list[str]:
        """What is not there. Nothing: ready."""
        return sorted(self._missing)
