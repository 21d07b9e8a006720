"""A call that people must agree to: the task waits without a pod, and goes on from where it was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from proctor_gateway.cluster.port import Kind
from tests.gateway import objects
from tests.gateway.house import House, house
from tests.gateway.odd_system import HABITS, OddSystem
from tests.gateway.serving import eventually

READ = {"call": ["odd", "says_no", {}]}
ASKS = {"call": ["odd", "works", {"amount": 300}]}
RULES = [{"when": "tool == 'works'", "then": "RequireApproval", "message": "more than 200 EUR"}]


@pytest.fixture
async def asking(directory: Path) -> AsyncIterator[tuple[House, OddSystem]]:
    """A gateway whose agent must ask before it calls `works`."""
    async with OddSystem().serving() as system, house(directory) as gateway, gateway.pod("one"):
        tools = [{"name": "says_no", "effect": "Read"}, {"name": "works", "effect": "Once"}]
        gateway.connect("odd", "MCP", system.url, tools=tools, limits={"timeout": "10s"})
        gateway.declare(tools=[{"connector": "odd", "allow": list(HABITS), "rules": RULES}], limits={"timeout": "20s"})
        gateway.cluster.apply(Kind.POD, objects.pod("one", gateway.revision, "127.0.0.1"))
        await gateway.settled()
        yield gateway, system


async def asked(gateway: House) -> dict[str, Any]:
    """The one Approval, as soon as it is there."""
    await eventually(lambda: gateway.cluster.objects(Kind.APPROVAL))
    (found,) = gateway.cluster.objects(Kind.APPROVAL)
    return found


def vote(gateway: House, approval: dict[str, Any], decision: str, **changes: Any) -> None:
    """Somebody votes."""
    said = {
        "user": "alice",
        "decision": decision,
        "digest": approval["spec"]["subject"]["digest"],
        "at": datetime.now(UTC).isoformat(),
        **changes,
    }
    before = approval.get("status", {}).get("votes", [])
    gateway.cluster.apply(Kind.APPROVAL, {**approval, "status": {"phase": "Pending", "votes": [*before, said]}})


async def test_a_task_waits_and_goes_on(asking: tuple[House, OddSystem]):
    """No pod is held; what was done before is not done again; the call is made once, with what was asked for."""
    gateway, system = asking
    task = (await gateway.task(READ, ASKS, {"answer": "paid"})).json()["id"]
    waiting = await gateway.in_phase(task, "InputRequired")
    approval = await asked(gateway)
    subject = approval["spec"]["subject"]["toolCall"]
    assert (subject["tool"], subject["arguments"], subject["task"]) == ("works", {"amount": 300}, task)
    assert approval["spec"]["requestedBy"] == objects.CALLER
    assert "more than 200 EUR" in approval["spec"]["question"]
    assert (system.times("says_no"), system.times("works")) == (1, 0)
    assert gateway.agents["one"].working == 0
    await asyncio.sleep(1)
    vote(gateway, approval, "Approve")
    ended = await gateway.ended(task)
    assert (ended["phase"], ended["output"], ended["attempts"]) == ("Succeeded", "paid", 2)
    assert (system.times("says_no"), system.times("works")) == (1, 1)
    assert ended["usage"]["toolCalls"] == 2
    moved = datetime.fromisoformat(ended["deadline"]) - datetime.fromisoformat(waiting["deadline"])
    assert timedelta(seconds=0.9) < moved < timedelta(seconds=4)
    states = [(call["name"], call["state"]) for call in await gateway.calls(task)]
    assert states == [("says_no", "Failed"), ("works", "Succeeded")]


async def test_a_rejection_is_told_to_the_agent(asking: tuple[House, OddSystem]):
    """The agent goes on, and knows that the call was not made, and why."""
    gateway, system = asking
    task = (await gateway.task(ASKS)).json()["id"]
    vote(gateway, await asked(gateway), "Reject", comment="too much")
    ended = await gateway.ended(task)
    assert ended["phase"] == "Succeeded"
    (told,) = ended["output"]
    assert told["isError"]
    assert "ApprovalRejected: alice rejected it: too much" in told["content"][0]["text"]
    assert system.times("works") == 0


async def test_edited_arguments_are_used_and_recorded(asking: tuple[House, OddSystem]):
    """Whoever approves may set the arguments right; what was sent is what they said."""
    gateway, system = asking
    task = (await gateway.task(ASKS, {"answer": 1})).json()["id"]
    vote(gateway, await asked(gateway), "Approve", answer={"arguments": {"amount": 199}})
    assert (await gateway.ended(task))["phase"] == "Succeeded"
    assert [call["arguments"] for call in system.calls] == [{"amount": 199}]
    (call,) = await gateway.calls(task)
    assert (call["arguments"], call["approval"]["arguments"]) == ({"amount": 300}, {"amount": 199})
    assert call["approval"]["decidedBy"] == ["alice"]


async def test_people_cannot_allow_what_is_denied(asking: tuple[House, OddSystem]):
    """Arguments that people set are held against the rules, too."""
    gateway, system = asking
    denies = {"when": "args.amount > 1000.0", "then": "Deny", "message": "never more than 1000 EUR"}
    gateway.declare(tools=[{"connector": "odd", "allow": list(HABITS), "rules": [*RULES, denies]}])
    gateway.cluster.apply(Kind.POD, objects.pod("one", gateway.revision, "127.0.0.1"))
    await gateway.settled()
    task = (await gateway.task(ASKS)).json()["id"]
    vote(gateway, await asked(gateway), "Approve", answer={"arguments": {"amount": 5000}})
    ended = await gateway.ended(task)
    assert "never more than 1000 EUR" in ended["output"][0]["content"][0]["text"]
    assert system.times("works") == 0


async def test_a_rule_may_name_whom_to_ask(asking: tuple[House, OddSystem]):
    """Its own people, their number and their time."""
    gateway, _ = asking
    approval = {"users": ["alice", "bob"], "quorum": 2, "timeout": "2h", "onTimeout": "Hold"}
    gateway.declare(tools=[{"connector": "odd", "allow": ["works"], "rules": [{**RULES[0], "approval": approval}]}])
    gateway.cluster.apply(Kind.POD, objects.pod("one", gateway.revision, "127.0.0.1"))
    await gateway.settled()
    task = (await gateway.task(ASKS, {"answer": 1})).json()["id"]
    question = await asked(gateway)
    spec = question["spec"]
    assert (spec["approvers"]["users"], spec["quorum"], spec["onTimeout"]) == (["alice", "bob"], 2, "Hold")
    vote(gateway, question, "Approve")
    await gateway.in_phase(task, "InputRequired")
    vote(gateway, await asked(gateway), "Approve", user="bob")
    assert (await gateway.ended(task))["phase"] == "Succeeded"


async def test_one_who_asks_cannot_agree(asking: tuple[House, OddSystem]):
    """Four eyes: the vote of the caller counts for nothing."""
    gateway, system = asking
    task = (await gateway.task(ASKS, {"answer": 1})).json()["id"]
    vote(gateway, await asked(gateway), "Approve", user=objects.CALLER)
    await asyncio.sleep(1)
    await gateway.in_phase(task, "InputRequired")
    vote(gateway, await asked(gateway), "Approve", user="bob")
    assert (await gateway.ended(task))["phase"] == "Succeeded"
    assert system.times("works") == 1


async def test_another_question_of_the_same_name_answers_nothing(asking: tuple[House, OddSystem]):
    """Somebody who writes the Approval anew, with weaker approvers, gets a rejection."""
    gateway, system = asking
    task = (await gateway.task(ASKS)).json()["id"]
    approval = await asked(gateway)
    weaker = {**approval, "spec": {**approval["spec"], "approvers": {"users": ["mallory"]}}}
    vote(gateway, weaker, "Approve", user="mallory")
    ended = await gateway.ended(task)
    assert "ApprovalRejected" in ended["output"][0]["content"][0]["text"]
    assert system.times("works") == 0


async def test_an_approval_that_is_deleted_is_asked_for_again(asking: tuple[House, OddSystem]):
    """Silence never approves, and a task does not hang for ever."""
    gateway, _ = asking
    task = (await gateway.task(ASKS, {"answer": 1})).json()["id"]
    approval = await asked(gateway)
    await gateway.in_phase(task, "InputRequired")
    gateway.cluster.delete(Kind.APPROVAL, objects.NAMESPACE, approval["metadata"]["name"])
    vote(gateway, await asked(gateway), "Approve")
    assert (await gateway.ended(task))["phase"] == "Succeeded"


async def test_a_waiting_task_can_be_cancelled(asking: tuple[House, OddSystem]):
    """It ends at once; a vote that comes later changes nothing."""
    gateway, system = asking
    task = (await gateway.task(ASKS, {"answer": 1})).json()["id"]
    approval = await asked(gateway)
    await gateway.in_phase(task, "InputRequired")
    cancelled = await gateway.caller.post(f"{gateway.base}/tasks/{task}/cancel")
    assert cancelled.json()["phase"] == "Cancelled"
    await eventually(lambda: gateway.cluster.objects(Kind.APPROVAL)[0].get("status", {}).get("phase") == "Withdrawn")
    vote(gateway, approval, "Approve")
    await asyncio.sleep(0.5)
    assert system.times("works") == 0


async def test_the_question_of_a_task_that_has_ended_is_withdrawn(asking: tuple[House, OddSystem]):
    """Once, with the reason; the task's call says so too."""
    gateway, _ = asking
    task = (await gateway.task(ASKS, {"answer": 1})).json()["id"]
    await asked(gateway)
    await gateway.in_phase(task, "InputRequired")
    await gateway.caller.post(f"{gateway.base}/tasks/{task}/cancel")
    await eventually(lambda: gateway.cluster.objects(Kind.APPROVAL)[0].get("status"))
    status = gateway.cluster.objects(Kind.APPROVAL)[0]["status"]
    assert (status["phase"], status["withdrawn"]) == ("Withdrawn", f"task {task} has ended: Cancelled")
    await asyncio.sleep(1)
    (call,) = await gateway.calls(task)
    assert call["approval"]["decision"] == "Withdrawn"
    assert [each for each in gateway.cluster.asked if each[0] == "withdraw"] == [("withdraw", call["approval"]["name"])]


