"""Several gateways on one PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa

from proctor_gateway.cluster.port import Kind
from proctor_gateway.state.keyring import Keyring
from proctor_gateway.store import keys
from proctor_gateway.store.database import Database
from proctor_gateway.store.tables import tasks
from proctor_gateway.tokens import Claims, SigningKey, Tokens, UnknownKey
from tests.gateway import objects
from tests.gateway.house import House, cluster_of_tests, house
from tests.gateway.odd_system import OddSystem
from tests.gateway.postgres import Server
from tests.gateway.serving import eventually, free_port, served
from tests.gateway.small_agent import SmallAgent
from tests.gateway.still_clock import StillClock


@contextlib.asynccontextmanager
async def pair(directory: Path, postgres: Server) -> AsyncIterator[tuple[House, House]]:
    """Two gateways with one cluster and one store."""
    cluster, store, pod_port = cluster_of_tests(), postgres.database(), free_port()
    async with house(directory, cluster, instance="one", store=store, pod_port=pod_port) as one:
        one.declare()
        async with house(directory, cluster, instance="two", store=store, pod_port=pod_port) as two:
            two.spec, two.revision = one.spec, one.revision
            await asyncio.sleep(0.3)
            yield one, two


async def die(gateway: House) -> None:
    """End the gateway as a crash does: nothing is let go of, nothing is said."""
    gateway.serving.cancel()
    await asyncio.gather(gateway.serving, return_exceptions=True)
    gateway.serving = asyncio.create_task(asyncio.sleep(0))


@contextlib.asynccontextmanager
async def pod_of(one: House, calls: House) -> AsyncIterator[SmallAgent]:
    """A pod of both, whose calls go to one of them."""
    agent = SmallAgent(calls.agents_url)
    async with served(agent.application(), "127.0.0.1", one.settings.pod_port):
        one.cluster.apply(Kind.POD, objects.pod("one", one.revision, "127.0.0.1"))
        await asyncio.sleep(0.2)
        yield agent


async def test_any_replica_answers_for_any_task(directory: Path, postgres: Server):
    """A task that one drives is seen, waited for and cancelled at the other; keys are the other's, too."""
    async with pair(directory, postgres) as (one, two), pod_of(one, two) as agent:
        key = {"idempotency-key": "k"}
        task = (await one.task({"sleep": 1}, {"answer": 1}, headers=key)).json()["id"]
        assert (await two.task({"sleep": 1}, {"answer": 1}, headers=key)).json()["id"] == task
        waited = await two.caller.get(f"{two.base}/tasks/{task}", params={"wait": "20"})
        assert (waited.json()["phase"], waited.json()["output"]) == ("Succeeded", 1)
        running = await one.held(agent, {"sleep": 60})
        await two.caller.post(f"{two.base}/tasks/{running}/cancel")
        assert (await one.ended(running))["phase"] == "Cancelled"
        await eventually(lambda: agent.cancelled == 1)


async def test_calls_may_go_to_another_replica(directory: Path, postgres: Server):
    """The token of one is accepted by the other, which counts against the same limits."""
    async with OddSystem().serving() as system, pair(directory, postgres) as (one, two), pod_of(one, two) as agent:
        one.connect("odd", "MCP", system.url)
        one.declare(tools=[{"connector": "odd", "allow": ["works", "hangs"]}])
        one.cluster.apply(Kind.POD, objects.pod("one", one.revision, "127.0.0.1"))
        await asyncio.sleep(0.3)
        task = await one.done({"call": ["odd", "works", {}]}, {"answer": 1})
        assert (task["phase"], task["usage"]["toolCalls"]) == ("Succeeded", 1)
        async with httpx2.AsyncClient(
            base_url=one.agents_url,
            headers=agent.bearer,
            trust_env=False,
            verify=False,
        ) as http:
            assert (await agent.call(http, "odd", "works", {}))["status"] == 401


