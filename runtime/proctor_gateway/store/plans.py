"""The plans of tasks: made once, and the same for every attempt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from proctor.policy import planning
from proctor.policy.planning import Plan
from proctor_gateway.rules.calls import CallState, Kind
from proctor_gateway.store.tables import calls
from proctor_gateway.store.tables import plans as table


def get(connection: sa.Connection, task: str) -> Plan | None:
    """The plan of the task, if there is one."""
    found = connection.execute(sa.select(table.c.plan).where(table.c.task == task)).scalar_one_or_none()
    return planning.load(found) if found is not None else None


def put(connection: sa.Connection, task: str, plan: Plan) -> None:
    """This is the plan, unless there is one: of two that were made at once the first holds."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).values(task=task, plan=planning.dump(plan))
    connection.execute(statement.on_conflict_do_nothing(index_elements=["task"]))


def made(
    connection: sa.Connection, task: str, attempt: int, connector: str, tool: str
) -> tuple[Mapping[str, Any], ...]:
    """The arguments of the calls of the tool that the attempt has made, in their order."""
    query = (
        sa.select(calls.c.arguments)
        .where(
            calls.c.task == task,
            calls.c.attempt == attempt,
            calls.c.kind == Kind.TOOL,
            calls.c.connector == connector,
            calls.c.name == tool,
            calls.c.state.not_in([CallState.DENIED, CallState.WAITING]),
        )
        .order_by(calls.c.sequence)
    )
    return tuple(each for each in connection.execute(query).scalars() if isinstance(each, Mapping))
