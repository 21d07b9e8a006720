"""Keeps the last known state of the cluster in the store, and starts from it when the API server is away."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import structlog

from proctor_gateway.cluster.known import Key, Known, worth_keeping
from proctor_gateway.cluster.port import Kind
from proctor_gateway.rules.errors import StoreAway
from proctor_gateway.store.cluster import Object, forget, load, save
from proctor_gateway.store.database import Database

log = structlog.get_logger(__name__)

_WAIT_SECONDS = 1.0


class Snapshot:
    """Writes down what changes, together and not more often than once a second."""

    def __init__(self, database: Database, known: Known) -> None:
        self._database = database
        self._known = known
        known.listen(self._changed, self._listed)
        self._dirty: dict[tuple[Kind, Key], Mapping[str, Any] | None] = {}
        self._whole: set[Kind] = set()

    async def restore(self, kinds: Collection[Kind]) -> int:
        """Put back what was last known of these kinds. How many objects that was."""
        kept = await self._database.read(load)
        for each in kept:
            if each.kind in kinds:
                self._known.put(Kind(each.kind), _without_weight(each.body) if each.kind == Kind.AGENT else each.body)
        return sum(each.kind in kinds for each in kept)

    def _changed(self, kind: Kind, key: Key, body: Mapping[str, Any] | None) -> None:
        """An object is different now, or (None) is not there any more."""
        self._dirty[kind, key] = body

    def _listed(self, kind: Kind) -> None:
        """All objects of the kind were listed: what is not among those told since is not there."""
        self._whole.add(kind)

    async def keep(self) -> None:
        """Never returns. A change is on the disk a second after it was seen."""
        while True:
            await asyncio.sleep(_WAIT_SECONDS)
            try:
                await self.flush()
            except StoreAway as exc:
                log.warning("the last known state is not kept", cause=str(exc))
            except Exception:
                log.exception("keeping the last known state failed")

    async def flush(self) -> None:
        """Write down what has changed since the last time."""
        if not self._dirty and not self._whole:
            return
        dirty, self._dirty = self._dirty, {}
        whole, self._whole = self._whole, set()
        present = [
            Object(kind, key.namespace, key.name, worth_keeping(kind, body))
            for (kind, key), body in dirty.items()
            if body is not None
        ]
        absent = [(kind, key.namespace, key.name) for (kind, key), body in dirty.items() if body is None]
        try:
            await self._database.write(lambda c: _write(c, whole, present, absent))
        except BaseException:
            self._dirty = {**dirty, **self._dirty}
            self._whole |= whole
            raise


def _without_weight(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """An Agent whose candidate gets no new task: it may have been withdrawn since, and nobody would tell us."""
    status = body.get("status") or {}
    if not (status.get("rollout") or {}).get("weight"):
        return body
    return {**body, "status": {**status, "rollout": {**status["rollout"], "weight": 0}}}


def _write(connection: Any, whole: set[Kind], present: list[Object], absent: Sequence[tuple[str, str, str]]) -> None:
    for kind in whole:
        forget(connection, kind)
    save(connection, present, absent)
