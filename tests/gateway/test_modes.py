"""planThenExecute and quarantine at the gateway: the agent needs no help for either, and cannot get around them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proctor.policy.planning import Plan, Step
from proctor_gateway.store import plans
from proctor_gateway.store.database import Database
from tests.demo.processes import System
from tests.gateway.house import House
from tests.gateway.test_policies import CUSTOMER, called, hold, policy
from tests.gateway.test_store import accepted

PLANNED: dict[str, Any] = {"whenTainted": [{"then": "Allow"}], "plan": {"otherwise": "Deny"}}
FORM = {
    "type": "object",
    "required": ["tier"],
    "properties": {"tier": {"enum": ["gold", "silver"]}, "id": {"type": "string", "maxLength": 12}},
}
SECLUDED = {"quarantine": [{"tool": "get_*", "schema": FORM}]}


def refund(order: str, amount: float = 5.0) -> dict[str, Any]:
    """A step that pays."""
    return {"call": ["payments", "refund", {"order_id": order, "amount": amount, "reason": "a test"}]}


CALLS: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "what is planned": ([CUSTOMER, refund("O-50042")], ["Succeeded", "Succeeded"]),
    "another order": ([CUSTOMER, refund("O-50042"), refund("O-50043")], ["Succeeded", "Succeeded", "Denied"]),
    "once more": ([CUSTOMER, refund("O-50042"), refund("O-50042", 6.0)], ["Succeeded", "Succeeded", "Denied"]),
    "after one that nobody planned": ([refund("O-50043"), CUSTOMER, refund("O-50042")], ["Succeeded"] * 3),
    "before a stranger was heard": ([refund("O-50043")], ["Succeeded"]),
    "without a plan": ([CUSTOMER, refund("O-50043")], ["Succeeded", "Denied"]),
}


@pytest.mark.parametrize(("steps", "states"), CALLS.values(), ids=CALLS)
async def test_a_task_is_held_to_its_plan(gateway: House, steps, states):
    """The plan is made by the agent's model from the caller's words; what is not in it is not called afterwards."""
    await hold(gateway, policy(tools=PLANNED))
    made = [each for each in await called(gateway, *steps) if each[0] in {"get_customer", "refund"}]
    assert [state for _, state, _ in made] == states, made
    if states[-1] == "Denied":
        assert "tools/plan: payments/refund is not planned so" in made[-1][2]


async def test_a_plan_is_one_call_of_the_task(gateway: House):
    """It is asked for once, when it is first needed, and stands among the task's calls with its cost."""
    await hold(gateway, policy(tools=PLANNED))
    names = [name for name, _, _ in await called(gateway, CUSTOMER, refund("O-50042"), refund("O-50044"))]
    assert names == ["get_customer", "gpt-5-mini", "refund", "refund"]


async def test_a_plan_is_made_once(database: Database):
    """Of two that were made at the same time the first holds; another task has none."""
    task = (await accepted(database)).request.id
    first, second = Plan((Step("crm/get_order", 2, {"order_id": "O-1"}),)), Plan(fault="too late")
    for each in (first, second):
        await database.write(lambda c, each=each: plans.put(c, task, each))
    assert await database.read(lambda c: plans.get(c, task)) == first
    assert await database.read(lambda c: plans.get(c, "another")) is None
    assert await database.read(lambda c: plans.made(c, task, 1, "crm", "get_order")) == ()


async def asked(gateway: House, *steps: dict[str, Any]) -> tuple[list[Any], list[dict[str, Any]]]:
    """What the agent was told by the calls of a task of these steps, and the calls."""
    async with gateway.pod("one"):
        task = await gateway.done(*steps)
        return task["output"], await gateway.calls(task["id"])


async def test_of_a_secluded_answer_only_the_form_is_shown(gateway: House):
    """The agent gets values of the declared form; the answer itself stays in the journal."""
    await hold(gateway, policy(tools=SECLUDED))
    told, calls = await asked(gateway, CUSTOMER)
    said = json.dumps(told)
    assert "gold" in said
    assert "quarantined" in said
    assert "@" not in said
    assert [each["name"] for each in calls] == ["get_customer", "gpt-5-mini"]
    assert "@" in json.dumps(calls[0]["result"])


async def test_what_does_not_fit_the_form_is_not_shown(gateway: House):
    """A model that was talked into prose gets none of it past the form."""
    await hold(gateway, policy(tools=SECLUDED))
    told, _ = await asked(gateway, {"call": ["crm", "get_order", {"order_id": "O-50042"}]})
    said = json.dumps(told)
    assert "not of the form" in said
    assert "IGNORE" not in said
    assert "Kettle" not in said


async def test_what_was_secluded_does_not_taint(gateway: House, crm: System):
    """After it, writing needs no approval; a value that only a stranger gave is held to the sinks all the same."""
    sinks = [{"tool": "refund", "argument": "order_id", "origins": ["TrustedTool"], "otherwise": "Deny"}]
    await hold(gateway, policy(tools=SECLUDED))
    assert [s for n, s, _ in await called(gateway, CUSTOMER, refund("O-50042")) if n == "refund"] == ["Succeeded"]
    await hold(gateway, policy(tools={**SECLUDED, "sinks": sinks}))
    assert [s for n, s, _ in await called(gateway, CUSTOMER, refund("O-50042", 7.0)) if n == "refund"] == ["Denied"]


async def test_a_trusted_tool_is_not_secluded(gateway: House, crm: System):
    """Its words are the operator's."""
    tools = [{"name": "get_customer", "effect": "Read", "trusted": True}]
    gateway.connect("crm", "MCP", f"{crm.url}/mcp", tools=tools)
    await hold(gateway, policy(tools=SECLUDED))
    told, calls = await asked(gateway, CUSTOMER)
    assert "@" in json.dumps(told)
    assert [each["name"] for each in calls] == ["get_customer"]
