"""Bring the database to this version's schema. Several replicas may start at once: one migrates, the others wait."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from proctor_gateway.store.database import Database

NEWEST: Final = "0001"
"""The revision of the schema that this version needs."""
_LOCK: Final = 0x70726F63746F72
"""The key of PostgreSQL's advisory lock: "proctor" in ASCII."""
_VERSION: Final = sa.table("alembic_version", sa.column("version_num"))


async def migrate(database: Database) -> None:
    """Raise the schema to the newest revision, in one transaction under a lock. Raises StoreAway."""
    await database.alone(_upgrade)


def is_current(connection: sa.Connection) -> bool:
    """Whether the schema is the one that this version needs."""
    if not sa.inspect(connection).has_table(_VERSION.name):
        return False
    return connection.execute(sa.select(_VERSION)).scalar_one_or_none() == NEWEST


def _upgrade(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        # Held until the transaction ends. SQLite's BEGIN IMMEDIATE is such a lock already.
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    if is_current(connection):
        return
    # Imported by the one that migrates: it stays in memory, with a template language and a highlighter of sources.
    from alembic import command

    command.upgrade(_config(connection), "head")


def _config(connection: sa.Connection) -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
