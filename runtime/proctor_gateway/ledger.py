"""Every call of an agent passes here twice: before it is sent, and when its outcome is known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

import structlog

from proctor.api.agent import Limits
from proctor_gateway import budgets
from proctor_gateway.budgets import NOTHING_RESERVED, Bill, Reserved
from proctor_gateway.calls import Intent, Outcome
from proctor_gateway.clock import Clock
from proctor_gateway.errors import Denied, Problem, StoreAway
from proctor_gateway.judgement import Allow, Ask, Refuse, Verdict
from proctor_gateway.metrics import Metrics
from proctor_gateway.reasons import Reason
from proctor_gateway.store import calls as store
from proctor_gateway.store import tasks
from proctor_gateway.store.database import Database
from proctor_gateway.store.rows import call_id
from proctor_gateway.tasks import Fault
from proctor_gateway.tokens import Claims

log = structlog.get_logger(__name__)


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

    @property
    def id(self) -> str:
        """The call's id."""
        return call_id(self.intent.task, self.sequence)


class Ledger:
    """Writes calls down."""

    def __init__(self, database: Database, clock: Clock, metrics: Metrics) -> None:
        self._database = database
        self._clock = clock
        self._metrics = metrics

    async def check_running(self, claims: Claims) -> None:
        """Raises Problem 401 unless the attempt that the token names is the one that runs."""
        if not await self._database.read(lambda c: tasks.runs(c, claims.task, claims.attempt)):
            raise _revoked()

    async def begin(self, claims: Claims, intent: Intent, limits: Limits, verdict: Verdict, bill: Bill) -> Entry:
        """The call is on the disk when this returns. Raises Denied, or Problem if the attempt is not running."""
        now = self._clock.now()
        denial = _denial(verdict)
        try:
            begun = await self._database.write(
                lambda c: store.begin(c, intent, limits, denial, now, bill), bill.locks(intent.task, now)
            )
        except store.Revoked as exc:
            raise _revoked() from exc
        except StoreAway as exc:
            raise Problem(503, Reason.STORE_UNAVAILABLE, "the call cannot be written down, so it is not made") from exc
        if isinstance(begun, store.Barred):
            self._metrics.denied(claims, intent, begun.fault)
            log.info(
                "call denied", task=intent.task, connector=intent.connector, name=intent.name, reason=begun.fault.reason
            )
            wait = begun.exceeded.retry_after if begun.exceeded else None
            raise Denied(begun.fault.reason, begun.fault.message, retry_after=wait)
        return Entry(intent, claims, begun.sequence, begun.occurrence, begun.deadline, now, begun.reserved)

    async def settle(self, entry: Entry, outcome: Outcome) -> None:
        """Write down what became of it. If that cannot be done, the call stays Started, and so becomes Unknown."""
        now = self._clock.now()
        outcome = budgets.charged(entry.reserved, outcome)
        self._metrics.settled(entry.claims, entry.intent, outcome, (now - entry.started_at).total_seconds())
        try:
            await self._database.write(
                lambda c: store.settle(c, entry.intent.task, entry.sequence, outcome, now, entry.reserved),
                (entry.intent.task, *entry.reserved.accounts),
            )
        except StoreAway:
            log.exception("the outcome of a call was not written down", call=entry.id, state=outcome.state)


def _denial(verdict: Verdict) -> Fault | None:
    match verdict:
        case Allow():
            return None
        case Refuse(fault=fault):
            return fault
        case Ask(question=question):
            said = f"{question}: it needs an approval, which nobody can give yet"
            return Fault(Reason.APPROVAL_UNAVAILABLE, said)
        case _:
            assert_never(verdict)


def _revoked() -> Problem:
    """What a token is told whose attempt is over."""
    return Problem(401, Reason.UNAUTHENTICATED, "the task token is not valid: its attempt is not running")
