"""Calls in the store: written before anything is sent, settled when the answer is there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa

from proctor_gateway.rules.calls import Call, CallState, Intent, Outcome
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Fault, Phase
from proctor_gateway.store import budgets, hot, recording, sheets
from proctor_gateway.store.budgets import NOTHING_RESERVED, Reserved
from proctor_gateway.store.operations import Brief, Operation
from proctor_gateway.store.rows import call_id, plain, to_call
from proctor_gateway.store.sheets import Sheet
from proctor_gateway.store.tables import calls

# The statement is built once: to build it costs more than to run it. Whose call it is it gives back: for the record.
_SETTLE: Final = (
    sa.update(calls)
    .where(
        calls.c.task == sa.bindparam("of_task"),
        calls.c.sequence == sa.bindparam("of_sequence"),
        calls.c.state.in_([sa.literal_column(f"'{each}'") for each in (CallState.STARTED, CallState.UNKNOWN)]),
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
    .returning(calls.c.attempt, calls.c.kind, calls.c.connector, calls.c.name, calls.c.effect, calls.c.started_at)
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
    with sheets.opened(connection) as sheet:
        settled = _settled(connection, task, sequence, outcome, now)
        if settled is None:
            return
        if body is not None and _is_answer(outcome):
            sheet.keep(task, sequence, body)
        if outcome.billed or outcome.input_tokens or outcome.output_tokens or reserved.accounts:
            _charge(sheet, task, outcome, budgets.settle(connection, reserved, outcome))
        recording.settled(connection, task, sequence, outcome, settled)


def settling(
    task: str,
    sequence: int,
    outcome: Outcome,
    now: datetime,
    reserved: Reserved,
    body: bytes | None = None,
    also: Operation[None] | None = None,
) -> Brief[None]:
    """`settle`, and what else is written with it, as an operation that shares a transaction with others of its kind."""

    def settled(connection: sa.Connection) -> None:
        settle(connection, task, sequence, outcome, now, reserved, body)
        if also is not None:
            also(connection)

    return Brief(settled)


def _settled(connection: sa.Connection, task: str, sequence: int, outcome: Outcome, now: datetime) -> Any | None:
    """Whose call it was; None if it was settled before."""
    fault = outcome.fault
    return hot.execute(
        connection,
        _SETTLE,
        {
            "of_task": task,
            "of_sequence": sequence,
            "new_state": outcome.state.value,
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
    ).one_or_none()


def disown(connection: sa.Connection, intent: Intent, sender: str, sent: Collection[str], now: datetime) -> None:
    """Say of the sender's calls that are equal to this one, begun by this attempt and not sent, that they failed.

    They are asked again by the next attempt. What was reserved for them stays reserved until the task ends.
    """
    found = connection.execute(
        sa.select(calls.c.sequence).where(
            calls.c.task == intent.task,
            calls.c.digest == intent.content,
            # What an earlier attempt began may have been sent by it.
            calls.c.attempt == intent.attempt,
            calls.c.sender == sender,
            calls.c.state == CallState.STARTED,
        )
    )
    fault = Fault(Reason.INTERRUPTED, "it was not sent: the store was away")
    for sequence in found.scalars().all():
        if call_id(intent.task, sequence) not in sent:
            settle(connection, intent.task, sequence, Outcome(CallState.FAILED, touched=False, fault=fault), now)


def _is_answer(outcome: Outcome) -> bool:
    """Whether the agent was told something that it could go on from. Nobody was told what was broken off."""
    broken_off = outcome.fault is not None and outcome.fault.reason is Reason.INTERRUPTED
    return outcome.state in {CallState.SUCCEEDED, CallState.FAILED} and not broken_off


def _charge(sheet: Sheet, task: str, outcome: Outcome, counted: tuple[Decimal, int]) -> None:
    row = sheet.task(task)
    if row is None:
        return
    unknown = outcome.billed and outcome.cost is None
    row.cost = None if row.cost is None or unknown else row.cost + (outcome.cost or Decimal(0))
    row.input_tokens += outcome.input_tokens or 0
    row.output_tokens += outcome.output_tokens or 0
    row.counted_cost += counted[0]
    row.counted_tokens += counted[1]
    sheet.changed(task, row)


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
