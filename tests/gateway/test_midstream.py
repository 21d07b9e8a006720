"""What holds while a call is under way, and from one call of a task to the next: time, the stop button, loops, data."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.demo.processes import System
from tests.gateway.house import House
from tests.gateway.odd_system import OddSystem
from tests.gateway.serving import eventually
from tests.gateway.test_policies import CUSTOMER, called, hold, policy
from tests.gateway.test_screening import MAIL, STREAMS, Echo, asking, echo, joined
from tests.gateway.test_tools import running

_LONG = "a long answer " * 40


def slow(model: Echo) -> None:
    """The model takes half a minute to say what it has to say."""
    model.says, model.pause = _LONG, 0.2


@STREAMS
async def test_a_tasks_time_ends_a_call_under_way(gateway: House, stream: bool):
    """Also in the middle of a stream: the task ends in time, and the model is not listened to any more."""
    gateway.declare(limits={"timeout": "1500ms"})
    async with echo(gateway) as model, gateway.pod("one"):
        slow(model)
        model.silent = not stream
        task = await gateway.done(asking("hello", stream=stream), {"sleep": 20})
        (call,) = await gateway.calls(task["id"])
        await eventually(lambda: model.left == 1)
    assert (task["phase"], task["error"]["reason"]) == ("Failed", "Timeout")
    assert (call["state"], call["error"]["reason"]) == ("Failed", "Timeout")


@STREAMS
async def test_the_stop_button_ends_a_call_to_a_model_under_way(gateway: House, stream: bool):
    """Suspended in the middle: the task has ended in a second, and nobody listens to the model any more."""
    async with echo(gateway) as model, gateway.pod("one"):
        slow(model)
        model.silent = not stream
        task = (await gateway.task(asking("hello", stream=stream))).json()["id"]
        await eventually(lambda: model.asked)
        gateway.live(suspend=True)
        ended = await gateway.ended(task, 5)
        (call,) = await gateway.calls(task)
        await eventually(lambda: model.left == 1)
    assert (ended["phase"], ended["error"]["reason"]) == ("Failed", "Suspended")
    assert (call["state"], call["error"]["reason"]) == ("Failed", "Interrupted")


async def test_a_loop_is_broken(gateway: House):
    """The eleventh call to the same tool with the same arguments is refused; one with others is none of them."""
    await hold(gateway, policy(tools={"whenTainted": [{"then": "Allow"}]}))
    other = {"call": ["crm", "get_customer", {"customer_id": "C-1043"}]}
    made = await called(gateway, *[CUSTOMER] * 9, other, CUSTOMER, CUSTOMER, CUSTOMER, other)
    assert [state for _, state, _ in made] == ["Succeeded"] * 11 + ["Denied"] * 2 + ["Succeeded"]
    assert "tools/loop: crm/get_customer was called 10 times with the same arguments" in made[11][2]


FLOWS: dict[str, tuple[dict[str, Any], bool]] = {
    "the tool gets the original": ({}, True),
    "unless a policy keeps it from there": ({"denyFlows": [{"data": ["pii"], "to": ["odd"]}]}, False),
}


@pytest.mark.parametrize(("rules", "is_sent"), FLOWS.values(), ids=FLOWS)
async def test_what_a_model_does_not_see_a_tool_may_get(
    gateway: House, crm: System, rules: dict[str, Any], is_sent: bool
):
    """The model works with a word for the address; in a call's arguments the tool gets what the word stands for."""
    gateway.declare(tools=[{"connector": "crm", "allow": ["get_customer"]}, {"connector": "odd", "allow": ["works"]}])
    await hold(gateway, policy(data={"redact": ["Email"], **rules}, tools={"whenTainted": [{"then": "Allow"}]}))
    async with echo(gateway) as model, OddSystem().serving() as system, gateway.pod("one") as agent:
        gateway.connect(
            "crm", "MCP", f"{crm.url}/mcp", tools=[{"name": "get_customer", "effect": "Read", "data": ["pii"]}]
        )
        gateway.connect("odd", "MCP", system.url, tools=[{"name": "works", "effect": "Read"}])
        await gateway.settled()
        task, http = await running(gateway, agent)
        async with http:
            await agent.call(http, "crm", "get_customer", {"customer_id": "C-1042"})
            told = await agent.chat(http, asking(f"Write to {MAIL}", stream=True)["chat"])
            arguments = json.loads(joined(told)[1])
            answer = await agent.call(http, "odd", "works", arguments)
            await agent.chat(http, asking(f"It was sent to {MAIL}.", stream=False)["chat"])
        await gateway.caller.post(f"{gateway.base}/tasks/{task}/cancel")
    said = [each["messages"][0]["content"] for each in model.asked]
    assert said == ["Write to <EMAIL_1>", "It was sent to <EMAIL_1>."]
    assert [each["arguments"] for each in system.calls] == ([{"customer_id": f"Write to {MAIL}"}] if is_sent else [])
    assert answer.get("isError", False) is not is_sent
    assert is_sent or "data/denyFlows" in answer["content"][0]["text"]
