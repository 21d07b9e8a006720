"""Tasks that an HTTPRoute has split: the door by which they come in is the draw."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from proctor_gateway.rules.arms import Arm, Draw, Entry, Split, Stay, begin
from tests.gateway import objects
from tests.gateway.house import House, house
from tests.gateway.test_arms import Rooms
from tests.gateway.test_upgrades import agreed, asked

ANSWER = {"answer": {"done": True, "confidence": 0.8}}
ROUTED = {"rollout": {"traffic": {"httpRoute": {"name": "refunds"}}}}
SETTLE_SECONDS = 0.4
SPLIT = Split("u1", "s", "c", 20, 0, is_routed=True)


def test_an_entry_is_kept_as_text():
    """In one column of the store, and read again as it was."""
    entry = Entry("a-b-c1", 20, Arm.CANDIDATE)
    assert str(entry) == "Candidate/20/a-b-c1"
    assert Entry.parse(str(entry)) == entry


BEGINNINGS: dict[str, tuple[Split, Entry | None, Rooms, str, Arm | None, str]] = {
    "by the candidate's door": (SPLIT, Entry("u1", 20, Arm.CANDIDATE), Rooms(), "c", Arm.CANDIDATE, "0.20"),
    "by stable's door": (SPLIT, Entry("u1", 20, Arm.STABLE), Rooms(), "s", Arm.STABLE, "0.20"),
    "by no door": (SPLIT, None, Rooms(), "s", None, "0.20"),
    "in an upgrade before this one": (SPLIT, Entry("u0", 20, Arm.CANDIDATE), Rooms(), "s", None, "0.20"),
    "at a weight before this one": (SPLIT, Entry("u1", 10, Arm.CANDIDATE), Rooms(), "c", Arm.CANDIDATE, "0.10"),
    "with no pod for the candidate": (
        SPLIT,
        Entry("u1", 20, Arm.CANDIDATE),
        Rooms(ready=frozenset("s")),
        "s",
        None,
        "0.20",
    ),
    "after the candidate was withdrawn": (
        Split("u1", "s", "c", 0, 0, is_routed=True),
        Entry("u1", 20, Arm.CANDIDATE),
        Rooms(),
        "s",
        None,
        "0.00",
    ),
}


@pytest.mark.parametrize(
    ("split", "entry", "rooms", "revision", "arm", "chance"), BEGINNINGS.values(), ids=list(BEGINNINGS)
)
def test_a_door_stands_for_the_draw(
    split: Split, entry: Entry | None, rooms: Rooms, revision: str, arm: Arm | None, chance: str
):
    """And the weight that the gateway knows for the candidate's having tasks at all."""
    found = begin(split, "task", None, rooms, entry)
    assert found is not None
    assert (found[0].revision, found[1].draw) == (revision, Draw(split, arm, chance))


def test_a_conversation_stays_whatever_the_door():
    """The route draws each request; what was begun on a revision goes on there."""
    stay = Stay("u1", Arm.STABLE, "0.20")
    found = begin(SPLIT, "conversation", stay, Rooms(), Entry("u1", 20, Arm.CANDIDATE))
    assert found is not None
    assert found[0].revision == "s"


def test_without_a_route_no_door_counts():
    """An agent that the gateway splits is split by the gateway."""
    split = Split("u1", "s", "c", 100, 0)
    found = begin(split, "task", None, Rooms(), Entry("u1", 20, Arm.STABLE))
    assert found is not None
    assert found[0].revision == "c"


@contextlib.asynccontextmanager
async def routed(directory: Path, weight: int) -> AsyncIterator[tuple[House, str]]:
    """A gateway with doors, an agent whose tasks a route splits, and a pod of either revision."""
    async with house(directory, stable_port=0, candidate_port=0, route_settle=SETTLE_SECONDS) as built:
        built.declare(**ROUTED)
        candidate = built.upgrade(weight)
        async with built.pod("s"), built.pod("c", "127.0.0.2", revision=candidate):
            await agreed(built, weight)
            yield built, candidate


async def sent(built: House, door: int | None, **options: Any) -> dict[str, Any]:
    """The end of a task that came in by that door: 0 is stable's, 1 the candidate's, None neither."""
    port = built.ports.callers if door is None else built.ports.doors[door]
    headers = {"authorization": f"Bearer {objects.CALLER_TOKEN}"}
    url = f"http://127.0.0.1:{port}{built.base}/invoke"
    async with httpx2.AsyncClient(headers=headers, timeout=30, trust_env=False, verify=False) as client:
        response = await client.post(url, json={"input": [ANSWER], **options})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def test_the_door_decides_and_is_the_evidence(directory: Path):
    """Of what came by a door, arm and propensity are told to the operator; of what came by none, nothing."""
    async with routed(directory, 20) as (built, candidate):
        await asyncio.sleep(SETTLE_SECONDS)
        ends = [await sent(built, door) for door in (0, 1, None, 1, 0)]
        feed = (await asked(built, "/outcomes", rollout="upgrade-1"))["items"]
        traffic = await asked(built, "/traffic")
    assert [each["revision"] == candidate for each in ends] == [False, True, False, True, False]
    assert [each.get("arm") for each in ends] == ["Stable", "Candidate", None, "Candidate", "Stable"]
    assert [(each["arm"], each["propensity"]) for each in feed] == [
        (arm, "0.20") for arm in ("Stable", "Candidate", "Candidate", "Stable")
    ]
    assert traffic["begun"] == {candidate: 2, built.revision: 3}


async def test_what_comes_while_the_route_may_lag_behind_is_no_evidence(directory: Path):
    """Right after a change of weights nobody knows by which weight the proxy drew; it goes to stable."""
    async with routed(directory, 20) as (built, candidate):
        early = await sent(built, 1)
        await asyncio.sleep(SETTLE_SECONDS)
        later = await sent(built, 1)
        built.upgrade(50)
        await agreed(built, 50)
        again = await sent(built, 1)
    assert [each["revision"] == candidate for each in (early, later, again)] == [False, True, False]
    assert [each.get("arm") for each in (early, later, again)] == [None, "Candidate", None]


async def test_a_withdrawn_candidate_gets_nothing_by_its_door(directory: Path):
    """The route may still send there: the gateway's own word is what counts."""
    async with routed(directory, 20) as (built, candidate):
        await asyncio.sleep(SETTLE_SECONDS)
        assert (await sent(built, 1))["revision"] == candidate
        built.upgrade(0, phase="Aborting")
        await agreed(built, 0)
        assert (await sent(built, 1))["revision"] == built.revision


async def test_without_an_upgrade_both_doors_lead_to_stable(directory: Path):
    """A caller notices nothing of the route."""
    async with house(directory, stable_port=0, candidate_port=0) as built:
        built.declare(**ROUTED)
        async with built.pod("s"):
            assert {(await sent(built, door))["revision"] for door in (0, 1, None)} == {built.revision}
