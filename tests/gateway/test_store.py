"""What the store keeps, on both engines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from proctor.api.agent import Limits
from proctor.api.connector import Effect
from proctor_gateway.rules.access import Identity
from proctor_gateway.rules.calls import CallState, Intent, Kind, Outcome
from proctor_gateway.rules.errors import StoreAway
from proctor_gateway.rules.judgement import Allow, Refuse
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Ended, Fault, Phase, Request, Running, Task, Waiting
from proctor_gateway.rules.verdict import Again, Answered, AttemptEnd, Lost, Stopped
from proctor_gateway.store import acceptance, calls, keys, lifecycle, migrations, owners, start, tasks
from proctor_gateway.store.cluster import (
    Object,
    Review,
    forget,
    load,
    load_review,
    load_revision,
    save,
    save_review,
    save_revision,
)
from proctor_gateway.store.database import Database
from proctor_gateway.store.migrate import NEWEST, is_current, migrate
from proctor_gateway.store.tables import metadata, outcomes
from proctor_gateway.tokens import SigningKey

T0 = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
LIMITS = Limits.model_validate({"timeout": "60s", "maxSteps": 3})
LOST = Lost(Fault(Reason.INTERRUPTED, "gone"))


def asked(number: int = 1, key: str | None = None, **changes: Any) -> acceptance.Acceptance:
    """Something to accept."""
    request = Request(
        id=f"0000-{number:04}",
        namespace="support",
        agent="refunds",
        principal="web",
        input={"a": [1.5, None, "ä\x00"]},
        created_at=T0,
        trace_id="a" * 32,
        parent_span="b" * 16,
        metadata={"order": "O-1"},
    )
    base = acceptance.Acceptance(
        request=request, revision="r1", body_digest="sha256:x", idempotency_key=key, owner="one", capacity=100
    )
    return replace(base, **changes)


async def accepted(database: Database, number: int = 1) -> Task:
    """A task that was accepted."""
    result = await database.write(lambda c: acceptance.accept(c, asked(number)))
    assert isinstance(result, acceptance.Accepted)
    return result.task


async def dispatched(database: Database, task: Task, owner: str = "one") -> Task:
    """The task in its next attempt."""
    found = await database.write(lambda c: lifecycle.dispatch(c, task, owner, "r1", timedelta(seconds=60), T0))
    assert found is not None
    return found


def closing(task: Task, end: AttemptEnd, *, patience: bool = False, **changes: Any) -> lifecycle.Closing:
    """The end of the task's attempt."""
    attempts = task.state.attempts if isinstance(task.state, Running) else 0
    base = lifecycle.Closing(
        task=task.request.id,
        owner="one",
        attempts=attempts,
        end=end,
        max_losses=3,
        until=T0 + timedelta(seconds=60),
        now=T0 + timedelta(seconds=5),
        patience=patience,
    )
    return replace(base, **changes)


def intent(task: Task, effect: Effect = Effect.ONCE, kind: Kind = Kind.TOOL, **arguments: Any) -> Intent:
    """A call of the task's present attempt."""
    assert isinstance(task.state, Running)
    return Intent(task.request.id, task.state.attempts, kind, "payments", "refund", effect, arguments)


def begin(call: Intent, denial: Fault | None = None) -> Callable[[sa.Connection], Any]:
    """Write the call down."""
    wanted = start.Wanted(call, LIMITS, Refuse(denial) if denial else Allow(), sender="one")

    def begun(connection: sa.Connection) -> Any:
        owners.beat(connection, "one", T0)
        return start.begin(connection, wanted, T0)

    return begun


async def test_the_tables_are_those_of_the_migrations(database: Database):
    """What the code knows and what the migrations make cannot differ."""

    def differences(connection: sa.Connection) -> Any:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return [each for each in compare_metadata(context, metadata) if "alembic_version" not in str(each)]

    assert await database.read(differences) == []
    assert await database.read(is_current)


def test_the_newest_revision_is_the_one_that_is_needed():
    """A migration that is added is applied: the code names the last of them."""
    script = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert script.get_current_head() == NEWEST


async def test_replicas_may_migrate_at_the_same_time(store: str):
    """One migrates, the others find it done."""
    found = [Database(store) for _ in range(3)]
    await asyncio.gather(*(migrate(each) for each in found))
    for each in found:
        async with each.running():
            assert await each.read(is_current)


