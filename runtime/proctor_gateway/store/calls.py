"""Calls in the store: written before anything is sent, settled when the answer is there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa

from proctor_gateway import budgets, recording
from proctor_gateway.budgets import NOTHING_RESERVED, Reserved
from proctor_gateway.calls import Call, CallState, Outcome
from proctor_gateway.reasons import Reason
from proctor_gateway.store import hot, journal
from proctor_gateway.store.rows import plain, to_call
from proctor_gateway.store.tables import calls, tasks
from proctor_gateway.tasks import Phase

# The statements of the hot path are built once: to build one costs more than to run it.
TASK: Final = (
    sa.select(
        tasks.c.phase,
        tasks.c.attempts,
        tasks.c.live,
        tasks.c.stop,
        tasks.c.deadline,
        tasks.c.sequence,
        tasks.c.steps,
        tasks.c.tool_calls,
        tasks.c.input_tokens,
        tasks.c.output_tokens,
        tasks.c.cost,
        tasks.c.counted_cost,
        tasks.c.counted_tokens,
    )
    .where(tasks.c.id == sa.bindparam("task"))
    .with_for_update()
)
"""The row of a task as far as its calls need it, locked."""

_SETTLE: Final = (
    sa.update(calls)
    .where(
        calls.c.task == sa.bindparam("of_task"),
        calls.c.sequence == sa.bindparam("of_sequence"),
        calls.c.state.in_((CallState.STARTED, CallState.UNKNOWN)),
    )
    .values(
        {
            column: sa.bindparam(f"new_{column.name}", type_=column.type)
            for column in (
                calls.c.state,
                calls.c.touched,
                calls.c.answered,
                calls.c.result,
                calls.c.reason,
                calls.c.message,
                calls.c.input_tokens,
                calls.c.output_tokens,
                calls.c.cost,
                calls.c.finished_at,
            )
        }
    )
)
_CHARGE: Final = (
    sa.update(tasks)
    .where(tasks.c.id == sa.bindparam("of_task"))
    .values(
        input_tokens=tasks.c.input_tokens + sa.bindparam("more_input"),
        output_tokens=tasks.c.output_tokens + sa.bindparam("more_output"),
        cost=sa.bindparam("new_cost", type_=tasks.c.cost.type),
        counted_cost=sa.bindparam("new_counted_cost", type_=tasks.c.counted_cost.type),
        counted_tokens=tasks.c.counted_tokens + sa.bindparam("more_counted"),
    )
)


def is_running(row: Any, attempt: int) -> bool:
    """Whether this is the attempt that runs now. A token of any other opens nothing."""
    return bool(row.phase == Phase.RUNNING and row.attempts == attempt and row.live)


def settle(
    connection: sa.Connection,
    task: str,
    sequence: int,
    outcome: Outcome,
    now: datetime,
    reserved: Reserved = NOTHING_RESERVED,
    body: bytes | None = None,
) -> None:
    """Write down what became of a call, and the whole answer, for an attempt that asks it again.

    A late answer still replaces Unknown: the truth is worth more than order.
    """
    fault = outcome.fault
    settled = hot.execute(
        connection,
        _SETTLE,
        {
            "of_task": task,
            "of_sequence": sequence,
            "new_state": outcome.state,
            "new_touched": outcome.touched,
            "new_answered": _is_answer(outcome),
            "new_result": outcome.result,
            "new_reason": fault.reason if fault else None,
            "new_message": plain(fault.message) if fault else None,
            "new_input_tokens": outcome.input_tokens,
            "new_output_tokens": outcome.output_tokens,
            "new_cost": outcome.cost,
            "new_finished_at": now,
        },
    )
    if not settled.rowcount:
        return
    if body is not None and _is_answer(outcome):
        journal.keep(connection, task, sequence, body)
    if outcome.billed or outcome.input_tokens or outcome.output_tokens or reserved.accounts:
        _charge(connection, task, outcome, budgets.settle(connection, reserved, outcome))
    recording.settled(connection, task, sequence, outcome)


def _is_answer(outcome: Outcome) -> bool:
    """Whether the agent was told something that it could go on from. Nobody was told what was broken off."""
    broken_off = outcome.fault is not None and outcome.fault.reason is Reason.INTERRUPTED
    return outcome.state in {CallState.SUCCEEDED, CallState.FAILED} and not broken_off


def _charge(connection: sa.Connection, task: str, outcome: Outcome, counted: tuple[Decimal, int]) -> None:
    row = hot.execute(connection, TASK, {"task": task}).one_or_none()
    if row is None:
        return
    unknown = outcome.billed and outcome.cost is None
    cost = None if row.cost is None or unknown else row.cost + (outcome.cost or Decimal(0))
    hot.execute(
        connection,
        _CHARGE,
        {
            "of_task": task,
            "more_input": outcome.input_tokens or 0,
            "more_output": outcome.output_tokens or 0,
            "new_cost": cost,
            "new_counted_cost": row.counted_cost + counted[0],
            "more_counted": counted[1],
        },
    )


def list_calls(connection: sa.Connection, task: str) -> Sequence[Call]:
    """The calls of all attempts, in the order in which they were begun."""
    query = sa.select(calls).where(calls.c.task == task).order_by(calls.c.sequence)
    return [to_call(row) for row in connection.execute(query)]


def under_way(connection: sa.Connection, task: str, alive: sa.Select[tuple[str]] | None = None) -> int:
    """How many calls that may change something have been begun and not settled, by a gateway that lives."""
    query = sa.select(sa.func.count()).where(
        calls.c.task == task, calls.c.state == CallState.STARTED, calls.c.effect != "Read"
    )
    if alive is not None:
        query = query.where(calls.c.sender.in_(alive))
    return int(connection.execute(query).scalar_one())
