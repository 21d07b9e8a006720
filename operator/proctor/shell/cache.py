"""What we know of the cluster: filled by watches, by our own writes and by a regular list; read by every reconcile.

Bodies are kept as compressed JSON: ten thousand agents with their children have to fit into a small container.
"""

from __future__ import annotations

import json
import zlib
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from proctor.api import names
from proctor.plan.world import Manifest

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_POD_STATUS = ("phase", "reason", "conditions", "containerStatuses")
_TOMBSTONES = 20_000


class Key(NamedTuple):
    """An object by kind, namespace and name."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class _Entry:
    uid: str
    version: int
    owner: str | None
    agent: str | None
    packed: bytes


class Cache:
    """The newest version seen of each object: an older one never replaces a newer."""

    def __init__(self) -> None:
        self._entries: dict[Key, _Entry] = {}
        self._by_place: defaultdict[tuple[str, str], set[Key]] = defaultdict(set)
        self._by_owner: defaultdict[str, set[Key]] = defaultdict(set)
        self._by_agent: defaultdict[tuple[str, str, str], set[Key]] = defaultdict(set)
        self._gone: OrderedDict[str, None] = OrderedDict()

    def put(self, body: Manifest) -> bool:
        """Takes in a version of an object; whether it was news."""
        metadata = body["metadata"]
        key, uid, version = key_of(body), metadata["uid"], int(metadata["resourceVersion"])
        # A late echo of an object that is gone must not bring it back: its children would be made again.
        if uid in self._gone:
            return False
        old = self._entries.get(key)
        if old is not None and old.version >= version:
            return False
        if old is not None and old.uid != uid:
            self._bury(old.uid)
        self._forget(key)
        agent = metadata.get("labels", {}).get(names.AGENT)
        entry = _Entry(uid, version, _controller_of(body), agent, _pack(body))
        self._entries[key] = entry
        self._by_place[key.kind, key.namespace].add(key)
        if entry.owner:
            self._by_owner[entry.owner].add(key)
        if entry.agent:
            self._by_agent[key.kind, key.namespace, entry.agent].add(key)
        return True

    def drop(self, key: Key, uid: str) -> bool:
        """Takes note that the object with that uid is gone; whether it was news."""
        self._bury(uid)
        old = self._entries.get(key)
        if old is None or old.uid != uid:
            return False
        self._forget(key)
        return True

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """The object, if it is known."""
        entry = self._entries.get(Key(kind, namespace, name))
        return _unpack(entry) if entry else None

    def version(self, key: Key) -> int | None:
        """The resource version that is known of the object."""
        entry = self._entries.get(key)
        return entry.version if entry else None

    def uid(self, key: Key) -> str | None:
        """The uid that is known of the object."""
        entry = self._entries.get(key)
        return entry.uid if entry else None

    def owned(self, uid: str) -> tuple[Manifest, ...]:
        """The objects whose controller has that uid, in a fixed order."""
        return tuple(_unpack(self._entries[key]) for key in sorted(self._by_owner.get(uid, ())))

    def of_agent(self, kind: str, namespace: str, agent: str) -> tuple[Manifest, ...]:
        """The objects of the kind that are labelled with the agent's name, in a fixed order."""
        return tuple(_unpack(self._entries[key]) for key in sorted(self._by_agent.get((kind, namespace, agent), ())))

    def within(self, kind: str, namespace: str) -> Iterator[Manifest]:
        """The objects of the kind in the namespace, in a fixed order."""
        return (_unpack(self._entries[key]) for key in sorted(self._by_place.get((kind, namespace), ())))

    def keys(self, kind: str, namespace: str | None = None) -> list[Key]:
        """The keys of all objects of the kind, or of those in one namespace."""
        if namespace is not None:
            return sorted(self._by_place.get((kind, namespace), ()))
        return sorted(key for (each, _), keys in self._by_place.items() if each == kind for key in keys)

    def replace(self, bodies: Iterable[Manifest], before: dict[Key, str]) -> list[Key]:
        """Makes the known objects of a kind those of a list; the keys of all that were news.

        `before` is `snapshot(kind)` taken before the list was asked for: what was unknown then and is not in the list
        is newer than the list, not gone.
        """
        listed = {key_of(body): body for body in bodies}
        news = [key for key, body in listed.items() if self.put(body)]
        news += [key for key, uid in before.items() if key not in listed and self.drop(key, uid)]
        return news

    def snapshot(self, kind: str) -> dict[Key, str]:
        """The uid of every known object of the kind."""
        return {key: self._entries[key].uid for key in self.keys(kind)}

    def __len__(self) -> int:
        return len(self._entries)

    def _forget(self, key: Key) -> None:
        old = self._entries.pop(key, None)
        if old is None:
            return
        _discard(self._by_place, (key.kind, key.namespace), key)
        if old.owner:
            _discard(self._by_owner, old.owner, key)
        if old.agent:
            _discard(self._by_agent, (key.kind, key.namespace, old.agent), key)

    def _bury(self, uid: str) -> None:
        self._gone[uid] = None
        if len(self._gone) > _TOMBSTONES:
            self._gone.popitem(last=False)


def key_of(body: Manifest) -> Key:
    """The key of an object."""
    metadata = body["metadata"]
    return Key(body["kind"], metadata.get("namespace", ""), metadata["name"])


def controller_name(body: Manifest, kind: str) -> str | None:
    """The name of the object of that kind which owns this one; None if there is none."""
    references = body["metadata"].get("ownerReferences", ())
    return next((each["name"] for each in references if each["kind"] == kind), None)


def _controller_of(body: Manifest) -> str | None:
    references = body["metadata"].get("ownerReferences", ())
    return next((each["uid"] for each in references if each.get("controller")), None)


def _discard(index: defaultdict[Any, set[Key]], at: Any, key: Key) -> None:
    index[at].discard(key)
    if not index[at]:
        del index[at]


def _pack(body: Manifest) -> bytes:
    return zlib.compress(json.dumps(_slim(body), separators=(",", ":")).encode(), 1)


def _unpack(entry: _Entry) -> Manifest:
    body: Manifest = json.loads(zlib.decompress(entry.packed))
    return body


def _slim(body: Manifest) -> Manifest:
    metadata = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    if _LAST_APPLIED in metadata.get("annotations", {}):
        kept = {key: value for key, value in metadata["annotations"].items() if key != _LAST_APPLIED}
        metadata["annotations"] = kept
    if body["kind"] != "Pod":
        return {**body, "metadata": metadata}
    status = body.get("status", {})
    return {
        "apiVersion": body["apiVersion"],
        "kind": "Pod",
        "metadata": metadata,
        "status": {key: status[key] for key in _POD_STATUS if key in status},
    }