async def test_a_task_is_given_back_as_it_was_taken_in(database: Database):
    """Input, times and money come back exactly."""
    task = await accepted(database)
    assert task.request == asked().request
    assert task.state == Waiting("r1")
    assert task.usage.cost == Decimal(0)
    begun = await dispatched(database, task)
    assert begun.state == Running("r1", 1, T0, T0 + timedelta(seconds=60))


async def test_the_capacity_is_a_bound(database: Database):
    """Beyond it nothing is written."""
    await accepted(database)
    result = await database.write(lambda c: acceptance.accept(c, asked(2, capacity=1)))
    assert result == acceptance.Full(1)
    assert await database.read(lambda c: tasks.get(c, "0000-0002")) is None


async def test_a_key_is_unique(database: Database):
    """The same key with the same body is the same task; with another body it is a conflict."""
    first = await database.write(lambda c: acceptance.accept(c, asked(1, "k")))
    same = await database.write(lambda c: acceptance.accept(c, asked(2, "k")))
    other = await database.write(lambda c: acceptance.accept(c, asked(3, "k", body_digest="sha256:y")))
    assert isinstance(first, acceptance.Accepted)
    assert same == acceptance.Known(first.task)
    assert other == acceptance.Conflict(first.task)


async def test_an_operation_that_fails_takes_back_itself_alone(database: Database):
    """Those that share its transaction are not touched."""

    def fails(connection: sa.Connection) -> None:
        acceptance.accept(connection, asked(50))
        raise ZeroDivisionError

    results = await asyncio.gather(
        *(accepted(database, number) for number in range(1, 10)), database.write(fails), return_exceptions=True
    )
    assert [type(each) for each in results] == [Task] * 9 + [ZeroDivisionError]
    assert await database.read(lambda c: tasks.open_tasks(c, "support", "refunds")) == 9


async def test_what_was_written_is_there_after_a_restart(store: str):
    """Durable means durable."""
    first = Database(store)
    async with first.running():
        await migrate(first)
        await accepted(first)
    second = Database(store)
    async with second.running():
        assert await second.read(lambda c: tasks.get(c, "0000-0001")) is not None


async def test_only_the_owner_goes_on(database: Database):
    """Who does not own a task, or is late, changes nothing."""
    task = await accepted(database)
    late = lifecycle.dispatch
    assert await database.write(lambda c: late(c, task, "two", "r1", timedelta(seconds=1), T0)) is None
    begun = await dispatched(database, task)
    assert await database.write(lambda c: late(c, task, "one", "r1", timedelta(seconds=1), T0)) is None
    with pytest.raises(lifecycle.NotOwner):
        await database.write(lambda c: lifecycle.close(c, closing(begun, Answered(1), owner="two")))
    ended = await database.write(lambda c: lifecycle.close(c, closing(begun, Answered(1))))
    assert isinstance(ended.state, Ended)
    with pytest.raises(lifecycle.NotOwner):
        await database.write(lambda c: lifecycle.close(c, closing(begun, Answered(2))))


async def test_an_end_is_one_row_for_those_who_judge(database: Database):
    """The outcome is written with the end, and outlives the task."""
    begun = await dispatched(database, await accepted(database))
    await database.write(lambda c: lifecycle.close(c, closing(begun, Answered(1))))
    assert await database.write(lambda c: lifecycle.purge(c, T0 + timedelta(days=1))) == 1
    row = (await database.read(lambda c: c.execute(sa.select(outcomes)).all()))[0]
    assert (row.task, row.phase, row.attempts, row.revision) == ("0000-0001", "Succeeded", 1, "r1")
    assert row.seconds == pytest.approx(5)
    assert await database.read(lambda c: tasks.get(c, "0000-0001")) is None


async def test_a_call_belongs_to_the_attempt_that_runs(database: Database):
    """No call is begun before an attempt, for another attempt, or after the fence is up."""
    task = await accepted(database)
    begun = await dispatched(database, task)
    await database.write(begin(intent(begun)))
    with pytest.raises(start.Revoked):
        await database.write(begin(replace(intent(begun), attempt=2)))
    again = await database.write(lambda c: lifecycle.close(c, closing(begun, LOST, patience=True)))
    assert again == lifecycle.Unsettled(1)
    with pytest.raises(start.Revoked):
        await database.write(begin(intent(begun)))


