"""An effect that nobody knows of: a person says what became of it, and the task goes on from there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from proctor.api import names
from proctor_gateway.cluster.port import Kind
from proctor_gateway.rules.access import Identity
from tests.gateway import objects
from tests.gateway.house import House
from tests.gateway.odd_system import HABITS, OddSystem

ALICE = objects.token("alice", names.AUDIENCE)
READ = {"call": ["odd", "says_no", {}]}
UNKNOWN = {"call": ["odd", "breaks_off", {"amount": 1}]}


@pytest.fixture
async def lost(gateway: House) -> AsyncIterator[tuple[House, OddSystem]]:
    """A gateway whose system breaks off in the middle of a call, and alice who may resolve that."""
    gateway.cluster.tokens[ALICE] = (Identity("alice", frozenset({"sre"})), names.AUDIENCE)
    async with OddSystem().serving() as system, gateway.pod("one"):
        gateway.connect("odd", "MCP", system.url, tools=[{"name": "says_no", "effect": "Read"}])
        access = {"callers": [{"user": objects.CALLER}], "resolvers": [{"group": "sre"}]}
        gateway.declare(tools=[{"connector": "odd", "allow": list(HABITS)}], access=access)
        gateway.cluster.apply(Kind.POD, objects.pod("one", gateway.revision, "127.0.0.1"))
        await gateway.settled()
        yield gateway, system


async def resolved(gateway: House, task: str, call: str, action: str, token: str = ALICE, **more: Any) -> Any:
    """What the gateway says to the decision."""
    body = {"call": call, "action": action, **more}
    headers = {"authorization": f"Bearer {token}"}
    return await gateway.caller.post(f"{gateway.base}/tasks/{task}/resolve", json=body, headers=headers)


async def indeterminate(gateway: House) -> dict[str, Any]:
    """A task that read something, and then did something of which nobody knows."""
    task = await gateway.done(READ, UNKNOWN)
    assert task["phase"] == "Indeterminate", task
    return task


async def test_what_was_done_is_told_to_the_agent(lost: tuple[House, OddSystem]):
    """The task goes on as if the answer had come; nothing is sent again."""
    gateway, system = lost
    task = await indeterminate(gateway)
    found = await gateway.caller.get(f"{gateway.base}/unresolved", headers={"authorization": f"Bearer {ALICE}"})
    ((unknown,),) = [each["unknown"] for each in found.json()["items"]]
    assert (unknown["name"], unknown["arguments"]) == ("breaks_off", {"amount": 1})
    answer = await resolved(gateway, task["id"], unknown["id"], "MarkDone", result={"paid": 1})
    assert answer.status_code == 200, answer.text
    ended = await gateway.ended(task["id"])
    assert (ended["phase"], ended["attempts"]) == ("Succeeded", 2)
    assert ended["output"][1]["structuredContent"] == {"paid": 1}
    assert (system.times("says_no"), system.times("breaks_off")) == (1, 1)


async def test_what_was_not_done_may_be_done_again(lost: tuple[House, OddSystem]):
    """It is sent again, once, under the same key; here it is lost again."""
    gateway, system = lost
    task = await indeterminate(gateway)
    assert (await resolved(gateway, task["id"], f"{task['id']}.2", "Redo")).status_code == 200
    ended = await gateway.ended(task["id"])
    assert (ended["phase"], system.times("breaks_off"), system.times("says_no")) == ("Indeterminate", 2, 1)
    keys = [call["_meta"]["proctor.dev/idempotency-key"] for call in system.calls if call["name"] == "breaks_off"]
    assert keys[0] == keys[1]


async def test_it_may_be_left_out(lost: tuple[House, OddSystem]):
    """The agent is told that it was not done, and by whom that was decided."""
    gateway, system = lost
    task = await indeterminate(gateway)
    assert (await resolved(gateway, task["id"], f"{task['id']}.2", "Skip")).status_code == 200
    ended = await gateway.ended(task["id"])
    assert (ended["phase"], system.times("breaks_off")) == ("Succeeded", 1)
    assert ended["output"][1]["content"][0]["text"] == "Skipped: Skip: decided by alice"


REFUSED = {
    "a stranger": (objects.CALLER_TOKEN, ".2", "Skip", {}, 403),
    "a call that is known": (ALICE, ".1", "Skip", {}, 409),
    "no call": (ALICE, ".9", "Skip", {}, 409),
    "no action": (ALICE, ".2", "Hope", {}, 400),
    "a result of what was not done": (ALICE, ".2", "Redo", {"result": 1}, 400),
    "an unknown field": (ALICE, ".2", "Redo", {"why": 1}, 400),
}


async def test_only_what_is_unknown_is_decided_and_only_by_those_who_may(lost: tuple[House, OddSystem]):
    """Everything else changes nothing."""
    gateway, system = lost
    task = await indeterminate(gateway)
    for name, (token, call, action, more, status) in REFUSED.items():
        answer = await resolved(gateway, task["id"], task["id"] + call, action, token, **more)
        assert answer.status_code == status, (name, answer.text)
    assert (await gateway.ended(task["id"]))["phase"] == "Indeterminate"
    assert system.times("breaks_off") == 1
