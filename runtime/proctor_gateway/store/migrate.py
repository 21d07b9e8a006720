"""Bring the database to this version's schema. Several replicas may start at once: one migrates, the others wait."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from proctor_gateway.store.database import Database

_LOCK = 0x70726F63746F72
"""The key of PostgreSQL's advisory lock: "proctor" in ASCII."""


async def migrate(database: Database) -> None:
    """Raise the schema to the newest revision, in one transaction under a lock. Raises StoreAway."""
    await database.alone(_upgrade)


def is_current(connection: sa.Connection) -> bool:
    """Whether the schema is the one that this version needs."""
    wanted = ScriptDirectory.from_config(_config(connection)).get_current_head()
    return MigrationContext.configure(connection).get_current_revision() == wanted


def _upgrade(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        # Held until the transaction ends. SQLite's BEGIN IMMEDIATE is such a lock already.
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    command.upgrade(_config(connection), "head")


def _config(connection: sa.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