async def test_an_effect_under_way_is_waited_for_and_then_unknown(database: Database):
    """While there is patience the task stays open; then the call is Unknown and the task Indeterminate."""
    begun = await dispatched(database, await accepted(database))
    await database.write(begin(intent(begun, amount=1)))
    assert await database.write(lambda c: lifecycle.close(c, closing(begun, LOST, patience=True))) == (
        lifecycle.Unsettled(1)
    )
    ended = await database.write(lambda c: lifecycle.close(c, closing(begun, LOST)))
    assert ended.phase is Phase.INDETERMINATE
    (call,) = await database.read(lambda c: calls.list_calls(c, "0000-0001"))
    assert call.outcome.state is CallState.UNKNOWN
    late = Outcome(CallState.SUCCEEDED, result={"paid": True})
    await database.write(lambda c: calls.settle(c, "0000-0001", 1, late, T0 + timedelta(seconds=9)))
    (call,) = await database.read(lambda c: calls.list_calls(c, "0000-0001"))
    assert (call.outcome.state, call.outcome.result) == (CallState.SUCCEEDED, {"paid": True})
    again = await database.read(lambda c: tasks.get(c, "0000-0001"))
    assert again is not None
    assert again.phase is Phase.INDETERMINATE


async def test_a_lost_task_begins_again(database: Database):
    """Another attempt, the same deadline; losses are counted."""
    begun = await dispatched(database, await accepted(database))
    for attempt in (2, 3):
        assert await database.write(lambda c: lifecycle.close(c, closing(begun, LOST))) == Again()  # noqa: B023
        begun = await dispatched(database, begun)
        assert begun.state == Running("r1", attempt, T0, T0 + timedelta(seconds=60))
    ended = await database.write(lambda c: lifecycle.close(c, closing(begun, LOST)))
    assert ended.phase is Phase.FAILED


async def test_equal_calls_are_counted(database: Database):
    """Each equal call of an attempt is another occurrence, a denied one too: it may be allowed to a later attempt."""
    begun = await dispatched(database, await accepted(database))
    denial = Fault(Reason.POLICY_DENIED, "no")
    found = [
        await database.write(begin(intent(begun, amount=1))),
        await database.write(begin(intent(begun, amount=2))),
        await database.write(begin(intent(begun, amount=1), denial)),
        await database.write(begin(intent(begun, amount=1))),
    ]
    assert [each.occurrence if isinstance(each, start.Begun) else None for each in found] == [0, 0, None, 2]
    assert [call.sequence for call in await database.read(lambda c: calls.list_calls(c, "0000-0001"))] == [1, 2, 3, 4]


async def test_usage_adds_up(database: Database):
    """Tokens and money of every call, exactly; a cost that is not known makes the sum unknown."""
    begun = await dispatched(database, await accepted(database))
    for cost in ("0.1", "0.2"):
        entry = await database.write(begin(intent(begun, Effect.READ, Kind.MODEL)))
        outcome = Outcome(CallState.SUCCEEDED, billed=True, input_tokens=10, output_tokens=1, cost=Decimal(cost))
        await database.write(lambda c: calls.settle(c, "0000-0001", entry.sequence, outcome, T0))  # noqa: B023
    found = await database.read(lambda c: tasks.must_get(c, "0000-0001"))
    assert (found.usage.steps, found.usage.tokens, found.usage.cost) == (2, 22, Decimal("0.3"))
    entry = await database.write(begin(intent(begun, Effect.READ, Kind.MODEL)))
    await database.write(
        lambda c: calls.settle(c, "0000-0001", entry.sequence, Outcome(CallState.FAILED, billed=True), T0)
    )
    found = await database.read(lambda c: tasks.must_get(c, "0000-0001"))
    assert (found.usage.steps, found.usage.cost) == (3, None)
    barred = await database.write(begin(intent(begun, Effect.READ, Kind.MODEL)))
    assert barred == start.Barred(4, Fault(Reason.LIMIT_EXCEEDED, "3 of 3 steps (model calls) are used up"))


