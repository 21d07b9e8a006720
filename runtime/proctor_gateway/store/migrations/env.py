"""Alembic's entry: the connection is handed over by `store.migrate`, which holds the lock."""

from __future__ import annotations

from alembic import context

from proctor_gateway.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
