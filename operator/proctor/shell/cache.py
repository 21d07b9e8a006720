"""What we know of the cluster: filled by watches, by our own writes and by a regular list; read by every reconcile.

Bodies are kept as compressed JSON: ten thousand agents with their children have to fit into a small container. The
first of a kind is the dictionary for all others, which say little that it does not: 150 bytes are enough. Bodies in
use, which are read and replaced several times within seconds, are kept as they are. Nobody may change a body.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from proctor.api import names
from proctor.plan.world import Manifest

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_STATUS = {
    "Pod": ("phase", "reason", "conditions", "containerStatuses"),
    "Deployment": ("observedGeneration", "replicas", "readyReplicas", "updatedReplicas", "conditions"),
    "PodDisruptionBudget": (),
}
"""The fields of a status that anybody asks for. Without the others, most of what a controller reports is no news."""

_CONDITIONS = {"Pod": ("PodScheduled", "False"), "Deployment": ("ReplicaFailure", "True")}
_CONTAINER = ("name", "image", "imageID", "ready", "state", "lastState")
_IN_USE = 1_000
_TOMBSTONES = 20_000

_WINDOW_BITS, _WINDOW, _MEMORY_LEVEL = -15, 2**15, 6


class Key(NamedTuple):
    """An object by kind, namespace and name."""

    kind: str
    namespace: str
    name: str


@dataclass(slots=True)
class _Entry:
    uid: str
    version: int
    generation: int
    owner: str | None
    agent: str | None
    heard: int = 0
    """The last version that a watch told of."""
    packed: bytes | None = None
    """None while the body is in use and has not been packed yet."""


class Cache:
    """The newest version seen of each object: an older one never replaces a newer."""

    def __init__(self) -> None:
        self._entries: dict[Key, _Entry] = {}
        self._by_place: defaultdict[tuple[str, str], set[Key]] = defaultdict(set)
        # Lists, for there are few of an agent: an empty set is larger than ten keys.
        self._by_owner: defaultdict[str, list[Key]] = defaultdict(list)
        self._by_agent: defaultdict[tuple[str, str], list[Key]] = defaultdict(list)
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._in_use: OrderedDict[Key, Manifest] = OrderedDict()
        self._most_in_use = _IN_USE
        self._packing = _Packing()

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
        entry = _Entry(
            uid,
            version,
            generation=int(metadata.get("generation", 0)),
            # The same few words in many objects: each is kept once.
            owner=_interned(_controller_of(body)),
            agent=_interned(metadata.get("labels", {}).get(names.AGENT)),
            heard=old.heard if old is not None else 0,
        )
        self._forget(key)
        self._enter(Key(key.kind, sys.intern(key.namespace), key.name), entry)
        self._use(key, _slim(body))
        return True

    def hear(self, key: Key, version: int) -> None:
        """Takes note that a watch told of this version, whether or not it was news."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.heard = version

    def heard(self, key: Key) -> int:
        """The last version that a watch told of; 0 if none did."""
        entry = self._entries.get(key)
        return entry.heard if entry else 0

    def _enter(self, key: Key, entry: _Entry) -> None:
        self._entries[key] = entry
        self._by_place[key.kind, key.namespace].add(key)
        if entry.owner:
            self._by_owner[entry.owner].append(key)
        if entry.agent:
            self._by_agent[key.namespace, entry.agent].append(key)

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
        key = Key(kind, namespace, name)
        return self._body(key) if key in self._entries else None

    def holds(self, body: Manifest) -> bool:
        """Whether the object is known, and in all that is kept of it just as it is here, whatever its version."""
        key = key_of(body)
        entry = self._entries.get(key)
        return (
            entry is not None
            and entry.uid == body["metadata"]["uid"]
            and _content(self._body(key)) == _content(_slim(body))
        )

    def generation(self, key: Key) -> int | None:
        """The generation that is known of the object."""
        entry = self._entries.get(key)
        return entry.generation if entry else None

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
        return tuple(self._body(key) for key in sorted(self._by_owner.get(uid, ())))

    def of_agent(self, kind: str, namespace: str, agent: str) -> tuple[Manifest, ...]:
        """The objects of the kind that are labelled with the agent's name, in a fixed order."""
        keys = self._by_agent.get((namespace, agent), ())
        return tuple(self._body(key) for key in sorted(key for key in keys if key.kind == kind))

    def within(self, kind: str, namespace: str) -> Iterator[Manifest]:
        """The objects of the kind in the namespace, in a fixed order."""
        return (self._body(key) for key in sorted(self._by_place.get((kind, namespace), ())))

    def keys(self, kind: str, namespace: str | None = None) -> list[Key]:
        """The keys of all objects of the kind, or of those in one namespace."""
        if namespace is not None:
            return sorted(self._by_place.get((kind, namespace), ()))
        return sorted(key for (each, _), keys in self._by_place.items() if each == kind for key in keys)

    def snapshot(self, kind: str) -> dict[Key, str]:
        """The uid of every known object of the kind: what a list that is asked for now may show to be gone."""
        return {key: self._entries[key].uid for key in self.keys(kind)}

    def __len__(self) -> int:
        return len(self._entries)

    def _forget(self, key: Key) -> None:
        old = self._entries.pop(key, None)
        self._in_use.pop(key, None)
        if old is None:
            return
        _remove(self._by_place, (key.kind, key.namespace), key)
        if old.owner:
            _remove(self._by_owner, old.owner, key)
        if old.agent:
            _remove(self._by_agent, (key.namespace, old.agent), key)

    def _body(self, key: Key) -> Manifest:
        body = self._in_use.get(key)
        if body is None:
            packed = self._entries[key].packed
            assert packed is not None  # noqa: S101 - what is not in use was packed when it was put aside
            body = self._packing.unpack(key.kind, packed)
        self._use(key, body)
        return body

    def _use(self, key: Key, body: Manifest) -> None:
        self._in_use[key] = body
        self._in_use.move_to_end(key)
        if len(self._in_use) > self._most_in_use:
            aside, unused = self._in_use.popitem(last=False)
            entry = self._entries[aside]
            if entry.packed is None:
                entry.packed = self._packing.pack(aside.kind, unused)

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


