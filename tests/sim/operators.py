"""Processes of the operator: the real ones but for kopf, which watches, and HTTP, which carries requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, cast

import aiohttp

from proctor.plan.world import Platform
from proctor.shell import client, main
from proctor.shell.cache import Cache
from proctor.shell.collector import Collector
from proctor.shell.errors import Retry
from proctor.shell.intake import Intake
from proctor.shell.kube import RealKube
from proctor.shell.lease import Elector, Leadership
from proctor.shell.ports import Ports
from proctor.shell.queue import Queue
from proctor.shell.resources import WATCHED, Resource
from proctor.shell.runner import Runner
from proctor.shell.settings import Settings
from proctor.shell.watches import Watches
from tests.sim.cluster.api import Answer, ApiServer, Request
from tests.sim.cluster.kinds import Body, matches
from tests.sim.cluster.store import Change
from tests.sim.gateway import SimulatedGateway
from tests.sim.timeline import Timeline

IMAGE = f"registry.example/proctor-agent@sha256:{'c' * 64}"
"""By digest, as an installation should have it: nothing has to be learned of it."""
REQUEST_SECONDS = 0.002
WATCH_SECONDS = 0.005
TIMEOUT_SECONDS = 5.0


class Between(Protocol):
    """What stands between an operator and the API server; faults do."""

    async def carry(self, request: Request, process: Process) -> Answer:
        """The answer to a request. Raises Retry when there is none."""

    def deliveries(self, change: Change, process: Process) -> tuple[float, ...]:
        """After how many seconds a watch tells of a change: once for each number, so not at all if there is none."""

    def listed(self, process: Process, kind: str, selector: str | None) -> list[Body]:
        """What a list of the process shows."""


@dataclass(frozen=True)
class Surroundings:
    """Where a process runs."""

    timeline: Timeline
    api: ApiServer
    gateway: SimulatedGateway
    between: Between
    platform: Platform
    elects: bool = False
    """Whether processes take part in the election; without it, the one process leads from the start."""


@cache
def _settings(image: str) -> Settings:
    return Settings(agent_image=image)


class SimulatedClient(client.Client):
    """Carries the operator's requests to the simulated API server."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: Any = None,
        content: str = "application/json",
    ) -> dict[str, Any]:
        """As the real one. What is sent is copied, as by a wire: later changes to it change nothing in the cluster."""
        copied = json.loads(json.dumps(body)) if body is not None else None
        request = Request(method, path, query or {}, copied, content, self._process.name)
        await asyncio.sleep(REQUEST_SECONDS)
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                answer = await self._process.carry(request)
        except TimeoutError as exc:
            raise Retry(f"{method} {path}: TimeoutError") from exc
        await asyncio.sleep(REQUEST_SECONDS)
        if answer.status >= 300:
            raise client._error(method, path, answer.status, answer.text, answer.retry_after)
        return answer.body or {}


class Alone(Elector):
    """The only candidate: leads at once, and for ever."""

    async def acquire(self) -> None:
        """Leads."""
        self._leadership.renewed(float("inf"))

    async def keep(self) -> None:
        """Nobody else wants the lease."""
        await asyncio.Event().wait()

    async def release(self) -> None:
        """There is no lease to give back."""
        self._leadership.resign()


@dataclass
class _Simulated(main._Process):
    watching: Callable[[], Coroutine[Any, Any, None]] | None = None

    def listen(self) -> None:
        """Signals come from the simulation."""

    async def watch(self) -> None:
        """The simulated watches instead of kopf's."""
        assert self.watching is not None
        await self.watching()


