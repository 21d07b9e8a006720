"""The real API server behind the port `Kube`."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import datetime

import structlog

from proctor.api import names
from proctor.plan.reports import ReportKind
from proctor.plan.world import Deletion, Edit, Event, Manifest
from proctor.shell import metrics
from proctor.shell.client import APPLY, EDIT, MERGE, Client, Conflict, NotFound
from proctor.shell.errors import Blocked, ProctorError, Retry
from proctor.shell.lease import Leadership
from proctor.shell.resources import BY_KIND, EVENT, REPORTS, RULES, Resource

_PAGE = "500"
_LONGEST_NOTE = 1024
_EVENTS_PER_SECOND = 20

log = structlog.get_logger()


class RealKube:
    """Reads and writes over one client; every write is fenced by the lease."""

    def __init__(self, client: Client, leadership: Leadership, identity: str) -> None:
        self._client = client
        self._leadership = leadership
        self._identity = identity
        self._event_slots = asyncio.Semaphore(_EVENTS_PER_SECOND)

    async def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """The object as it is now; None if there is none."""
        resource = BY_KIND[kind]
        try:
            found = await self._client.request("GET", resource.path(namespace, name))
        except NotFound:
            return None
        return _typed(found, resource)

    async def list(self, kind: str) -> AsyncIterator[Manifest]:
        """All objects of the kind that concern us, page by page: ten thousand at once would be 300 MiB."""
        resource = BY_KIND[kind]
        query = {"limit": _PAGE, **({"labelSelector": resource.selector} if resource.selector else {})}
        while True:
            page = await self._client.request("GET", resource.path(), query=query)
            for each in page["items"]:
                yield _typed(each, resource)
            after = page["metadata"].get("continue")
            if not after:
                return
            query["continue"] = after

    async def has_rules(self) -> bool:
        """Whether the cluster has PrometheusRules."""
        return await self.serves(RULES.kind)

    async def serves(self, kind: str) -> bool:
        """Whether the cluster has the kind. What cannot be asked is not there, until it is asked again."""
        resource = BY_KIND[kind]
        try:
            found = await self._client.request("GET", f"/apis/{resource.group}/{resource.version}")
        except (NotFound, Retry, Blocked):
            return False
        return any(each["name"] == resource.plural for each in found.get("resources", ()))

    async def report_kind(self) -> ReportKind | None:
        """The kind of policy report that the cluster has; None if it has none, or cannot be asked."""
        for each in REPORTS:
            try:
                found = await self._client.request("GET", f"/apis/{each.group}/{each.version}")
            except (NotFound, Retry, Blocked):
                continue
            if any(one["name"] == each.plural for one in found.get("resources", ())):
                return ReportKind(each.api_version, each.kind)
        return None

    async def apply(self, manifest: Manifest) -> Manifest:
        """Server-side apply of an object. It is made if it is not there, unless its namespace is not there either."""
        return await self._patch(manifest, "")

    async def apply_status(self, manifest: Manifest) -> Manifest:
        """Server-side apply of an object's status."""
        return await self._patch(manifest, "status")

    async def _patch(self, manifest: Manifest, subresource: str) -> Manifest:
        self._leadership.check()
        resource, metadata = BY_KIND[manifest["kind"]], manifest["metadata"]
        path = resource.path(metadata.get("namespace", ""), metadata["name"], subresource)
        query = {"fieldManager": names.FIELD_MANAGER, "force": "true"}
        metrics.WRITES.labels(manifest["kind"], subresource or "apply").inc()
        try:
            answer = await self._client.request("PATCH", path, query=query, body=manifest, content=APPLY)
        except NotFound as exc:
            raise Retry(f"{path} is gone, or what it was in") from exc
        return _typed(answer, resource)

    async def edit(self, edit: Edit) -> Manifest:
        """Changes a few fields of somebody else's object, by JSON patch."""
        self._leadership.check()
        resource = BY_KIND[edit.kind]
        path = resource.path(edit.namespace, edit.name)
        metrics.WRITES.labels(edit.kind, "edit").inc()
        query = {"fieldManager": names.FIELD_MANAGER}
        try:
            answer = await self._client.request("PATCH", path, query=query, body=list(edit.operations), content=EDIT)
        except NotFound as exc:
            raise Retry(f"{path} is gone") from exc
        return _typed(answer, resource)

    async def delete(self, deletion: Deletion) -> Manifest | None:
        """Deletes exactly the object with that uid."""
        self._leadership.check()
        resource = BY_KIND[deletion.kind]
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": deletion.uid},
            "propagationPolicy": "Background",
        }
        metrics.WRITES.labels(deletion.kind, "delete").inc()
        try:
            answer = await self._client.request("DELETE", resource.path(deletion.namespace, deletion.name), body=body)
        except NotFound:
            return None
        except Conflict:
            # It says that the name now belongs to another uid, so ours is gone; to be sure, we look.
            found = await self.get(deletion.kind, deletion.namespace, deletion.name)
            if found is not None and found["metadata"]["uid"] == deletion.uid:
                raise
            return None
        return _typed(answer, resource) if answer.get("kind") != "Status" else None

    async def tell(self, about: Manifest, event: Event, now: datetime) -> None:
        """Writes an Event (events.k8s.io/v1), or counts it up."""
        body = make_event(about, event, now, self._identity)
        metadata = body["metadata"]
        try:
            self._leadership.check()
            async with self._event_slots:
                metrics.WRITES.labels("Event", "create").inc()
                await self._client.request("POST", EVENT.path(metadata["namespace"]), body=body)
        except Conflict:
            await self._count_up(metadata, now)
        except (Retry, Blocked, NotFound) as exc:
            log.warning("event lost", reason=event.reason, error=str(exc))

    async def _count_up(self, metadata: Manifest, now: datetime) -> None:
        path = EVENT.path(metadata["namespace"], metadata["name"])
        try:
            found = await self._client.request("GET", path)
            count = (found.get("series") or {}).get("count", 1) + 1
            series = {"series": {"count": count, "lastObservedTime": _micro(now)}}
            metrics.WRITES.labels("Event", "patch").inc()
            await self._client.request("PATCH", path, body=series, content=MERGE)
        except ProctorError as exc:
            log.warning("event not counted", name=metadata["name"], error=str(exc))


def make_event(about: Manifest, event: Event, now: datetime, identity: str) -> Manifest:
    """The Event object. Its name says what it says, so that the same story told twice is one Event, counted."""
    metadata = about["metadata"]
    content = f"{metadata['uid']}/{event.reason}/{event.message}"
    tail = hashlib.sha256(content.encode()).hexdigest()[:16]
    return {
        "apiVersion": EVENT.api_version,
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{tail}", "namespace": metadata.get("namespace") or "default"},
        "eventTime": _micro(now),
        "reportingController": f"{names.GROUP}/operator",
        "reportingInstance": identity,
        "type": event.type,
        "reason": event.reason,
        "action": "Reconcile",
        "note": event.message[:_LONGEST_NOTE],
        "regarding": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": metadata["name"],
            "namespace": metadata.get("namespace"),
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
    }


def _micro(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _typed(body: Manifest, resource: Resource) -> Manifest:
    # Items of a list carry neither kind nor apiVersion.
    return {**body, "apiVersion": resource.api_version, "kind": resource.kind}
