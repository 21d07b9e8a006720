"""Fetches what a revision may do, once: from memory, from the store, from its ControllerRevision."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import structlog

from proctor.api import names
from proctor_gateway.cluster.port import Cluster
from proctor_gateway.rules.bundle import Bundle, BundleError
from proctor_gateway.rules.errors import ClusterAway, Problem
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.store.cluster import load_revision, save_revision
from proctor_gateway.store.database import Database

log = structlog.get_logger(__name__)

_REMEMBERED = 1024


class Bundles:
    """Bundles by agent and revision. They never change, so they are kept for ever.

    There is no falling back to the live Agent: its spec may be that of a revision which is still being tried, or was
    refused, and a task must never be allowed what its own revision was not.
    """

    def __init__(self, cluster: Cluster, database: Database) -> None:
        self._cluster = cluster
        self._database = database
        self._bundles: OrderedDict[tuple[str, str, str], Bundle] = OrderedDict()

    async def get(self, namespace: str, agent: str, revision: str) -> Bundle:
        """The bundle of the revision. Raises Problem if it cannot be had, for then nothing is allowed."""
        key = (namespace, agent, revision)
        bundle = self._bundles.get(key)
        if bundle is None:
            bundle = await self._load(namespace, agent, revision)
            self._bundles[key] = bundle
            if len(self._bundles) > _REMEMBERED:
                self._bundles.popitem(last=False)
        return bundle

    async def _load(self, namespace: str, agent: str, revision: str) -> Bundle:
        kept = await self._database.read(lambda c: load_revision(c, namespace, agent, revision))
        try:
            if kept is not None:
                return Bundle.parse(revision, kept)
            data = await self._fetch(namespace, agent, revision)
            bundle = Bundle.parse(revision, data)
        except BundleError as exc:
            log.warning("a revision is not what its name says", namespace=namespace, agent=agent, cause=str(exc))
            raise Problem(503, Reason.REVISION_UNKNOWN, str(exc)) from exc
        await self._database.write(lambda c: save_revision(c, namespace, agent, revision, data))
        return bundle

    async def _fetch(self, namespace: str, agent: str, revision: str) -> Mapping[str, Any]:
        name = names.of_revision(agent, revision)
        try:
            body = await self._cluster.controller_revision(namespace, name)
        except ClusterAway as exc:
            raise Problem(
                503, Reason.REVISION_UNKNOWN, f"revision {revision} is not known yet, and the API server is away"
            ) from exc
        if body is None:
            raise Problem(503, Reason.REVISION_UNKNOWN, f"there is no ControllerRevision {namespace}/{name}")
        labels = body["metadata"].get("labels", {})
        if labels.get(names.AGENT) != agent or labels.get(names.REVISION) != revision:
            raise Problem(503, Reason.REVISION_UNKNOWN, f"ControllerRevision {namespace}/{name} is of another agent")
        data = body.get("data")
        return data if isinstance(data, Mapping) else {}
