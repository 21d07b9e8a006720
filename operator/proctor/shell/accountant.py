"""Asks the gateway what all agents have used, and wakes those whose status would say something else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from proctor.api.usage import UsageStatus
from proctor.plan import usage
from proctor.plan.said import NoAnswer
from proctor.plan.spending import UsageAnswer
from proctor.shell.cache import Cache, Key
from proctor.shell.ports import Clock
from proctor.shell.queue import Queue
from proctor.shell.usages import Usages

SECONDS = 15.0
"""Between two looks: that a budget refuses is known soon, and an agent at rest costs one row of one request."""

_AT_ONCE = 2000
"""Agents in one request; a fleet's answer is then some hundred kilobytes, and bounded."""

log = structlog.get_logger()


class Counter(Protocol):
    """The gateway, which alone counts. It never raises: that it could not be asked is an answer."""

    async def usage(self, agents: Sequence[Key]) -> UsageAnswer | NoAnswer:
        """What these agents have used."""


@dataclass(frozen=True)
class _Told:
    version: int | None
    usage: UsageStatus | None
    finding: tuple[tuple[str, str], ...]


class Accountant:
    """One round asks for everything; only what makes a difference wakes anybody."""

    def __init__(self, cache: Cache, queue: Queue, counter: Counter, usages: Usages, clock: Clock) -> None:
        self._cache = cache
        self._queue = queue
        self._counter = counter
        self._usages = usages
        self._clock = clock
        self._told: dict[Key, _Told] = {}

    async def run(self, every_seconds: float = SECONDS) -> None:
        """Never returns."""
        while True:
            try:
                await self.round()
            except Exception:
                # One bug must not blind all budgets for ever.
                log.exception("could not look at the budgets")
            await asyncio.sleep(every_seconds)

    async def round(self) -> None:
        """Asks once for all, and wakes the agents whose status would say something else."""
        keys = list(self._cache.keys("Agent"))
        for start in range(0, len(keys), _AT_ONCE):
            await self._ask(keys[start : start + _AT_ONCE])
        for place in self._usages.used.keys() - {(key.namespace, key.name) for key in keys}:
            del self._usages.used[place]
        now = self._clock.now()
        before, self._told = self._told, {}
        for key in keys:
            told = self._told[key] = self._read(key, before.get(key))
            said = usage.report(told.usage, self._usages.of(key.namespace, key.name), now)
            if said.usage != told.usage or tuple((each.status, each.reason) for each in said.findings) != told.finding:
                self._queue.add(key, now)

    async def _ask(self, keys: Sequence[Key]) -> None:
        answer = await self._counter.usage(keys)
        if isinstance(answer, NoAnswer):
            if self._usages.silent_since is None:
                self._usages.silent_since = self._clock.now()
                log.warning("usage cannot be counted", cause=answer.reason)
            return
        self._usages.silent_since = None
        for each in answer.agents:
            self._usages.used[each.namespace, each.name] = (each.usage, answer.as_of)

    def _read(self, key: Key, before: _Told | None) -> _Told:
        """What the status says. A body is read only when it is another than last time."""
        version = self._cache.version(key)
        if before is not None and before.version == version:
            return before
        status = (self._cache.get(*key) or {}).get("status", {})
        found = [each for each in status.get("conditions", ()) if each["type"] == "BudgetAvailable"]
        told = status.get("usage")
        return _Told(
            version,
            UsageStatus.model_validate(told) if told else None,
            tuple((each["status"], each["reason"]) for each in found),
        )
