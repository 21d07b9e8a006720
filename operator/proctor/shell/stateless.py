"""kopf without its memory: we use it to hear of events, and it need not remember, compare or store anything for that.

By default kopf copies every object several times for each event, to find out what changed since it last handled it,
and keeps a record of every object there is. Nothing of ours asks for either. Without, an event of a Deployment costs
0.19 ms of CPU instead of 0.75, and each of the nine objects of an agent 0.9 KB less.
"""

from __future__ import annotations

from typing import Any

import kopf
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory


class NoDiffBase(kopf.DiffBaseStorage):
    """Nothing was handled before, and nothing of an object matters: no change is ever computed."""

    def build(self, **_: Any) -> Any:
        """The essence of an object."""
        return {}

    def fetch(self, **_: Any) -> None:
        """The essence as it was last handled."""

    def store(self, **_: Any) -> None:
        """Would be an annotation."""


class NoProgress(kopf.ProgressStorage):
    """No handler is ever tried again, so that none has progress."""

    def fetch(self, **_: Any) -> None:
        """The progress of a handler."""

    def store(self, **_: Any) -> None:
        """Would be an annotation."""

    def purge(self, **_: Any) -> None:
        """Would remove it."""

    def touch(self, **_: Any) -> None:
        """Would change the object, to be woken by that."""

    def clear(self, *, essence: Any) -> Any:
        """The essence without progress, which it never holds."""
        return essence


class NoMemories(ResourceMemories):
    """What kopf keeps for each object as long as that exists: for handlers of events, nothing."""

    async def recall(self, *_: Any, **__: Any) -> ResourceMemory:
        """A blank record, forgotten after the event."""
        return ResourceMemory()