class Process:
    """One process of the operator, from its start to its end."""

    def __init__(self, name: str, around: Surroundings, on_end: Callable[[Process], None]) -> None:
        self.name = name
        self.is_dead = False
        self.is_frozen = False
        self.exit_code: int | None = None
        self._around = around
        self._on_end = on_end
        self.cache, self.queue = Cache(), Queue()
        self.leadership = Leadership(around.timeline.time)
        self._inside = self._assemble()
        self._informer = Informer(self, around, self._inside.watches)
        self._inside.watching = self._informer.run
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Runs from now on."""
        self._task = self._around.timeline.found(self, self._run())

    def crash(self) -> None:
        """Ends at once, in the middle of whatever it does: nothing is cleaned up, nothing is given back."""
        self.is_dead = True
        self._around.timeline.kill(self)
        self._informer.stop()
        self._on_end(self)

    def sigterm(self) -> None:
        """Is told to stop."""
        self._inside.told_to_stop.set()

    async def carry(self, request: Request) -> Answer:
        """Carries a request to the API server, unless the process is dead."""
        if self.is_dead:
            await asyncio.Event().wait()
        return await self._around.between.carry(request, self)

    def see(self, change: Change) -> None:
        """The watches tell of a change of the past."""
        if not self.is_dead:
            self._informer.see(change)

    def disconnect(self, seconds: float) -> None:
        """The watches break; after that time they list, and go on from there."""
        self._informer.disconnect(seconds)

    async def _run(self) -> None:
        self.exit_code = await main._until_told(self._inside)
        self.is_dead = True
        self._informer.stop()
        self._on_end(self)

    def _assemble(self) -> _Simulated:
        around, timeline = self._around, self._around.timeline
        connection = SimulatedClient(self)
        kube = RealKube(connection, self.leadership, self.name)
        ports = Ports(kube, self.cache, around.gateway, around.gateway, timeline, around.platform)
        intake = Intake(self.cache, self.queue, timeline)
        elector = (Elector if around.elects else Alone)(
            connection,
            self.leadership,
            identity=self.name,
            namespace=around.platform.namespace,
            clock=timeline,
            monotonic=timeline.time,
        )
        return _Simulated(
            settings=_settings(around.platform.agent_image),
            client=connection,
            session=cast("aiohttp.ClientSession", None),
            watches=Watches(kube, self.cache, intake, timeline),
            elector=elector,
            runner=Runner(self.queue, ports, workers=16),
            intake=intake,
            identity=self.name,
            told_to_stop=asyncio.Event(),
            collector=Collector(self.cache, self.queue, around.gateway, ports.indicators, timeline),
        )


class Informer:
    """The watches of one process, as kopf keeps them: in order for each object, not between objects."""

    def __init__(self, process: Process, around: Surroundings, watches: Watches) -> None:
        self._process = process
        self._around = around
        self._watches = watches
        self._resources = {resource.kind: resource for resource in WATCHED}
        self._next: dict[str, float] = {}
        self._blind_until = 0.0

    async def run(self) -> None:
        """Lists, as kopf does at its start, and then tells of every change."""
        self._relist()
        self._around.api.store.listeners.append(self.see)
        await asyncio.Event().wait()

    def stop(self) -> None:
        """Tells of nothing any more."""
        listeners = self._around.api.store.listeners
        if self.see in listeners:
            listeners.remove(self.see)

    def disconnect(self, seconds: float) -> None:
        """What happens meanwhile is never told of, but for what the list shows afterwards."""
        self._blind_until = self._around.timeline.time() + seconds
        self._around.timeline.call_later(seconds, self._relist)

    def _relist(self) -> None:
        if self._process.is_dead:
            return
        for resource in WATCHED:
            for body in self._around.between.listed(self._process, resource.kind, resource.selector):
                self._watches.tell(resource, None, body)

    def see(self, change: Change) -> None:
        """Tells of a change in a moment, if the watches stand."""
        resource = self._resources.get(change.ref.kind)
        if resource is None or self._around.timeline.time() < self._blind_until:
            return
        type_ = _as_selected(change, resource)
        if type_ is None:
            return
        for delay in self._around.between.deliveries(change, self._process):
            self._deliver(resource, type_, change, WATCH_SECONDS + delay)

    def _deliver(self, resource: Resource, type_: str, change: Change, delay: float) -> None:
        now, uid = self._around.timeline.time(), change.body["metadata"]["uid"]
        at = max(now + delay, self._next.get(uid, 0.0))
        self._next[uid] = at
        self._around.timeline.call_at(at, self._tell, resource, type_, change.body)

    def _tell(self, resource: Resource, type_: str, body: Body) -> None:
        if not self._process.is_dead:
            self._watches.tell(resource, type_, body)


def _as_selected(change: Change, resource: Resource) -> str | None:
    """How a watch with a selector tells of the change: what leaves the selection is gone for it."""
    was = change.before is not None and matches(change.before, resource.selector)
    if change.type == "DELETED" or not matches(change.body, resource.selector):
        return "DELETED" if was else None
    return "MODIFIED" if was else "ADDED"
