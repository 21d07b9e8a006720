"""How long a task is nobody's after its gateway has died: no longer than the lease says, with the lease as shipped."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proctor_gateway.cluster.port import Kind
from proctor_gateway.settings import Settings
from tests.gateway import objects
from tests.gateway.house import House, cluster_of_tests, house
from tests.gateway.odd_system import OddSystem
from tests.gateway.postgres import Server
from tests.gateway.serving import eventually, free_port, served
from tests.gateway.small_agent import SmallAgent
from tests.gateway.test_replicas import die

AS_SHIPPED = {name: Settings.model_fields[name].default for name in ("heartbeat", "takeover", "replay_patience")}
LONGEST = AS_SHIPPED["takeover"] + AS_SHIPPED["heartbeat"]
"""Somebody looks once a heartbeat for those who were silent for longer than the lease."""
_SLACK = 1.0
"""For what is not waiting: the look itself, and the way to a pod."""


@contextlib.asynccontextmanager
async def pair(directory: Path, postgres: Server) -> AsyncIterator[tuple[House, House]]:
    """Two gateways with the lease as shipped."""
    cluster, lease = cluster_of_tests(), {**AS_SHIPPED, "store": postgres.database(), "pod_port": free_port()}
    async with house(directory, cluster, instance="one", **lease) as one:
        one.declare(limits={"timeout": "120s"}, tools=[{"connector": "odd", "allow": ["works"]}])
        async with house(directory, cluster, instance="two", **lease) as two:
            two.spec, two.revision = one.spec, one.revision
            await two.settled()
            yield one, two


def test_the_lease_as_shipped_is_within_ten_seconds():
    """A heartbeat may be late by three before anything is taken from the living; a dead one's tasks wait for ten."""
    assert LONGEST + _SLACK <= 10
    assert AS_SHIPPED["takeover"] >= 3 * AS_SHIPPED["heartbeat"]


@pytest.mark.slow
async def test_a_dead_gateways_tasks_are_taken_over_within_the_lease(directory: Path, postgres: Server):
    """Three tasks run when it dies, one after an effect: the other gateway has begun all of them again in time."""
    async with OddSystem().serving() as system, pair(directory, postgres) as (one, two):
        one.connect("odd", "MCP", system.url)
        agent = SmallAgent(f"{one.agents_url},{two.agents_url}")
        async with served(agent.application(), "127.0.0.1", one.settings.pod_port):
            one.cluster.apply(Kind.POD, objects.pod("one", one.revision, "127.0.0.1"))
            await one.settled()
            steps = [[{"call": ["odd", "works", {}]}], [], []]
            posted = [await one.task(*each, {"sleep_at_first": 100}, {"answer": 1}) for each in steps]
            tasks = [each.json()["id"] for each in posted]
            await eventually(lambda: len(agent.invocations) == 3 and system.times("works") == 1)
            await one.settled_calls(tasks[0])
            died = time.monotonic()
            await die(one)
            await eventually(lambda: len(agent.invocations) == 6, LONGEST + _SLACK)
            took = time.monotonic() - died
            ended = [await two.ended(task) for task in tasks]
    assert AS_SHIPPED["takeover"] - AS_SHIPPED["heartbeat"] <= took <= LONGEST + _SLACK
    assert [(each["phase"], each["attempts"]) for each in ended] == [("Succeeded", 2)] * 3
    assert system.times("works") == 1
