"""A gateway, an agent and a sink, each of which can be killed: what a kill leaves behind is counted."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from proctor_gateway.cluster.port import Kind
from proctor_gateway.settings import Settings
from tests.gateway import objects, program
from tests.gateway.house import ENDED, settings
from tests.gateway.serving import eventually, free_port
from tests.gateway.sink import DECLARED, TOOLS, Sink


@dataclass
class Ground:
    """One or more gateways on one store, one agent in a process of its own, and a sink."""

    file: Path
    chosen: list[Settings]
    sink: Sink
    caller: httpx2.AsyncClient
    gateways: list[program.Gateway | None] = field(default_factory=list)
    agent: subprocess.Popen[bytes] | None = None

    async def start_gateway(self, number: int = 0, **extra: str) -> None:
        """Start the gateway, and wait until it is ready."""
        quiet = {"LOG_LEVEL": "error"}
        started = await asyncio.to_thread(program.start, self.file, self.chosen[number], **quiet, **extra)
        self.gateways[number] = started

    def kill_gateway(self, number: int = 0) -> None:
        """Kill -9."""
        gateway = self.gateways[number]
        if gateway is not None:
            gateway.kill()
        self.gateways[number] = None

    async def start_agent(self) -> None:
        """Start the agent's process, and wait until it answers."""
        urls = ",".join(f"http://127.0.0.1:{each.agent_port}" for each in self.chosen)
        port = self.chosen[0].pod_port
        command = [sys.executable, "-m", "tests.gateway.small_agent", "127.0.0.1", str(port), urls]
        self.agent = await asyncio.to_thread(subprocess.Popen, command)
        await eventually(lambda: answers(f"http://127.0.0.1:{port}/healthz"), 60)

    def kill_agent(self) -> None:
        """Kill -9."""
        if self.agent is not None:
            self.agent.kill()
            self.agent.wait()

    async def asked(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Ask whichever gateway answers; as long as none does, again."""
        async with asyncio.timeout(120):
            while True:
                for gateway in self.gateways:
                    if gateway is not None:
                        with contextlib.suppress(httpx2.TransportError):
                            url = f"{gateway.url}/agents/{objects.NAMESPACE}/refunds{path}"
                            response = await self.caller.request(method, url, **options)
                            if response.status_code < 429:
                                return response
                await asyncio.sleep(0.1)

    async def begin(self, name: str, *steps: Any) -> str:
        """Send a task, once, whoever has to be asked for that."""
        response = await self.asked("POST", "/tasks", json={"input": steps}, headers={"idempotency-key": name})
        assert response.status_code in {200, 202}, response.text
        return response.json()["id"]

    async def ended(self, task: str, seconds: float = 90) -> dict[str, Any]:
        """The task when it has ended."""
        async with asyncio.timeout(seconds):
            while True:
                found = (await self.asked("GET", f"/tasks/{task}", params={"wait": "2"})).json()
                if found["phase"] in ENDED:
                    return found


async def answers(url: str) -> bool:
    """Whether somebody answers there."""
    async with httpx2.AsyncClient(trust_env=False, verify=False) as http:
        try:
            return (await http.get(url)).status_code == 200
        except httpx2.TransportError:
            return False


@contextlib.asynccontextmanager
async def ground(directory: Path, store: str, gateways: int = 1, **changes: Any) -> AsyncIterator[Ground]:
    """The processes' ground; nothing is started yet."""
    quick = {"takeover": 3, "heartbeat": 0.5, "max_losses": 1000, "store": store, "replay_patience": 1, **changes}
    pod_port = free_port()
    chosen = [
        settings(
            directory,
            caller_port=free_port(),
            agent_port=free_port(),
            internal_port=free_port(),
            **{**quick, "pod_port": pod_port},
        )
        for _ in range(gateways)
    ]
    spec = objects.agent_spec(tools=[{"connector": "sink", "allow": list(TOOLS)}], limits={"timeout": "120s"})
    revision, bundle = objects.revision_of(spec)
    async with (
        Sink(slowness=0.2).serving() as sink,
        httpx2.AsyncClient(
            headers={"authorization": f"Bearer {objects.CALLER_TOKEN}"}, timeout=30, verify=False, trust_env=False
        ) as caller,
    ):
        connector = objects.connector("sink", "MCP", sink.url, tools=DECLARED, limits={"timeout": "2s"})
        kinds = {
            Kind.AGENT: [objects.agent({**spec, "runtime": {"concurrency": 100}}, revision)],
            Kind.CONNECTOR: [connector],
            Kind.POD: [objects.pod("one", revision, "127.0.0.1")],
        }
        file = directory / "cluster.json"
        program.describe(file, bundle, kinds)
        built = Ground(file, chosen, sink, caller, [None] * gateways)
        try:
            yield built
        finally:
            for number in range(gateways):
                built.kill_gateway(number)
            built.kill_agent()
