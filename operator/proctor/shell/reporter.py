"""Asks the gateway what policies found in calls, and has the reports looked at that would say something else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import structlog

from proctor.api import digest
from proctor.plan.reports import Called, FindingsAnswer, ReportKind
from proctor.plan.said import NoAnswer
from proctor.shell.cache import Cache, Key
from proctor.shell.ports import Clock
from proctor.shell.queue import Queue
from proctor.shell.reports import REPORT, Reports

SECONDS: Final = 60.0
_ROUNDS: Final = 10
"""Between two looks at whether the cluster has a kind of report."""

log = structlog.get_logger()


class Finder(Protocol):
    """The gateway. It never raises: that it could not be asked is an answer."""

    async def findings(self) -> FindingsAnswer | NoAnswer:
        """What policies found in the calls of all agents."""


class Reporter:
    """One look a minute. Without a kind of report in the cluster it asks for nothing."""

    def __init__(
        self,
        cache: Cache,
        queue: Queue,
        finder: Finder,
        reports: Reports,
        clock: Clock,
        kind: Callable[[], Awaitable[ReportKind | None]],
    ) -> None:
        self._cache = cache
        self._queue = queue
        self._finder = finder
        self._reports = reports
        self._clock = clock
        self._kind = kind
        self._marks: dict[Key, str] = {}
        self._rounds = 0

    async def run(self, seconds: float = SECONDS) -> None:
        """Never returns."""
        while True:
            try:
                await self.round()
            except Exception:
                # One bug must not end the reports for good.
                log.exception("could not look at the reports")
            await asyncio.sleep(seconds)

    async def round(self) -> None:
        """Queues the reports of the agents of which something else is to be said."""
        if self._rounds % _ROUNDS == 0:
            self._reports.kind = await self._kind()
        self._rounds += 1
        if self._reports.kind is None:
            self._marks = {}
            return
        answer = await self._finder.findings()
        if isinstance(answer, FindingsAnswer):
            self._reports.called = _by_agent(answer)
        marks: dict[Key, str] = {}
        for number, key in enumerate(self._cache.keys("Agent")):
            if number % 100 == 0:
                await asyncio.sleep(0)
            said = (self._cache.get(*key) or {}).get("status", {}).get("policy")
            called = self._reports.of(key.namespace, key.name)
            if said or called:
                marks[key] = _mark(said, called)
        changed = [key for key in marks.keys() | self._marks.keys() if marks.get(key) != self._marks.get(key)]
        for key in changed:
            self._queue.add(Key(REPORT, key.namespace, key.name), self._clock.now())
        self._marks = marks


def _by_agent(answer: FindingsAnswer) -> dict[tuple[str, str], tuple[Called, ...]]:
    found: dict[tuple[str, str], list[Called]] = {}
    for each in answer.items:
        found.setdefault((each.namespace, each.agent), []).append(each)
    return {key: tuple(each) for key, each in found.items()}


def _mark(said: Any, called: tuple[Called, ...]) -> str:
    return digest.short([said, [each.model_dump(mode="json") for each in called]])
