"""Binds tasks to the revisions that were drawn for them, and tells the others by which weights this instance draws."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from proctor_gateway.clock import Clock
from proctor_gateway.cluster.known import Key, Known
from proctor_gateway.cluster.port import Kind
from proctor_gateway.rules.arms import Beginning, Draw, Split, Stay, split_of
from proctor_gateway.rules.errors import StoreAway
from proctor_gateway.rules.tasks import Task
from proctor_gateway.settings import Settings
from proctor_gateway.store import assignments
from proctor_gateway.store.assignments import Binding, Stale
from proctor_gateway.store.database import Database

log = structlog.get_logger(__name__)


class Draws:
    """The draws of one instance.

    What is told is true of every draw that is committed afterwards. A draw asks inside its transaction whether its
    weight still holds, and this instance's transactions follow one another: a draw by an older weight is committed
    before the newer weight is told, or not at all. So once all instances have told weight 0, no task begins on the
    candidate any more.
    """

    def __init__(self, settings: Settings, clock: Clock, known: Known, database: Database, instance: str) -> None:
        self._settings = settings
        self._clock = clock
        self._known = known
        self._database = database
        self._instance = instance
        self._splits: dict[Key, Split] = {}
        self._changed = asyncio.Event()
        known.listen(self._on_change)

    async def bind(self, task: Task, beginning: Beginning, draw: Draw, limit: timedelta) -> Task | Stay | Stale | None:
        """Begin the task as it was drawn. Raises StoreAway; see `assignments.bind` for what comes back."""
        agent = Key(task.request.namespace, task.request.agent)
        binding = Binding(
            task=task,
            owner=self._instance,
            beginning=beginning,
            draw=draw,
            timeout=limit,
            now=self._clock.now(),
            silent=timedelta(seconds=self._settings.takeover),
            is_current=lambda: self._split(agent) == draw.split,
        )
        return await self._database.write(lambda c: assignments.bind(c, binding), (assignments.LOCK,))

    async def follow(self) -> None:
        """Never returns. Tells at once what has changed, and with each heartbeat what holds."""
        while True:
            try:
                await self.tell()
            except StoreAway as exc:
                log.warning("the weights are not told", cause=str(exc))
            except Exception:
                log.exception("telling the weights failed")
            try:
                await asyncio.wait_for(self._changed.wait(), self._settings.heartbeat)
            except TimeoutError:
                continue

    async def tell(self) -> None:
        """Say by which upgrades and weights this instance draws."""
        self._changed.clear()
        seen = {f"{key.namespace}/{key.name}": said(split) for key, split in self._splits.items()}
        await self._database.write(lambda c: assignments.tell_seen(c, self._instance, seen))

    def _on_change(self, kind: Kind, key: Key, _body: object) -> None:
        if kind is not Kind.AGENT:
            return
        split = self._split(key)
        if split == self._splits.get(key):
            return
        if split is None:
            del self._splits[key]
        else:
            self._splits[key] = split
        self._changed.set()

    def _split(self, key: Key) -> Split | None:
        agent = self._known.agent(key.namespace, key.name)
        return split_of(agent) if agent else None


def said(split: Split) -> list[object]:
    """The part of an upgrade that all instances must have seen alike.

    The stable revision is part of it: one that was promoted and is taken back loses its traffic at a weight that was 0
    before and is 0 after.
    """
    return [split.rollout, split.weight, split.stable]
