"""A whole gateway in the test's loop: its cluster in memory, its listeners on loopback, its agents real."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from proctor.api import names
from proctor_gateway.clock import SystemClock
from proctor_gateway.cluster.port import Kind
from proctor_gateway.record.keys import generated
from proctor_gateway.rules.access import Identity
from proctor_gateway.serve import Ports, World, serve
from proctor_gateway.settings import Settings
from tests.gateway import objects
from tests.gateway.memory import MemoryCluster
from tests.gateway.serving import eventually, free_port, served
from tests.gateway.small_agent import SmallAgent

ENDED = {"Succeeded", "Failed", "Cancelled", "Indeterminate"}


@dataclass
class House:
    """A gateway, and what is around it."""

    cluster: MemoryCluster
    settings: Settings
    ports: Ports
    caller: httpx2.AsyncClient
    stop: asyncio.Event
    serving: asyncio.Task[None]
    spec: dict[str, Any] = field(default_factory=objects.agent_spec)
    revision: str = ""
    agents: dict[str, SmallAgent] = field(default_factory=dict)

    @property
    def base(self) -> str:
        """Where the agent takes tasks."""
        return f"/agents/{objects.NAMESPACE}/refunds"

    @property
    def agents_url(self) -> str:
        """Where agents call out."""
        return f"http://127.0.0.1:{self.ports.agents}"

    @property
    def internal_url(self) -> str:
        """Where health and metrics are."""
        return f"http://127.0.0.1:{self.ports.internal}"

    def declare(self, definitions: Mapping[str, Any] | None = None, **changes: Any) -> str:
        """The agent with these changes, and its revision as the stable one."""
        self.spec = objects.agent_spec(**changes)
        self.revision, revision = objects.revision_of(self.spec, definitions)
        metadata = revision["metadata"]
        self.cluster.revisions[metadata["namespace"], metadata["name"]] = revision
        self.cluster.apply(Kind.AGENT, objects.agent(self.spec, self.revision))
        return self.revision

    def live(self, **changes: Any) -> None:
        """Change the live Agent alone; the revision stays."""
        self.cluster.apply(Kind.AGENT, objects.agent({**self.spec, **changes}, self.revision))

    def upgrade(self, weight: int, *, rollout: str = "upgrade-1", **status: Any) -> str:
        """An upgrade under way, with a candidate that differs in its instructions. The candidate's revision."""
        candidate, revision = objects.revision_of({**self.spec, "instructions": "Do it better."})
        metadata = revision["metadata"]
        self.cluster.revisions[metadata["namespace"], metadata["name"]] = revision
        self.cluster.apply(
            Kind.AGENT,
            objects.agent(
                self.spec,
                self.revision,
                revision={"stable": self.revision, "candidate": candidate},
                rollout={"phase": "Collecting", "id": rollout, "weight": weight, **status},
            ),
        )
        return candidate

    def connect(self, name: str, kind: str, url: str, **spec: Any) -> None:
        """A Connector and its Secret."""
        self.cluster.secrets[objects.NAMESPACE, name] = {"token": objects.KEY}
        self.cluster.apply(Kind.CONNECTOR, objects.connector(name, kind, url, **spec))

    @contextlib.asynccontextmanager
    async def pod(
        self, name: str, address: str = "127.0.0.1", *, revision: str | None = None, **metadata: Any
    ) -> AsyncIterator[SmallAgent]:
        """A ready pod, of the stable revision unless another is named."""
        agent = SmallAgent(self.agents_url)
        async with served(agent.application(), address, self.settings.pod_port):
            self.cluster.apply(Kind.POD, objects.pod(name, revision or self.revision, address, **metadata))
            self.agents[name] = agent
            await self.settled()
            yield agent

    async def settled(self) -> None:
        """Wait until the gateway has heard of what was written."""
        await asyncio.sleep(0.05)

    async def task(self, *steps: Mapping[str, Any], **options: Any) -> httpx2.Response:
        """Send a task of these steps."""
        headers = options.pop("headers", {})
        return await self.caller.post(f"{self.base}/tasks", json={"input": list(steps), **options}, headers=headers)

    async def held(self, agent: SmallAgent, *steps: Mapping[str, Any]) -> str:
        """Send a task of these steps, or a long sleep, and wait until the agent has it: Running says less.

        An attempt is written down before the pod is asked, so a task is Running a moment before its agent
        has a token, and before there is anything to break off.
        """
        before = len(agent.tokens)
        task = (await self.task(*(steps or ({"sleep": 20},)))).json()["id"]
        await eventually(lambda: len(agent.tokens) > before)
        return str(task)

    async def done(self, *steps: Mapping[str, Any], **options: Any) -> dict[str, Any]:
        """A task of these steps, when it has ended."""
        response = await self.caller.post(f"{self.base}/invoke", json={"input": list(steps), **options})
        assert response.status_code == 200, response.text
        return response.json()

    async def ended(self, task: str, seconds: float = 30) -> dict[str, Any]:
        """The task when it has ended."""
        async with asyncio.timeout(seconds):
            while True:
                found = (await self.caller.get(f"{self.base}/tasks/{task}", params={"wait": "5"})).json()
                if found["phase"] in ENDED:
                    return found

    async def in_phase(self, task: str, phase: str, seconds: float = 10) -> dict[str, Any]:
        """The task when it is in the phase."""
        async with asyncio.timeout(seconds):
            while True:
                found = (await self.caller.get(f"{self.base}/tasks/{task}")).json()
                if found["phase"] == phase:
                    return found
                await asyncio.sleep(0.02)

    async def calls(self, task: str) -> list[dict[str, Any]]:
        """The task's calls."""
        return (await self.caller.get(f"{self.base}/tasks/{task}/calls")).json()["items"]

    async def settled_calls(self, task: str) -> None:
        """Wait until the task's calls have ended, as the store has it."""

        async def ended() -> bool:
            return settled(await self.calls(task))

        await eventually(ended)


