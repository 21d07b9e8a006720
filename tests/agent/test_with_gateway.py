"""The agents behind the real gateway, with the demo's model, CRM and payments: what only the whole can show."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from proctor_gateway.cluster.port import Kind
from tests.agent.conftest import PROGRAM
from tests.conformance.agent_process import Agent, started
from tests.conformance.samples import LANGGRAPH, command_of
from tests.demo.processes import System, running
from tests.gateway import objects
from tests.gateway.house import House, house

REFUNDS = Path(__file__).parents[2] / "manifests" / "samples" / "refunds"
SPEC: dict[str, Any] = yaml.safe_load((REFUNDS / "agent.yaml").read_text(encoding="utf-8"))["spec"]
REQUEST = "Customer C-1042 asks for a refund of order O-50042 (50 EUR): the kettle leaks"


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, System]]:
    """Model and CRM. A thought of the model takes a second, in which something may happen."""
    slow = tmp_path_factory.mktemp("model") / "rules.yaml"
    rules = yaml.safe_load((REFUNDS / "rules.yaml").read_text(encoding="utf-8"))
    next(rule for rule in rules["rules"] if rule["name"] == "look-up-order")["then"]["delaySeconds"] = 1
    slow.write_text(yaml.safe_dump(rules), encoding="utf-8")
    with running("model", "--rules", str(slow)) as model, running("crm") as crm:
        yield {"llm": model, "crm": crm}


@pytest.fixture
def systems(lasting: dict[str, System], tmp_path: Path) -> Iterator[dict[str, System]]:
    """The systems, with an empty ledger and nothing counted yet. A payment takes a second, too."""
    lasting["llm"].request("DELETE", "/stats")
    with running("payments", "--database", str(tmp_path / "ledger.db"), "--delay", "1") as payments:
        yield {**lasting, "payments": payments}


@pytest.fixture
async def gateway(systems: dict[str, System], tmp_path: Path) -> AsyncIterator[House]:
    """The real gateway, with the demo's agent declared and its systems connected."""
    async with house(tmp_path) as built:
        spec = {key: SPEC[key] for key in ("instructions", "model", "output")}
        # Without maxCost: what a broken-off model call has cost is not known, and the next call is refused for it.
        spec["limits"] = {key: value for key, value in SPEC["limits"].items() if key != "maxCost"}
        tools = [{"connector": tools["connector"], "allow": tools["allow"]} for tools in SPEC["tools"]]
        built.declare(**spec, tools=tools)
        built.connect("llm", "Model", f"{systems['llm'].url}/v1", prices=list(objects.PRICES))
        built.connect("crm", "MCP", f"{systems['crm'].url}/mcp", tools=list(objects.CRM_TOOLS))
        built.connect("payments", "MCP", f"{systems['payments'].url}/mcp", tools=list(objects.PAYMENT_TOOLS))
        await built.settled()
        yield built


PROGRAMS = ["default", pytest.param("langgraph", marks=pytest.mark.byo)]


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_request_is_decided_and_recorded(
    gateway: House, systems: dict[str, System], tmp_path: Path, program: str
) -> None:
    """The caller gets the decision, and each call of the agent is in the record, in its order."""
    async with a_pod(gateway, program, tmp_path):
        response = await gateway.caller.post(f"{gateway.base}/invoke", json={"input": REQUEST})
    task = response.json()
    assert (task["phase"], task["output"]["decision"], task["attempts"]) == ("Succeeded", "approve", 1), task
    called = [(call["kind"], call["name"], call["state"]) for call in await gateway.calls(task["id"])]
    model = ("Model", "gpt-5-mini", "Succeeded")
    tools = [("Tool", name, "Succeeded") for name in ("get_customer", "get_order", "refund")]
    assert called == [model, tools[0], model, tools[1], model, tools[2], model]
    assert [entry["requests"] for entry in ledger(systems)] == [1]
    assert ledger(systems)[0]["idempotency_key"]


@pytest.mark.parametrize("program", PROGRAMS)
async def test_an_agent_killed_while_it_thinks_is_replaced(
    gateway: House, systems: dict[str, System], tmp_path: Path, program: str
) -> None:
    """Killed before it has done anything, the task is done by the next process."""
    async with a_pod(gateway, program, tmp_path) as agent:
        task = await begun(gateway)
        await until(lambda: answered(systems)["look-up-order"] == 1)
        kill(gateway, agent)
        async with a_pod(gateway, program, tmp_path):
            ended = await gateway.ended(task)
    assert (ended["phase"], ended["error"]) == ("Succeeded", None)
    assert ended["attempts"] >= 2
    assert [entry["requests"] for entry in ledger(systems)] == [1]


@pytest.mark.parametrize("program", PROGRAMS)
async def test_an_agent_killed_while_it_pays_does_not_pay_twice(
    gateway: House, systems: dict[str, System], tmp_path: Path, program: str
) -> None:
    """Killed in the middle of a refund, the task goes on where it was or says what happened: the payment is one."""
    async with a_pod(gateway, program, tmp_path) as agent:
        task = await begun(gateway)
        await until(lambda: len(ledger(systems)) == 1)
        kill(gateway, agent)
        async with a_pod(gateway, program, tmp_path):
            ended = await gateway.ended(task)
    assert [entry["requests"] for entry in ledger(systems)] == [1]
    assert ended["phase"] == "Succeeded" or "payments/refund succeeded" in ended["error"]["message"]


async def begun(gateway: House) -> str:
    """The id of the task that asks for the refund."""
    accepted = await gateway.caller.post(f"{gateway.base}/tasks", json={"input": REQUEST})
    task: str = accepted.json()["id"]
    return task


def kill(gateway: House, agent: Agent) -> None:
    """End the process as the kernel does when memory is short; the kubelet then says that the pod is not ready."""
    assert agent.process is not None
    agent.process.kill()
    gateway.cluster.apply(Kind.POD, objects.pod("one", gateway.revision, "127.0.0.1", ready=False))


@asynccontextmanager
async def a_pod(gateway: House, program: str, directory: Path) -> AsyncIterator[Agent]:
    """A ready pod whose program is this one."""
    command = PROGRAM if program == "default" else await asyncio.to_thread(command_of, LANGGRAPH)
    config = {
        "name": "refunds",
        "namespace": objects.NAMESPACE,
        "revision": gateway.revision,
        "instructions": SPEC["instructions"],
        "model": SPEC["model"],
        "tools": SPEC["tools"],
        "output": SPEC["output"],
        "limits": {"timeoutSeconds": 60, "maxSteps": SPEC["limits"]["maxSteps"]},
    }
    port = gateway.settings.pod_port
    with ExitStack() as stack:
        # On a thread, since the gateway lives in this loop and must not be held up.
        agent = await asyncio.to_thread(
            stack.enter_context, started(command, gateway.agents_url, directory, config=config, port=port)
        )
        gateway.cluster.apply(Kind.POD, objects.pod("one", gateway.revision, "127.0.0.1"))
        await gateway.settled()
        yield agent


def ledger(systems: dict[str, System]) -> list[dict[str, Any]]:
    """What was paid."""
    entries: list[dict[str, Any]] = systems["payments"].request("GET", "/ledger").json()["entries"]
    return entries


def answered(systems: dict[str, System]) -> dict[str, int]:
    """How often each rule of the model has answered."""
    counts: dict[str, int] = systems["llm"].request("GET", "/stats").json()["rules"]
    return counts


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.02)
