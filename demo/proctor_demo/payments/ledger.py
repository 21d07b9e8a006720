"""The ledger: every payment that was made, and how often it was asked for."""

from __future__ import annotations

import json
import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, Field

_SCHEMA = """
CREATE TABLE IF NOT EXISTS payments (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    idempotency_key TEXT UNIQUE,
    arguments TEXT NOT NULL,
    order_id TEXT NOT NULL,
    cents INTEGER NOT NULL,
    reason TEXT NOT NULL,
    made_at TEXT NOT NULL,
    requests INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS payments_of_order ON payments (order_id);
"""
_COLUMNS = "number, idempotency_key, order_id, cents, reason, made_at, requests"


class KeyReused(Exception):  # noqa: N818 - it names what happened
    """An idempotency key came again with other arguments."""


class Payment(BaseModel):
    """A refund that was paid out."""

    payment_id: str
    order_id: str
    amount: float = Field(description="EUR")
    reason: str
    made_at: datetime


class LedgerEntry(Payment):
    """A payment with the key it was asked for under, and how many requests asked for it."""

    idempotency_key: str | None
    requests: int


class Ledger:
    """Payments in a SQLite file; a payment that was answered survives the process."""

    def __init__(self, database: Path) -> None:
        """Open or create `database`."""
        # Autocommit, and a lock: tools run on several threads, and look-up and insert must be one step, or two
        # requests of one key at the same moment would both pay.
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(database, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.executescript(_SCHEMA)

    def refund(self, order_id: str, cents: int, reason: str, key: str | None) -> Payment:
        """Pay `cents` back, or return the payment already made under `key`.

        Without a key every request is a payment of its own.

        Raises:
            KeyReused: `key` was used with other arguments.
        """
        arguments = json.dumps([order_id, cents, reason])
        with self._lock:
            if key is not None and (made := self._made_under(key, arguments)) is not None:
                return made
            cursor = self._connection.execute(
                "INSERT INTO payments (idempotency_key, arguments, order_id, cents, reason, made_at, requests)"
                " VALUES (?, ?, ?, ?, ?, ?, 1)",
                (key, arguments, order_id, cents, reason, datetime.now(UTC).isoformat()),
            )
            row = self._connection.execute(f"SELECT {_COLUMNS} FROM payments WHERE number = ?", (cursor.lastrowid,))  # noqa: S608 - a constant
            return _payment(_entry(row.fetchone()))

    def entries(self, order_id: str | None = None, limit: int = 1000) -> list[LedgerEntry]:
        """At most `limit` entries, the newest first; of one order if `order_id` is given."""
        where, values = ("WHERE order_id = ?", (order_id,)) if order_id else ("", ())
        with self._lock:
            rows = self._connection.execute(
                f"SELECT {_COLUMNS} FROM payments {where} ORDER BY number DESC LIMIT ?",  # noqa: S608 - constants
                (*values, limit),
            ).fetchall()
        return [_entry(row) for row in rows]

    def _made_under(self, key: str, arguments: str) -> Payment | None:
        query = f"SELECT {_COLUMNS}, arguments FROM payments WHERE idempotency_key = ?"  # noqa: S608 - a constant
        row = self._connection.execute(query, (key,)).fetchone()
        if row is None:
            return None
        if row[-1] != arguments:
            raise KeyReused(f"idempotency key {key} was used for another refund: {row[-1]}")
        self._connection.execute("UPDATE payments SET requests = requests + 1 WHERE idempotency_key = ?", (key,))
        return _payment(_entry(row[:-1]))


def _entry(row: tuple[int, str | None, str, int, str, str, int]) -> LedgerEntry:
    number, key, order_id, cents, reason, made_at, requests = row
    return LedgerEntry(
        payment_id=f"P-{number:06d}",
        order_id=order_id,
        amount=cents / 100,
        reason=reason,
        made_at=datetime.fromisoformat(made_at),
        idempotency_key=key,
        requests=requests,
    )


def _payment(entry: LedgerEntry) -> Payment:
    return Payment(**entry.model_dump(exclude={"idempotency_key", "requests"}))
