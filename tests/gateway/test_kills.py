"""Kill -9 at every point of a call's way, for every class of effect: done once, or a person is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench.kills.campaign import campaign
from tests.bench.kills.report import table
from tests.gateway.killing import Ground, ground
from tests.gateway.program import CRASH
from tests.gateway.serving import eventually
from tests.gateway.sink import EFFECTS

pytestmark = pytest.mark.slow

IN_THE_GATEWAY = ("after the intent", "before it is settled", "after it is settled")
AT_THE_SINK = ("received", "applied")
MOST_ONCE = {
    "after the intent": 0,
    "received": 1,
    "applied": 1,
    "before it is settled": 1,
    "after it is settled": 1,
}


@pytest.fixture
async def killed(directory: Path, store: str) -> AsyncIterator[Ground]:
    """The ground, with an agent."""
    async with ground(directory, store) as found:
        await found.start_agent()
        yield found


def steps(tool: str) -> tuple[dict[str, Any], ...]:
    """A task that looks, does something, and looks again."""
    look = {"call": ["sink", "look", {"id": "nothing"}]}
    return look, {"call": ["sink", tool, {"id": tool}]}, {"answer": tool}


async def finished(town: Ground, tasks: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The tasks by their tools, when they have ended."""
    return {tool: await town.ended(task) for tool, task in tasks.items()}


def check(ended: dict[str, dict[str, Any]], town: Ground, point: str) -> None:
    """Idempotent and Verify: exactly once. Once: at most once, and the task says so when nobody knows."""
    for tool in ("put", "charge"):
        assert (ended[tool]["phase"], town.sink.done[tool]) == ("Succeeded", 1), (tool, ended[tool])
    assert town.sink.done["send"] == MOST_ONCE[point]
    known = point == "after it is settled"
    assert ended["send"]["phase"] == ("Succeeded" if known else "Indeterminate"), ended["send"]
    if not known:
        assert "sink/send outcome unknown" in ended["send"]["error"]["message"]


@pytest.mark.parametrize("point", IN_THE_GATEWAY)
async def test_the_gateway_is_killed_on_the_way(killed: Ground, directory: Path, point: str):
    """Between the intent and its settling, whatever the sink has seen of it."""
    await killed.start_gateway(**{CRASH: f"{point}:{len(EFFECTS)}:{directory}/crashed"})
    tasks = {tool: await killed.begin(tool, *steps(tool)) for tool in EFFECTS}
    process = killed.gateways[0].process
    assert await asyncio.to_thread(process.wait, 30) == -9
    await killed.start_gateway()
    check(await finished(killed, tasks), killed, point)


@pytest.mark.parametrize("point", AT_THE_SINK)
async def test_the_gateway_is_killed_at_the_sink(killed: Ground, point: str):
    """While the sink works on the calls: what it has received it will do."""
    here: list[str] = []

    async def met(tool: str) -> None:
        here.append(tool)
        if len(here) == len(EFFECTS):
            killed.kill_gateway()
        await eventually(lambda: len(here) >= len(EFFECTS), 30)

    setattr(killed.sink, point, met)
    await killed.start_gateway()
    tasks = {tool: await killed.begin(tool, *steps(tool)) for tool in EFFECTS}
    await eventually(lambda: len(here) >= len(EFFECTS), 30)
    await killed.start_gateway()
    check(await finished(killed, tasks), killed, point)


async def test_the_agent_is_killed_while_its_calls_are_under_way(killed: Ground):
    """The gateway lives and hears the answers: everything is known, and the new attempt is told."""
    here: list[str] = []

    async def met(tool: str) -> None:
        here.append(tool)
        if len(here) == len(EFFECTS):
            killed.kill_agent()

    killed.sink.received = met
    await killed.start_gateway()
    tasks = {tool: await killed.begin(tool, *steps(tool)) for tool in EFFECTS}
    await eventually(lambda: len(here) >= len(EFFECTS), 30)
    await killed.start_agent()
    ended = await finished(killed, tasks)
    assert {tool: (ended[tool]["phase"], killed.sink.done[tool]) for tool in EFFECTS} == dict.fromkeys(
        EFFECTS, ("Succeeded", 1)
    )
    assert all(ended[tool]["attempts"] > 1 and ended[tool]["usage"]["toolCalls"] == 2 for tool in EFFECTS)


@pytest.mark.parametrize("gateways", [1, 2])
async def test_a_short_campaign(directory: Path, request: pytest.FixtureRequest, gateways: int):
    """Kills by chance, one gateway on SQLite and two on PostgreSQL: `python -m tests.bench.kills` is the long form."""
    server = None if gateways == 1 else request.getfixturevalue("postgres")
    report = await campaign(directory, server, 6, seed=3)
    assert report.is_true, table([report])
    assert report.number >= 6
