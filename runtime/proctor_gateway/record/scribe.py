"""Writes the records of each transaction at its end, into the log that this gateway holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import sqlalchemy as sa
import structlog

from proctor.audit.records import Draft
from proctor_gateway.record import pending
from proctor_gateway.record.appending import Outdated, Tip, append, degraded, held, unknown
from proctor_gateway.record.payloads import Vault
from proctor_gateway.record.pending import Desk, Facts, Keyed
from proctor_gateway.rules.errors import StoreAway

log = structlog.get_logger(__name__)


class Scribe:
    """One for a process. It remembers the end of its log; what was never committed, the store will not build on.

    With `degrade` a record that cannot be written stops nothing: it is counted, and the number recorded when it can be.
    """

    def __init__(
        self,
        holder: str,
        keyed: Keyed,
        now: Callable[[], datetime],
        *,
        vault: Vault | None = None,
        degrade: bool = False,
    ) -> None:
        self._holder = holder
        self._keyed = keyed
        self._vault = vault
        self._now = now
        self._degrade = degrade
        self._tip: Tip | None = None
        self._facts: dict[str, Facts] = {}
        self.dropped = 0

    def forget(self) -> None:
        """The log is another one from now on, or another has written it."""
        self._tip = None

    def begin(self, connection: sa.Connection) -> None:
        """A transaction begins, perhaps on a connection of one that was not committed."""
        pending.lay(connection, Desk(self._keyed, self._now(), self._vault, self._facts))

    def seal(self, connection: sa.Connection) -> None:
        """Write the transaction's records. Raises LogLost, and then the transaction must not be committed."""
        drafts = pending.taken(connection)
        if not drafts:
            return
        if not self._degrade:
            self._write(connection, drafts)
            return
        lost = [degraded(self.dropped, self._now())] if self.dropped else []
        try:
            with connection.begin_nested():
                self._write(connection, [*lost, *drafts])
        except (StoreAway, Outdated, sa.exc.SQLAlchemyError) as exc:
            self.dropped += len(drafts)
            self._tip = None
            log.error("records are dropped", cause=type(exc).__name__, dropped=self.dropped)  # noqa: TRY400
        else:
            # If the transaction fails after all, they are counted twice rather than not at all.
            self.dropped = 0

    def _write(self, connection: sa.Connection, drafts: Sequence[Draft]) -> None:
        fresh = unknown(connection, drafts)
        if not fresh:
            return
        if self._tip is not None:
            try:
                self._tip = append(connection, self._holder, self._tip, fresh)
            except Outdated:
                self._tip = None
            else:
                return
        try:
            self._tip = append(connection, self._holder, held(connection, self._holder), fresh)
        except Outdated as exc:
            raise StoreAway("the log was taken over by another gateway") from exc