def _remove(index: defaultdict[Any, Any], at: Any, key: Key) -> None:
    index[at].remove(key)
    if not index[at]:
        del index[at]


def _interned(word: str | None) -> str | None:
    return sys.intern(word) if word is not None else None


class _Packing:
    """Bodies as bytes, each by its difference from the first of its kind."""

    def __init__(self) -> None:
        self._first: dict[str, bytes] = {}

    def pack(self, kind: str, body: Manifest) -> bytes:
        """The body as bytes."""
        text = json.dumps(body, separators=(",", ":")).encode()
        first = self._first.setdefault(kind, text[-_WINDOW:])
        packer = zlib.compressobj(1, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL, zdict=first)
        return packer.compress(text) + packer.flush()

    def unpack(self, kind: str, packed: bytes) -> Manifest:
        """The body that the bytes were made from."""
        unpacker = zlib.decompressobj(_WINDOW_BITS, zdict=self._first[kind])
        body: Manifest = json.loads(unpacker.decompress(packed))
        return body


def _content(body: Manifest) -> Manifest:
    return {**body, "metadata": {**body["metadata"], "resourceVersion": ""}}


def _slim(body: Manifest) -> Manifest:
    metadata = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    if _LAST_APPLIED in metadata.get("annotations", {}):
        kept = {key: value for key, value in metadata["annotations"].items() if key != _LAST_APPLIED}
        metadata["annotations"] = kept
    kind = body["kind"]
    slim = {**body, "metadata": metadata}
    if kind == "Pod":
        slim.pop("spec", None)
    if kind in _STATUS:
        slim["status"] = _slim_status(kind, body.get("status", {}))
    return slim


def _slim_status(kind: str, status: Manifest) -> Manifest:
    slim = {key: status[key] for key in _STATUS[kind] if key in status}
    if kind in _CONDITIONS:
        kept = _CONDITIONS[kind]
        slim["conditions"] = [each for each in status.get("conditions", ()) if (each["type"], each["status"]) == kept]
    if "containerStatuses" in slim:
        containers = slim["containerStatuses"]
        slim["containerStatuses"] = [{key: each[key] for key in _CONTAINER if key in each} for each in containers]
    return slim
