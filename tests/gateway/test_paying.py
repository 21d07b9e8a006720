"""Budgets as an agent, its callers and the operator meet them: a whole gateway with a policy."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from proctor_gateway.cluster.port import Kind
from tests.demo.processes import System
from tests.gateway import objects
from tests.gateway.house import House
from tests.gateway.odd_system import OddSystem
from tests.gateway.serving import eventually
from tests.gateway.test_models import asking, requests_of

OPERATOR = {"authorization": f"Bearer {objects.OPERATOR_TOKEN}"}


async def enforced(gateway: House, *budgets: dict[str, Any], **more: Any) -> None:
    """The policy holds."""
    gateway.cluster.apply(Kind.POLICY, objects.spending_policy(*budgets, **more))
    await gateway.settled()


async def usage(gateway: House) -> dict[str, Any]:
    """What the operator is told of the agent."""
    body = {"agents": [{"namespace": objects.NAMESPACE, "name": "refunds"}, {"namespace": "x", "name": "nobody"}]}
    async with httpx2.AsyncClient(base_url=gateway.internal_url, trust_env=False, verify=False) as http:
        answer = (await http.post("/internal/usage", json=body, headers=OPERATOR)).json()
    (found,) = answer["agents"]
    assert (found["namespace"], found["name"]) == (objects.NAMESPACE, "refunds")
    return found["usage"]


async def metrics(gateway: House) -> str:
    """What Prometheus is told."""
    async with httpx2.AsyncClient(base_url=gateway.internal_url, trust_env=False, verify=False) as http:
        return (await http.get("/metrics")).text


async def test_a_budget_stops_an_agent_in_the_middle_of_a_task(gateway: House):
    """The call that might exceed it is refused, in words that name the policy; so are those of later tasks."""
    await enforced(gateway, {"name": "daily", "per": "Day", "cost": "0.0012"})
    async with gateway.pod("one"):
        task = await gateway.done(*[asking("hello " * 100, max_tokens=400)] * 20)
        codes = [each["status"] for each in task["output"]]
        granted = codes.count(200)
        assert codes == [200] * granted + [403] * (20 - granted)
        assert 1 < granted < 20
        error = task["output"][-1]["error"]
        assert error["code"] == "BudgetExhausted"
        assert error["message"].startswith("Policy/support/spending budgets/daily: cost 0.0")
        again = await gateway.done(asking("hello " * 100, max_tokens=400))
        assert again["output"][0]["error"]["code"] == "BudgetExhausted"
    told = await usage(gateway)
    assert told["tasksToday"] == 2
    assert Decimal(told["costToday"]) == Decimal(task["usage"]["cost"])
    assert told["tokensToday"] == task["usage"]["inputTokens"] + task["usage"]["outputTokens"]
    (standing,) = told["budgets"]
    assert (standing["exhausted"], standing["action"]) == (True, "Deny")
    assert told["budgetRemaining"] == standing["remaining"]
    assert Decimal(0) < Decimal(standing["remaining"]) < 1
    shown = await metrics(gateway)
    assert 'proctor_budget{budget="Policy/support/spending budgets/daily",namespace="support",per="Day"' in shown
    assert "proctor_budget_refusals_total" in shown


async def test_a_raised_budget_lets_the_agent_go_on_at_once(gateway: House):
    """Nothing is remembered but what was spent."""
    await enforced(gateway, {"name": "daily", "per": "Day", "tokens": 100})
    async with gateway.pod("one"):
        refused = await gateway.done(asking("hello"))
        assert (await usage(gateway))["budgets"][0]["exhausted"]
        await enforced(gateway, {"name": "daily", "per": "Day", "tokens": 100_000})
        granted = await gateway.done(asking("hello"))
    assert [each["output"][0]["status"] for each in (refused, granted)] == [403, 200]
    assert not (await usage(gateway))["budgets"][0]["exhausted"]


ACTIONS = {
    "denies": ("Deny", "Enforce", 403),
    "degrades": ("Degrade", "Enforce", 403),
    "throttles": ("Throttle", "Enforce", 429),
    "pauses": ("Pause", "Enforce", 429),
    "warns": ("Warn", "Enforce", 200),
    "is not enforced yet": ("Deny", "Warn", 200),
    "only watches": ("Deny", "Audit", 200),
}


@pytest.mark.parametrize(("action", "mode", "status"), ACTIONS.values(), ids=ACTIONS)
async def test_what_a_budget_does_when_it_is_used_up(gateway: House, action, mode, status):
    """It refuses for good, or until there is room again and says when, or only tells."""
    await enforced(gateway, {"name": "hourly", "per": "Hour", "tokens": 1, "action": action}, mode=mode)
    async with gateway.pod("one") as agent:
        task = await gateway.held(agent)
        body = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "hello"}]}
        async with httpx2.AsyncClient(trust_env=False, verify=False) as http:
            answer = await http.post(f"{gateway.agents_url}/v1/chat/completions", json=body, headers=agent.bearer)
        assert answer.status_code == status, answer.text
        if status == 429:
            assert 1 <= int(answer.headers["retry-after"]) <= 3600
        await gateway.caller.post(f"{gateway.base}/tasks/{task}/cancel")


async def test_an_exception_frees_from_a_budget(gateway: House):
    """Whoever is excepted is not bounded by it."""
    free = {
        "name": "launch",
        "selector": {"names": ["refunds"]},
        "rules": ["budgets/daily"],
        "reason": "the launch week costs more",
        "approvedBy": "finance",
        "expiresAt": "2026-12-01T00:00:00Z",
    }
    await enforced(gateway, {"name": "daily", "per": "Day", "tokens": 1}, exceptions=[free])
    async with gateway.pod("one"):
        task = await gateway.done(asking("hello"))
    assert task["output"][0]["status"] == 200


async def test_no_more_tasks_begin_than_the_budget_says(gateway: House):
    """The caller is told when there is room again; a repeated request is answered though."""
    await enforced(gateway, {"name": "daily", "per": "Day", "tasks": 2})
    headers = {"idempotency-key": "k"}
    async with gateway.pod("one"):
        first = await gateway.task({"answer": 1}, headers=headers)
        second = await gateway.task({"answer": 1})
        third = await gateway.task({"answer": 1})
        same = await gateway.task({"answer": 1}, headers=headers)
    assert [each.status_code for each in (first, second, third, same)] == [202, 202, 429, 200]
    assert third.json()["type"].endswith("/BudgetExhausted")
    assert 1 <= int(third.headers["retry-after"]) <= 86_400
    assert (await usage(gateway))["tasksToday"] == 2


async def test_a_limit_is_also_a_bound_of_the_answer(gateway: House, model: System):
    """Where nothing says how long an answer may be, the model is told what is reserved; else nothing is added."""
    async with gateway.pod("one"):
        await gateway.done(asking("hello without a limit"))
        gateway.declare(limits={"timeout": "20s", "maxTokens": 1000})
        gateway.cluster.apply(Kind.POD, objects.pod("one", gateway.revision, "127.0.0.1"))
        await gateway.settled()
        await gateway.done(asking("hello"), asking("hello", max_tokens=7))
    sent = [each.get("body", each) for each in (await requests_of(model))[-3:]]
    bounds = [(each.get("max_tokens"), each.get("max_completion_tokens")) for each in sent]
    assert bounds[0] == (None, None)
    assert bounds[1][0] is None
    assert 256 <= bounds[1][1] < 1000
    assert bounds[2] == (7, None)


@pytest.mark.parametrize("limit", [{"maxCost": "0.01"}, {"maxTokens": 1000}], ids=["money", "tokens"])
async def test_a_stream_is_cut_where_its_money_ends(gateway: House, limit: dict[str, Any]):
    """A model that writes more than it was asked for is cut off, and the reserve is kept."""
    gateway.declare(limits={"timeout": "20s", **limit})
    async with gateway.pod("one"):
        task = await gateway.done(asking("drip", stream=True, max_tokens=1))
    told = task["output"][0]["stream"]
    assert "one" in told
    assert "six" not in told
    assert "BudgetExhausted" in told
    assert task["usage"]["cost"] is None
    assert Decimal((await usage(gateway))["reservedToday"]) > 0


async def test_a_call_that_broke_off_does_not_end_the_task(gateway: House):
    """Its reserve counts against maxCost, and the next call is made."""
    gateway.declare(limits={"timeout": "20s", "maxCost": "0.02"})
    async with gateway.pod("one"):
        task = await gateway.done(asking("cut off", stream=True), asking("hello"))
    assert task["output"][1]["status"] == 200
    told = await usage(gateway)
    assert Decimal(told["reservedToday"]) > 0 < Decimal(told["costToday"])


async def test_a_tool_has_its_price(gateway: House):
    """Reserved before it is called, owed when it was; denied when it cannot be paid."""
    async with OddSystem().serving() as system:
        tools = [{"name": "works", "effect": "Once", "price": "0.4"}]
        gateway.connect("odd", "MCP", system.url, tools=tools)
        gateway.declare(
            tools=[{"connector": "odd", "allow": ["works"]}], limits={"timeout": "20s", "maxCost": "1", "maxSteps": 5}
        )
        async with gateway.pod("one"):
            task = await gateway.done(*[{"call": ["odd", "works", {"n": number}]} for number in range(3)])
    calls = await gateway.calls(task["id"])
    assert [(each["state"], each["cost"]) for each in calls] == [
        ("Succeeded", "0.4"),
        ("Succeeded", "0.4"),
        ("Denied", None),
    ]
    assert calls[-1]["error"]["reason"] == "BudgetExhausted"
    assert task["usage"]["cost"] == "0.8"
    assert (await usage(gateway))["costToday"] == "0.8"


async def _has_asked(gateway: House, task: str) -> bool:
    return [each["state"] for each in await gateway.calls(task)] == ["Succeeded"]


async def test_a_repeated_call_costs_nothing(gateway: House):
    """What an earlier attempt has asked is answered from the journal: no second reserve, no second cost."""
    async with gateway.pod("one"), gateway.pod("two", "127.0.0.2"):
        task = (await gateway.task(asking("hello"), {"sleep_at_first": 20})).json()["id"]
        await eventually(lambda: _has_asked(gateway, task))
        once = await usage(gateway)
        ran = next(name for name, agent in gateway.agents.items() if agent.invocations)
        gateway.cluster.delete(Kind.POD, objects.NAMESPACE, ran)
        ended = await gateway.ended(task)
    assert (ended["phase"], ended["attempts"]) == ("Succeeded", 2)
    twice = await usage(gateway)
    assert twice == {**once, "budgets": twice["budgets"]}


async def test_without_the_ledger_no_call_is_made(gateway: House, model: System, directory: Path):
    """What cannot be reserved is not sent: 503; and when the accounts are there again, calls go out again."""
    before = len(await requests_of(model))
    async with gateway.pod("one") as agent:
        task = await gateway.held(agent)
        store = sqlite3.connect(directory / "gateway.db", timeout=10, isolation_level=None)
        body = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "hello ledger"}]}
        async with httpx2.AsyncClient(
            base_url=gateway.agents_url, headers=agent.bearer, trust_env=False, verify=False, timeout=30
        ) as http:
            store.execute("ALTER TABLE accounts RENAME TO elsewhere")
            refused = await http.post("/v1/chat/completions", json=body)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "StoreUnavailable")
            assert len(await requests_of(model)) == before
            store.execute("ALTER TABLE elsewhere RENAME TO accounts")
            assert (await http.post("/v1/chat/completions", json=body)).status_code == 200
        store.close()
        await gateway.caller.post(f"{gateway.base}/tasks/{task}/cancel")


async def test_usage_is_told_to_the_operator_alone(gateway: House):
    """Nobody else reads what agents spend."""
    async with httpx2.AsyncClient(base_url=gateway.internal_url, trust_env=False, verify=False) as http:
        web = {"authorization": f"Bearer {objects.CALLER_TOKEN}"}
        assert (await http.post("/internal/usage", json={"agents": []}, headers=web)).status_code == 403
        assert (await http.post("/internal/usage", json={"agents": 1}, headers=OPERATOR)).status_code == 400
