"""Calls that share a transaction: each is as if it were alone, and what fails takes back itself alone."""

from __future__ import annotations

import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from proctor.api.connector import Effect
from proctor_gateway.record.pending import Nobody
from proctor_gateway.rules.calls import CallState, Intent, Kind, Outcome
from proctor_gateway.rules.judgement import Allow
from proctor_gateway.rules.tasks import Task
from proctor_gateway.rules.worst_case import Ask
from proctor_gateway.store import accounts, calls, start
from proctor_gateway.store.budgets import Bill
from proctor_gateway.store.database import Database
from proctor_gateway.store.engines import engine_for
from proctor_gateway.store.operations import Brief, Operation, Result
from tests.gateway.purse import LIMITS, PRICE, REFUNDS, T0, Payer, budget, used
from tests.gateway.serving import eventually

CALL = Ask(100, 10, None, price=PRICE)
DAY = budget(cost="1")
"""Five such calls fit into it at once."""


@pytest.fixture
async def task(database: Database) -> Task:
    """A task that runs."""
    return await Payer(database, [DAY]).task()


async def together(store: str, *operations: Operation[Any]) -> list[Result]:
    """What becomes of them in one transaction."""
    engine = engine_for(sa.make_url(store), Nobody())
    async with engine.running():
        return await engine.transact(operations, ("all",))


def asking(task: Task, *, attempt: int = 1, **arguments: Any) -> Brief[Any]:
    """A question of the task to a model."""
    intent = Intent(task.request.id, attempt, Kind.MODEL, "llm", "m", Effect.READ, arguments)
    return start.beginning(start.Wanted(intent, LIMITS, Allow(), Bill(REFUNDS, CALL, (DAY,))), T0)


def failing(task: Task) -> Brief[Any]:
    """A call that is written on the sheet, and then fails as nobody expects."""
    begin = asking(task, fails=True)

    def operation(connection: sa.Connection) -> None:
        begin(connection)
        raise RuntimeError("a bug")

    return Brief(operation)


async def sequences(database: Database, task: Task) -> list[tuple[int, int, CallState]]:
    """The calls that are written down: sequence, place among equal ones, state."""
    found = await database.read(lambda c: calls.list_calls(c, task.request.id))
    return [(each.sequence, each.occurrence, each.outcome.state) for each in found]


async def spent(database: Database) -> tuple[Decimal, Decimal]:
    """Of the day's budget: spent, and held."""
    key = DAY.account(T0).key
    balance = (await database.read(lambda c: accounts.balances(c, [key])))[key]
    return balance.spent_cost, balance.held_cost


async def test_each_sees_what_the_one_before_it_did(database: Database, store: str, task: Task):
    """Equal calls have their places in order, and no more are granted than fit into the budget."""
    found = await together(store, *(asking(task, n=1) for _ in range(6)))
    kinds = [type(each.value) for each in found]
    assert kinds == [start.Begun] * 5 + [start.Barred]
    states = [CallState.STARTED] * 5 + [CallState.DENIED]
    assert await sequences(database, task) == [(n + 1, n, state) for n, state in enumerate(states)]
    assert await spent(database) == (0, 1)


async def test_what_is_settled_together_is_settled_once_each(database: Database, store: str, task: Task):
    """Two that were under way, and one of them told twice."""
    begun = [each.value for each in await together(store, asking(task, n=1), asking(task, n=2))]
    name = task.request.id
    ends = [calls.settling(name, each.sequence, used(50, 3), T0, each.reserved, b"{}") for each in (*begun, begun[0])]
    assert [each.error for each in await together(store, *ends)] == [None] * 3
    assert await spent(database) == (Decimal("0.16"), 0)
    assert {state for *_, state in await sequences(database, task)} == {CallState.SUCCEEDED}


async def test_a_revoked_token_takes_nothing_back(database: Database, store: str, task: Task):
    """The others of its transaction do not hear of it."""
    found = await together(store, asking(task, n=1), asking(task, attempt=2), asking(task, n=2))
    assert isinstance(found[1].error, start.Revoked)
    assert [each[0] for each in await sequences(database, task)] == [1, 2]
    assert await spent(database) == (0, Decimal("0.4"))


async def test_a_bug_takes_back_itself_alone(database: Database, store: str, task: Task):
    """All are run again, each for itself: one fails, and nothing of it stays."""
    found = await together(store, asking(task, n=1), failing(task), asking(task, n=2))
    assert [type(each.error) for each in found] == [type(None), RuntimeError, type(None)]
    assert [each[0] for each in await sequences(database, task)] == [1, 2]
    assert await spent(database) == (0, Decimal("0.4"))


async def test_others_read_what_was_written_before_them(database: Database, store: str, task: Task):
    """An operation of another kind comes between: it finds the first call, and is seen by the second."""

    def stop(connection: sa.Connection) -> int:
        connection.execute(sa.text("UPDATE tasks SET stop = 'Interrupted'"))
        return len(calls.list_calls(connection, task.request.id))

    found = await together(store, asking(task, n=1), stop, asking(task, n=2))
    assert found[1].value == 1
    assert isinstance(found[2].value, start.Barred)


async def test_a_late_answer_is_kept_in_place_of_none(database: Database, store: str, task: Task):
    """The outcome was unknown, and its answer came after all."""
    begun = (await together(store, asking(task)))[0].value
    name, unknown = task.request.id, Outcome(CallState.UNKNOWN, billed=True)
    for outcome, body in ((unknown, None), (used(50, 3), b"late")):
        await together(store, calls.settling(name, begun.sequence, outcome, T0, begun.reserved, body))
    assert [state for *_, state in await sequences(database, task)] == [CallState.SUCCEEDED]


async def test_a_slow_disk_holds_up_nobody_else(directory: Path):
    """A commit that takes long is waited for in a thread; a quick one is not worth the way there."""
    seconds, where = 0.01, list[threading.Thread]()

    def on_commit(_connection: sa.Connection) -> None:
        where.append(threading.current_thread())
        time.sleep(seconds)

    async def is_quick() -> bool:
        await database.write(Brief(lambda c: c.execute(sa.select(1)).scalar_one()))
        return where[-1] is threading.current_thread()

    sa.event.listen(sa.Engine, "commit", on_commit)
    try:
        database = Database(f"sqlite:///{directory}/disk.db")
        async with database.running():
            assert [await is_quick() for _ in range(3)] == [False] * 3
            seconds = 0
            await eventually(is_quick)
            seconds = 0.01
            await is_quick()
            assert not await is_quick()
    finally:
        sa.event.remove(sa.Engine, "commit", on_commit)