def settled(made: list[dict[str, Any]]) -> bool:
    """Whether calls were made, and none is under way."""
    return bool(made) and all(call["state"] != "Started" for call in made)


def record_keys(directory: Path) -> Path:
    """The record's keys as a volume shows them, the same for every gateway of the directory."""
    mounted = directory / "record-keys"
    if not mounted.exists():
        mounted.mkdir()
        for name, content in generated().items():
            (mounted / name).write_bytes(content)
    return mounted


def settings(directory: Path, **changes: Any) -> Settings:
    """Settings for a test: loopback, free ports, a store of its own, short patience."""
    quick = {
        "host": "127.0.0.1",
        "caller_port": 0,
        "agent_port": 0,
        "internal_port": 0,
        "pod_port": free_port(),
        "store": f"sqlite:///{directory}/gateway.db",
        "record_keys": record_keys(directory),
        "heartbeat": 0.3,
        "takeover": 3,
        "sync_patience": 1,
        "settle_timeout": 5,
        "drain": 5,
        "queue": 10,
        "turn_timeout": 1,
    }
    return Settings(**{**quick, **changes})


def cluster_of_tests() -> MemoryCluster:
    """A cluster that knows the caller and the operator."""
    cluster = MemoryCluster()
    cluster.tokens[objects.CALLER_TOKEN] = (Identity(objects.CALLER), names.AUDIENCE)
    cluster.tokens[objects.OPERATOR_TOKEN] = (Identity(objects.OPERATOR), names.AUDIENCE)
    return cluster


@contextlib.asynccontextmanager
async def house(
    directory: Path, cluster: MemoryCluster | None = None, *, instance: str = "one", **changes: Any
) -> AsyncIterator[House]:
    """A gateway that listens, with the agent declared."""
    chosen = settings(directory, **changes)
    world = cluster or cluster_of_tests()
    stop, listens = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(World(chosen, world, SystemClock(), instance), stop, listens))
    await asyncio.wait((serving, listens), return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
    ports: Ports = listens.result()
    headers = {"authorization": f"Bearer {objects.CALLER_TOKEN}"}
    async with httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{ports.callers}", headers=headers, timeout=60, trust_env=False, verify=False
    ) as caller:
        built = House(world, chosen, ports, caller, stop, serving)
        if cluster is None:
            built.declare()
        await built.settled()
        try:
            yield built
        finally:
            stop.set()
            await built.serving
