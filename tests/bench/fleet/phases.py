"""The phases of a run: what is done, until when, and what it cost."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from proctor_cluster.progress import say
from tests.bench.fleet.api import Api, Body
from tests.bench.fleet.audit import AuditLog, Request, Requests
from tests.bench.fleet.control_plane import ControlPlane
from tests.bench.fleet.errors import RunError
from tests.bench.fleet.loads import Load
from tests.bench.fleet.processes import Process
from tests.bench.fleet.subject import Operator, Told

_QUIET_SECONDS = 3.0
_BETWEEN_WORDS = 10.0
_STUCK_SECONDS = 60.0
_CHILDREN = (
    "/api/v1/serviceaccounts",
    "/apis/networking.k8s.io/v1/networkpolicies",
    "/apis/policy/v1/poddisruptionbudgets",
    "/apis/apps/v1/controllerrevisions",
    "/api/v1/configmaps",
    "/apis/apps/v1/deployments",
    "/apis/apps/v1/replicasets",
    "/api/v1/pods",
)


@dataclass(frozen=True)
class Figures:
    """What one phase cost, until nobody wrote any more."""

    name: str
    count: int
    seconds: float
    """Until the last object had settled."""
    lasted: float
    """Until nobody wrote any more."""
    requests: Requests
    cpu: dict[str, float]
    """Seconds of CPU by process."""
    max_rss: float
    """MiB of the operator, since its start."""
    writes: Counter[tuple[str, str]]
    """The operator's own count of its writes, by kind and verb."""
    reconciles: Counter[tuple[str, str]]
    """By kind and result."""

    @property
    def rate(self) -> float:
        """Objects a second."""
        return self.count / self.seconds


@dataclass
class Bench:
    """What all phases share."""

    plane: ControlPlane
    api: Api
    audit: AuditLog
    operator: Operator | None = None

    async def measure(self, name: str, count: int, act: Callable[[], Awaitable[float]]) -> Figures:
        """Runs `act`, which says how many seconds it took, waits for silence, and adds up."""
        say(f"{name} …")
        self.audit.take()
        told, cpu, began = await self._told(), self._cpu(), time.monotonic()
        seconds = await act()
        requests = await self._until_quiet()
        after = await self._told()
        figures = Figures(
            name=name,
            count=count,
            seconds=seconds,
            lasted=time.monotonic() - began - _QUIET_SECONDS,
            requests=requests,
            cpu={each: used - cpu.get(each, 0.0) for each, used in self._cpu().items()},
            max_rss=self.operator.process.max_rss_mib() if self.operator else 0.0,
            writes=after.writes - told.writes,
            reconciles=after.reconciles - told.reconciles,
        )
        say(f"{name}: {seconds:.1f} s")
        return figures

    async def _told(self) -> Told:
        return await self.operator.told() if self.operator else Told(Counter(), Counter(), is_leader=False)

    def _cpu(self) -> dict[str, float]:
        processes: dict[str, Process] = dict(self.plane.processes)
        if self.operator:
            processes["operator"] = self.operator.process
        return {name: each.cpu_seconds() for name, each in processes.items()} | {"bench": time.process_time()}

    async def _until_quiet(self) -> Requests:
        """The requests since the phase began, when nobody has written anything for three seconds."""
        found: Counter[Request] = Counter()
        last = time.monotonic()
        while time.monotonic() - last < _QUIET_SECONDS:
            self.plane.check()
            added = self.audit.take()
            found += added.counts
            if added.writes():
                last = time.monotonic()
            await asyncio.sleep(0.25)
        return Requests(found)


async def create(bench: Bench, load: Load, count: int) -> Figures:
    """Creates all, until all serve."""

    async def act() -> float:
        calls = (bench.api.request("POST", load.place(number), load.make(number)) for number in range(count))
        return await _until_settled(bench, load, count, 1, lambda: bench.api.all(calls))

    return await bench.measure(f"create {count} {load.name}", count, act)


async def change(bench: Bench, load: Load, count: int) -> Figures:
    """Changes all, until all serve as changed."""
    content, patch = load.change()

    def one(number: int) -> Awaitable[Body]:
        path = f"{load.place(number)}/{load.make(number)['metadata']['name']}"
        return bench.api.request("PATCH", path, patch, Content_Type=content)

    async def act() -> float:
        return await _until_settled(bench, load, count, 2, lambda: bench.api.all(map(one, range(count))))

    return await bench.measure(f"update {count} {load.name}", count, act)


async def delete(bench: Bench, load: Load, count: int) -> tuple[Figures, int]:
    """Deletes all, until nothing is left of them or what is left has stopped going; how much that is."""
    left = 0

    async def act() -> float:
        nonlocal left
        began = time.monotonic()
        places = dict.fromkeys(load.place(number) for number in range(count))
        await bench.api.all(bench.api.request("DELETE", place) for place in places)
        left = await _until_gone(bench, load)
        return time.monotonic() - began

    figures = await bench.measure(f"delete {count} {load.name}", count, act)
    return figures, left


async def idle(bench: Bench, count: int, seconds: float) -> Figures:
    """Does nothing."""

    async def act() -> float:
        await asyncio.sleep(seconds)
        return seconds

    return await bench.measure(f"idle for {seconds:.0f} s", count, act)


async def _until_settled(
    bench: Bench, load: Load, count: int, generation: int, act: Callable[[], Awaitable[None]]
) -> float:
    """Seconds from the first request to the last object that settled."""
    settled: set[str] = set()
    version = await bench.api.version(load.collection)
    began, said = time.monotonic(), time.monotonic()
    acting = asyncio.ensure_future(act())
    try:
        async with asyncio.timeout(120 + count * 1.5):
            async for type_, body in bench.api.watch(load.collection, version):
                bench.plane.check()
                if type_ != "DELETED" and body["metadata"]["generation"] >= generation and load.is_settled(body):
                    settled.add(body["metadata"]["name"])
                if len(settled) == count:
                    break
                if time.monotonic() - said > _BETWEEN_WORDS:
                    said = time.monotonic()
                    say(f"  {len(settled)} of {count} after {said - began:.0f} s")
    except TimeoutError as exc:
        raise RunError(f"{len(settled)} of {count} {load.name} settled within {120 + count * 1.5:.0f} s") from exc
    finally:
        ended = time.monotonic()
        await acting
    return ended - began


async def _until_gone(bench: Bench, load: Load) -> int:
    """How many objects are left, when none are or when their number has not fallen for a minute."""
    least, since, said = sys.maxsize, time.monotonic(), time.monotonic()
    while True:
        left = await bench.api.count(load.collection) + sum(
            [await bench.api.count(path, load.leaves) for path in _CHILDREN]
        )
        if left < least:
            least, since = left, time.monotonic()
        if left == 0 or time.monotonic() - since > _STUCK_SECONDS:
            return left
        if time.monotonic() - said > _BETWEEN_WORDS:
            said = time.monotonic()
            say(f"  {left} left")
        await asyncio.sleep(0.5)
