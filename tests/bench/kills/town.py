"""One or two gateways on one store, three agent pods and a sink; what a kill hit, and when that went on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
import sqlalchemy as sa

from proctor_gateway.cluster.port import Kind
from proctor_gateway.rules.errors import StoreAway
from proctor_gateway.rules.tasks import Phase
from proctor_gateway.settings import Settings
from proctor_gateway.store.database import Database
from proctor_gateway.store.tables import tasks
from tests.bench.kills import nursery
from tests.bench.kills.proxy import Proxy
from tests.bench.kills.report import Kills, Report
from tests.gateway import objects, program
from tests.gateway.house import ENDED, settings
from tests.gateway.serving import free_port
from tests.gateway.sink import DECLARED, TOOLS, Sink

PODS: Final = 3
_READY_SECONDS: Final = 300
_LOOK_SECONDS: Final = 0.05
_QUICK: Final = {"queue": 1000, "max_losses": 1000, "drain": 1}
"""Lease, heartbeat and patience are the product's own defaults; a task only loses more often here than is usual."""
_DEFAULT_LEASE: Final = ("heartbeat", "takeover", "replay_patience", "settle_timeout", "turn_timeout")


@dataclass
class Victim:
    """A task that ran on what was killed."""

    attempt: int
    killed_at: float
    blow: Blow


@dataclass
class Blow:
    """One kill, and the tasks that it hit and that have not gone on yet."""

    kills: Kills
    waiting: set[str]
    longest: float = 0

    def recovered(self, task: str, seconds: float) -> None:
        """The task is at work again, or has ended."""
        self.waiting.discard(task)
        self.longest = max(self.longest, seconds)
        if not self.waiting:
            self.kills.seconds.append(self.longest)


@dataclass
class Gateway:
    """A gateway's place: the process that is there now, its name, and its way to the store."""

    number: int
    settings: Settings
    file: Path
    proxy: Proxy | None
    process: Any = None
    instance: str = ""
    lives: int = 0
    is_up: bool = False
    killed_by_chance: bool = False

    @property
    def url(self) -> str:
        """Where callers go."""
        return f"http://127.0.0.1:{self.settings.caller_port}"


