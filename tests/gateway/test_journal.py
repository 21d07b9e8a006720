"""What an attempt that is begun again is told, and what it may do that the one before did not."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proctor.api.connector import Effect
from proctor_gateway.cluster import port
from proctor_gateway.rules.calls import CallState, Kind, Outcome
from proctor_gateway.rules.judgement import Allow
from proctor_gateway.rules.tasks import Ended, Phase
from proctor_gateway.rules.verdict import Again, Answered
from proctor_gateway.store import calls, lifecycle, owners, start
from proctor_gateway.store.database import Database
from proctor_gateway.store.migrate import migrate
from tests.gateway import objects
from tests.gateway.house import House
from tests.gateway.odd_system import HABITS, OddSystem
from tests.gateway.serving import eventually
from tests.gateway.test_store import LIMITS, LOST, T0, accepted, closing, dispatched, intent


async def begun(database: Database, task: Any, effect: Effect, *, patience: bool = False, **arguments: Any) -> Any:
    """The task's present attempt asks this."""
    wanted = start.Wanted(intent(task, effect, Kind.TOOL, **arguments), LIMITS, Allow(), None, patience, "one")

    def write(connection: Any) -> Any:
        owners.beat(connection, "one", T0)
        return start.begin(connection, wanted, T0)

    return await database.write(write)


async def settled(database: Database, task: Any, found: start.Begun, said: str) -> None:
    """It was answered."""
    outcome = Outcome(CallState.SUCCEEDED, result=said)
    body = json.dumps(said).encode()
    await database.write(lambda c: calls.settle(c, task.request.id, found.sequence, outcome, T0, body=body))


async def again(database: Database, task: Any) -> Any:
    """The attempt is lost, and the next begins."""
    assert await database.write(lambda c: lifecycle.close(c, closing(task, LOST))) == Again()
    return await dispatched(database, task)


async def test_calls_are_answered_again_in_any_order(database: Database):
    """By what they ask and how often before, not by their place."""
    task = await dispatched(database, await accepted(database))
    for number, name in enumerate(("a", "b", "a")):
        await settled(database, task, await begun(database, task, Effect.ONCE, name=name), f"{name}{number}")
    task = await again(database, task)
    told = [(await begun(database, task, Effect.ONCE, name=name)).body for name in ("b", "a", "a")]
    assert told == [b'"b1"', b'"a0"', b'"a2"']


async def test_a_new_call_waits_for_those_that_were_made(database: Database):
    """Calls that are made at the same time may come in another order; what was done goes first."""
    task = await dispatched(database, await accepted(database))
    await settled(database, task, await begun(database, task, Effect.ONCE, name="done"), "x")
    task = await again(database, task)
    assert await begun(database, task, Effect.READ, patience=True, name="new") == start.Held(1)
    assert isinstance(await begun(database, task, Effect.ONCE, name="done"), start.Repeated)
    assert isinstance(await begun(database, task, Effect.READ, patience=True, name="new"), start.Begun)


async def test_a_call_that_was_written_down_and_not_sent_is_no_effect(database: Database):
    """The commit's answer was lost, so the gateway did not send it: the next attempt may, also what is done once."""
    task = await dispatched(database, await accepted(database))
    found = await begun(database, task, Effect.ONCE, name="lost")
    sent = await begun(database, task, Effect.ONCE, name="lost")
    asked = intent(task, Effect.ONCE, Kind.TOOL, name="lost")
    known = {f"{task.request.id}.{sent.sequence}"}
    await database.write(lambda c: calls.disown(c, asked, "another", known, T0))
    states = [each.outcome.state for each in await database.read(lambda c: calls.list_calls(c, task.request.id))]
    assert states == [CallState.STARTED, CallState.STARTED]
    await database.write(lambda c: calls.disown(c, asked, "one", known, T0))
    await settled(database, task, sent, "x")
    task = await again(database, task)
    assert await begun(database, task, Effect.ONCE, name="lost") == start.Begun(
        found.sequence, found.occurrence, found.deadline, sent_at=T0
    )
    assert isinstance(await begun(database, task, Effect.ONCE, name="lost"), start.Repeated)


async def test_a_call_that_an_earlier_attempt_began_is_not_disowned(database: Database):
    """It may have been sent by that one."""
    task = await dispatched(database, await accepted(database))
    await begun(database, task, Effect.VERIFY, name="open")
    task = await again(database, task)
    assert (await begun(database, task, Effect.VERIFY, name="open")).is_open
    asked = intent(task, Effect.VERIFY, Kind.TOOL, name="open")
    await database.write(lambda c: calls.disown(c, asked, "one", set(), T0))
    (call,) = await database.read(lambda c: calls.list_calls(c, task.request.id))
    assert (call.outcome.state, call.may_have_changed_something) == (CallState.STARTED, True)


