"""What is done again and again beside the tasks: a sign of life, orphans taken in, old things thrown away."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import structlog

from proctor_gateway.clock import Clock
from proctor_gateway.driving.runner import Runner
from proctor_gateway.metrics import Metrics
from proctor_gateway.rules.errors import StoreAway
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Fault
from proctor_gateway.settings import Settings
from proctor_gateway.store import accounts, assignments, lifecycle, owners, readings, trials
from proctor_gateway.store.database import Database

log = structlog.get_logger(__name__)

_PURGE_EVERY = 60
_PURGED_AT_ONCE = 500
_A_MONTH = timedelta(days=40)
"""The days of a month that is not over are added up when a budget of the month is new."""


class Upkeep:
    """The rounds of one instance."""

    def __init__(
        self, settings: Settings, clock: Clock, database: Database, runner: Runner, metrics: Metrics, instance: str
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._database = database
        self._runner = runner
        self._metrics = metrics
        self._instance = instance
        self.takes_over = True

    async def beat(self) -> None:
        """Say once that this instance lives: before it accepts anything, or others take its tasks for orphans."""
        now = self._clock.now()
        await self._database.write(lambda c: owners.beat(c, self._instance, now))

    async def rounds(self) -> None:
        """Never returns."""
        while True:
            try:
                await self.round()
            except StoreAway as exc:
                log.warning("the store is away", cause=str(exc))
            except Exception:
                log.exception("a round of upkeep failed")
            await asyncio.sleep(self._settings.heartbeat)

    async def round(self) -> None:
        """One sign of life, and what is to be done by it."""
        await self.beat()
        for stop in await self._database.read(lambda c: owners.stops(c, self._instance)):
            self._runner.stop(stop.task, Fault(stop.reason, _words(stop.reason)))
        if self.takes_over:
            await self._take_over()

    async def _take_over(self) -> None:
        silent = timedelta(seconds=self._settings.takeover)
        now = self._clock.now()
        taken = await self._database.write(lambda c: owners.adopt(c, self._instance, silent, now))
        # What is ours in the store and driven by nobody: a drive that failed, or a write whose answer was lost.
        mine = await self._database.read(lambda c: owners.owned(c, self._instance))
        dropped = [task for task in mine if task.request.id not in self._runner]
        for task in dropped:
            log.warning("a task is taken over", task=task.request.id, agent=task.request.agent, phase=task.phase)
            self._runner.start(task, lost=True)
        self._metrics.tasks_taken_over.inc(len(taken))

    async def purges(self) -> None:
        """Never returns: throws away tasks that ended longer ago than they are kept."""
        while True:
            await asyncio.sleep(_PURGE_EVERY * (0.5 + random.random()))  # noqa: S311 - jitter
            try:
                await self.purge()
            except StoreAway as exc:
                log.warning("the store is away", cause=str(exc))
            except Exception:
                log.exception("a purge failed")

    async def purge(self) -> None:
        """Throw away what is old, a bounded number at once, so that nobody waits long for the store."""
        now = self._clock.now()
        tasks = now - timedelta(seconds=self._settings.retention)
        outcomes = now - timedelta(seconds=self._settings.outcome_retention)
        await self._database.write(lambda c: lifecycle.purge(c, tasks, _PURGED_AT_ONCE))
        await self._database.write(lambda c: lifecycle.purge_outcomes(c, outcomes, _PURGED_AT_ONCE))
        await self._database.write(lambda c: accounts.purge(c, min(outcomes, now - _A_MONTH), _PURGED_AT_ONCE))
        await self._database.write(lambda c: assignments.purge(c, outcomes, _PURGED_AT_ONCE))
        await self._database.write(lambda c: trials.purge(c, tasks))
        await self._database.write(lambda c: readings.purge(c, outcomes))

    async def leave(self) -> None:
        """Let go of every task, so that another instance need not wait to be sure."""
        await self._database.write(lambda c: owners.leave(c, self._instance))


def _words(reason: Reason) -> str:
    return "the caller cancelled the task" if reason is Reason.CANCELLED else "the task was to be stopped"
