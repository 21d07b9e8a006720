"""Every call of an agent passes here twice: before it is sent, and when its outcome is known."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, assert_never

import structlog

from proctor.api.agent import Limits
from proctor.policy.facts import Answered
from proctor_gateway.clock import Clock
from proctor_gateway.metrics import Metrics
from proctor_gateway.rules.calls import Intent, Outcome
from proctor_gateway.rules.errors import Denied, Problem, StoreAway
from proctor_gateway.rules.judgement import Verdict
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.store import budgets, readings, start, tasks
from proctor_gateway.store import calls as store
from proctor_gateway.store.budgets import NOTHING_RESERVED, Bill, Reserved
from proctor_gateway.store.database import Database
from proctor_gateway.store.operations import Brief
from proctor_gateway.store.rows import call_id
from proctor_gateway.tokens import Claims

log = structlog.get_logger(__name__)

_HELD_SECONDS: Final = 0.05
_STORE_PAUSE_SECONDS: Final = 0.2
_DISOWN_SECONDS: Final = 5
_SETTLE_SECONDS: Final = 20


@dataclass(frozen=True)
class Entry:
    """A call that is written down and may be sent until the deadline."""

    intent: Intent
    claims: Claims
    sequence: int
    occurrence: int
    deadline: datetime
    started_at: datetime
    reserved: Reserved = NOTHING_RESERVED
    edited: Mapping[str, Any] | None = None
    """The arguments that people put in place of the agent's."""
    is_open: bool = False
    """It was sent before, and nobody knows what became of that."""
    first_sent_at: datetime | None = None

    @property
    def sent_at(self) -> datetime:
        """When it was sent first."""
        return self.first_sent_at or self.started_at

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What is sent to a tool."""
        found: Mapping[str, Any] = self.intent.arguments if self.edited is None else self.edited
        return found

    @property
    def id(self) -> str:
        """The call's id."""
        return call_id(self.intent.task, self.sequence)


@dataclass(frozen=True)
class Recorded:
    """A call that an earlier attempt of the task has made, and what was answered to it, whole."""

    id: str
    intent: Intent
    outcome: Outcome
    body: bytes | None


class Ledger:
    """Writes calls down. `patience` is how long one that was not asked before waits for those that were."""

    def __init__(
        self, database: Database, clock: Clock, metrics: Metrics, patience: float = 0, instance: str = ""
    ) -> None:
        self._instance = instance
        self._patience = timedelta(seconds=patience)
        self._database = database
        self._clock = clock
        self._metrics = metrics
        self._handed: set[str] = set()
        """The calls that this process is sending."""

    async def check_running(self, claims: Claims) -> None:
        """Raises Problem 401 unless the attempt that the token names is the one that runs."""
        if not await self._database.read(Brief(lambda c: tasks.runs(c, claims.task, claims.attempt))):
            raise _revoked()

    async def begin(
        self, claims: Claims, intent: Intent, limits: Limits, verdict: Verdict, bill: Bill | None = None
    ) -> Entry | Recorded:
        """The call is on the disk when this returns, or it was answered before.

        Raises Denied, or Problem if the attempt is not running.
        """
        begun, now = await self._begun(
            start.Wanted(intent, limits, verdict, bill, patience=True, sender=self._instance)
        )
        match begun:
            case start.Barred(fault=fault, exceeded=exceeded):
                self._metrics.denied(claims, intent, fault)
                log.info(
                    "call denied", task=intent.task, connector=intent.connector, name=intent.name, reason=fault.reason
                )
                if exceeded:
                    self._metrics.exceeded(claims.namespace, claims.agent, exceeded)
                wait = exceeded.retry_after if exceeded else None
                raise Denied(fault.reason, fault.message, retry_after=wait)
            case start.Repeated(call=call, body=body):
                self._metrics.calls_replayed.labels(claims.namespace, claims.agent, intent.kind).inc()
                return Recorded(call.id, intent, call.outcome, body)
            case start.Begun():
                self._handed.add(call_id(intent.task, begun.sequence))
                return Entry(
                    intent,
                    claims,
                    begun.sequence,
                    begun.occurrence,
                    begun.deadline,
                    now,
                    begun.reserved,
                    begun.arguments,
                    begun.is_open,
                    begun.sent_at if begun.is_open else None,
                )
            case _:
                assert_never(begun)

    async def _begun(self, wanted: start.Wanted) -> tuple[start.Begun | start.Barred | start.Repeated, datetime]:
        until = self._clock.now() + self._patience
        while True:
            now = self._clock.now()
            asked = wanted if now < until else replace(wanted, patience=False)
            keys = wanted.bill.locks(wanted.intent.task, now) if wanted.bill else (wanted.intent.task,)
            try:
                begun = await self._database.write(start.beginning(asked, now), keys)
            except start.Revoked as exc:
                raise _revoked() from exc
            except StoreAway as exc:
                await self._disown(wanted)
                said = "the call cannot be written down, so it is not made"
                raise Problem(503, Reason.STORE_UNAVAILABLE, said) from exc
            if not isinstance(begun, start.Held):
                return begun, now
            await asyncio.sleep(_HELD_SECONDS)

    async def _disown(self, wanted: start.Wanted) -> None:
        """Say of a call whose intent may be written down, the commit's answer being lost, that it was not sent.

        Without this a call of class Once, which was never sent, would be taken for one that may have happened.
        """
        intent, sender = wanted.intent, wanted.sender
        with contextlib.suppress(StoreAway):
            await self._patiently(
                lambda: self._database.write(
                    lambda c: store.disown(c, intent, sender, self._handed, self._clock.now()), (intent.task,)
                ),
                _DISOWN_SECONDS,
            )

    async def settle(
        self, entry: Entry, outcome: Outcome, body: bytes | None = None, reading: Answered | None = None
    ) -> bool:
        """Write down what became of it, as soon as the store takes it; to do that twice changes nothing.

        With it what the agent is going to read of it. If it cannot be done for long, the call stays Started, and so
        becomes Unknown. Whether it was done.
        """
        now, claims = self._clock.now(), entry.claims
        outcome = budgets.charged(entry.reserved, outcome)
        also = partial(readings.add, task=claims.task, attempt=claims.attempt, answer=reading) if reading else None
        self._metrics.settled(entry.claims, entry.intent, outcome, (now - entry.started_at).total_seconds())
        try:
            await self._patiently(
                lambda: self._database.write(
                    store.settling(entry.intent.task, entry.sequence, outcome, now, entry.reserved, body, also),
                    (entry.intent.task, *entry.reserved.accounts),
                ),
                _SETTLE_SECONDS,
            )
        except StoreAway as exc:
            cause = str(exc)
            log.error("the outcome of a call was not written down", call=entry.id, state=outcome.state, cause=cause)  # noqa: TRY400
            return False
        else:
            return True
        finally:
            self._handed.discard(entry.id)

    async def _patiently(self, work: Callable[[], Awaitable[None]], seconds: float) -> None:
        """Do it; while the store is away, again until the time is up. Raises StoreAway."""
        until = self._clock.now() + timedelta(seconds=seconds)
        while True:
            try:
                return await work()
            except StoreAway:
                if self._clock.now() >= until:
                    raise
            await asyncio.sleep(_STORE_PAUSE_SECONDS)


def _revoked() -> Problem:
    """What a token is told whose attempt is over."""
    return Problem(401, Reason.UNAUTHENTICATED, "the task token is not valid: its attempt is not running")
