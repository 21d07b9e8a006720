"""What the simulated API server keeps: objects, their versions, who owns which field, and the log of all changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tests.sim.cluster import fields
from tests.sim.cluster.fields import Fields
from tests.sim.cluster.kinds import BY_NAME, Body, Ref, matches, ref_of

ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]


@dataclass(frozen=True)
class Change:
    """One entry of the log. `body` of a deletion is the object's last state under the version of its deletion."""

    type: ChangeType
    version: int
    ref: Ref
    body: Body
    before: Body | None
    by: str
    """Who made it: a process, a controller or a person."""


@dataclass(frozen=True)
class Contents:
    """All that a store holds at one moment."""

    objects: dict[Ref, Body]
    managers: dict[str, dict[str, Fields]]
    version: int
    uids: int
    log: tuple[Change, ...]


class Store:
    """Objects by reference. Every change gets the next version and is told to all listeners, in order."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._objects: dict[Ref, Body] = {}
        self._by_kind: defaultdict[str, set[Ref]] = defaultdict(set)
        self._managers: dict[str, dict[str, Fields]] = {}
        self._uids = 0
        self.version = 1000
        self.log: list[Change] = []
        self.listeners: list[Callable[[Change], None]] = []

    def get(self, ref: Ref) -> Body | None:
        """The object, if it exists."""
        return self._objects.get(ref)

    def all(self, kind: str | None = None, selector: str | None = None) -> list[Body]:
        """All objects of the kind whose labels fit, ordered by namespace and name."""
        refs = sorted(self._objects if kind is None else self._by_kind[kind])
        return [body for ref in refs if matches(body := self._objects[ref], selector)]

    def as_of(self, version: int, kind: str, selector: str | None = None) -> list[Body]:
        """All objects of the kind as they were at that version."""
        then: dict[Ref, Body] = {}
        for change in self.log:
            if change.version > version or change.ref.kind != kind:
                continue
            if change.type == "DELETED":
                then.pop(change.ref, None)
            else:
                then[change.ref] = change.body
        return [body for _, body in sorted(then.items()) if matches(body, selector)]

    def contents(self) -> Contents:
        """What it holds now."""
        managers = {uid: dict(each) for uid, each in self._managers.items()}
        return Contents(dict(self._objects), managers, self.version, self._uids, tuple(self.log))

    def load(self, contents: Contents) -> None:
        """Holds that, and tells nobody."""
        self._objects = dict(contents.objects)
        self._by_kind.clear()
        for ref in self._objects:
            self._by_kind[ref.kind].add(ref)
        self._managers = {uid: dict(each) for uid, each in contents.managers.items()}
        self.version, self._uids, self.log = contents.version, contents.uids, list(contents.log)

    def exists(self, uid: str) -> bool:
        """Whether an object with that uid exists."""
        return uid in self._managers

    def timestamp(self) -> str:
        """The time as Kubernetes writes it."""
        return self._now().strftime("%Y-%m-%dT%H:%M:%SZ")

    def create(self, body: Body, by: str) -> Body:
        """Stores a new object."""
        self._uids += 1
        kind = BY_NAME[body["kind"]]
        metadata = {
            **body["metadata"],
            "uid": f"uid-{self._uids:06}",
            "creationTimestamp": self.timestamp(),
            **({"generation": 1} if kind.has_generation else {}),
        }
        metadata.pop("resourceVersion", None)
        stored = self._stamp({**body, "metadata": metadata})
        self._managers[metadata["uid"]] = {}
        self._objects[ref_of(stored)] = stored
        self._by_kind[kind.name].add(ref_of(stored))
        self._tell("ADDED", stored, None, by)
        return stored

    def update(self, body: Body, by: str, *, manager: str | None = None, status: bool = False) -> Body:
        """Stores a new version of an object, unless nothing differs. Whose fields they are then, `manager` says."""
        before = self._objects[ref_of(body)]
        after = {**body, "metadata": {**body["metadata"], "resourceVersion": before["metadata"]["resourceVersion"]}}
        if BY_NAME[body["kind"]].has_generation and not status and after.get("spec") != before.get("spec"):
            after["metadata"]["generation"] = before["metadata"]["generation"] + 1
        if after == before:
            return before
        self._change_hands(before, after, manager or by)
        stored = self._stamp(after)
        self._objects[ref_of(stored)] = stored
        self._tell("MODIFIED", stored, before, by)
        return stored

    def remove(self, ref: Ref, by: str) -> None:
        """Removes an object at once."""
        before = self._objects.pop(ref)
        self._by_kind[ref.kind].discard(ref)
        self._managers.pop(before["metadata"]["uid"])
        self._tell("DELETED", self._stamp(before), before, by)

    def owned_by(self, uid: str, manager: str) -> Fields:
        """The fields of the object that the manager owns."""
        return self._managers[uid].get(manager, frozenset())

    def owned_by_others(self, uid: str, manager: str) -> Fields:
        """The fields of the object that anybody else owns."""
        return frozenset().union(*(owned for name, owned in self._managers[uid].items() if name != manager))

    def own(self, uid: str, manager: str, owned: Fields) -> None:
        """From now on the manager owns exactly these fields of the object."""
        self._managers[uid][manager] = owned

    def _change_hands(self, before: Body, after: Body, manager: str) -> None:
        # What somebody changes is theirs from then on: a field that another manager stops sending stays if they set it.
        managers = self._managers[before["metadata"]["uid"]]
        if not managers:
            # Nobody applies this object, so nobody will ask whose its fields are.
            return
        changed = frozenset(_owned_paths(before, after))
        for name, owned in managers.items():
            if name != manager:
                managers[name] = owned - changed
        managers[manager] = managers.get(manager, frozenset()) | changed

    def _stamp(self, body: Body) -> Body:
        self.version += 1
        return {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}

    def _tell(self, type_: ChangeType, body: Body, before: Body | None, by: str) -> None:
        change = Change(type_, self.version, ref_of(body), body, before, by)
        self.log.append(change)
        for listener in self.listeners:
            listener(change)


def _owned_paths(before: Body, after: Body) -> Iterator[fields.Path]:
    for path in fields.differing(before, after):
        if path[:2] not in {("metadata", "resourceVersion"), ("metadata", "generation")}:
            yield path
