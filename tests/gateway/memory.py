"""A cluster in memory: what the gateway asks of Kubernetes, answered from dictionaries. It can be away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from proctor_gateway.cluster.port import Event, Gone, Kind, Listing, SecretUnusable
from proctor_gateway.rules.access import Identity
from proctor_gateway.rules.errors import ClusterAway
from proctor_gateway.rules.reasons import Reason

_BOOKMARK_SECONDS = 0.2


class MemoryCluster:
    """Objects with versions, watches that tell of changes, Secrets, ControllerRevisions and tokens."""

    def __init__(self) -> None:
        self.away = False
        self.secrets: dict[tuple[str, str], Mapping[str, bytes]] = {}
        self.forbidden: set[tuple[str, str]] = set()
        self.revisions: dict[tuple[str, str], Mapping[str, Any]] = {}
        self.tokens: dict[str, tuple[Identity, str | None]] = {}
        self.asked: list[tuple[str, ...]] = []
        self._objects: dict[Kind, dict[tuple[str, str], dict[str, Any]]] = {kind: {} for kind in Kind}
        self._history: list[tuple[int, Kind, Event]] = []
        self._version = 1
        self._oldest = 0
        self._changed = asyncio.Event()

    def apply(self, kind: Kind, body: Mapping[str, Any]) -> None:
        """Write an object."""
        self._version += 1
        metadata = {**body["metadata"], "resourceVersion": str(self._version)}
        whole = {**body, "metadata": metadata}
        self._objects[kind][metadata["namespace"], metadata["name"]] = whole
        self._tell(kind, Event(deleted=False, bookmark=False, body=whole))

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """Take an object away."""
        self._version += 1
        body = self._objects[kind].pop((namespace, name))
        gone = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self._version)}}
        self._tell(kind, Event(deleted=True, bookmark=False, body=gone))

    def forget_history(self) -> None:
        """Compact: who watches from an older version has to list again."""
        self._oldest = self._version
        self._history.clear()
        self._wake()

    def go_away(self) -> None:
        """The API server stops answering, and every watch breaks off."""
        self.away = True
        self._wake()

    async def list(self, kind: Kind) -> Listing:
        """All objects of the kind."""
        self._ask("list", kind)
        return Listing(list(self._objects[kind].values()), str(self._version))

    async def watch(self, kind: Kind, version: str, seconds: float) -> AsyncIterator[Event]:
        """What changes after the version."""
        self._ask("watch", kind, version)
        seen = int(version)
        until = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < until:
            changed = self._changed
            if self.away:
                raise ClusterAway("the watch broke off")
            if seen < self._oldest:
                raise Gone("too old")
            for number, of_kind, event in list(self._history):
                if number > seen:
                    seen = number
                    if of_kind is kind:
                        yield event
            try:
                async with asyncio.timeout(_BOOKMARK_SECONDS):
                    await changed.wait()
            except TimeoutError:
                yield Event(deleted=False, bookmark=True, body={"metadata": {"resourceVersion": str(self._version)}})

    async def secret(self, namespace: str, name: str) -> Mapping[str, bytes]:
        """The data of one Secret."""
        self._ask("secret", namespace, name)
        if (namespace, name) in self.forbidden:
            raise SecretUnusable(Reason.SECRET_FORBIDDEN, f"the gateway may not get Secret {namespace}/{name}")
        if (namespace, name) not in self.secrets:
            raise SecretUnusable(Reason.SECRET_NOT_FOUND, f"there is no Secret {namespace}/{name}")
        return self.secrets[namespace, name]

    async def keep(self, namespace: str, name: str, fresh: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """The data of a Secret, and what it lacked of `fresh`."""
        self.secrets[namespace, name] = {**fresh, **await self.secret(namespace, name)}
        return self.secrets[namespace, name]

    async def controller_revision(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """The ControllerRevision of that name."""
        self._ask("revision", namespace, name)
        return self.revisions.get((namespace, name))

    async def ask(self, approval: Mapping[str, Any]) -> bool:
        """Create the Approval."""
        self._ask("ask", approval["metadata"]["name"])
        metadata = approval["metadata"]
        if (metadata["namespace"], metadata["name"]) in self._objects[Kind.APPROVAL]:
            return False
        self.apply(Kind.APPROVAL, {**approval, "metadata": {**metadata, "uid": f"uid-of-{metadata['name']}"}})
        return True

    async def withdraw(self, namespace: str, name: str, why: str) -> None:
        """Ask no more, unless it is decided."""
        self._ask("withdraw", name)
        found = self._objects[Kind.APPROVAL].get((namespace, name))
        if found is not None and found.get("status", {}).get("phase", "Pending") == "Pending":
            status = {**found.get("status", {}), "phase": "Withdrawn", "withdrawn": why}
            self.apply(Kind.APPROVAL, {**found, "status": status})

    def objects(self, kind: Kind) -> list[dict[str, Any]]:
        """All objects of the kind."""
        return list(self._objects[kind].values())

    async def review(self, token: str, audience: str | None) -> Identity | None:
        """Whose token it is."""
        self._ask("review", token, audience or "")
        identity, made_for = self.tokens.get(token, (None, None))
        return identity if made_for == audience else None

    def _ask(self, *what: str) -> None:
        self.asked.append(what)
        if self.away:
            raise ClusterAway("connection refused")

    def _tell(self, kind: Kind, event: Event) -> None:
        self._history.append((self._version, kind, event))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
