"""The watches: kopf as the informer, and a regular list that shows when a watch is silent though things change."""

from __future__ import annotations

import asyncio
from typing import Any

import kopf
import structlog

from proctor.api import names
from proctor.shell import metrics
from proctor.shell.access import connection
from proctor.shell.cache import Cache, Key, key_of
from proctor.shell.client import NotFound
from proctor.shell.errors import ProctorError, Retry
from proctor.shell.intake import Intake
from proctor.shell.ports import Clock, Kube
from proctor.shell.resources import WATCHED, Resource
from proctor.shell.stateless import NoDiffBase, NoProgress

_GRACE_SECONDS = 60.0

log = structlog.get_logger()


class WatchStalled(ProctorError):  # noqa: N818 - names the state of the watch
    """Things change and the watch does not say so. A new process is the surest cure."""


class Watches:
    """Feeds the intake. `kopf` watches; `check` lists from time to time and compares."""

    def __init__(self, kube: Kube, cache: Cache, intake: Intake, clock: Clock) -> None:
        self._kube = kube
        self._cache = cache
        self._intake = intake
        self._clock = clock

    async def fill(self) -> None:
        """Lists everything once, so that the first reconcile knows the whole world and writes nothing needless."""
        for resource in WATCHED:
            try:
                await self._list(resource)
            except NotFound as exc:
                message = f"the cluster has no kind {resource.kind} of {resource.group}: install the CRDs first"
                raise ProctorError(message) from exc

    async def check(self, every_seconds: float) -> None:
        """Lists everything again and again. Raises WatchStalled when a watch did not tell of what a list showed."""
        while True:
            await asyncio.sleep(every_seconds)
            missed = {resource.kind: await self._missed(resource) for resource in WATCHED}
            await asyncio.sleep(_GRACE_SECONDS)
            for kind, versions in missed.items():
                self._judge(kind, versions)
            metrics.OBJECTS.set(len(self._cache))

    def registry(self) -> kopf.OperatorRegistry:
        """Handlers that take note and do nothing else: kopf writes nothing to any object."""
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(_login)
        kopf.on.startup(registry=registry)(_configure)
        for resource in WATCHED:
            where = (resource.group, resource.version, resource.plural)
            kopf.on.event(*where, registry=registry, id=f"watch-{resource.plural}")(self._handler(resource))
        return registry

    def _handler(self, resource: Resource) -> Any:
        async def told(type: str | None, event: dict[str, Any], **_: Any) -> None:  # noqa: A002 - kopf's word
            self.tell(resource, type, event["object"])

        return told

    def tell(self, resource: Resource, type_: str | None, body: dict[str, Any]) -> None:
        """The watch says that an object is there (ADDED, MODIFIED, or None from its list) or gone (DELETED)."""
        body = {**body, "apiVersion": resource.api_version, "kind": resource.kind}
        metrics.WATCHED.labels(resource.kind).set(self._clock.now().timestamp())
        if type_ == "DELETED":
            self._intake.deleted(body)
        else:
            self._intake.changed(body)
            self._cache.hear(key_of(body), int(body["metadata"]["resourceVersion"]))

    async def _list(self, resource: Resource) -> dict[Key, int]:
        """What the list showed and the cache did not know, with the versions listed."""
        before = self._cache.snapshot(resource.kind)
        listed, news = set[Key](), dict[Key, int]()
        async for body in self._kube.list(resource.kind):
            listed.add(key_of(body))
            if self._intake.changed(body):
                news[key_of(body)] = int(body["metadata"]["resourceVersion"])
        for key in before.keys() - listed:
            missing = self._cache.get(*key)
            if missing is not None and missing["metadata"]["uid"] == before[key]:
                self._intake.deleted(missing)
        return news

    async def _missed(self, resource: Resource) -> dict[Key, int]:
        try:
            return await self._list(resource)
        except Retry as exc:
            log.warning("could not list", kind=resource.kind, error=str(exc))
            return {}

    def _judge(self, kind: str, versions: dict[Key, int]) -> None:
        # The list may well be a moment ahead of the watch; after a minute the watch must have caught up.
        silent = [
            key
            for key, version in versions.items()
            if self._cache.heard(key) < version <= (self._cache.version(key) or 0)
        ]
        if silent:
            metrics.MISSED.labels(kind).inc(len(silent))
            raise WatchStalled(f"the watch of {kind} did not tell of {len(silent)} changes, e.g. {silent[0]}")


def _login(**_: Any) -> kopf.ConnectionInfo:
    # Asked again when the API server no longer takes the token: the pod's has been replaced by then.
    return connection()


def _configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.queueing.idle_timeout = 0.5
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 500
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    # Rides out an API server that is away for two minutes, as during its upgrade.
    settings.networking.error_backoffs = [0.2, 0.5, 1, 2, 4, 8, 15, 30, 30, 30]
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.progress_storage = NoProgress()
    settings.persistence.finalizer = f"{names.GROUP}/finalizer"
    for resource in WATCHED:
        if resource.selector:
            settings.watching.label_selectors[resource.group, resource.version, resource.plural] = resource.selector
