"""The demo's story with every real part: the default agent, the scripted model, the CRM, the payment service."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from proctor_gateway.cluster.port import Kind
from tests.conformance.agent_process import Agent, started
from tests.demo.processes import System
from tests.demo.processes import running as demo
from tests.gateway import objects
from tests.gateway.house import House, house
from tests.gateway.serving import eventually

_SAMPLE = Path(__file__).parents[2] / "manifests" / "samples" / "refunds"


@pytest.fixture
async def refunds(directory: Path, crm: System, payments: System) -> AsyncIterator[House]:
    """A gateway whose agent is the sample's, run by the default program."""
    declared = yaml.safe_load((_SAMPLE / "agent.yaml").read_text())["spec"]
    with demo("model", "--rules", str(_SAMPLE / "rules.yaml")) as model:
        async with house(directory, drain=1) as built:
            built.connect("llm", "Model", f"{model.url}/v1", prices=objects.PRICES)
            built.connect("crm", "MCP", f"{crm.url}/mcp", tools=objects.CRM_TOOLS)
            built.connect("payments", "MCP", f"{payments.url}/mcp", tools=objects.PAYMENT_TOOLS)
            built.declare(**declared)
            config = {
                "name": "refunds",
                "namespace": "support",
                "revision": built.revision,
                "instructions": declared["instructions"],
                "model": declared["model"],
                "tools": declared["tools"],
                "output": declared["output"],
                "limits": {"timeoutSeconds": 60, "maxSteps": 8, "maxTokens": 20000},
            }
            (directory / "agent").mkdir()
            program = [sys.executable, "-m", "proctor_agent"]
            extra = {"PROCTOR_AGENT_PORT": str(built.settings.pod_port)}
            agent = started(
                program, built.agents_url, directory / "agent", config=config, wait_until_ready=False, **extra
            )
            with agent:
                await eventually(lambda: _ready(built.settings.pod_port), 60)
                built.cluster.apply(Kind.POD, objects.pod("one", built.revision, "127.0.0.1"))
                await built.settled()
                yield built


async def _ready(port: int) -> bool:
    return await asyncio.to_thread(Agent(f"http://127.0.0.1:{port}").is_ready)


async def asked(refunds: House, text: str) -> dict:
    """The task of this request, when it has ended."""
    response = await refunds.caller.post(f"{refunds.base}/invoke", json={"input": text})
    return response.json()


async def test_the_demo_is_true(refunds: House, payments: System):
    """An eligible refund is paid once; others are declined, escalated or stopped by a rule."""
    before = len(payments.request("GET", "/ledger?order_id=O-50042").json()["entries"])
    paid = await asked(refunds, "Customer C-1042 asks for a refund of order O-50042 (50.00 EUR): the kettle leaks")
    assert (paid["phase"], paid["output"]["decision"], paid["output"]["amount"]) == ("Succeeded", "approve", 50.0), paid
    assert Decimal(paid["usage"]["cost"]) > 0
    kinds = [(call["kind"], call["name"], call["state"]) for call in await refunds.calls(paid["id"])]
    assert [each for each in kinds if each[0] == "Tool"] == [
        ("Tool", "get_customer", "Succeeded"),
        ("Tool", "get_order", "Succeeded"),
        ("Tool", "refund", "Succeeded"),
    ]
    entries = payments.request("GET", "/ledger?order_id=O-50042").json()["entries"]
    assert [(entry["amount"], entry["requests"]) for entry in entries[: len(entries) - before]] == [(50.0, 1)]
    late = await asked(refunds, "Customer C-1043 asks for a refund of order O-50043 (80.00 EUR): too late")
    assert (late["phase"], late["output"]["decision"]) == ("Succeeded", "decline")
    much = await asked(refunds, "Customer C-1044 asks for a refund of order O-50044 (480.00 EUR): broken")
    assert (much["phase"], much["output"]["decision"]) == ("Succeeded", "escalate")
    assert payments.request("GET", "/ledger?order_id=O-50044").json()["entries"] == []
    assert "Bearer" not in json.dumps([paid, late, much])


async def test_the_default_agent_goes_on_after_people_agreed(refunds: House, payments: System):
    """A framework that knows of nothing asks the same again: it is told what it was told, and pays once."""
    declared = yaml.safe_load((_SAMPLE / "agent.yaml").read_text())["spec"]
    rule = {"when": "tool == 'refund'", "then": "RequireApproval", "message": "money leaves the house"}
    tools = [{**each, "rules": [rule]} if each["connector"] == "payments" else each for each in declared["tools"]]
    refunds.declare(**{**declared, "tools": tools})
    refunds.cluster.apply(Kind.POD, objects.pod("one", refunds.revision, "127.0.0.1"))
    await refunds.settled()
    order = "Customer C-1045 asks for a refund of order O-50045 (39.80 EUR): the lid is missing"
    task = (await refunds.caller.post(f"{refunds.base}/tasks", json={"input": order})).json()["id"]
    await refunds.in_phase(task, "InputRequired", 30)
    before = [call for call in await refunds.calls(task) if call["state"] == "Succeeded"]
    await eventually(lambda: refunds.cluster.objects(Kind.APPROVAL))
    (approval,) = refunds.cluster.objects(Kind.APPROVAL)
    vote = {"user": "alice", "decision": "Approve", "digest": approval["spec"]["subject"]["digest"]}
    refunds.cluster.apply(Kind.APPROVAL, {**approval, "status": {"votes": [vote]}})
    ended = await refunds.ended(task)
    assert (ended["phase"], ended["output"]["decision"], ended["attempts"]) == ("Succeeded", "approve", 2), ended
    assert [entry["requests"] for entry in payments.request("GET", "/ledger?order_id=O-50045").json()["entries"]] == [1]
    after = await refunds.calls(task)
    assert [call["id"] for call in after][: len(before)] == [call["id"] for call in before]
    assert all(call["state"] == "Succeeded" for call in after)