async def test_another_way_after_an_effect_is_barred(database: Database):
    """Nothing is sent; the message names what was done; the task is Indeterminate."""
    task = await dispatched(database, await accepted(database))
    await settled(database, task, await begun(database, task, Effect.ONCE, amount=50), "x")
    task = await again(database, task)
    barred = await begun(database, task, Effect.ONCE, amount=60)
    assert isinstance(barred, start.Barred)
    assert barred.fault.reason == "Diverged"
    assert "payments/refund again (call 0000-0001.1 of attempt 1)" in barred.fault.message
    ended = await database.write(lambda c: lifecycle.close(c, closing(task, Answered(1))))
    assert isinstance(ended.state, Ended)
    assert (ended.state.phase, ended.state.fault.reason) == (Phase.INDETERMINATE, "Diverged")


async def test_another_way_before_any_effect_begins_anew(database: Database):
    """What was read by the other way is forgotten, and not told any more."""
    task = await dispatched(database, await accepted(database))
    await settled(database, task, await begun(database, task, Effect.READ, name="old"), "stale")
    task = await again(database, task)
    assert isinstance(await begun(database, task, Effect.READ, name="new"), start.Begun)
    assert isinstance(await begun(database, task, Effect.READ, name="old"), start.Begun)


async def test_an_answer_that_leaves_an_effect_out_is_none(database: Database):
    """The agent speaks of another course of things than happened."""
    task = await dispatched(database, await accepted(database))
    await settled(database, task, await begun(database, task, Effect.IDEMPOTENT, amount=50), "x")
    task = await again(database, task)
    ended = await database.write(lambda c: lifecycle.close(c, closing(task, Answered(1))))
    assert (ended.state.phase, ended.state.fault.reason) == (Phase.INDETERMINATE, "Diverged")


CALLS = st.lists(st.tuples(st.sampled_from(list(Effect)), st.integers(0, 2)), min_size=1, max_size=6)


@given(wanted=CALLS, seed=st.integers(0, 2**32))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_effect_is_sent_twice_however_attempts_die(tmp_path_factory: Any, wanted: Any, seed: int):
    """Calls come in any order, some are answered before the attempt dies; those are sent once, all in all."""
    chance = random.Random(seed)  # noqa: S311 - a seed, so that a run can be repeated
    sent = Counter[tuple[Effect, int, int]]()
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('journal')}/store.db")
    async with database.running():
        await migrate(database)
        task = await dispatched(database, await accepted(database))
        for attempt in range(3):
            order, met = list(wanted), Counter[tuple[Effect, int]]()
            chance.shuffle(order)
            lives = chance.randrange(len(order) + 1) if attempt < 2 else len(order)
            for effect, number in order[:lives]:
                found = await begun(database, task, effect, patience=True, number=number, name=effect)
                while isinstance(found, start.Held):
                    # An agent whose calls run side by side asks the others meanwhile; here: what it has asked before.
                    found = await begun(database, task, effect, number=number, name=effect)
                place = met[effect, number]
                met[effect, number] += 1
                if isinstance(found, start.Begun):
                    sent[effect, number, place] += 1
                    await settled(database, task, found, "x")
            if attempt < 2:
                decision = await database.write(lambda c, task=task: lifecycle.close(c, closing(task, LOST)))
                if decision != Again():
                    return
                task = await dispatched(database, task)
    assert all(times == 1 for (effect, _, _), times in sent.items() if effect is not Effect.READ)


@pytest.fixture
async def system(gateway: House) -> AsyncIterator[OddSystem]:
    """A system whose tools are Reads and effects, beside the demo's model."""
    async with OddSystem().serving() as found:
        gateway.connect("odd", "MCP", found.url, tools=[{"name": "says_no", "effect": "Read"}])
        gateway.declare(tools=[{"connector": "odd", "allow": list(HABITS)}])
        await gateway.settled()
        yield found


async def moved(gateway: House, *steps: Any) -> tuple[dict[str, Any], list[Any]]:
    """The task whose pod vanished after these steps, and what its two attempts were told."""
    async with gateway.pod("one") as first:
        task = (await gateway.task(*steps, {"sleep_at_first": 60})).json()["id"]
        await eventually(lambda: first.working and len(first.told) == len(steps), 20)
        gateway.cluster.delete(port.Kind.POD, objects.NAMESPACE, "one")
        async with gateway.pod("two", "127.0.0.2"):
            return await gateway.ended(task), first.told


async def test_models_and_tools_are_not_asked_twice(gateway: House, system: OddSystem):
    """The second attempt is told the same, whole and as a stream; it costs nothing and counts nothing."""
    steps = (
        {"chat": {}},
        {"chat": {"stream": True}},
        {"call": ["odd", "says_no", {}]},
        {"call": ["odd", "works", {}]},
        {"call": ["odd", "not_there", {}]},
    )
    task, before = await moved(gateway, *steps)
    assert (task["phase"], task["attempts"]) == ("Succeeded", 2)
    assert task["output"] == before
    assert (task["usage"]["steps"], task["usage"]["toolCalls"]) == (2, 2)
    assert (system.times("says_no"), system.times("works")) == (1, 1)
