"""What is known of the cluster, and how it is kept in step."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from proctor_gateway.cluster.known import Key, Known, worth_keeping
from proctor_gateway.cluster.port import Kind
from proctor_gateway.cluster.watch import Backoff, Watcher
from tests.gateway import objects
from tests.gateway.memory import MemoryCluster
from tests.gateway.serving import eventually

AGENT = objects.agent(objects.agent_spec(), "r1")
SUSPENDED = objects.agent(objects.agent_spec(suspend=True), "r1")


@contextlib.asynccontextmanager
async def followed(cluster: MemoryCluster, kind: Kind = Kind.AGENT) -> AsyncIterator[tuple[Known, list[int]]]:
    """What is known while the kind is followed, and what the gauge said."""
    known, gauge = Known(), []
    watcher = Watcher(cluster, known, kind, 0.5, lambda _, up: gauge.append(up))
    following = asyncio.create_task(watcher.follow())
    await asyncio.wait_for(watcher.synced.wait(), 5) if not cluster.away else await asyncio.sleep(0.1)
    try:
        yield known, gauge
    finally:
        following.cancel()


def suspended(known: Known) -> bool:
    """Whether the agent is known to be suspended."""
    agent = known.agent("support", "refunds")
    return agent is not None and agent.spec.suspend


async def test_what_is_there_is_known_and_what_changes_is_heard():
    """A list, then a watch."""
    cluster = MemoryCluster()
    cluster.apply(Kind.AGENT, AGENT)
    async with followed(cluster) as (known, _):
        assert known.agent("support", "refunds") is not None
        cluster.apply(Kind.AGENT, SUSPENDED)
        await eventually(lambda: suspended(known))
        cluster.delete(Kind.AGENT, "support", "refunds")
        await eventually(lambda: known.agent("support", "refunds") is None)


async def test_a_watch_goes_on_where_it_was():
    """A watch that ends in time is renewed from its last version, without a list."""
    cluster = MemoryCluster()
    cluster.apply(Kind.AGENT, AGENT)
    async with followed(cluster) as (known, _):
        await asyncio.sleep(1.5)
        cluster.apply(Kind.AGENT, SUSPENDED)
        await eventually(lambda: suspended(known))
    assert [asked for asked in cluster.asked if asked[0] == "list"] == [("list", "Agent")]
    assert len([asked for asked in cluster.asked if asked[0] == "watch"]) >= 3


async def test_a_bookmark_moves_the_version():
    """After changes of other kinds alone, a watch does not fall behind what the server remembers."""
    cluster = MemoryCluster()
    cluster.apply(Kind.AGENT, AGENT)
    async with followed(cluster) as (known, _):
        cluster.apply(Kind.POD, objects.pod("one", "r1", "10.0.0.1"))
        await asyncio.sleep(0.8)
        cluster.forget_history()
        cluster.apply(Kind.AGENT, SUSPENDED)
        await eventually(lambda: suspended(known))


async def test_what_is_too_old_is_listed_again():
    """410: what was missed is found by a list, also what is not there any more."""
    cluster = MemoryCluster()
    cluster.apply(Kind.AGENT, AGENT)
    async with followed(cluster) as (known, _):
        cluster.go_away()
        await asyncio.sleep(0.1)
        cluster.delete(Kind.AGENT, "support", "refunds")
        cluster.forget_history()
        cluster.away = False
        await eventually(lambda: known.agent("support", "refunds") is None)


async def test_nothing_is_forgotten_while_the_server_is_away():
    """The last known state stays, the gauge says so, and it goes on by itself."""
    cluster = MemoryCluster()
    cluster.apply(Kind.AGENT, AGENT)
    async with followed(cluster) as (known, gauge):
        cluster.go_away()
        await eventually(lambda: gauge[-1] == 0)
        assert known.agent("support", "refunds") is not None
        cluster.apply(Kind.AGENT, SUSPENDED)
        cluster.away = False
        await eventually(lambda: suspended(known))
        assert gauge[-1] == 1


async def test_a_body_that_cannot_be_read_is_not_served():
    """To act on half a spec is worse than not to act; the others are served on."""
    cluster = MemoryCluster()
    cluster.apply(Kind.AGENT, AGENT)
    cluster.apply(Kind.AGENT, {**AGENT, "metadata": {**AGENT["metadata"], "name": "other"}})
    async with followed(cluster) as (known, _):
        cluster.apply(Kind.AGENT, {**AGENT, "spec": {**AGENT["spec"], "fromTheFuture": True}})
        await eventually(lambda: known.agent("support", "refunds") is None)
        assert known.agent("support", "other") is not None


async def test_pods_are_found_by_agent_and_revision():
    """A pod that was relabelled or replaced is found where it is now."""
    known = Known()
    known.put(Kind.POD, objects.pod("one", "r1", "10.0.0.1"))
    known.put(Kind.POD, objects.pod("two", "r2", "10.0.0.2"))
    assert [pod.name for pod in known.pods("support", "refunds", "r1")] == ["one"]
    known.put(Kind.POD, objects.pod("one", "r2", "10.0.0.1"))
    assert sorted(pod.name for pod in known.pods("support", "refunds", "r2")) == ["one", "two"]
    known.remove(Kind.POD, Key("support", "one"))
    assert [pod.name for pod in known.pods("support", "refunds", "r2")] == ["two"]
    assert {kind: count for kind, count in known.counts().items() if count} == {Kind.POD: 1}


def test_what_is_kept_is_what_a_restart_needs():
    """No managed fields and no annotations, and of a pod only what dispatch reads."""
    pod = objects.pod("one", "r1", "10.0.0.1", annotations={"a": "b"}, managedFields=[{}])
    kept = worth_keeping(Kind.POD, {**pod, "spec": {"containers": []}})
    assert set(kept) == {"metadata", "status"}
    assert set(kept["metadata"]) == {"namespace", "name", "uid", "labels"}
    agent = worth_keeping(Kind.AGENT, AGENT)
    assert agent["spec"] == AGENT["spec"]


def test_pauses_grow_and_are_bounded():
    """Half a second, doubled each time, never more than half a minute, never less than half of it."""
    backoff = Backoff()
    assert [backoff.next(1) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert backoff.next(0) == pytest.approx(15)
    backoff.reset()
    assert backoff.next(1) == 0.5
