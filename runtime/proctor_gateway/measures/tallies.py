"""Counters of good and bad events for each objective, for those who watch by Prometheus.

Each instance counts the tasks that it ended itself, so the sum over all instances is the whole. A counter cannot take
anything back: what somebody says of an answer later is in the status of the Agent, but not here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter

from proctor.api.agent import Agent
from proctor.api.fields import parse_duration
from proctor.api.objectives import IndicatorType, Objective
from proctor_gateway.cluster.known import Key, Known
from proctor_gateway.cluster.port import Kind
from proctor_gateway.measures.goodness import judged
from proctor_gateway.rules.errors import StoreAway
from proctor_gateway.store import custom
from proctor_gateway.store.custom import Expressions, Verdicts
from proctor_gateway.store.database import Database
from proctor_gateway.store.indicators import Counted, Sums

_LABELS = ("namespace", "agent", "slo")
_AT_ONCE = 100
_PAUSE_SECONDS = 1.0

log = structlog.get_logger(__name__)


class Tallies:
    """Reads how each task ended, after its end, beside everything else: nobody waits for a counter."""

    def __init__(self, registry: CollectorRegistry, known: Known, database: Database) -> None:
        self._known = known
        self._database = database
        self._ended: asyncio.Queue[str] = asyncio.Queue(maxsize=100_000)
        self._verdicts = Verdicts()
        self._events = Counter("proctor_slo_events", "Events that count for an objective.", _LABELS, registry=registry)
        self._bad = Counter("proctor_slo_bad_events", "Those of them that were bad.", _LABELS, registry=registry)
        known.listen(self._on_change)

    def ended(self, task: str) -> None:
        """Take note that the task has ended."""
        if not self._ended.full():
            self._ended.put_nowait(task)

    async def follow(self) -> None:
        """Never returns."""
        while True:
            tasks = [await self._ended.get()]
            while len(tasks) < _AT_ONCE and not self._ended.empty():
                tasks.append(self._ended.get_nowait())
            try:
                await self._count(tasks)
            except StoreAway as exc:
                log.warning("objectives miss tasks", count=len(tasks), cause=str(exc))
                await asyncio.sleep(_PAUSE_SECONDS)
            except Exception:
                log.exception("counting for objectives failed")

    async def _count(self, tasks: Sequence[str]) -> None:
        for row in await self._database.read(lambda connection: custom.ended(connection, tasks)):
            agent = self._known.agent(row.namespace, row.agent)
            for objective in agent.spec.slos if agent is not None else ():
                good, total = self._of(row, objective)
                self._add((row.namespace, row.agent, objective.name), good, total)

    def _of(self, row: Any, objective: Objective) -> Sums:
        indicator = objective.indicator
        match indicator.type:
            case IndicatorType.CUSTOM:
                expressions = Expressions(indicator.good or "false", indicator.total or "false")
                return custom.judged(row, expressions, self._verdicts)
            case IndicatorType.LATENCY:
                return judged(row, Counted(indicator.type, parse_duration(indicator.threshold).total_seconds()))
            case _:
                return judged(row, Counted(indicator.type, float(indicator.threshold or 0)))

    def _add(self, labels: tuple[str, str, str], good: int, total: int) -> None:
        self._events.labels(*labels).inc(total)
        self._bad.labels(*labels).inc(total - good)

    def _on_change(self, kind: Kind, key: Key, body: object) -> None:
        """A counter that appears with its first event would hide it: a rise is seen only from one value to another."""
        if kind is not Kind.AGENT or body is None:
            return
        agent: Agent | None = self._known.agent(key.namespace, key.name)
        for objective in agent.spec.slos if agent is not None else ():
            self._add((key.namespace, key.name, objective.name), 0, 0)
