"""What policies mean for the calls of running agents."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from proctor.policy.facts import Answered
from proctor_gateway import ledger
from proctor_gateway.cluster.known import Known
from proctor_gateway.cluster.port import Kind
from proctor_gateway.state.governed import Policies
from proctor_gateway.store import readings, sqlite
from proctor_gateway.store.database import Database
from tests.demo.processes import System
from tests.gateway import objects
from tests.gateway.house import House, house
from tests.gateway.odd_system import OddSystem
from tests.gateway.serving import eventually
from tests.gateway.test_store import accepted
from tests.gateway.test_tools import running
from tests.policy import examples

CUSTOMER = {"call": ["crm", "get_customer", {"customer_id": "C-1042"}]}
REFUND = {"call": ["payments", "refund", {"order_id": "O-50042", "amount": 5.0, "reason": "a test"}]}


def policy(mode: str = "Enforce", name: str = "careful", **spec: Any) -> dict[str, Any]:
    """A Policy for the agent's namespace."""
    metadata = {"name": name, "namespace": objects.NAMESPACE, "generation": 1}
    whole = {"owner": {"team": "risk", "contact": "risk@example.com"}, "mode": mode, **spec}
    return {"apiVersion": "proctor.dev/v1alpha1", "kind": "Policy", "metadata": metadata, "spec": whole}


