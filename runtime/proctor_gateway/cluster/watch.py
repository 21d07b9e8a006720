"""Keeps what is known in step with the API server, one loop for each kind: list, then watch, then again.

While the API server is away nothing is forgotten: the gateway serves on with what it knew.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from proctor_gateway.cluster.known import Known, key_of
from proctor_gateway.cluster.port import Cluster, Gone, Kind
from proctor_gateway.rules.errors import ClusterAway

log = structlog.get_logger(__name__)

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_SHORTEST_ROUND = 0.5


@dataclass
class Backoff:
    """A pause that doubles with every failure, with jitter, so that replicas do not come back all at once."""

    failures: int = 0

    def next(self, chance: float) -> float:
        """Seconds to wait after one more failure. `chance` is from 0 to 1."""
        pause: float = min(_FIRST_PAUSE * 2**self.failures, _LONGEST_PAUSE)
        self.failures += 1
        return pause * (0.5 + chance / 2)

    def reset(self) -> None:
        """Something went well."""
        self.failures = 0


class Watcher:
    """Follows one kind."""

    def __init__(
        self,
        cluster: Cluster,
        known: Known,
        kind: Kind,
        seconds: float,
        gauge: Callable[[Kind, int], None],
        heard: Callable[[Kind], None] = lambda _: None,
    ) -> None:
        self.kind = kind
        self.synced = asyncio.Event()
        self._cluster = cluster
        self._known = known
        self._seconds = seconds
        self._gauge = gauge
        # Only what the server said counts: that a watch is about to be asked for says nothing of the server.
        self._heard = heard
        self._version: str | None = None

    async def follow(self) -> None:
        """Never returns. Whatever goes wrong is said, waited out and begun again."""
        backoff = Backoff()
        while True:
            try:
                await self._round(backoff)
            except Gone as exc:
                log.info("watch expired, listing again", kind=self.kind, cause=str(exc))
                self._version = None
            except ClusterAway as exc:
                self._gauge(self.kind, 0)
                pause = backoff.next(random.random())  # noqa: S311 - jitter
                log.warning("the API server is away", kind=self.kind, cause=str(exc), seconds=round(pause, 1))
                await asyncio.sleep(pause)
            except Exception:
                # A bug in the reading of one event must not end the following of a kind for good.
                log.exception("following failed, listing again", kind=self.kind)
                self._version = None
                await asyncio.sleep(backoff.next(random.random()))  # noqa: S311 - jitter

    async def _round(self, backoff: Backoff) -> None:
        if self._version is None:
            listing = await self._cluster.list(self.kind)
            self._known.replace(self.kind, listing.items)
            self._version = listing.version
            self._heard(self.kind)
            self.synced.set()
        self._gauge(self.kind, 1)
        began = asyncio.get_running_loop().time()
        async for event in self._cluster.watch(self.kind, self._version, self._seconds):
            backoff.reset()
            self._heard(self.kind)
            self._version = event.body["metadata"]["resourceVersion"]
            if event.bookmark:
                continue
            if event.deleted:
                self._known.remove(self.kind, key_of(event.body))
            else:
                self._known.put(self.kind, event.body)
        backoff.reset()
        self._heard(self.kind)
        # A server that ends every watch at once must not be asked in a tight loop.
        await asyncio.sleep(max(0.0, _SHORTEST_ROUND - (asyncio.get_running_loop().time() - began)))