async def test_two_questions_of_one_step(asking: tuple[House, OddSystem]):
    """Each is asked by itself; the task goes on when the first is answered, and waits again for the other."""
    gateway, system = asking
    other = {"call": ["odd", "works", {"amount": 400}]}
    task = (await gateway.task(ASKS, other, {"answer": 1})).json()["id"]
    await eventually(lambda: len(gateway.cluster.objects(Kind.APPROVAL)) == 2)
    await gateway.in_phase(task, "InputRequired")
    for number, approval in enumerate(gateway.cluster.objects(Kind.APPROVAL), 1):
        vote(gateway, approval, "Approve")
        await eventually(lambda number=number: system.times("works") == number)
    assert (await gateway.ended(task))["phase"] == "Succeeded"
    assert system.times("works") == 2


async def test_what_is_not_asked_again_is_not_waited_for(asking: tuple[House, OddSystem]):
    """An agent that takes another way after the first answer ends, though another question is still open."""
    gateway, system = asking
    other = {"call_at_first": ["odd", "works", {"amount": 400}]}
    task = (await gateway.task(ASKS, other, {"answer": 1})).json()["id"]
    await eventually(lambda: len(gateway.cluster.objects(Kind.APPROVAL)) == 2)
    await gateway.in_phase(task, "InputRequired")
    of_it = [each for each in gateway.cluster.objects(Kind.APPROVAL) if "300" in str(each["spec"]["subject"])]
    vote(gateway, of_it[0], "Approve")
    ended = await gateway.ended(task)
    assert (ended["phase"], ended["attempts"], system.times("works")) == ("Succeeded", 2, 1)
    name = next(
        each["metadata"]["name"]
        for each in gateway.cluster.objects(Kind.APPROVAL)
        if "400" in str(each["spec"]["subject"])
    )
    await eventually(lambda: ("withdraw", name) in gateway.cluster.asked)


async def test_a_question_survives_its_gateway(directory: Path):
    """Another life of the gateway hears the answer and goes on."""
    async with OddSystem().serving() as system, house(directory, instance="first") as before, before.pod("one"):
        before.connect("odd", "MCP", system.url, tools=[{"name": "works", "effect": "Once"}])
        before.declare(tools=[{"connector": "odd", "allow": ["works"], "rules": RULES}])
        before.cluster.apply(Kind.POD, objects.pod("one", before.revision, "127.0.0.1"))
        await before.settled()
        task = (await before.task(ASKS, {"answer": 1})).json()["id"]
        await before.in_phase(task, "InputRequired")
        approval = await asked(before)
        before.serving.cancel()
        await asyncio.gather(before.serving, return_exceptions=True)
        vote(before, approval, "Approve")
        port = before.settings.pod_port
        async with house(directory, before.cluster, instance="second", pod_port=port) as after:
            before.agents["one"].gateway = after.agents_url
            assert (await after.ended(task))["phase"] == "Succeeded"
        before.serving = asyncio.create_task(asyncio.sleep(0))
        assert system.times("works") == 1
