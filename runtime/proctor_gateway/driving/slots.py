"""Room on pods: who waits for it, in order, and who has it."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from proctor_gateway.cluster.known import Key, Known
from proctor_gateway.cluster.port import Kind
from proctor_gateway.rules.arms import Beginning
from proctor_gateway.rules.arms import Room as _Room
from proctor_gateway.rules.dispatch import Pod, choose

Place = tuple[Pod, Beginning]
"""A pod, and the revision that a task begins or goes on with there."""

Wanted = Callable[[_Room], Place | None]
"""The place that a task takes, given the room there is; None while it has to wait."""


@dataclass(frozen=True)
class Asking:
    """Who asks for room. Tasks of one lane are served in the order they came; a lane that waits holds up no other."""

    agent: Key
    lane: str
    is_live: bool
    wanted: Wanted
    avoid: frozenset[str] = frozenset()


@dataclass(eq=False)
class _Waiter:
    asking: Asking
    number: int
    granted: asyncio.Future[Place] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def lane(self) -> tuple[bool, str]:
        """Live tasks and others never wait in the same lane."""
        return not self.asking.is_live, self.asking.lane


_Lanes = dict[tuple[bool, str], dict[_Waiter, None]]
"""Who waits for pods of one agent, in each lane in the order they came."""


class Slots:
    """Counts this process's tasks on each pod. Live tasks come first; all others have at most a share of each pod."""

    def __init__(self, known: Known, trial_share: float = 0.5) -> None:
        self._known = known
        self._trial_share = trial_share
        self._in_flight: Counter[str] = Counter()
        self._trials: Counter[str] = Counter()
        self._lanes: dict[Key, _Lanes] = {}
        self._numbers = itertools.count()
        known.listen(self._on_change)

    @contextlib.asynccontextmanager
    async def taken(self, asking: Asking) -> AsyncIterator[Place]:
        """A place on a pod. Waits as long as it takes: bound it from outside."""
        pod, beginning = await self._granted(asking)
        try:
            yield pod, beginning
        finally:
            self._leave(asking, pod)

    async def _granted(self, asking: Asking) -> Place:
        waiter = _Waiter(asking, next(self._numbers))
        self._lanes.setdefault(asking.agent, {}).setdefault(waiter.lane, {})[waiter] = None
        self._serve(asking.agent)
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            if waiter.granted.done() and not waiter.granted.cancelled():
                # Granted and cancelled in the same turn of the loop: nobody will give the place back but us.
                self._leave(asking, waiter.granted.result()[0])
            else:
                self._forget(waiter)
            raise

    def _forget(self, waiter: _Waiter) -> None:
        """The waiter does not wait any more."""
        lanes = self._lanes.get(waiter.asking.agent, {})
        lane = lanes.get(waiter.lane, {})
        if waiter not in lane:
            return
        del lane[waiter]
        if not lane:
            del lanes[waiter.lane]
        if not lanes:
            del self._lanes[waiter.asking.agent]

    @property
    def in_flight(self) -> int:
        """How many places are taken."""
        return self._in_flight.total()

    def _serve(self, agent: Key) -> None:
        """Give places to those who wait, as far as there are any: live tasks first, then who came first.

        Only the first of a lane is asked what it wants. What there is no place for, those behind it want, too.
        """
        found = self._known.agent(agent.namespace, agent.name)
        lanes = self._lanes.get(agent)
        if found is None or lanes is None:
            return
        heads = [(key[0], next(iter(lane)).number, key) for key, lane in lanes.items()]
        heapq.heapify(heads)
        while heads:
            is_trial, _, key = heapq.heappop(heads)
            waiter = next(iter(lanes[key]))
            # One that was cancelled and has not noticed yet gets nothing, and holds up nobody.
            is_gone = waiter.granted.done()
            place = None if is_gone else waiter.asking.wanted(Room(self, waiter.asking, found.spec.runtime.concurrency))
            if place is not None:
                self._in_flight[place[0].uid] += 1
                self._trials[place[0].uid] += is_trial
                waiter.granted.set_result(place)
            elif not is_gone:
                continue
            self._forget(waiter)
            if key in lanes:
                heapq.heappush(heads, (is_trial, next(iter(lanes[key])).number, key))

    def _leave(self, asking: Asking, pod: Pod) -> None:
        self._in_flight[pod.uid] -= 1
        self._trials[pod.uid] -= not asking.is_live
        for counter in (self._in_flight, self._trials):
            if not counter[pod.uid]:
                del counter[pod.uid]
        self._serve(asking.agent)

    def find(self, asking: Asking, revision: str, concurrency: int) -> Pod | None:
        """The pod of the revision that would take such a task now."""
        pods = self.pods(asking.agent, revision)
        if not asking.is_live:
            # At least one: or an agent whose pods take one task each could never be tried.
            most = max(1, int(concurrency * self._trial_share))
            pods = [pod for pod in pods if self._trials[pod.uid] < most]
        return choose(pods, self._in_flight, concurrency, asking.avoid)

    def pods(self, agent: Key, revision: str) -> list[Pod]:
        """The pods of the revision."""
        return list(self._known.pods(agent.namespace, agent.name, revision))

    def _on_change(self, kind: Kind, _key: Key, _body: object) -> None:
        if kind is not Kind.CONNECTOR:
            for agent in list(self._lanes):
                self._serve(agent)


@dataclass(frozen=True)
class Room:
    """The room that there is for one who asks."""

    slots: Slots
    asking: Asking
    concurrency: int

    def pod(self, revision: str) -> Pod | None:
        """The pod of the revision that would take the task now."""
        return self.slots.find(self.asking, revision, self.concurrency)

    def is_ready(self, revision: str) -> bool:
        """Whether the revision has a ready pod."""
        return any(pod.ready for pod in self.slots.pods(self.asking.agent, revision))