async def called(gateway: House, *steps: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The calls of a task of these steps: tool, state, and why not."""
    async with gateway.pod("one"):
        task = await gateway.done(*steps)
        calls = await gateway.calls(task["id"])
    return [(each["name"], each["state"], (each["error"] or {}).get("message", "")) for each in calls]


async def hold(gateway: House, *policies: dict[str, Any]) -> None:
    """These policies are in force."""
    for each in policies:
        gateway.cluster.apply(Kind(each["kind"]), each)
    await gateway.settled()


MODES = {"Enforce": "Denied", "Warn": "Succeeded", "Audit": "Succeeded"}


@pytest.mark.parametrize(("mode", "state"), MODES.items(), ids=MODES)
async def test_only_an_enforced_policy_stops_a_call(gateway: House, mode: str, state: str):
    """Audit and Warn count what Enforce would have stopped, and let it pass."""
    await hold(gateway, policy(mode, tools={"deny": [{"tool": "get_*"}]}))
    ((_, became, why),) = await called(gateway, CUSTOMER)
    assert became == state
    assert ("Policy/support/careful tools/deny" in why) is (mode == "Enforce")
    metrics = (await gateway.caller.get(f"{gateway.internal_url}/metrics")).text
    assert f'proctor_policy_findings_total{{agent="refunds",mode="{mode}",namespace="support"' in metrics


async def test_a_policy_holds_from_when_it_is_there(gateway: House):
    """A new ClusterPolicy stops the next call of an agent that runs since before; deleted, it stops none."""
    assert [state for _, state, _ in await called(gateway, CUSTOMER)] == ["Succeeded"]
    everywhere = {**policy(tools={"deny": [{"connector": "crm"}]}), "kind": "ClusterPolicy"}
    everywhere["metadata"] = {"name": "careful", "namespace": "", "generation": 1}
    await hold(gateway, everywhere)
    assert [state for _, state, _ in await called(gateway, CUSTOMER)] == ["Denied"]
    gateway.cluster.delete(Kind.CLUSTER_POLICY, "", "careful")
    await gateway.settled()
    assert [state for _, state, _ in await called(gateway, CUSTOMER)] == ["Succeeded"]


async def test_untrusted_content_taints(gateway: House):
    """After what nobody trusts was read, a write is not made as before; what trusted tools return taints nothing."""
    denied = {"whenTainted": [{"effects": ["Idempotent", "Once"], "then": "Deny"}]}
    await hold(gateway, policy(tools=denied))
    before = await called(gateway, REFUND, CUSTOMER, CUSTOMER)
    assert [state for _, state, _ in before] == ["Succeeded"] * 3
    after = await called(
        gateway, CUSTOMER, {**REFUND, "call": ["payments", "refund", {**REFUND["call"][2], "amount": 6.0}]}
    )
    assert [state for _, state, _ in after] == ["Succeeded", "Denied"]
    assert "after untrusted content from crm/get_customer" in after[1][2]


async def test_what_cannot_be_known_to_be_read_is_not_shown(
    gateway: House, directory: Path, monkeypatch: pytest.MonkeyPatch
):
    """The store takes neither the outcome nor what is read: the agent gets no answer, so nothing of it is forgotten."""
    monkeypatch.setattr(sqlite, "_BUSY_MILLISECONDS", 100)
    monkeypatch.setattr(ledger, "_SETTLE_SECONDS", 0.2)
    await hold(gateway, policy(tools={"whenTainted": [{"effects": ["Once"], "then": "Deny"}]}))
    gateway.declare(tools=[{"connector": "odd", "allow": ["hangs"]}])
    async with OddSystem(hang_seconds=0.5).serving() as system, gateway.pod("one") as agent:
        gateway.connect("odd", "MCP", system.url, tools=[{"name": "hangs", "effect": "Read"}])
        await gateway.settled()
        _, http = await running(gateway, agent)
        async with http:
            called = asyncio.create_task(agent.call(http, "odd", "hangs", {}))
            await eventually(lambda: system.calls)
            with closing(sqlite3.connect(directory / "gateway.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                answer = await called
    assert (answer["status"], answer["error"]["data"]["reason"]) == (503, "StoreUnavailable")
    assert "content" not in answer


async def test_models_are_held_to(gateway: House):
    """A denied model is not asked, though the revision declares it."""
    await hold(gateway, policy(models={"deny": [{"name": "gpt-*"}]}))
    ((_, state, why),) = await called(gateway, {"chat": {"messages": [{"role": "user", "content": "hello"}]}})
    assert state == "Denied"
    assert "models/deny" in why


async def test_a_key_is_not_sent(gateway: House):
    """What looks like a key leaves neither to a model nor to a tool, and is not repeated in the refusal."""
    await hold(gateway, policy(data={"blockSecrets": True}))
    key = "ghp_" + "a1B2" * 9
    chat = {"chat": {"messages": [{"role": "user", "content": f"use {key}"}]}}
    lookup = {"call": ["crm", "get_customer", {"customer_id": key}]}
    for _, state, why in await called(gateway, chat, lookup):
        assert state == "Denied"
        assert "a GitHub token" in why
        assert key not in why


async def test_a_policy_that_cannot_be_read_stops_writing(gateway: House):
    """Nobody knows what a policy of a later version forbids: reading goes on, writing does not."""
    await hold(gateway, policy(fromTheFuture=True, tools={}))
    assert [state for _, state, _ in await called(gateway, CUSTOMER, REFUND)] == ["Succeeded", "Denied"]


STALE = {"Deny": ["Denied", "Denied"], "Allow": ["Succeeded", "Denied"]}


@pytest.mark.parametrize(("reads", "states"), STALE.items(), ids=STALE)
async def test_stale_policies_stop_writing(directory: Path, crm: System, payments: System, reads, states):
    """While nothing is heard of the policies for too long, writing is refused, and reading unless all allow it."""
    async with house(directory, policy_ttl=4, watch_timeout=1) as gateway:
        gateway.connect("crm", "MCP", f"{crm.url}/mcp", tools=objects.CRM_TOOLS)
        gateway.connect("payments", "MCP", f"{payments.url}/mcp", tools=objects.PAYMENT_TOOLS)
        await hold(gateway, policy(tools={"whenTainted": [{"then": "Allow"}]}, staleReads=reads))
        assert [state for _, state, _ in await called(gateway, CUSTOMER, REFUND)] == ["Succeeded", "Succeeded"]
        async with gateway.pod("one"):
            gateway.cluster.go_away()
            await asyncio.sleep(4.5)
            task = await gateway.done(CUSTOMER, REFUND)
            calls = await gateway.calls(task["id"])
    assert [each["state"] for each in calls] == states
    assert "nothing was heard of the policies for" in calls[-1]["error"]["message"]


def test_what_holds_is_merged_once_and_anew_when_it_changes():
    """The same policies give the same object; a change of a policy, of the agent or of the time gives another."""
    clock = iter(range(100))
    known = Known()
    policies = Policies(known, lambda: float(next(clock)))
    agent, now = examples.agent(), datetime(2026, 11, 2, tzinfo=UTC)
    late = policy("Warn", enforceFrom="2026-11-03T00:00:00Z", limits={"maxSteps": 1})
    known.put(Kind.POLICY, late)
    first = policies.of(agent, now)
    assert policies.of(agent, now) is first
    assert policies.of(agent, datetime(2026, 11, 3, tzinfo=UTC)).effective.rules[0].mode == "Enforce"
    known.put(Kind.POLICY, policy(name="another", limits={"maxSteps": 2}))
    assert len(policies.of(agent, now).effective.rules) == 2
    assert policies.age == float("inf")
    policies.heard(Kind.POLICY)
    policies.heard(Kind.CLUSTER_POLICY)
    assert policies.age == 2.0


async def test_what_was_read_is_kept_by_attempt(database: Database):
    """What an attempt has read survives the gateway; another attempt begins with nothing read."""
    task = (await accepted(database)).request.id
    untrusted = Answered("crm", "get_customer", trusted=False, data=("pii",), text="secret words")
    trusted = Answered("erp", "get_order", trusted=True, data=(), text='{"total": 20}')
    for answer in (untrusted, untrusted, trusted):
        await database.write(lambda c, answer=answer: readings.add(c, task, 1, answer))
    found = await database.read(lambda c: readings.facts(c, task, 1, None))
    assert {(each.tool, each.trusted, each.text) for each in found.answers} == {
        ("get_customer", False, ""),
        ("get_order", True, '{"total": 20}'),
    }
    assert (await database.read(lambda c: readings.facts(c, task, 2, None))).answers == ()


FENCES = {"Verified": "Succeeded", "NotEnforced": "Denied", "Unknown": "Denied"}


@pytest.mark.parametrize(("measured", "state"), FENCES.items(), ids=FENCES)
async def test_an_agent_that_is_not_fenced_in_calls_nothing(gateway: House, measured: str, state: str):
    """Where a policy demands a measured isolation, an agent without it makes no call, not even one that reads."""
    await hold(gateway, policy(sandbox={"requireVerifiedIsolation": True}))
    agent = objects.agent(gateway.spec, gateway.revision, sandbox={"profile": "Standard", "networkIsolation": measured})
    gateway.cluster.apply(Kind.AGENT, agent)
    await gateway.settled()
    assert [state for _, state, _ in await called(gateway, CUSTOMER)] == [state]


async def test_the_operator_reads_what_was_found(gateway: House):
    """Findings of calls are added up by agent, policy, rule and mode; nobody but the operator reads them."""
    await hold(gateway, policy("Warn", tools={"deny": [{"tool": "get_*"}]}))
    await called(gateway, CUSTOMER, CUSTOMER)
    url = f"{gateway.internal_url}/internal/findings"
    assert (await gateway.caller.get(url)).status_code == 403
    headers = {"authorization": f"Bearer {objects.OPERATOR_TOKEN}"}
    (found,) = (await gateway.caller.get(url, headers=headers)).json()["items"]
    assert (found["agent"], found["policy"], found["rule"]) == ("refunds", "Policy/support/careful", "tools/deny")
    assert (found["mode"], found["count"]) == ("Warn", 2)
    assert found["lastAt"].endswith("Z")


async def test_what_is_vouched_for_and_what_was_named_is_kept(database: Database):
    """The believed part of an answer, and the words of a source that the caller named; of others nothing."""
    task = (await accepted(database)).request.id
    answers = (
        Answered("mail", "search", trusted=False, data=(), text="", vouched="mark@example.com"),
        Answered("web", "fetch", trusted=False, data=(), text="dora@example.com", named=True),
        Answered("web", "fetch", trusted=False, data=(), text="eve@example.com"),
    )
    for answer in answers:
        await database.write(lambda c, answer=answer: readings.add(c, task, 1, answer))
    found = await database.read(lambda c: readings.facts(c, task, 1, None))
    assert {(each.text, each.vouched, each.named) for each in found.answers} == {
        ("", "mark@example.com", False),
        ("dora@example.com", "", True),
        ("", "", False),
    }


PARTS: dict[str, tuple[dict[str, Any], str]] = {
    "a part that is vouched for": ({"trustedParts": [{"path": "order_id"}]}, "Succeeded"),
    "another part": ({"trustedParts": [{"path": "status"}]}, "Denied"),
    "nothing": ({}, "Denied"),
}


@pytest.mark.parametrize(("declared", "state"), PARTS.values(), ids=PARTS)
async def test_a_value_may_come_from_a_part_that_is_vouched_for(gateway: House, crm: System, declared, state):
    """An order's number, which the system itself made, is refunded; from a part that strangers write it is not."""
    order = {"name": "get_order", "effect": "Read", **declared}
    gateway.connect("crm", "MCP", f"{crm.url}/mcp", tools=[order])
    sinks = [{"tool": "refund", "argument": "order_id", "origins": ["TrustedTool"], "otherwise": "Deny"}]
    await hold(gateway, policy(tools={"whenTainted": [{"then": "Allow"}], "sinks": sinks}))
    look = {"call": ["crm", "get_order", {"order_id": "O-50042"}]}
    assert [state for _, state, _ in await called(gateway, look, REFUND)] == ["Succeeded", state]