@dataclass
class Town:
    """See the module."""

    number: int
    report: Report
    sink: Sink
    caller: httpx2.AsyncClient
    database: Database
    notes: Path
    gateways: list[Gateway] = field(default_factory=list)
    pods: dict[str, Any] = field(default_factory=dict)
    on_pod: dict[str, tuple[str, int]] = field(default_factory=dict)
    """The newest attempt of each open task, and the pod that it reached."""
    victims: dict[str, list[Victim]] = field(default_factory=dict)
    begun: int = 0

    def start_gateway(self, gateway: Gateway, fate: tuple[str, int] | None = None) -> None:
        """Start the process; it becomes ready by itself."""
        gateway.lives += 1
        gateway.instance = f"town-{self.number}-gateway-{gateway.number}-{gateway.lives}"
        environment = program.environment_of(gateway.settings)
        gateway.process = nursery.gateway(gateway.file, environment, gateway.instance, fate)

    async def ready(self, gateway: Gateway) -> None:
        """Return when it takes tasks."""
        url = f"http://127.0.0.1:{gateway.settings.internal_port}/readyz"
        async with asyncio.timeout(_READY_SECONDS), httpx2.AsyncClient(trust_env=False) as http:
            while gateway.process.is_alive():
                with contextlib.suppress(httpx2.HTTPError):
                    if (await http.get(url)).status_code == 200:
                        gateway.is_up = True
                        return
                await asyncio.sleep(_LOOK_SECONDS)

    def start_pod(self, address: str) -> None:
        """Start an agent's process."""
        urls = [f"http://127.0.0.1:{each.settings.agent_port}" for each in self.gateways]
        turned = urls if address.endswith("1") else urls[::-1]
        port = self.gateways[0].settings.pod_port
        self.pods[address] = nursery.agent(address, port, ",".join(turned), self.notes)

    async def hit(self, kind: str, running: Sequence[str], at: float) -> None:
        """Note a kill and the tasks that it hit."""
        kills = self.report.kills.setdefault(kind, Kills())
        kills.count += 1
        kills.hit += len(running)
        blow = Blow(kills, set(running))
        for task in running:
            attempt = self.on_pod.get(task, ("", 0))[1]
            self.victims.setdefault(task, []).append(Victim(attempt, at, blow))

    async def driven_by(self, instance: str) -> list[str]:
        """The running tasks of a gateway."""
        query = sa.select(tasks.c.id).where(tasks.c.owner == instance, tasks.c.phase == Phase.RUNNING)
        while True:
            with contextlib.suppress(StoreAway):
                found = await self.database.read(lambda c: list(c.execute(query).scalars()))
                return [task for task in found if task in self.on_pod]
            await asyncio.sleep(_LOOK_SECONDS)

    def working_on(self, pod: str) -> list[str]:
        """The open tasks whose newest attempt is on the pod."""
        return [task for task, (where, _) in self.on_pod.items() if where == pod]

    def went_on(self, task: str, attempt: int, at: float) -> None:
        """A new attempt has reached a pod, or the task has ended."""
        left = []
        for victim in self.victims.pop(task, []):
            if attempt > victim.attempt:
                victim.blow.recovered(task, at - victim.killed_at)
            else:
                left.append(victim)
        if left:
            self.victims[task] = left

    async def follow_notes(self) -> None:
        """Never returns: reads what the agents note."""
        read = 0
        while True:
            with contextlib.suppress(FileNotFoundError), self.notes.open("rb") as opened:
                opened.seek(read)
                for line in opened:
                    if not line.endswith(b"\n"):
                        break
                    read += len(line)
                    note = json.loads(line)
                    self.went_on(note["task"], note["attempt"], note["at"])
                    self.on_pod[note["task"]] = (note["pod"], note["attempt"])
            await asyncio.sleep(_LOOK_SECONDS)

    async def asked(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Ask whichever gateway answers; as long as none does, again."""
        while True:
            for gateway in self.gateways:
                with contextlib.suppress(httpx2.TransportError):
                    url = f"{gateway.url}/agents/{objects.NAMESPACE}/refunds{path}"
                    response = await self.caller.request(method, url, **options)
                    if response.status_code < 429:
                        return response
            await asyncio.sleep(_LOOK_SECONDS)

    async def ended(self, task: str) -> dict[str, Any]:
        """The task when it has ended."""
        while True:
            found: dict[str, Any] = (await self.asked("GET", f"/tasks/{task}", params={"wait": "2"})).json()
            if found["phase"] in ENDED:
                self.went_on(task, 1 << 30, time.monotonic())
                self.on_pod.pop(task, None)
                return found


def _describe(file: Path, number: int, sink: Sink, pods: Sequence[str]) -> None:
    spec = objects.agent_spec(tools=[{"connector": "sink", "allow": list(TOOLS)}], limits={"timeout": "300s"})
    revision, bundle = objects.revision_of(spec)
    # The sink sees by the path which gateway asks, so that this one can be killed at that moment.
    url = f"{sink.url}/{number}"
    connector = objects.connector("sink", "MCP", url, tools=DECLARED, limits={"timeout": "2s"})
    kinds = {
        Kind.AGENT: [objects.agent({**spec, "runtime": {"concurrency": 100}}, revision)],
        Kind.CONNECTOR: [connector],
        Kind.POD: [objects.pod(f"pod-{pod}", revision, pod) for pod in pods],
    }
    program.describe(file, bundle, kinds)


@contextlib.asynccontextmanager
async def town(number: int, report: Report, directory: Path, store: str, server: Path | None) -> AsyncIterator[Town]:
    """A town; nothing is started yet. `server` is where PostgreSQL's socket is: then there are two gateways."""
    directory.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - a directory is made at once
    pods = [f"127.{100 + number}.0.{each + 1}" for each in range(PODS)]
    headers, port = {"authorization": f"Bearer {objects.CALLER_TOKEN}"}, free_port()
    own = {name: Settings.model_fields[name].default for name in _DEFAULT_LEASE}
    async with contextlib.AsyncExitStack() as stack:
        sink = Sink(slowness=0.2)
        await stack.enter_async_context(sink.serving())
        database = Database(store)
        await stack.enter_async_context(database.running())
        caller = httpx2.AsyncClient(headers=headers, timeout=30, verify=False, trust_env=False)
        await stack.enter_async_context(caller)
        built = Town(number, report, sink, caller, database, directory / "notes")
        for each in range(1 if server is None else 2):
            proxy = None
            if server is not None:
                proxy = Proxy(server, directory / f"way-{each}")
                await stack.enter_async_context(proxy.running())
            url = store if proxy is None else f"{store.partition('?')[0]}?host={proxy.directory}"
            chosen = settings(
                directory,
                caller_port=free_port(),
                agent_port=free_port(),
                internal_port=free_port(),
                **{**own, **_QUICK, "store": url, "pod_port": port},
            )
            file = directory / f"cluster-{each}.json"
            _describe(file, each, sink, pods)
            built.gateways.append(Gateway(each, chosen, file, proxy))
        built.pods = dict.fromkeys(pods)
        following = asyncio.create_task(built.follow_notes())
        try:
            yield built
        finally:
            following.cancel()
            for process in _processes(built):
                process.kill()
                process.join()


def _processes(built: Town) -> Iterator[multiprocessing.Process]:
    for process in (*(each.process for each in built.gateways), *built.pods.values()):
        if process is not None:
            yield process
