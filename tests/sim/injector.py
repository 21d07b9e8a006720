"""Carries a plan of faults out between the operators and the API server, and counts what can be struck."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator

from proctor.shell.errors import Retry
from tests.sim.cluster.api import Answer, Request
from tests.sim.cluster.kinds import Body, Ref
from tests.sim.cluster.store import Change
from tests.sim.faults import Exchange, OnDelivery, OnWrite, Plan, WriteFault
from tests.sim.operators import WATCH_SECONDS, Process
from tests.sim.world import World, is_counted

LEASE = Ref("Lease", "proctor-system", "proctor-operator")


class Injector:
    """Stands in the way from `arm` on."""

    def __init__(self, world: World, plan: Plan = ()) -> None:
        self.world = world
        self.writes = 0
        """Writes seen: the next one has this index."""
        self.events = 0
        """Changes that watches were to tell of."""
        self.struck = 0
        self._is_armed = False
        self._on_write: dict[int, WriteFault] = {each.index: each.fault for each in plan if isinstance(each, OnWrite)}
        self._on_delivery = {each.index: each.delays for each in plan if isinstance(each, OnDelivery)}
        self._failing: dict[tuple[str, str], WriteFault] = {}
        self._lags: dict[str | None, float] = {}
        self._cut_off: dict[str, float] = {}
        self._away_until = 0.0
        self.jitter: random.Random | None = None
        """If it is there, each request takes a little longer or shorter, so that others come between."""
        self._stale: tuple[int, float] | None = None

    def arm(self) -> None:
        """From now on is counted, and struck."""
        self._is_armed = True

    async def carry(self, request: Request, process: Process) -> Answer:
        """The answer to a request, or what a fault makes of it."""
        await self._wait_out(process)
        if not self._is_armed or not is_counted(request):
            return self._answer(request)
        again = self._failing.pop((request.method, request.path), None)
        if again is not None:
            return await again.strike(Exchange(request, process, self))
        fault = self._on_write.pop(self.writes, None)
        self.writes += 1
        if fault is None:
            return self._answer(request)
        self.struck += 1
        return await fault.strike(Exchange(request, process, self))

    def deliveries(self, change: Change, process: Process) -> tuple[float, ...]:
        """When a watch tells of a change."""
        lag = max(self._lags.get(None, 0.0), self._lags.get(change.ref.kind, 0.0))
        if not self._is_armed or process is not self.world.operator:
            return (lag,)
        delays = self._on_delivery.pop(self.events, None)
        self.events += 1
        if delays is None:
            return (lag,)
        self.struck += 1
        return tuple(lag + each for each in delays)

    def listed(self, process: Process, kind: str, selector: str | None) -> list[Body]:
        """What a list shows, which may be the past."""
        version = self._stale_version()
        store = self.world.store
        return store.all(kind, selector) if version is None else store.as_of(version, kind, selector)

    def strike_next(self, fault: WriteFault) -> None:
        """The next write is struck."""
        self._on_write[self.writes] = fault

    def calm_down(self) -> None:
        """From now on nothing goes wrong any more."""
        self._on_write.clear()
        self._on_delivery.clear()
        self._failing.clear()
        self._lags.clear()
        self._cut_off.clear()
        self._away_until = 0.0
        self._stale = None

    def fail_again(self, request: Request, fault: WriteFault) -> None:
        """The next attempt at the same write is struck, too."""
        self._failing[request.method, request.path] = fault

    def lag(self, seconds: float, kind: str | None) -> None:
        """Watches are behind from now on, for ten times as long as they are behind."""
        self._lags[kind] = seconds
        self.world.timeline.call_later(seconds * 10, self._lags.pop, kind, None)

    def cut_off(self, process: Process, seconds: float) -> None:
        """The process reaches nothing until then."""
        self._cut_off[process.name] = self.world.timeline.time() + seconds

    def go_away(self, seconds: float) -> None:
        """No process reaches anything until then; the watches list anew."""
        self._away_until = self.world.timeline.time() + seconds
        self.world.operator.disconnect(seconds + 1)

    def be_stale(self, versions: int, seconds: float) -> None:
        """For so long the lists are behind by so many versions; then the watches tell of the rest."""
        version = self.world.store.version - versions
        self._stale = (version, self.world.timeline.time() + seconds)
        self.world.timeline.call_later(seconds, self._catch_up, version)

    def take_lease(self) -> None:
        """The lease is in another's name."""
        if self.world.store.get(LEASE) is not None:
            self.world.edit(LEASE, {"spec": {"holderIdentity": "intruder", "leaseDurationSeconds": 15}})

    def _answer(self, request: Request) -> Answer:
        version = self._stale_version()
        if version is None or request.is_write or request.target.name:
            return self.world.api.handle(request)
        return self.world.api.list_as_of(request, version)

    def _stale_version(self) -> int | None:
        if self._stale is None or self.world.timeline.time() >= self._stale[1]:
            return None
        return self._stale[0]

    def _catch_up(self, version: int) -> None:
        for change in [each for each in self.world.store.log if each.version > version]:
            self.world.timeline.call_later(WATCH_SECONDS, self.world.operator.see, change)

    async def _wait_out(self, process: Process) -> None:
        if self.jitter is not None:
            await asyncio.sleep(self.jitter.choice((0.0, 0.001, 0.004, 0.02, 0.1)))
        until = max(self._away_until, self._cut_off.get(process.name, 0.0))
        now = self.world.timeline.time()
        if now < until:
            await asyncio.sleep(min(until - now, 3.0))
            raise Retry("injected: no route to host")


@contextlib.contextmanager
def attacked(plan: Plan, *, elects: bool = False) -> Iterator[tuple[World, Injector]]:
    """A world in which the plan strikes between operators and API server, once the injector is armed."""
    made: list[Injector] = []

    def between(world: World) -> Injector:
        made.append(Injector(world, plan))
        return made[0]

    with World(elects=elects, between=between) as world:
        yield world, made[0]