async def test_a_key_that_another_replica_made_is_looked_up(database: Database):
    """A token is accepted although its key is newer than this process; a made-up key is asked for rarely."""
    clock = StillClock()
    old = SigningKey.generate()
    rings = []
    for _ in range(2):
        found = await database.write(lambda c: keys.ensure(c, old, clock.now()))
        rings.append(Keyring(database, clock, Tokens(*found)))
    clock.time += timedelta(days=31)
    await rings[0].renew(clock.now())
    token = rings[0].mint(Claims("t", 1, "s", "a", "r", clock.now() + timedelta(minutes=1)))
    assert (await rings[1].read(token)).task == "t"
    made_up = SigningKey.generate()
    forged = Tokens({made_up.id: made_up}, made_up.id).mint(Claims("t", 1, "s", "a", "r", clock.now()), clock.now())
    with pytest.raises(UnknownKey):
        await rings[1].read(forged)


async def test_a_dead_replicas_tasks_are_taken_over(directory: Path, postgres: Server):
    """The other one notices the silence, and goes on with what it finds."""
    async with OddSystem(hang_seconds=60).serving() as system, pair(directory, postgres) as (one, two):
        one.connect("odd", "MCP", system.url, limits={"timeout": "60s"})
        one.declare(tools=[{"connector": "odd", "allow": ["works", "hangs"]}], limits={"timeout": "60s"})
        async with pod_of(one, one) as agent:
            agent.gateway = f"{one.agents_url},{two.agents_url}"
            plain = (await one.task({"sleep_at_first": 60}, {"answer": 1})).json()["id"]
            paid = (await one.task({"call": ["odd", "works", {}]}, {"sleep_at_first": 60})).json()["id"]
            open_ = (await one.task({"call": ["odd", "hangs", {}]})).json()["id"]
            await eventually(lambda: len(system.calls) == 2)
            await eventually(lambda: len(agent.invocations) == 3)
            await one.settled_calls(paid)
            await die(one)
            ended = {task: await two.ended(task) for task in (plain, paid, open_)}
    assert [ended[task]["phase"] for task in (plain, paid, open_)] == ["Succeeded", "Succeeded", "Indeterminate"]
    assert (system.times("works"), system.times("hangs")) == (1, 1)


async def test_a_replica_that_lives_keeps_its_tasks(directory: Path, postgres: Server):
    """Nobody takes what is not orphaned."""
    async with pair(directory, postgres) as (one, two), pod_of(one, one) as agent:
        task = (await one.task({"sleep": 4}, {"answer": 1})).json()["id"]
        ended = await two.ended(task)
        assert (ended["phase"], ended["attempts"], len(agent.invocations)) == ("Succeeded", 1, 1)


async def test_who_waits_hears_of_an_end_at_the_other(directory: Path, postgres: Server):
    """A call that waits for a task returns soon after its end, also if another gateway took the task meanwhile."""
    async with pair(directory, postgres) as (one, two), pod_of(one, two) as agent:
        two.live(runtime={"concurrency": 1})
        await asyncio.sleep(0.2)
        await two.held(agent, {"sleep": 2})
        waiting = asyncio.create_task(two.done({"sleep": 4}, {"answer": 1}))
        store = Database(one.settings.store.get_secret_value())
        async with store.running():
            # As when this one was silent for longer than its lease, which it does not know.
            theirs = sa.update(tasks).where(tasks.c.phase == "Queued").values(owner="one")
            await eventually(lambda: store.write(lambda c: c.execute(theirs).rowcount))
        assert (await asyncio.wait_for(waiting, 20))["output"] == 1


@pytest.mark.parametrize("orderly", [True, False], ids=["shut down", "killed"])
async def test_what_waits_goes_to_the_other(directory: Path, postgres: Server, orderly: bool):
    """A task that was accepted and not begun is done by whoever is left."""
    async with pair(directory, postgres) as (one, two), pod_of(one, two):
        one.live(runtime={"concurrency": 1})
        await asyncio.sleep(0.2)
        first = (await one.task({"sleep_at_first": 60}, {"answer": 1})).json()["id"]
        await one.in_phase(first, "Running")
        second = (await one.task({"answer": 2})).json()["id"]
        if orderly:
            one.stop.set()
            await one.serving
        else:
            await die(one)
        assert (await two.ended(second))["output"] == 2
        assert (await two.ended(first))["output"] == 1