async def test_a_stop_reaches_the_owner(database: Database):
    """A task that runs is ended by its owner, and makes no further call."""
    begun = await dispatched(database, await accepted(database))
    fault = Fault(Reason.CANCELLED, "the caller cancelled the task")
    await database.write(lambda c: lifecycle.stop(c, "0000-0001", fault, T0))
    assert await database.read(lambda c: owners.stops(c, "one")) == [owners.Stop("0000-0001", Reason.CANCELLED)]
    barred = await database.write(begin(intent(begun)))
    assert isinstance(barred, start.Barred)
    ended = await database.write(lambda c: lifecycle.close(c, closing(begun, Stopped(fault))))
    assert ended.phase is Phase.CANCELLED
    assert await database.read(lambda c: owners.stops(c, "one")) == []


async def test_orphans_are_adopted_once(database: Database):
    """The tasks of a silent instance go to one other, and the fence goes up."""
    begun = await dispatched(database, await accepted(database))
    await database.write(lambda c: owners.beat(c, "one", T0))
    await database.write(lambda c: owners.beat(c, "two", T0))
    silent = timedelta(seconds=10)
    assert await database.write(lambda c: owners.adopt(c, "two", silent, T0)) == []
    await database.write(lambda c: owners.outlive(c, "two"))
    (taken,) = await database.write(lambda c: owners.adopt(c, "two", silent, T0))
    assert taken.request.id == "0000-0001"
    assert await database.write(lambda c: owners.adopt(c, "three", silent, T0)) == []
    with pytest.raises(start.Revoked):
        await database.write(begin(intent(begun)))


async def test_who_leaves_lets_go(database: Database):
    """After a graceful end nobody has to wait to be sure."""
    await accepted(database)
    await database.write(lambda c: owners.beat(c, "one", T0))
    await database.write(lambda c: owners.leave(c, "one"))
    (taken,) = await database.write(lambda c: owners.adopt(c, "two", timedelta(seconds=10), T0))
    assert taken.state == Waiting("r1")


async def test_keys_are_shared_and_renewed(database: Database):
    """Every replica signs with the newest key and accepts the one before, until no token of it can be left."""
    first, second, third = (SigningKey.generate() for _ in range(3))
    found, newest = await database.write(lambda c: keys.ensure(c, first, T0))
    assert (set(found), newest) == ({first.id}, first.id)
    found, newest = await database.write(lambda c: keys.ensure(c, second, T0 + timedelta(days=1)))
    assert (set(found), newest) == ({first.id}, first.id)
    found, newest = await database.write(lambda c: keys.ensure(c, second, T0 + timedelta(days=31)))
    assert (set(found), newest) == ({first.id, second.id}, second.id)
    found, newest = await database.write(lambda c: keys.ensure(c, third, T0 + timedelta(days=40)))
    assert (set(found), newest) == ({second.id}, second.id)


async def test_the_last_known_state_is_kept(database: Database):
    """Objects, revisions and answers about tokens."""
    await database.write(lambda c: save(c, [Object("Agent", "s", "a", {"v": 1}), Object("Pod", "s", "p", {})], ()))
    await database.write(lambda c: save(c, [Object("Agent", "s", "a", {"v": 2})], [("Pod", "s", "p")]))
    assert await database.read(load) == [Object("Agent", "s", "a", {"v": 2})]
    await database.write(lambda c: forget(c, "Agent"))
    assert await database.read(load) == []
    for _ in range(2):
        await database.write(lambda c: save_revision(c, "s", "a", "r1", {"spec": 1}))
    assert await database.read(lambda c: load_revision(c, "s", "a", "r1")) == {"spec": 1}
    assert await database.read(lambda c: load_revision(c, "s", "a", "r2")) is None
    review = Review("hash", Identity("web", frozenset({"g"})), for_gateway=True, reviewed_at=T0, usable_until=T0)
    await database.write(lambda c: save_review(c, review))
    assert await database.read(lambda c: load_review(c, "hash")) == review


async def test_a_database_that_is_away_is_said_to_be():
    """No answer from the database is one exception, whatever the driver calls it."""
    found = Database("postgresql://proctor@127.0.0.1:9/none")
    async with found.running():
        with pytest.raises(StoreAway):
            await found.write(lambda c: c.execute(sa.text("select 1")))
        with pytest.raises(StoreAway):
            await found.read(lambda c: c.execute(sa.text("select 1")))


async def test_other_databases_are_refused():
    """What is neither SQLite nor PostgreSQL is a setting that is wrong."""
    with pytest.raises(ValueError, match="sqlite"):
        Database("mysql://localhost/x")
