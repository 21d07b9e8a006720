"""Room on pods: who waits for it, in order, and who has it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable

from proctor_gateway.cluster.known import Key, Known
from proctor_gateway.cluster.port import Kind
from proctor_gateway.dispatch import Pod, choose

Wanted = Callable[[], tuple[str, int] | None]
"""The revision that is wanted now and how many tasks one of its pods takes; None while none can be had."""


class Slots:
    """Counts this process's tasks on each pod. Those who wait for the same thing are served in the order they came."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._in_flight: Counter[str] = Counter()
        self._queues: dict[tuple[str, str, str], asyncio.Lock] = {}
        self._waiting: Counter[tuple[str, str, str]] = Counter()
        self._freed = asyncio.Event()
        known.listen(self._on_change)

    @contextlib.asynccontextmanager
    async def taken(
        self, agent: Key, lane: str, wanted: Wanted, avoid: frozenset[str]
    ) -> AsyncIterator[tuple[Pod, str]]:
        """A place on a pod, and the revision it runs. Waits as long as it takes: bound it from outside.

        Lanes keep a task that is bound to an old revision from standing in the way of those that are not.
        """
        queue = (agent.namespace, agent.name, lane)
        self._waiting[queue] += 1
        try:
            async with self._queues.setdefault(queue, asyncio.Lock()):
                pod, revision = await self._free(agent, wanted, avoid)
                self._in_flight[pod.uid] += 1
        finally:
            self._waiting[queue] -= 1
            if not self._waiting[queue]:
                del self._waiting[queue], self._queues[queue]
        try:
            yield pod, revision
        finally:
            self._in_flight[pod.uid] -= 1
            if not self._in_flight[pod.uid]:
                del self._in_flight[pod.uid]
            self._wake()

    @property
    def in_flight(self) -> int:
        """How many places are taken."""
        return self._in_flight.total()

    async def _free(self, agent: Key, wanted: Wanted, avoid: frozenset[str]) -> tuple[Pod, str]:
        while True:
            freed = self._freed
            asked = wanted()
            if asked is not None:
                revision, concurrency = asked
                pods = self._known.pods(agent.namespace, agent.name, revision)
                pod = choose(pods, self._in_flight, concurrency, avoid)
                if pod is not None:
                    return pod, revision
            await freed.wait()

    def _on_change(self, kind: Kind, _key: Key, _body: object) -> None:
        if kind is not Kind.CONNECTOR:
            self._wake()

    def _wake(self) -> None:
        self._freed.set()
        self._freed = asyncio.Event()
