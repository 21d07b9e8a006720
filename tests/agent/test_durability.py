"""Bring your own agent, and it is durable: its pod, its gateway and the store's connection die, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from proctor_gateway.cluster.port import Kind
from proctor_gateway.settings import Settings
from tests.agent.conftest import PROGRAM
from tests.bench.kills.proxy import Proxy
from tests.conformance.agent_process import Agent, started
from tests.conformance.samples import LANGGRAPH, command_of
from tests.demo.processes import System, running
from tests.gateway import objects, postgres, program
from tests.gateway.house import ENDED, settings
from tests.gateway.serving import eventually, free_port
from tests.gateway.sink import DECLARED, Sink

pytestmark = pytest.mark.slow

_ALLOWED = ["look", "put"]
_RULES = {
    "models": ["gpt-5-mini"],
    "rules": [
        {"name": "first", "when": {"turn": 0}, "then": {"calls": [{"tool": "look", "arguments": {"id": "before"}}]}},
        {"name": "second", "when": {"turn": 1}, "then": {"calls": [{"tool": "put", "arguments": {"id": "paid"}}]}},
        {"name": "third", "when": {"turn": 2}, "then": {"calls": [{"tool": "look", "arguments": {"id": "after"}}]}},
        {"name": "last", "then": {"text": "paid once"}},
    ],
}


@dataclass
class Slow(Sink):
    """A system whose answers to `look` wait until they may go."""

    looks: list[str] = field(default_factory=list)
    free: dict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))

    async def _do(self, call: dict[str, Any], path: str) -> dict[str, Any]:
        if call["name"] == "look":
            what = call["arguments"]["id"]
            self.looks.append(what)
            await self.free[what].wait()
        return await super()._do(call, path)

    async def asked(self, what: str, times: int) -> None:
        """Return when the look has come so often."""
        await eventually(lambda: self.looks.count(what) == times, 60)


@dataclass
class Place:
    """All that can die, and what counts meanwhile."""

    directory: Path
    file: Path
    settings: Settings
    config: dict[str, Any]
    command: list[str]
    sink: Slow
    way: Proxy
    model: System
    gateway: program.Gateway
    pods: contextlib.ExitStack

    async def start_pod(self) -> Agent:
        """The agent's program, ready."""
        gateway, port = f"http://127.0.0.1:{self.settings.agent_port}", self.settings.pod_port
        pod = started(self.command, gateway, self.directory, config=self.config, port=port)
        return await asyncio.to_thread(self.pods.enter_context, pod)

    async def start_gateway(self) -> None:
        """The gateway, ready."""
        self.gateway = await asyncio.to_thread(program.start, self.file, self.settings)

    async def ended(self, caller: httpx2.AsyncClient, task: str) -> dict[str, Any]:
        """The task when it has ended."""
        async with asyncio.timeout(90):
            while True:
                found: dict[str, Any] = (await caller.get(f"{self.url}/{task}", params={"wait": "5"})).json()
                if found.get("phase") in ENDED:
                    return found

    @property
    def url(self) -> str:
        """Where the agent takes tasks."""
        return f"{self.gateway.url}/agents/{objects.NAMESPACE}/refunds/tasks"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A model that looks, pays, looks again and says so."""
    rules = tmp_path_factory.mktemp("model") / "rules.yaml"
    rules.write_text(yaml.safe_dump(_RULES), encoding="utf-8")
    with running("model", "--rules", str(rules)) as system:
        yield system


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    """A PostgreSQL."""
    home = postgres.binaries()
    if home is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with postgres.running(home) as found:
        yield found


@pytest.fixture(params=["default", pytest.param("langgraph", marks=pytest.mark.byo)])
async def place(
    request: pytest.FixtureRequest, tmp_path: Path, model: System, server: postgres.Server
) -> AsyncIterator[Place]:
    """A gateway on PostgreSQL by a way that can be cut, and one pod."""
    model.request("DELETE", "/stats")
    command = PROGRAM if request.param == "default" else await asyncio.to_thread(command_of, LANGGRAPH)
    tools = [{"connector": "sink", "allow": _ALLOWED}]
    spec = objects.agent_spec(instructions="Pay once.", tools=tools, limits={"timeout": "180s", "maxSteps": 12})
    revision, bundle = objects.revision_of(spec)
    config = {
        "name": "refunds",
        "namespace": objects.NAMESPACE,
        "revision": revision,
        **{key: spec[key] for key in ("instructions", "model")},
        "tools": tools,
        "output": None,
        "limits": {"timeoutSeconds": 180, "maxSteps": 12},
    }
    way, sink = Proxy(server.directory, tmp_path / "way"), Slow()
    async with way.running(), sink.serving():
        ports = {name: free_port() for name in ("caller_port", "agent_port", "internal_port")}
        store = f"{(await asyncio.to_thread(server.database)).partition('?')[0]}?host={way.directory}"
        chosen = settings(tmp_path, store=store, **ports)
        kinds = {
            Kind.AGENT: [objects.agent(spec, revision)],
            Kind.CONNECTOR: [
                objects.connector("llm", "Model", f"{model.url}/v1", prices=list(objects.PRICES)),
                objects.connector("sink", "MCP", sink.url, tools=DECLARED, limits={"timeout": "60s"}),
            ],
            Kind.POD: [objects.pod("one", revision, "127.0.0.1")],
        }
        file = tmp_path / "cluster.json"
        program.describe(file, bundle, kinds)
        gateway = await asyncio.to_thread(program.start, file, chosen)
        with contextlib.ExitStack() as pods:
            built = Place(tmp_path, file, chosen, config, command, sink, way, model, gateway, pods)
            try:
                yield built
            finally:
                built.gateway.kill()


async def test_a_task_survives_all_that_it_stands_on(place: Place):
    """Pod, gateway and the store's connection die in turn: each question to the model was asked once, and paid once."""
    headers = {"authorization": f"Bearer {objects.CALLER_TOKEN}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as caller:
        first = await place.start_pod()
        task = (await caller.post(place.url, json={"input": "Pay."})).json()["id"]
        await place.sink.asked("before", 1)
        assert first.process is not None
        first.process.kill()
        await place.start_pod()
        await place.sink.asked("before", 2)
        place.sink.free["before"].set()
        await place.sink.asked("after", 1)
        place.gateway.kill()
        await place.start_gateway()
        await place.sink.asked("after", 2)
        place.way.cut()
        place.sink.free["after"].set()
        ended = await place.ended(caller, task)
        calls = (await caller.get(f"{place.url}/{task}/calls")).json()["items"]
    assert (ended["phase"], ended["output"]) == ("Succeeded", "paid once"), ended
    assert ended["attempts"] >= 3
    counted = place.model.request("GET", "/stats").json()["rules"]
    assert {name: counted[name] for name in ("first", "second", "third", "last")} == dict.fromkeys(
        ("first", "second", "third", "last"), 1
    )
    assert (place.sink.done["paid"], place.sink.times("put")) == (1, 1)
    assert ended["usage"]["steps"] == len([call for call in calls if call["kind"] == "Model"]) == 4
