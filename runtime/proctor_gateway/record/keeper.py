"""What is done again and again for the record: checkpoints, rotation, logs of the gone, retention."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import sqlalchemy as sa
import structlog

from proctor_gateway.clock import Clock
from proctor_gateway.metrics import Metrics
from proctor_gateway.record import logs, payloads, retention
from proctor_gateway.record.appending import LogLost, held
from proctor_gateway.record.logs import Entered, Writer
from proctor_gateway.record.scribe import Scribe
from proctor_gateway.rules.errors import StoreAway
from proctor_gateway.settings import Settings
from proctor_gateway.store.database import Database

log = structlog.get_logger(__name__)

_ROUND_SECONDS = 1.0
_ROUNDS_TO_PURGE = 60
_PURGED_AT_ONCE = 5_000
_LOCKS = (logs.LOCK,)


class Keeper:
    """The record's rounds in one gateway."""

    def __init__(
        self, settings: Settings, clock: Clock, database: Database, scribe: Scribe, writer: Writer, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._database = database
        self._scribe = scribe
        self._writer = writer
        self._metrics = metrics

    async def enter(self) -> Entered:
        """Hold a log, so that something can be recorded. Raises StoreAway."""
        now, fresh = self._clock.now(), self._fresh()
        entered = await self._database.write(lambda c: self._renewed(logs.enter(c, self._writer, fresh, now)), _LOCKS)
        if entered.fault is not None:
            log.error("a log cannot be gone on with; another is begun", log=entered.log, fault=entered.fault)
            self._metrics.record_faults.inc()
        log.info("the record goes on", log=entered.log, recovered=entered.recovered)
        return entered

    async def begin(self) -> None:
        """Hold a log; waits while the store is away."""
        while True:
            try:
                await self.enter()
            except StoreAway as exc:
                log.warning("the store is away", cause=str(exc))
                await asyncio.sleep(_ROUND_SECONDS)
            else:
                return

    async def rounds(self) -> None:
        """Never returns."""
        number = 0
        while True:
            await asyncio.sleep(_ROUND_SECONDS)
            number += 1
            try:
                await self.round()
                if number % _ROUNDS_TO_PURGE == 0:
                    await self.purge()
            except LogLost:
                await self._enter_again()
            except StoreAway as exc:
                log.warning("the store is away", cause=str(exc))
            except Exception:
                log.exception("a round of the record failed")

    async def round(self) -> None:
        """Sign what is to be signed; begin another log where this one is full. Raises LogLost or StoreAway."""
        now = self._clock.now()
        before = now - timedelta(seconds=self._settings.record_checkpoint_seconds)
        most = self._settings.record_checkpoint_records
        await self._database.write(lambda c: logs.sign_due(c, self._writer, most, before, now))
        tip = await self._database.read(lambda c: held(c, self._writer.holder))
        self._metrics.record_size.set(tip.frontier.size)
        self._metrics.record_dropped.set(self._scribe.dropped)
        oldest = now - timedelta(seconds=self._settings.record_rotate_seconds)
        full = tip.frontier.size >= self._settings.record_rotate_records
        if full or await self._database.read(lambda c: logs.opened_before(c, tip.log, oldest)):
            fresh = self._fresh()
            await self._database.write(lambda c: self._renewed(logs.rotate(c, self._writer, fresh, now)), _LOCKS)
            log.info("the record goes on in another log", log=fresh, before=tip.log)

    async def purge(self) -> None:
        """Close the logs of instances that are gone; throw away closed ones that are older than they are kept."""
        now = self._clock.now()
        await self._database.write(lambda c: logs.close_orphans(c, self._writer, now), _LOCKS)
        before = now - timedelta(seconds=self._settings.record_retention)
        await self._database.write(lambda c: payloads.purge(c, before, _PURGED_AT_ONCE))
        there_is_more = True
        while there_is_more:
            there_is_more = await self._database.write(lambda c: retention.purge(c, before, _PURGED_AT_ONCE))

    async def leave(self) -> None:
        """Sign what there is and let go of the log. Raises StoreAway."""
        now = self._clock.now()

        def left(connection: sa.Connection) -> None:
            logs.sign_due(connection, self._writer, 1, now, now)
            logs.leave(connection, self._writer.holder)
            self._scribe.forget()

        await self._database.write(left)

    async def _enter_again(self) -> None:
        log.error("this gateway lost its log: it was silent for too long")
        try:
            await self.enter()
        except StoreAway as exc:
            log.warning("the store is away", cause=str(exc))

    def _renewed(self, entered: Entered) -> Entered:
        # What the scribe remembers is of the log before; the transaction's own records go into the new one.
        self._scribe.forget()
        return entered

    def _fresh(self) -> str:
        return f"{self._clock.now():%Y%m%d}-{self._clock.span_id()}"


@contextlib.asynccontextmanager
async def kept(keeper: Keeper) -> AsyncIterator[None]:
    """The record is kept inside; in the end it is signed as far as it goes, and its log let go of."""
    await keeper.begin()
    rounds = asyncio.create_task(keeper.rounds(), name="record")
    try:
        yield
    finally:
        rounds.cancel()
        await asyncio.gather(rounds, return_exceptions=True)
        with contextlib.suppress(StoreAway):
            await keeper.leave()
