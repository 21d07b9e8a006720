"""The keys that sign task tokens: in the store, so that every replica accepts what another has signed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import sqlalchemy as sa

from proctor_gateway.store.tables import signing_keys
from proctor_gateway.tokens import SigningKey

_LIFE = timedelta(days=30)
_KEPT = timedelta(days=37)
_LOCK = 0x6B657973
"""The key of PostgreSQL's advisory lock: "keys" in ASCII."""


def ensure(connection: sa.Connection, fresh: SigningKey, now: datetime) -> tuple[Mapping[str, SigningKey], str]:
    """All keys that still count, and the id of the newest. `fresh` is added when the newest is too old, or none is."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    connection.execute(sa.delete(signing_keys).where(signing_keys.c.created_at < now - _KEPT))
    newest = connection.execute(sa.select(sa.func.max(signing_keys.c.created_at))).scalar_one()
    if newest is None or newest < now - _LIFE:
        connection.execute(sa.insert(signing_keys).values(id=fresh.id, pem=fresh.pem, created_at=now))
    rows = connection.execute(sa.select(signing_keys).order_by(signing_keys.c.created_at)).all()
    return {row.id: SigningKey.load(row.pem) for row in rows}, rows[-1].id
