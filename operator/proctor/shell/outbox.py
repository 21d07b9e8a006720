"""What is still to be told to the record. At least once: kept until the gateway says that it is durable."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Protocol

import structlog

from proctor.plan.records import Told
from proctor.plan.said import NoAnswer
from proctor.shell import metrics

_AT_ONCE = 200
_MOST_WAITING = 5_000
_MOST_OBJECTS = 50_000
_SHORT = 8
"""Bytes of an id: enough not to tell it again, and the gateway keeps each once anyway."""
_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0

log = structlog.get_logger()


class Listener(Protocol):
    """Who takes decisions into the record. It never raises."""

    async def tell(self, told: Sequence[Told]) -> NoAnswer | None:
        """Have these in the record; None when they are, durably."""


class Outbox:
    """Filled by reconciles, emptied by `run`.

    Bounded: what finds no room is not remembered either, and so comes back with the next look at its object.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, Told] = OrderedDict()
        self._known: OrderedDict[str, bytes] = OrderedDict()
        self._news = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, about: str, told: Iterable[Told]) -> None:
        """Tell in time what is so of the object with that uid, unless it was put here at the last look at it."""
        before, ids = self._known.get(about, b""), b""
        known = {before[at : at + _SHORT] for at in range(0, len(before), _SHORT)}
        for each in told:
            short = _short(each.id)
            if short not in known and each.id not in self._waiting:
                if len(self._waiting) >= _MOST_WAITING:
                    continue
                self._waiting[each.id] = each
                self._news.set()
            ids += short
        self._known[about] = ids
        self._known.move_to_end(about)
        if len(self._known) > _MOST_OBJECTS:
            self._known.popitem(last=False)

    async def run(self, listener: Listener) -> None:
        """Never returns."""
        pause = _PAUSE_SECONDS
        while True:
            await self._news.wait()
            pause = _PAUSE_SECONDS if await self.flush(listener) else min(2 * pause, _LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(pause)

    async def flush(self, listener: Listener) -> bool:
        """Tell all that waits. Whether all was taken."""
        while self._waiting:
            batch = list(self._waiting.values())[:_AT_ONCE]
            answer = await listener.tell(batch)
            metrics.RECORDS_WAITING.set(len(self._waiting))
            if answer is not None and not answer.is_refused:
                log.info("the record could not be told", waiting=len(self._waiting), reason=answer.reason)
                return False
            if answer is not None:
                # To tell it again would be refused again, and hold up all others.
                log.error("the record refuses what it was told", records=len(batch), reason=answer.reason)
                metrics.RECORDS_LOST.inc(len(batch))
            for each in batch:
                self._waiting.pop(each.id, None)
        self._news.clear()
        metrics.RECORDS_WAITING.set(0)
        return True


def _short(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=_SHORT).digest()
