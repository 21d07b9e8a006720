"""The turnstile in front of a connector: no faster and no wider than its limits say. One for each process."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from proctor.api.connector import Connector
from proctor_gateway.clock import Clock
from proctor_gateway.cluster.known import Key
from proctor_gateway.rules.errors import Denied
from proctor_gateway.rules.limits import Pace
from proctor_gateway.rules.reasons import Reason

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass
class _Gate:
    pace: Pace = field(default_factory=lambda: Pace(_LONG_AGO))
    inside: int = 0
    left: asyncio.Condition = field(default_factory=asyncio.Condition)


class Gates:
    """Lets calls through in turn. A call that would wait longer than `patience` is refused instead."""

    def __init__(self, clock: Clock, patience: float) -> None:
        self._clock = clock
        self._patience = patience
        self._gates: defaultdict[Key, _Gate] = defaultdict(_Gate)

    @contextlib.asynccontextmanager
    async def turn(self, connector: Connector) -> AsyncIterator[None]:
        """A turn at the connector. Raises Denied RateLimited."""
        key = Key(connector.metadata.namespace, connector.metadata.name)
        gate = self._gates[key]
        limits = connector.spec.limits
        if limits.rps is not None:
            await self._pace(gate, limits.rps, key.name)
        if limits.concurrency is None:
            yield
            return
        await self._enter(gate, limits.concurrency, key.name)
        try:
            yield
        finally:
            gate.inside -= 1
            async with gate.left:
                gate.left.notify()

    async def _pace(self, gate: _Gate, rps: int, name: str) -> None:
        wait, pace = gate.pace.next(rps, self._clock.now())
        if wait > timedelta(seconds=self._patience):
            raise Denied(Reason.RATE_LIMITED, f"connector {name} lets {rps} calls a second through, and more wait")
        gate.pace = pace
        if wait > timedelta(0):
            await asyncio.sleep(wait.total_seconds())

    async def _enter(self, gate: _Gate, most: int, name: str) -> None:
        try:
            async with asyncio.timeout(self._patience), gate.left:
                await gate.left.wait_for(lambda: gate.inside < most)
                gate.inside += 1
        except TimeoutError as exc:
            raise Denied(Reason.RATE_LIMITED, f"connector {name} has {most} calls under way, and more wait") from exc
